"""Memories that code is gone through with for what it touches alone, without values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.fields import Array
from backends.spatial.memory import Addresses, MemoryBank
from backends.spatial.watched import WatchedMemory, grid


class Blank(WatchedMemory):
    """A memory whose words are all there, and zero, but for constants; it only tells which of them are written."""

    def read(
        self, address: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype[Any] | None = None
    ) -> Array:
        if dtype is None or self.is_constant(address):
            return super().read(address, shape, strides, dtype)
        return np.zeros(tuple(shape), dtype)

    def gather(self, addresses: Addresses, dtype: np.dtype[Any]) -> Array:
        if self.is_constant(int(addresses.flat[0])):
            return super().gather(addresses, dtype)
        return np.zeros(addresses.shape, dtype)

    def window(
        self, address: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype[Any] | None = None
    ) -> Array:
        self.tell(grid(address, shape, strides))
        return np.zeros(tuple(shape), dtype)

    def scatter(self, addresses: Addresses, values: Array, combine: np.ufunc | None) -> None:
        self.tell(addresses)

    def is_constant(self, address: int) -> bool:
        """Whether a word is one of those that nobody writes."""
        return any(each.base <= address < each.end and each.valid is None for each in self.segments)


class ConstantRead(Exception):
    """Constants that somebody looks for are read; `first` is the first of them."""

    def __init__(self, words: Addresses):
        super().__init__()
        self.first = int(words.min())


def raise_if_read(read: Addresses, words: Addresses) -> None:
    """Raise `ConstantRead` if some words are among those that are read."""
    found = read[np.isin(read, words)]
    if found.size:
        raise ConstantRead(found)


class ConstantReads(Blank):
    """A memory that raises `ConstantRead` where one of some constants is read."""

    def __init__(self, bank: MemoryBank, words: Addresses):
        super().__init__(bank, lambda read, writes: None)
        self._words = words

    def read(
        self, address: int, shape: Sequence[int], strides: Sequence[int], dtype: np.dtype[Any] | None = None
    ) -> Array:
        words = super().read(address, shape, strides, dtype)
        if self.is_constant(address):
            raise_if_read(grid(address, shape, strides), self._words)
        return words

    def gather(self, addresses: Addresses, dtype: np.dtype[Any]) -> Array:
        words = super().gather(addresses, dtype)
        if self.is_constant(int(addresses.flat[0])):
            raise_if_read(addresses, self._words)
        return words
