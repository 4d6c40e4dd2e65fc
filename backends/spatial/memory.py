"""The memories of the spatial machine: bounded, word-addressed, and aware of which words were ever written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.fields import Array
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import as_storage

Valid = npt.NDArray[np.bool_]
Addresses = npt.NDArray[np.int64]


class Fault(Exception):
    """Something the hardware cannot do; the emulator turns it into a diagnostic with the instruction's place."""

    def __init__(self, code: str, message: str, expected: str = "", found: str = "", hint: str = ""):
        super().__init__(message)
        self.code, self.message, self.expected, self.found, self.hint = code, message, expected, found, hint


class UnwrittenFault(Fault):
    """A word of a memory, by its name, is read that was never written."""

    def __init__(self, message: str, memory: str, word: int, expected: str = "", found: str = ""):
        super().__init__("CAT-E002", message, expected, found or f"word {word}")
        self.memory, self.word = memory, word


def _bounds(address: int, shape: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    low = high = address
    for size, stride in zip(shape, strides, strict=True):
        if stride < 0:
            low += (size - 1) * stride
        else:
            high += (size - 1) * stride
    return low, high


class Segment:
    """Consecutive words of a memory: constants (always valid, read-only) or writable words with validity."""

    def __init__(self, words: Array, base: int, valid: Valid | None):
        self.words, self.base, self.valid = words, base, valid

    @property
    def end(self) -> int:
        """The first address behind the segment."""
        return self.base + len(self.words)

    def strided(self, array: Array, address: int, shape: Sequence[int], strides: Sequence[int]) -> Array:
        """A strided window on `words` or `valid` from an absolute address; bounds are the caller's business."""
        step = array.itemsize
        stored = as_storage(array)
        start, steps = (address - self.base) * step, tuple(s * step for s in strides)
        window = np.ndarray(tuple(shape), stored.dtype, stored.data, start, steps)
        return window if stored is array else window.view(array.dtype)


MOST_WORDS = 1 << 30
"""Words that an emulator holds of one memory: what a program of a few bytes claims must not fill the computer's own."""


def require_room(name: str, words: int, node: str = "") -> None:
    """Refuse more words than an emulator holds, of the memory `name`. Raises `CatenaError` (CAT-C007)."""
    if words > MOST_WORDS:
        message = f"{name} has too many words to be emulated"
        raise CatenaError(
            Diagnostic("CAT-C007", message, node=node, expected=f"at most {MOST_WORDS} words", found=f"{words} words")
        )


class MemoryBank:
    """A memory of `capacity` words, made of segments; words outside of every segment do not exist."""

    def __init__(self, name: str, capacity: int, segments: Sequence[Segment]):
        self.name = name
        self.capacity = capacity
        self._segments = list(segments)

    @classmethod
    def blank(cls, name: str, capacity: int, dtype: np.dtype[np.generic]) -> MemoryBank:
        """A writable memory that holds nothing yet. Raises `CatenaError` (CAT-C007) if it is too large to emulate."""
        require_room(name, capacity)
        return cls(name, capacity, [Segment(np.zeros(capacity, dtype), 0, np.zeros(capacity, np.bool_))])

    @property
    def segments(self) -> Sequence[Segment]:
        """What the memory is made of."""
        return self._segments

    @property
    def size(self) -> int:
        """How many words there are, constants as well."""
        return sum(len(segment.words) for segment in self._segments)

    def _segment(self, address: int, shape: Sequence[int], strides: Sequence[int]) -> Segment:
        low, high = _bounds(address, shape, strides)
        for segment in self._segments:
            if segment.base <= low and high < segment.end:
                return segment
        raise Fault(
            "CAT-E001",
            f"access outside of {self.name}",
            expected=" or ".join(f"words {s.base} to {s.end - 1}" for s in self._segments if len(s.words)) or "nothing",
            found=f"words {low} to {high}",
        )

    def read(
        self, address: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype[Any] | None = None
    ) -> Array:
        """The words of a strided window, as a view; `dtype` is what they are taken for.

        Raises `Fault` CAT-E001 outside of the memory, CAT-E002 for words that were never written, CAT-E003 for words
        of another type.
        """
        segment = self._segment(address, shape, strides)
        self._check_type(segment, dtype)
        if segment.valid is not None and not segment.strided(segment.valid, address, shape, strides).all():
            found = segment.strided(segment.valid, address, shape, strides)
            missing = np.unravel_index(int(found.argmin()), found.shape)
            word = address + int(np.dot(missing, np.asarray(strides, np.int64)))
            raise UnwrittenFault(
                f"a word of {self.name} is read that was never written", self.name, word, found=f"from {address}"
            )
        return segment.strided(segment.words, address, shape, strides)

    def window(
        self, address: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype[Any] | None = None
    ) -> Array:
        """The words of a strided window to write to, as a view; they count as written.

        Raises `Fault` CAT-E001 outside of the memory, CAT-E003 in constants and for words of another type.
        """
        segment = self._segment(address, shape, strides)
        self._check_type(segment, dtype)
        if segment.valid is None:
            raise Fault("CAT-E003", f"constants of {self.name} are written", found=f"word {address}")
        segment.strided(segment.valid, address, shape, strides)[...] = True
        return segment.strided(segment.words, address, shape, strides)

    def gather(self, addresses: Addresses, dtype: np.dtype[Any]) -> Array:
        """The words at computed addresses.

        Raises `Fault` as `read`.
        """
        segment = self._segment_around(addresses, dtype)
        places = addresses - segment.base
        if segment.valid is not None and not segment.valid[places].all():
            missing = int(addresses[~segment.valid[places]][0])
            raise UnwrittenFault(f"a word of {self.name} is read that was never written", self.name, missing)
        return segment.words[places]

    def scatter(self, addresses: Addresses, values: Array, combine: np.ufunc | None) -> None:
        """Write words to computed addresses in row-major order, or combine them with the words that are there.

        Raises `Fault` as `window`, and as `read` if words are combined.
        """
        segment = self._segment_around(addresses, values.dtype)
        if segment.valid is None:
            raise Fault("CAT-E003", f"constants of {self.name} are written", found=f"word {int(addresses.min())}")
        if combine is None:
            places = addresses.reshape(-1) - segment.base
            segment.words[places] = values.reshape(-1)
            segment.valid[places] = True
        else:
            self.gather(addresses, values.dtype)
            combine.at(segment.words, addresses.reshape(-1) - segment.base, values.reshape(-1))

    def _segment_around(self, addresses: Addresses, dtype: np.dtype[Any]) -> Segment:
        low, high = int(addresses.min()), int(addresses.max())
        segment = self._segment(low, (high - low + 1,), (1,))
        self._check_type(segment, dtype)
        return segment

    def _check_type(self, segment: Segment, dtype: np.dtype[Any] | None) -> None:
        if dtype is not None and segment.words.dtype != dtype:
            raise Fault(
                "CAT-E003",
                f"words of {self.name} are taken for words of another type",
                expected=segment.words.dtype.name,
                found=dtype.name,
            )

    def forget(self, address: int, words: int) -> None:
        """Mark words as never written."""
        segment = self._segment(address, (words,), (1,))
        assert segment.valid is not None
        segment.valid[address - segment.base : address - segment.base + words] = False


def words_at(bank: MemoryBank, addresses: Addresses) -> Array:
    """Words of a memory as they are, all in one segment, whether anything has written them or not."""
    first = int(addresses.min())
    segment = next(each for each in bank.segments if each.base <= first < each.end)
    return segment.words[addresses - segment.base]


class Buffer:
    """The on-chip buffer: one capacity, words of whatever type a layer keeps there.

    Nothing survives a layer, so that the words of each type can be kept apart: within a layer they lie in different
    banks, and a new layer finds none of them written.
    """

    def __init__(self, name: str, capacity: int):
        self.name, self.capacity = name, capacity
        self._banks: dict[np.dtype[Any], MemoryBank] = {}

    def of(self, dtype: np.dtype[Any]) -> MemoryBank:
        """The buffer as a memory of words of one type."""
        if dtype not in self._banks:
            self._banks[dtype] = MemoryBank.blank(self.name, self.capacity, dtype)
        return self._banks[dtype]

    def words(self) -> dict[str, Array]:
        """A copy of all words by the name of their type; those that nothing has written are zero."""
        found: dict[str, Array] = {}
        for dtype, bank in self._banks.items():
            (segment,) = bank.segments
            assert segment.valid is not None
            found[dtype.name] = np.where(segment.valid, segment.words, np.zeros((), dtype))
        return found
