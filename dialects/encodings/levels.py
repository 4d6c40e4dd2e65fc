"""Encodings as levels, in the spirit of MLIR's `sparse_tensor`: how a tensor is stored, dimension by dimension.

A level stands for the indices of a dimension, of several together, or of a dimension cut into blocks (`floordiv`) or
within a block (`mod`). Its kind says what is stored of them below every position of the level before: `dense` all,
`bitmap` those that hold anything, with a bit for each index, `compressed` the same with where they begin and their
coordinates, `run_length` (the last level, after dense ones) words in a run-length code. The words that are left come
last. The named formats are such encodings: CSR is `d0 : dense, d1 : compressed`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from dialects.encodings.format import Array, Format, Mask, Size, Stream, filling, tensor_of, word_bits, words_of
from dialects.encodings.run_length import RunLength
from dialects.encodings.sections import SectionReader, bitmap_bytes, word_bytes


class LevelKind(StrEnum):
    """What is stored of the indices of a level."""

    DENSE = "dense"
    BITMAP = "bitmap"
    COMPRESSED = "compressed"
    RUN_LENGTH = "run_length"


PARAMETERS: dict[LevelKind, tuple[int, ...]] = {
    LevelKind.DENSE: (),
    LevelKind.BITMAP: (),
    LevelKind.COMPRESSED: (32, 16),
    LevelKind.RUN_LENGTH: (5, 3, 64, 16),
}
"""Parameters of each kind and their defaults: bits of positions and coordinates; those of a `RunLength`."""


@dataclass(frozen=True)
class Level:
    """Indices of the dimensions `dims`; of blocks of `block` of one dimension, or, if `inner`, within them."""

    dims: tuple[int, ...]
    kind: LevelKind
    parameters: tuple[int, ...] = ()
    block: int = 0
    inner: bool = False

    def __str__(self) -> str:
        """As in IR text: `d0 floordiv 4 : bitmap`."""
        names = " x ".join(f"d{dim}" for dim in self.dims)
        part = f" {'mod' if self.inner else 'floordiv'} {self.block}" if self.block else ""
        given = f"({', '.join(map(str, self.parameters))})" if self.parameters else ""
        return f"{names}{part} : {self.kind}{given}"


@dataclass(frozen=True)
class Levels(Format):
    """Levels from the outside in; a section for each that stores anything, then the words that are left."""

    levels: tuple[Level, ...]

    name: ClassVar[str] = "levels"

    def __post_init__(self) -> None:
        """Raises `ValueError` for levels that are no encoding of any tensor."""
        if problems := list(_problems(self.levels)):
            raise ValueError(problems[0])

    @property
    def rank(self) -> int:
        """Dimensions of the tensors that are encoded so."""
        return len({dim for level in self.levels for dim in level.dims})

    def problem(self, shape: Sequence[int]) -> str:
        if len(shape) != self.rank:
            return f"the levels are those of {self.rank} dimensions"
        parents = 1
        for level, extent in zip(self.levels, self._extents(shape), strict=True):
            if level.kind is LevelKind.COMPRESSED:
                positions, coordinates = level.parameters
                if parents * extent >= 1 << positions or extent > 1 << coordinates:
                    return f"{level}: there are too many words for positions or coordinates of these widths"
            parents *= extent
        return ""

    def encode(self, tensor: Array) -> Stream:
        """As `Format.encode`. Raises `ValueError` if the shape does not fit the levels."""
        self._require(tensor.shape)
        words, exist = self._arranged(words_of(tensor)), self._existing(tensor.shape)
        sections: list[Stream] = []
        for level, extent, below in self._sizes(tensor.shape):
            if level.kind is LevelKind.RUN_LENGTH:
                return RunLength(*level.parameters).encode(words[exist])
            by_index = words.reshape(len(words), extent, below)
            stored = _stored(level, by_index)
            sections += _sections(level, stored)
            words, exist = by_index[stored], exist.reshape(by_index.shape)[stored]
        return np.concatenate((*sections, word_bytes(words[exist])))

    def decode(self, stream: Stream, shape: Sequence[int], dtype: npt.DTypeLike) -> Array:
        """As `Format.decode`. Raises `ValueError` if the shape does not fit the levels."""
        self._require(shape)
        reader = SectionReader(self.name, stream)
        exist, kind = self._existing(shape), np.dtype(f"u{np.dtype(dtype).itemsize}")
        passed: list[tuple[Level, Mask]] = []
        words: Array | None = None
        for level, extent, below in self._sizes(shape):
            if level.kind is LevelKind.RUN_LENGTH:
                words = RunLength(*level.parameters).decode(reader.stream, (int(np.count_nonzero(exist)),), kind)
                break
            stored = _read(reader, level, len(exist), extent)
            passed.append((level, stored))
            exist = exist.reshape(len(exist), extent, below)[stored]
        if words is None:
            words = reader.words("values", int(np.count_nonzero(exist)), kind)
            reader.end()
        full: Array = np.zeros(exist.shape, kind)
        full[exist] = words
        for level, stored in reversed(passed):
            if level.kind is not LevelKind.DENSE and not (holds := full.any(axis=1)).all():
                place = f"position {int(np.argmin(holds))}"
                raise reader.error(str(level), place, "an index is stored at which there is nothing")
            above = np.zeros((*stored.shape, full.shape[1]), kind)
            above[stored] = full
            full = above.reshape(len(stored), stored.shape[1] * full.shape[1])
        return tensor_of(self._rearranged(full, shape), shape, dtype)

    def size(self, tensor: Array, bits: int | None = None) -> Size:
        self._require(tensor.shape)
        words, exist = self._arranged(words_of(tensor)), self._existing(tensor.shape)
        metadata = padding = 0
        for level, extent, below in self._sizes(tensor.shape):
            if level.kind is LevelKind.RUN_LENGTH:
                return RunLength(*level.parameters).size(words[exist], bits)
            by_index = words.reshape(len(words), extent, below)
            stored = _stored(level, by_index)
            words, exist = by_index[stored], exist.reshape(by_index.shape)[stored]
            if level.kind is LevelKind.BITMAP:
                metadata, padding = metadata + stored.size, padding + filling(stored.size)
            elif level.kind is LevelKind.COMPRESSED:
                positions, coordinates = level.parameters
                metadata += (len(stored) + 1) * positions + len(words) * coordinates
        return Size(metadata, int(np.count_nonzero(exist)) * (bits or word_bits(tensor.dtype)), padding)

    def _sizes(self, shape: Sequence[int]) -> Iterator[tuple[Level, int, int]]:
        """Each level, how many indices it has, and how many words are below each of them."""
        extents = self._extents(shape)
        for number, (level, extent) in enumerate(zip(self.levels, extents, strict=True)):
            yield level, extent, math.prod(extents[number + 1 :])

    def _require(self, shape: Sequence[int]) -> None:
        if problem := self.problem(shape):
            raise ValueError(f"shape {tuple(shape)}: {problem}")

    def _extents(self, shape: Sequence[int]) -> tuple[int, ...]:
        """How many indices each level has; blocks that the last index does not fill count whole."""
        return tuple(
            (level.block if level.inner else -(-shape[level.dims[0]] // level.block))
            if level.block
            else math.prod(shape[dim] for dim in level.dims)
            for level in self.levels
        )

    def _order(self) -> tuple[list[int], dict[int, int]]:
        """Which axis comes when, of a tensor whose blocked dimensions are two axes each; blocks by dimension."""
        blocks = {level.dims[0]: level.block for level in self.levels if level.block}
        axes = [(dim, inner) for dim in range(self.rank) for inner in ((False, True) if dim in blocks else (False,))]
        wanted = [(dim, level.inner) for level in self.levels for dim in level.dims]
        return [axes.index(each) for each in wanted], blocks

    def _arranged(self, words: Array) -> Array:
        """Words in the order of the levels, blocks filled up with zeros: [1, all]."""
        order, blocks = self._order()
        padded = np.pad(words, [(0, filling(n, blocks.get(dim, 1))) for dim, n in enumerate(words.shape)])
        cut = [
            part
            for dim, n in enumerate(padded.shape)
            for part in ((n // blocks[dim], blocks[dim]) if dim in blocks else (n,))
        ]
        return padded.reshape(cut).transpose(order).reshape(1, -1)

    def _existing(self, shape: Sequence[int]) -> Mask:
        """Which of the words that `_arranged` makes are words of the tensor."""
        return self._arranged(np.ones(tuple(shape), np.bool_))

    def _rearranged(self, words: Array, shape: Sequence[int]) -> Array:
        """The inverse of `_arranged`."""
        order, blocks = self._order()
        cut = [
            part
            for dim, n in enumerate(shape)
            for part in ((-(-n // blocks[dim]), blocks[dim]) if dim in blocks else (n,))
        ]
        axes = words.reshape([cut[axis] for axis in order]).transpose(np.argsort(order))
        whole = axes.reshape([n + filling(n, blocks.get(dim, 1)) for dim, n in enumerate(shape)])
        return whole[tuple(slice(n) for n in shape)]


def _stored(level: Level, words: Array) -> Mask:
    """Which of its indices a level stores of words by position, index, and word below: [positions, indices]."""
    if level.kind is LevelKind.DENSE:
        return np.ones(words.shape[:2], np.bool_)
    return np.logical_or.reduce(words != 0, axis=2)


def _sections(level: Level, stored: Mask) -> list[Stream]:
    """How a level says which of its indices it stores: [positions, indices]."""
    if level.kind is LevelKind.DENSE:
        return []
    if level.kind is LevelKind.BITMAP:
        return [bitmap_bytes(stored)]
    positions, coordinates = (f"u{bits // 8}" for bits in level.parameters)
    ends = np.concatenate((np.zeros(1, np.int64), np.cumsum(np.count_nonzero(stored, axis=1))))
    return [word_bytes(ends.astype(positions)), word_bytes(np.nonzero(stored)[1].astype(coordinates))]


def _read(reader: SectionReader, level: Level, parents: int, extent: int) -> Mask:
    """The inverse of `_sections`. Raises `CatenaError` (CAT-P005) for a section that is none."""
    if level.kind is LevelKind.DENSE:
        return np.ones((parents, extent), np.bool_)
    if level.kind is LevelKind.BITMAP:
        return reader.bits(str(level), parents * extent).reshape(parents, extent)
    return reader.compressed(str(level), parents, extent, level.parameters[0], level.parameters[1])


def _problems(levels: tuple[Level, ...]) -> Iterator[str]:
    """What is wrong with levels, whatever the tensor."""
    if not levels:
        yield "an encoding has at least one level"
    whole = [dim for level in levels for dim in level.dims if not level.block]
    outer = [(level.dims, level.block) for level in levels if level.block and not level.inner]
    inner = [(level.dims, level.block) for level in levels if level.inner]
    dims = [*whole, *(dim for part, _ in outer for dim in part)]
    if sorted(dims) != list(range(len(dims))):
        yield "every dimension from d0 on is in one level, or in two that cut it into blocks"
    if sorted(outer) != sorted(inner) or any(len(part) != 1 for part, _ in outer):
        yield "a level of blocks is of one dimension, and has one within these blocks"
    for number, level in enumerate(levels):
        if len(level.parameters) != len(PARAMETERS[level.kind]):
            yield f"{level}: a {level.kind} level has {len(PARAMETERS[level.kind])} parameters"
        elif level.kind is LevelKind.COMPRESSED and set(level.parameters) - {8, 16, 32, 64}:
            yield f"{level}: positions and coordinates have 8, 16, 32 or 64 bits"
        elif level.kind is LevelKind.RUN_LENGTH:
            if any(before.kind is not LevelKind.DENSE for before in levels[:number]) or number != len(levels) - 1:
                yield f"{level}: a run-length level comes last, after dense ones"
            RunLength(*level.parameters)
        if level.inner and not any(each.dims == level.dims and not each.inner for each in levels[:number]):
            yield f"{level}: what is within blocks comes after the level of the blocks"
