"""A memory that tells which of its words are read and written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backends.fields import Array
from backends.spatial.memory import Addresses, MemoryBank, Segment

Seen = Callable[[Addresses, bool], None]
"""Told the words that are read or, if true, written."""


class WatchedMemory(MemoryBank):
    """A memory that tells which of its words are read and written; constants, which nobody writes, left out."""

    def __init__(self, bank: MemoryBank, seen: Seen):
        super().__init__(bank.name, bank.capacity, bank.segments)
        self._seen = seen

    def read(
        self, address: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype[Any] | None = None
    ) -> Array:
        words = super().read(address, shape, strides, dtype)
        if words.size and self._changes(address):
            self._seen(grid(address, shape, strides), False)
        return words

    def window(
        self, address: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype[Any] | None = None
    ) -> Array:
        words = super().window(address, shape, strides, dtype)
        self._seen(grid(address, shape, strides), True)
        return words

    def gather(self, addresses: Addresses, dtype: np.dtype[Any]) -> Array:
        words = super().gather(addresses, dtype)
        if self._changes(int(addresses.flat[0])):
            self._seen(addresses, False)
        return words

    def scatter(self, addresses: Addresses, values: Array, combine: np.ufunc | None) -> None:
        super().scatter(addresses, values, combine)
        self._seen(addresses, True)

    def tell(self, words: Addresses) -> None:
        """Say of words that they are written."""
        self._seen(words, True)

    def _changes(self, address: int) -> bool:
        return any(_is_in(address, segment) for segment in self.segments if segment.valid is not None)


def _is_in(address: int, segment: Segment) -> bool:
    return segment.base <= address < segment.end


def grid(address: int, shape: Sequence[int], strides: Sequence[int]) -> Addresses:
    """The addresses of a strided window."""
    found = np.full(1, address, np.int64)
    for size, stride in zip(shape, strides, strict=True):
        found = (found[:, None] + np.arange(size)[None, :] * stride).reshape(-1)
    return found
