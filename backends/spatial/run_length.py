"""The run-length code of feature maps on the off-chip link (Chen et al., JSSC 2017, section V-E).

A stream of words becomes pairs: how many zeros come first, and the word after them. A longer run takes further pairs,
whose word is one more zero; so does a run that the stream ends with. A word of the link holds some pairs, the first in
its lowest bits, and its highest bit marks the last one of a stream. The receiver knows how many words come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backends.fields import Array
from dialects.array_machine import Compression

LinkWords = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Pairs:
    """A stream as pairs: zeros before each word, and that word."""

    runs: npt.NDArray[np.int64]
    words: Array


@dataclass(frozen=True)
class RunLengthCode:
    """A code for words of `word_bits` bits."""

    code: Compression
    word_bits: int

    def pairs(self, stream: Array) -> Pairs:
        """The pairs of a stream, whatever its type: what equals zero is one."""
        words = np.asarray(stream).reshape(-1)
        ends = self._ends(words)
        return Pairs(np.diff(ends, prepend=-1) - 1, words[ends])

    def _ends(self, words: Array) -> npt.NDArray[np.int64]:
        """Where pairs end: at words other than zero, wherever a run is as long as it can be, and with the stream."""
        covered = self.code.longest_run + 1
        others = np.flatnonzero(words).astype(np.int64)
        starts = np.concatenate((np.zeros(1, np.int64), others + 1))
        stops = np.append(others, len(words))
        # The pairs of a long run end at 1, 2, 3 ... times what a pair covers, from the start of the run.
        times = (stops - starts) // covered
        of_run = np.repeat(np.arange(len(times)), times)
        first = (np.cumsum(times) - times)[of_run]
        inside = starts[of_run] + (np.arange(len(of_run)) - first + 1) * covered - 1
        ends = np.sort(np.concatenate((others, inside)))
        if len(words) and (not len(ends) or ends[-1] != len(words) - 1):
            ends = np.append(ends, len(words) - 1)
        return ends

    def stream(self, pairs: Pairs) -> Array:
        """The words that pairs stand for."""
        ends = np.cumsum(pairs.runs + 1) - 1
        words = np.zeros(int(ends[-1]) + 1 if len(ends) else 0, pairs.words.dtype)
        words[ends] = pairs.words
        return words

    def link_words(self, stream: Array) -> int:
        """Words of the link that a stream takes."""
        return -(-len(self._ends(np.asarray(stream).reshape(-1))) // self.code.pairs)

    def machine_words(self, stream: Array) -> int:
        """Words of `word_bits` bits that these take on the link."""
        return self.link_words(stream) * (self.code.link_bits // self.word_bits)

    def encode(self, stream: npt.NDArray[np.unsignedinteger]) -> LinkWords:
        """A stream of words of `word_bits` bits as words of the link."""
        pairs = self.pairs(stream)
        count = -(-len(pairs.runs) // self.code.pairs)
        slots = np.zeros(count * self.code.pairs, np.uint64)
        run_bits = np.uint64(self.code.run_bits)
        slots[: len(pairs.runs)] = pairs.runs.astype(np.uint64) | (pairs.words.astype(np.uint64) << run_bits)
        packed = np.bitwise_or.reduce(slots.reshape(count, self.code.pairs) << self._shifts(), axis=1)
        if count:
            packed[-1] |= np.uint64(1) << np.uint64(self.code.link_bits - 1)
        return packed

    def decode(self, link: LinkWords, count: int) -> npt.NDArray[np.uint64]:
        """The `count` words of a stream.

        Raises `ValueError` unless exactly the last word is marked as such and the pairs stand for `count` words.
        """
        last = (link >> np.uint64(self.code.link_bits - 1)) & np.uint64(1)
        if len(link) and (not last[-1] or last[:-1].any()):
            raise ValueError("the last word of a stream, and no other, is marked")
        bits = np.uint64(self.code.run_bits + self.word_bits)
        slots = ((link[:, None] >> self._shifts()) & ((np.uint64(1) << bits) - np.uint64(1))).reshape(-1)
        run_bits = np.uint64(self.code.run_bits)
        runs = (slots & np.uint64(self.code.longest_run)).astype(np.int64)
        used = int(np.searchsorted(np.cumsum(runs + 1), count)) + 1 if count else 0
        words = self.stream(Pairs(runs[:used], slots[:used] >> run_bits))
        if len(words) != count or -(-used // self.code.pairs) != len(link) or slots[used:].any():
            raise ValueError(f"{len(link)} words of the link do not hold {count} words")
        return words

    def _shifts(self) -> npt.NDArray[np.uint64]:
        """Where the pairs of a link word begin."""
        return np.arange(self.code.pairs, dtype=np.uint64) * np.uint64(self.code.run_bits + self.word_bits)


def through_pairs(code: RunLengthCode, stream: Array) -> Array:
    """A stream as it arrives, encoded and decoded: bit for bit where its words have the code's width."""
    if stream.dtype.itemsize * 8 != code.word_bits:
        # Elements of other widths stand for words of the machine, one each.
        return code.stream(code.pairs(stream)).reshape(stream.shape)
    bits = np.ascontiguousarray(stream).reshape(-1).view(f"u{stream.dtype.itemsize}")
    arrived = code.decode(code.encode(bits), bits.size).astype(bits.dtype)
    return arrived.view(stream.dtype).reshape(stream.shape)
