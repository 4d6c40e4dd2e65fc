"""What all formats have in common: their interface, the size of a stream, tensors as words and as matrices."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Stream = npt.NDArray[np.uint8]
"""The bytes of an encoded tensor."""


@dataclass(frozen=True)
class Size:
    """Bits of a stream: those that say where values lie, those of values, those that fill up bytes or words."""

    metadata: int
    values: int
    padding: int = 0

    @property
    def bits(self) -> int:
        """All of them."""
        return self.metadata + self.values + self.padding


@dataclass(frozen=True)
class Format(ABC):
    """A way to store a tensor. Its shape and type are known to whoever reads it and are no part of the stream.

    A word is zero if all of its bits are: so a negative zero is stored as any other value, and comes back.
    """

    name: ClassVar[str]

    @abstractmethod
    def encode(self, tensor: Array) -> Stream:
        """The stream of a tensor of any shape and type."""

    @abstractmethod
    def decode(self, stream: Stream, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
        """The tensor of a stream. Raises `CatenaError` (CAT-P005) if that is no stream of such a tensor."""

    @abstractmethod
    def size(self, tensor: Array, bits: int | None = None) -> Size:
        """How long the stream of a tensor is, by closed forms over where its zeros are; nothing is encoded.

        A word has as many bits as in its type, or `bits` if its values stand for words of that width.
        """

    def problem(self, shape: Sequence[int]) -> str:
        """Why tensors of a shape cannot be stored so; empty if they can."""
        return ""


def words_of(tensor: Array) -> Array:
    """A tensor's words as unsigned integers of the same width, bit for bit."""
    return np.ascontiguousarray(tensor).view(f"u{tensor.dtype.itemsize}").reshape(tensor.shape)


def tensor_of(words: Array, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
    """The tensor of such words."""
    return np.ascontiguousarray(words).view(np.dtype(dtype)).reshape(tuple(shape))


def matrix_shape(shape: Sequence[int], rows: int = 0) -> tuple[int, int]:
    """A tensor as a matrix: one of its dimensions, that of filters, by all others in their order."""
    others = (extent for dim, extent in enumerate(shape) if dim != rows)
    return (shape[rows], math.prod(others)) if shape else (1, 1)


def as_matrix(words: Array, rows: int = 0) -> Array:
    """A tensor as such a matrix."""
    moved = np.moveaxis(words, rows, 0) if rows else words
    return moved.reshape(matrix_shape(words.shape, rows))


def from_matrix(matrix: Array, shape: Sequence[int], rows: int = 0) -> Array:
    """The tensor of such a matrix."""
    moved = matrix.reshape((shape[rows], *shape[:rows], *shape[rows + 1 :]) if shape else ())
    return np.ascontiguousarray(np.moveaxis(moved, 0, rows) if rows else moved).reshape(tuple(shape))


def word_bits(dtype: npt.DTypeLike) -> int:
    """Bits of a word of a type, as it lies in a stream: whole bytes."""
    return np.dtype(dtype).itemsize * 8


def filling(bits: int, unit: int = 8) -> int:
    """Bits that are missing to whole units."""
    return -bits % unit
