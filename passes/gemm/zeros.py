"""What zeros leave out of a link's matrix products, measured on its tensors: all that predictions need of the data.

An index of the reduction is worked on at a time if a word of it is not zero in a patch that arrays take then, and one
is not zero in a kernel of the pass.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dialects.gconv import Dim, LoopKind
from dialects.gemm_machine import GemmMachine
from passes.gemm.tiles import GemmTiles, ranges

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Live:
    """What is left of `passes.gemm.cost.Steps`: cycles of the array, patch words and kernel words that enter it.

    `operations` are those that are carried out.
    """

    cycles: int
    columns: int
    kernels: int
    operations: int


def measure(tiles: GemmTiles, machine: GemmMachine, source: Array, kernel: Array) -> Live:
    """What zeros leave of a link that sums up products of its input, after `pre`, and its kernel."""
    spec, split, array = tiles.spec, tiles.mapping.split, machine.array
    patches = _patches(spec.dims, source, spec.padding)
    kernels = kernel.reshape([size for dim in spec.dims for size in (dim.g, dim.op, dim.ks)]) != 0
    cycles = columns = entered = operations = 0
    for taps in _boxes(tiles, LoopKind.KS):
        for outputs in _boxes(tiles, LoopKind.OPC):
            words = _matrix(patches, outputs, taps)
            blocks, sizes = _any_of_turns(words, split * array.cols, machine.im2col.block_rows)
            for parallel in _boxes(tiles, LoopKind.OP):
                of_kernels: Mask = np.logical_or.reduce(_matrix(kernels, parallel, taps), axis=1, keepdims=True)
                times = (blocks & of_kernels).sum(axis=(0, 2))
                count = math.prod(size for _, size in parallel)
                cycles += int(times.sum()) * math.ceil(count / (array.rows // split))
                columns += int((times * sizes).sum())
                entered += int(times.sum()) * count
                operations += int((times * sizes).sum()) * count
    return Live(cycles, columns, entered, operations)


def _boxes(tiles: GemmTiles, kind: LoopKind) -> Iterator[Sequence[tuple[int, int]]]:
    """The ranges of a kind of loops in passes, a combination of all dimensions at a time."""
    of_dims = [ranges(tiles.spec.worked(dim, kind), tiles.in_pass.of(dim, kind)) for dim in tiles.spec.dims]
    return itertools.product(*of_dims)


def _patches(dims: Sequence[Dim], source: Array, padding: float) -> Mask:
    """Which words of patches are not zero, as (g, opc, ks) of every dimension in turn."""
    found = (source != 0).reshape(
        [size for dim, n in zip(dims, source.shape, strict=True) for size in (dim.g, n // dim.g)]
    )
    for index, dim in enumerate(dims):
        axis, extent = 3 * index + 1, found.shape[3 * index + 1]
        place = np.arange(dim.opc)[:, None] * dim.stride + np.arange(dim.ks) * dim.dilation - dim.pad
        exists = (place % dim.up == 0) & (place >= 0) & (place < extent * dim.up)
        # One more position stands for all that does not exist.
        edge = np.full([*found.shape[:axis], 1, *found.shape[axis + 1 :]], padding != 0)
        found = np.take(np.concatenate((found, edge), axis), np.where(exists, place // dim.up, extent), axis)
    return found


def _matrix(words: Mask, middle: Sequence[tuple[int, int]], last: Sequence[tuple[int, int]]) -> Mask:
    """Ranges of the second and third of every dimension's parts as matrices (g, second, third)."""
    parts, index = 3, [slice(None)] * words.ndim
    for dim, (of_middle, of_last) in enumerate(zip(middle, last, strict=True)):
        index[parts * dim + 1] = slice(of_middle[0], sum(of_middle))
        index[parts * dim + 2] = slice(of_last[0], sum(of_last))
    box = words[tuple(index)]
    order = [parts * dim + part for part in range(parts) for dim in range(len(middle))]
    sides = [math.prod(box.shape[part::parts]) for part in range(parts)]
    return box.transpose(order).reshape(sides)


def _any_of_turns(words: Mask, columns: int, rows: int) -> tuple[Mask, npt.NDArray[np.int64]]:
    """Whether any patch that arrays take at a time has a word of an index other than zero: (g, times, indices).

    And how many patches that are, every time.
    """
    starts: list[int] = list(range(0, words.shape[1], columns))
    found: Mask = np.logical_or.reduceat(words, starts, axis=1)
    if rows > 1:
        for first in range(0, words.shape[2], rows):
            found[:, :, first : first + rows] = found[:, :, first : first + rows].any(axis=2, keepdims=True)
    return found, np.diff(np.array([*starts, words.shape[1]], np.int64))
