"""The run-length code of the Eyeriss chip (Chen et al., JSSC 2017, section V-E).

A stream of words becomes pairs: how many zeros come first (the run), and the word after them (the level). A longer run
takes further pairs, whose word is one more zero; so does a run that the stream ends with. A word of the link holds some
pairs, the first in its lowest bits, and its highest bit marks the last one of a stream. The receiver knows how many
words come.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dialects.encodings.format import Array, Format, Size, Stream, tensor_of, word_bits, words_of
from dialects.encodings.sections import SectionReader, malformed, word_bytes

LinkWords = npt.NDArray[np.uint64]

_PART_WORDS = 1 << 16
"""Words that are encoded at a time: what is made of them stays in a cache."""


@dataclass(frozen=True)
class Pairs:
    """A stream as pairs: zeros before each word, and that word."""

    runs: npt.NDArray[np.int64]
    words: Array


@dataclass(frozen=True)
class RunLengthCode:
    """A code for words of `word_bits` bits: `pairs_per_word` pairs in a word of the link of `link_bits` bits.

    The defaults are the chip's: three pairs of a 5-bit run and a 16-bit level in 64 bits.
    """

    run_bits: int = 5
    pairs_per_word: int = 3
    link_bits: int = 64
    word_bits: int = 16

    name: ClassVar[str] = "rlc"

    @property
    def longest_run(self) -> int:
        """Zeros that one pair can stand for, the word after them aside."""
        return (1 << self.run_bits) - 1

    def pairs(self, stream: Array) -> Pairs:
        """The pairs of a stream, whatever its type: what equals zero is one."""
        words = np.asarray(stream).reshape(-1)
        others = np.flatnonzero(words)
        ends = self._ends(others, words.size)
        return Pairs(np.diff(ends, prepend=-1) - 1, words[ends])

    def pair_count(self, stream: Array) -> int:
        """How many pairs a stream takes: one for every word other than zero, and one wherever a run is full."""
        words = np.asarray(stream).reshape(-1)
        others = np.flatnonzero(words)
        gaps = np.diff(others, prepend=-1) - 1
        left = words.size - 1 - int(others[-1]) if others.size else words.size
        covered = self.longest_run + 1
        return others.size + int((gaps >> self.run_bits).sum()) - (-left // covered)

    def _ends(self, others: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
        """Where pairs end: at words other than zero, wherever a run is as long as it can be, and with the stream."""
        covered = self.longest_run + 1
        starts = np.concatenate((np.zeros(1, np.int64), others + 1))
        # The pairs of a long run end at 1, 2, 3 ... times what a pair covers, from the start of the run.
        times = np.diff(others, prepend=-1, append=size) - 1 >> self.run_bits
        if times.any():
            of_run = np.repeat(np.arange(times.size), times)
            first = (np.cumsum(times) - times)[of_run]
            inside = starts[of_run] + (np.arange(of_run.size) - first + 1) * covered - 1
            ends = np.insert(others, of_run, inside)
        else:
            ends = others
        if size and (not ends.size or ends[-1] != size - 1):
            ends = np.append(ends, size - 1)
        return ends

    def stream(self, pairs: Pairs) -> Array:
        """The words that pairs stand for."""
        ends = np.cumsum(pairs.runs + 1) - 1
        words = np.zeros(int(ends[-1]) + 1 if ends.size else 0, pairs.words.dtype)
        words[ends] = pairs.words
        return words

    def link_words(self, stream: Array) -> int:
        """Words of the link that a stream takes."""
        return -(-self.pair_count(stream) // self.pairs_per_word)

    def machine_words(self, stream: Array) -> int:
        """Words of `word_bits` bits that these take on the link."""
        return self.link_words(stream) * (self.link_bits // self.word_bits)

    def encode(self, stream: npt.NDArray[np.unsignedinteger]) -> LinkWords:
        """A stream of words of `word_bits` bits as words of the link."""
        packed: list[LinkWords] = []
        left = np.zeros(0, np.uint64)
        for part in _parts(np.asarray(stream).reshape(-1)):
            pairs = self.pairs(part)
            slots = np.empty(left.size + pairs.runs.size, np.uint64)
            slots[: left.size] = left
            added = slots[left.size :]
            np.left_shift(pairs.words, np.uint64(self.run_bits), out=added, dtype=np.uint64)
            added |= pairs.runs.view(np.uint64)
            whole = slots.size - slots.size % self.pairs_per_word
            packed.append(self._packed(slots[:whole]))
            left = slots[whole:]
        if left.size:
            packed.append(self._packed(np.append(left, np.zeros(self.pairs_per_word - left.size, np.uint64))))
        link = np.concatenate(packed) if packed else left
        if link.size:
            link[-1] |= np.uint64(1) << np.uint64(self.link_bits - 1)
        return link

    def _packed(self, slots: npt.NDArray[np.uint64]) -> LinkWords:
        """Words of the link from their pairs."""
        packed = slots[:: self.pairs_per_word].copy()
        for place, shift in enumerate(self._shifts()[1:], 1):
            packed |= slots[place :: self.pairs_per_word] << shift
        return packed

    def decode(self, link: LinkWords, count: int) -> npt.NDArray[np.uint64]:
        """The `count` words of a stream.

        Raises `CatenaError` (CAT-P005) unless exactly the last word is marked as such, the pairs are those of `count`
        words, and all bits behind them are clear.
        """
        marks = link >> np.uint64(self.link_bits - 1)
        if link.size and (marks[-1] != 1 or marks[:-1].any()):
            wrong = int(np.argmax(marks[:-1] != 0)) if marks[:-1].any() else link.size - 1
            raise malformed(
                self.name, f"word {wrong} of the link", "the last word of a stream, and no other, is marked"
            )
        width = np.uint64(self.run_bits + self.word_bits)
        slots = ((link[:, None] >> self._shifts()) & ((np.uint64(1) << width) - np.uint64(1))).reshape(-1)
        runs = (slots & np.uint64(self.longest_run)).astype(np.int64)
        ends = np.cumsum(runs + 1)
        used = int(np.searchsorted(ends, count)) + 1 if count else 0
        levels = slots[:used] >> np.uint64(self.run_bits)
        self._check(link, slots, runs, levels, count)
        words = np.zeros(count, np.uint64)
        words[ends[:used] - 1] = levels
        return words

    def _check(
        self,
        link: LinkWords,
        slots: npt.NDArray[np.uint64],
        runs: npt.NDArray[np.int64],
        levels: npt.NDArray[np.uint64],
        count: int,
    ) -> None:
        """Raises `CatenaError` unless the pairs that `levels` belong to are those of `count` words, and all of them."""
        used = levels.size
        covered = int(runs[:used].sum()) + used
        if used > slots.size or covered != count:
            where = f"word {max(link.size - 1, 0)} of the link"
            raise malformed(self.name, where, "the stream has another number of words", f"{count} words", f"{covered}")
        if -(-used // self.pairs_per_word) != link.size:
            where = f"word {-(-used // self.pairs_per_word)} of the link"
            raise malformed(self.name, where, "the stream goes on behind its end", f"{count} words")
        pair_bits = self.pairs_per_word * (self.run_bits + self.word_bits)
        unused = (link & np.uint64((1 << (self.link_bits - 1)) - 1)) >> np.uint64(pair_bits)
        if slots[used:].any() or unused.any():
            wrong = int(np.argmax(unused != 0)) if unused.any() else link.size - 1
            raise malformed(self.name, f"word {wrong} of the link", "bits are set that belong to no pair")
        short = (levels == 0) & (runs[:used] != self.longest_run)
        if short[:-1].any():
            where = f"word {int(np.argmax(short)) // self.pairs_per_word} of the link"
            found = f"{int(runs[np.argmax(short)])} zeros, then one more"
            raise malformed(self.name, where, "a run goes on in the next pair before it is full", "", found)

    def _shifts(self) -> npt.NDArray[np.uint64]:
        """Where the pairs of a link word begin."""
        return np.arange(self.pairs_per_word, dtype=np.uint64) * np.uint64(self.run_bits + self.word_bits)


def _parts(words: Array) -> Iterator[Array]:
    """A stream in parts that fit a cache; each but the last ends with a word that is not zero, and so with a run."""
    first = 0
    while first < words.size:
        end = min(first + _PART_WORDS, words.size)
        while end < words.size and not words[end - 1]:
            others = words[end : end + _PART_WORDS] != 0
            end += int(np.argmax(others)) + 1 if others.any() else others.size
        yield words[first:end]
        first = end


@dataclass(frozen=True)
class RunLength(Format):
    """The words of a tensor in row-major order through a run-length code, in whole words of the link.

    Words wider than the code's are cut into several, the lowest bits first; narrower ones take one each.
    """

    run_bits: int = 5
    pairs: int = 3
    link_bits: int = 64
    level_bits: int = 16

    name: ClassVar[str] = "rlc"

    @property
    def code(self) -> RunLengthCode:
        """The code of streams of words."""
        return RunLengthCode(self.run_bits, self.pairs, self.link_bits, self.level_bits)

    def __post_init__(self) -> None:
        code = self.code
        if code.word_bits not in (8, 16, 32) or code.link_bits not in (8, 16, 32, 64):
            raise ValueError("words have 8, 16 or 32 bits, those of the link 8, 16, 32 or 64")
        if code.run_bits < 1 or code.pairs_per_word * (code.run_bits + code.word_bits) >= code.link_bits:
            raise ValueError("a word of the link holds its pairs and a bit that marks the last one")

    def encode(self, tensor: Array) -> Stream:
        return word_bytes(self.code.encode(self._code_words(tensor)).astype(f"u{self.code.link_bits // 8}", copy=False))

    def decode(self, stream: Stream, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
        link_bytes = self.code.link_bits // 8
        count, bits = math.prod(shape), word_bits(dtype)
        reader = SectionReader(self.name, stream)
        link = reader.words("pairs", reader.stream.size // link_bytes, f"u{link_bytes}")
        reader.end()
        parts = max(1, bits // self.code.word_bits)
        words = self.code.decode(link.astype(np.uint64, copy=False), count * parts)
        if bits < self.code.word_bits and (words >> np.uint64(bits)).any():
            place = f"word {int(np.argmax(words >> np.uint64(bits) != 0))}"
            raise malformed(self.name, place, "a word is wider than the tensor's", f"{bits} bits")
        narrow = words.astype(f"u{min(bits, self.code.word_bits) // 8}")
        return tensor_of(narrow, shape, dtype)

    def size(self, tensor: Array, bits: int | None = None) -> Size:
        code, words = self.code, self._code_words(tensor)
        if bits is not None:
            words = np.repeat(words_of(tensor).reshape(-1) != 0, max(1, bits // code.word_bits))
        pairs = code.pair_count(words)
        link = -(-pairs // code.pairs_per_word)
        unused = (link * code.pairs_per_word - pairs) * (code.run_bits + code.word_bits)
        values = pairs * code.word_bits
        return Size(link * code.link_bits - unused - values, values, unused)

    def _code_words(self, tensor: Array) -> Array:
        words = words_of(tensor).reshape(-1)
        return words.view(f"u{self.code.word_bits // 8}") if words.dtype.itemsize * 8 > self.code.word_bits else words


def through_pairs(code: RunLengthCode, stream: Array) -> Array:
    """A stream as it arrives, encoded and decoded: bit for bit where its words have the code's width."""
    if stream.dtype.itemsize * 8 != code.word_bits:
        # Elements of other widths stand for words of the machine, one each.
        return code.stream(code.pairs(stream)).reshape(stream.shape)
    bits = np.ascontiguousarray(stream).reshape(-1).view(f"u{stream.dtype.itemsize}")
    arrived = code.decode(code.encode(bits), bits.size).astype(bits.dtype)
    return arrived.view(stream.dtype).reshape(stream.shape)
