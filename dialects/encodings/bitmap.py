"""A plain bitmap: a bit for every word of the tensor, in row-major order, then the words that are not zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dialects.encodings.format import Array, Format, Size, Stream, filling, tensor_of, word_bits, words_of
from dialects.encodings.sections import SectionReader, bitmap_bytes, word_bytes


@dataclass(frozen=True)
class Bitmap(Format):
    """Two sections: `bitmap` and `values`."""

    name: ClassVar[str] = "bitmap"

    def encode(self, tensor: Array) -> Stream:
        words = words_of(tensor).reshape(-1)
        there = words != 0
        return np.concatenate((bitmap_bytes(there), word_bytes(words[there])))

    def decode(self, stream: Stream, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
        reader = SectionReader(self.name, stream)
        words = np.zeros(math.prod(shape), f"u{np.dtype(dtype).itemsize}")
        there = reader.bits("bitmap", words.size)
        words[there] = reader.values(int(np.count_nonzero(there)), words.dtype)
        reader.end()
        return tensor_of(words, shape, dtype)

    def size(self, tensor: Array, bits: int | None = None) -> Size:
        values = int(np.count_nonzero(words_of(tensor))) * (bits or word_bits(tensor.dtype))
        return Size(tensor.size, values, filling(tensor.size))
