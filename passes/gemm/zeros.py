"""What zeros leave of a link's matrix products, measured or by chance: all that predictions need of the data.

An index of the reduction is worked on at a time if a word of it is not zero in a patch that arrays take then, and if
kernels in blocks keep its column.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dialects.gconv import Dim, GConv, LoopKind
from dialects.gemm_live import Live
from dialects.gemm_machine import GemmMachine
from passes.gemm.streams import TileBlocks, kernel_boxes
from passes.gemm.tiles import GemmTiles, ranges

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def leaves_out(spec: GConv, machine: GemmMachine) -> bool:
    """Whether the machine leaves out indices of zeros of a link: where products are summed up."""
    return machine.im2col.skips and spec.is_multiply_accumulate and not spec.mid


def expected_live(
    tiles: GemmTiles, machine: GemmMachine, blocks: Sequence[TileBlocks] | None = None, zeros: float = 0.0
) -> Live:
    """What is left if every word of patches is zero with a probability, independently of all others.

    Padding counts as other words do, and so do words that indices of one bit share. With a probability of 0 that is
    what a kernel in blocks leaves, exactly.
    """
    split, array, rows = tiles.mapping.split, machine.array, machine.im2col.block_rows
    together: Counter[int] = Counter()  # patches that arrays take at a time, and how often
    for size, times in tiles.patches.items():
        whole, rest = divmod(size, split * array.cols)
        together.update({split * array.cols: whole * times})
        together.update({rest: times} if rest else {})
    cycles = columns = entered = operations = stored = 0.0
    for number, box in enumerate(kernel_boxes(tiles)):
        groups, count, terms = box.sizes
        kept = np.ones((groups, terms), np.bool_) if blocks is None else blocks[number].columns
        words = kept * count if blocks is None else blocks[number].stored
        indices = np.minimum(rows, terms - np.arange(terms) // rows * rows)
        for patches, times in together.items():
            chance = 1 - zeros ** (patches * indices)
            live, of_kernels = (times * float((each * chance).sum()) for each in (kept, words))
            cycles += live * math.ceil(count / (array.rows // split))
            columns += live * patches
            entered += of_kernels
            operations += live * patches * count
            stored += of_kernels * patches
    whole_operations = round(operations)
    return Live(round(cycles), round(columns), round(entered), whole_operations, whole_operations - round(stored))


def measure(tiles: GemmTiles, machine: GemmMachine, source: Array, blocks: Sequence[TileBlocks] | None = None) -> Live:
    """What zeros leave of a link that sums up products of its input, after `pre`, and its kernel.

    `blocks` are those of a kernel in blocks; of one that lies dense nothing is known to be zero.
    """
    spec, split, array = tiles.spec, tiles.mapping.split, machine.array
    patches = _patches(spec.dims, source, spec.padding)
    cycles = columns = entered = operations = gated = 0
    for (groups, taps), kernels in _by_patches(tiles, blocks).items():
        for outputs in _boxes(tiles, LoopKind.OPC):
            words = _matrix(patches, groups, outputs, taps)
            live, sizes = _any_of_turns(words, split * array.cols, machine.im2col.block_rows)
            for count, kept, stored in kernels:
                # [times]: indices of all groups that are worked on, and kernel words that enter
                times = np.einsum("gtk,gk->t", live, kept, dtype=np.int64, casting="unsafe")
                of_kernels = np.einsum("gtk,gk->t", live, stored, dtype=np.int64, casting="unsafe")
                cycles += int(times.sum()) * math.ceil(count / (array.rows // split))
                columns += int(times @ sizes)
                entered += int(of_kernels.sum())
                operations += int(times @ sizes) * count
                gated += int(times @ sizes) * count - int(of_kernels @ sizes)
    return Live(cycles, columns, entered, operations, gated)


_Ranges = Sequence[tuple[int, int]]
_Kept = tuple[int, Mask, npt.NDArray[np.int64]]


def _by_patches(
    tiles: GemmTiles, blocks: Sequence[TileBlocks] | None
) -> dict[tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]], list[_Kept]]:
    """For every range of groups and reduced indices, the tiles of kernels there.

    Of each, how many kernels it has, which columns [groups, indices] it keeps, and how many words of these.
    """
    found: dict[tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]], list[_Kept]] = {}
    for number, box in enumerate(kernel_boxes(tiles)):
        groups, count, terms = box.sizes
        if blocks is None:
            kept = count, np.ones((groups, terms), np.bool_), np.full((groups, terms), count, np.int64)
        else:
            kept = count, blocks[number].columns, blocks[number].stored
        found.setdefault((box.groups, box.terms), []).append(kept)
    return found


def _boxes(tiles: GemmTiles, kind: LoopKind) -> Iterator[_Ranges]:
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


def _matrix(words: Mask, groups: _Ranges, outputs: _Ranges, taps: _Ranges) -> Mask:
    """Ranges of every dimension's parts as matrices (groups, outputs, taps)."""
    parts = 3
    pieces = [each for of_dim in zip(groups, outputs, taps, strict=True) for each in of_dim]
    box = words[tuple(slice(first, first + size) for first, size in pieces)]
    order = [parts * dim + part for part in range(parts) for dim in range(len(groups))]
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
