"""Bursts on the off-chip link, in closed form: what scattered words cost more than consecutive ones.

A transfer takes its words in the order of their addresses; each run of consecutive words takes whole bursts, which
begin at any word. How long the runs are follows from the strides of a tensor and from the pieces that the mapping cuts.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dialects.gconv import PASS, GConv, LoopKind, View
from dialects.schedule import Loop, Mapping, Operand, Temporal
from passes.mapping.lookups import Lookups
from passes.mapping.tiling import Pieces, Tiling, number, real_sizes


@dataclass(frozen=True)
class Axis:
    """A loop of a tensor's tiles: its dimension, the positions that an index moves by, the pieces it is cut into."""

    dim: int
    step: int
    pieces: Pieces


@dataclass(frozen=True)
class Transfers:
    """All transfers of one tensor in a layer: one for each combination of pieces of its axes, `times` over."""

    axes: tuple[Axis, ...]
    times: int

    def burst_words(self, strides: Sequence[int], burst: int) -> int:
        """Words of the bursts of all transfers, for a tensor with these strides, one per dimension."""
        axes = [
            [(abs(strides[axis.dim]) * axis.step, size, count) for size, count in axis.pieces.items()]
            for axis in self.axes
        ]
        total = 0
        for combination in itertools.product(*axes):
            count = math.prod(count for _, _, count in combination)
            total += count * words_of_bursts([(stride, size) for stride, size, _ in combination], burst)
        return self.times * total


def words_of_bursts(axes: list[tuple[int, int]], burst: int) -> int:
    """Words of the bursts of one transfer over (stride, size) axes.

    Innermost axes that step evenly make blocks of consecutive words. Blocks of different axes can still meet, two by
    two, where the last of one sweep lies right before the first of the next.
    """
    if any(size == 0 for _, size in axes):
        return 0
    # Repeated words come again in another sweep: they are outermost.
    several = sorted((axis for axis in axes if axis[1] > 1), key=lambda axis: (axis[0] == 0, *axis))
    block, reach, inner = 1, 1, 0
    while inner < len(several) and several[inner][0] == reach:
        block = reach = reach * several[inner][1]
        inner += 1
    reach = block - 1
    meetings = 0
    for level in range(inner, len(several)):
        stride, size = several[level]
        if level > inner and stride - reach == 1:
            meetings += (size - 1) * math.prod(n for _, n in several[level + 1 :])
        reach += (size - 1) * stride
    blocks = math.prod(n for _, n in several[inner:])
    return (blocks - 2 * meetings) * _whole(block, burst) + meetings * _whole(2 * block, burst)


def _whole(words: int, burst: int) -> int:
    return -(-words // burst) * burst


def transfers(
    spec: GConv, input_shape: tuple[int, ...], mapping: Mapping, operand: Operand, whole: GConv | None = None
) -> Transfers:
    """The transfers of a link's input, kernel or output under a mapping.

    A link that is part of a `whole` one has its kernel and its output among the words of that one's.
    """
    tiling = Tiling(spec, mapping)
    position = mapping.position(operand)
    assert position is not None, f"mapping without storage of {operand}"
    depth = tiling.at(position)
    axes: list[Axis] = []
    times = 1
    for index, (dim, of, words) in enumerate(zip(spec.dims, (whole or spec).dims, input_shape, strict=True)):
        g, op, opc, ks = (depth.of(dim, kind) for kind in LoopKind)
        match operand:
            case Operand.INPUT:
                starts = (starts_of(mapping, position, Loop(dim.name, kind), dim.count(kind)) for kind in _WINDOW)
                sizes = Counter(real_sizes(dim, words // dim.g, *starts))
                axes += [Axis(index, words // dim.g, g), Axis(index, 1, dict(sizes))]
                times *= number(op)
            case Operand.KERNEL:
                axes += [Axis(index, of.op * of.ks, g), Axis(index, of.ks, op), Axis(index, 1, ks)]
                times *= number(opc)
            case Operand.OUTPUT:
                sent = {dim.op: 1} if spec.main == PASS else op
                axes += [Axis(index, of.op * of.opc, g), Axis(index, of.opc, sent), Axis(index, 1, opc)]
    return Transfers(tuple(axes), times)


_WINDOW = (LoopKind.OPC, LoopKind.KS)


def starts_of(mapping: Mapping, position: int, loop: Loop, count: int) -> list[tuple[int, int]]:
    """(first index, size) of every piece of a loop above `position`."""
    pieces = [(0, count)]
    for node in mapping.nodes[:position]:
        if isinstance(node, Temporal) and node.loop == loop:
            pieces = [
                (start + begin, min(node.tile, size - begin))
                for start, size in pieces
                for begin in range(0, size, node.tile)
            ]
    return pieces


def read_once(tiles: Transfers, view: View) -> Transfers:
    """The transfers of a post operand, which come with those of the output; words that repeat are read once."""
    axes = (
        Axis(axis.dim, axis.step, {1: number(axis.pieces)}) if _is_repeated(view, axis.dim) else axis
        for axis in tiles.axes
    )
    return Transfers(tuple(axes), tiles.times)


def _is_repeated(view: View, dim: int) -> bool:
    return view.strides[dim] == 0 or view.shape[dim] == 1


def operand_transfers(
    spec: GConv, views: Sequence[View], mapping: Mapping, whole: GConv | None = None
) -> list[Transfers]:
    """The transfers of every tensor of a link: input, kernel if there is one, post operands, output, as in `views`."""
    shape = views[0].shape
    output = transfers(spec, shape, mapping, Operand.OUTPUT, whole)
    read = [Operand.INPUT] if spec.main == PASS else [Operand.INPUT, Operand.KERNEL]
    extras = views[len(read) : -1]
    return [
        *(transfers(spec, shape, mapping, operand, whole) for operand in read),
        *(read_once(output, view) for view in extras),
        output,
    ]


def looked_up(tiles: Transfers, index_shape: tuple[int, ...] | None) -> Transfers:
    """The transfers of a tensor at computed addresses: one for each, over the dimensions that the index repeats in."""
    if index_shape is None:
        return tiles
    axes = (
        Axis(axis.dim, axis.step, {1: sum(size * count for size, count in axis.pieces.items())})
        if index_shape[axis.dim] > 1
        else axis
        for axis in tiles.axes
    )
    return Transfers(tuple(axes), tiles.times)


def burst_events(
    spec: GConv,
    views: Sequence[View],
    mapping: Mapping,
    burst: int,
    lookups: Lookups | None = None,
    whole: GConv | None = None,
) -> dict[str, int]:
    """The burst events of a link whose tensors are these views of DRAM; none on a machine without bursts.

    Index words, and words that updates are combined with, are counted as words only.
    """
    if not burst:
        return {}
    lookups = lookups or Lookups()
    moved = operand_transfers(spec, views, mapping, whole)
    moved[0], moved[-1] = looked_up(moved[0], lookups.read), looked_up(moved[-1], lookups.written)
    words = [each.burst_words(view.strides, burst) for each, view in zip(moved, views, strict=True)]
    has_kernel = spec.main != PASS
    return {
        "dram.input.burst": words[0],
        "dram.kernel.burst": words[1] if has_kernel else 0,
        "dram.extra.burst": sum(words[1 + has_kernel : -1]),
        "dram.output.burst": words[-1],
    }
