"""What streams of the vector units touch: the loops of their turns, and the words of every tensor with their turns."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import numpy as np

from dialects.gconv import PASS, Dim, GConv, LoopKind, View
from dialects.gconv.view import row_major
from dialects.multicore import RangeOp, StreamOp, span
from dialects.schedule import Loop
from dialects.spatial import BufferOp, ForOp, LayerOp, Role, integer
from passes.multicore.tables import NEVER, Access, Ints, Point, Turns

Ranges = dict[tuple[int, LoopKind], range]


@dataclass(frozen=True)
class Nest:
    """The loops of a stream of the vector units: ranges before they are cut, and what is cut how, outermost first."""

    ranges: Ranges
    cuts: list[tuple[tuple[int, LoopKind], list[range]]]

    @classmethod
    def of(cls, spec: GConv, stream: StreamOp) -> Nest:
        """That of a stream for a link."""
        numbers = {dim.name: d for d, dim in enumerate(spec.dims)}

        def key(loop: Loop) -> tuple[int, LoopKind]:
            return numbers[loop.dim], loop.kind

        ranges = {(d, kind): range(spec.worked(dim, kind)) for d, dim in enumerate(spec.dims) for kind in LoopKind}
        found: list[tuple[tuple[int, LoopKind], int]] = []
        ops = list(stream.body.block.ops)
        while ops:
            op = ops.pop(0)
            if isinstance(op, RangeOp):
                ranges[key(op.loop.data)] = span(op.part)
            elif isinstance(op, ForOp):
                found.append((key(op.loop.data), integer(op.tile)))
                ops = list(op.body.block.ops)
        return cls(ranges, [(loop, _tiles(ranges[loop], tile)) for loop, tile in found])

    @property
    def count(self) -> int:
        """How many turns there are."""
        return math.prod(len(tiles) for _, tiles in self.cuts)

    def turns(self) -> Iterator[Ranges]:
        """The ranges of all loops in every turn, in order."""
        loops = [loop for loop, _ in self.cuts]
        for tiles in product(*(tiles for _, tiles in self.cuts)):
            yield {**self.ranges, **dict(zip(loops, tiles, strict=True))}

    def of_dimension(self, number: int) -> Iterator[tuple[int, Ranges]]:
        """The different ranges of a dimension, and the first turn of each: how far it is behind those of all others."""
        steps = row_major([len(tiles) for _, tiles in self.cuts])
        mine = [(loop, tiles, step) for (loop, tiles), step in zip(self.cuts, steps, strict=True) if loop[0] == number]
        for places in product(*(range(len(tiles)) for _, tiles, _ in mine)):
            chosen = {loop: tiles[at] for (loop, tiles, _), at in zip(mine, places, strict=True)}
            yield sum(step * at for (*_, step), at in zip(mine, places, strict=True)), {**self.ranges, **chosen}


def _tiles(whole: range, tile: int) -> list[range]:
    return [range(at, min(at + tile, whole.stop)) for at in range(whole.start, whole.stop, tile)]


def turns_of(spec: GConv, stream: StreamOp) -> Iterator[Ranges]:
    """The ranges of all loops in every turn of a stream of the vector units, in order."""
    return Nest.of(spec, stream).turns()


def of_vectors(layer: LayerOp, nest: Nest) -> Iterator[Access | None]:
    spec, count = layer.spec, len(layer.views)
    if layer.read_index is not None and not _is_constant_value(layer.read_index):
        yield _whole(cast(BufferOp, layer.read_index.owner), "I", False, nest.count)
    if layer.write_index is not None and not _is_constant_value(layer.write_index):
        yield _whole(cast(BufferOp, layer.write_index.owner), "O", False, nest.count)
    for number, view in enumerate(layer.views):
        buffer = cast(BufferOp, layer.tensors[number].owner)
        is_output = number == count - 1
        if buffer.role.data == Role.CONSTANT:
            continue
        is_kernel = number == 1 and layer.kernel is not None
        tensor = "O" if is_output else "I" if number == 0 else "K" if is_kernel else "X"
        if (number == 0 and layer.read_index is not None) or (is_output and layer.write_index is not None):
            yield _whole(buffer, tensor, is_output, nest.count)
            if is_output:
                yield _whole(buffer, tensor, False, nest.count)
            continue
        yield _separate(spec, view, buffer, tensor, nest, is_kernel=is_kernel, writes=is_output)


def _is_constant_value(value: Any) -> bool:
    return cast(BufferOp, value.owner).role.data == Role.CONSTANT


def _whole(buffer: BufferOp, tensor: str, writes: bool, turns: int) -> Access:
    """All words of a buffer in all turns: addresses that only a run can tell."""
    point = Point.STORE if tensor == "O" else Point.LOAD
    first, last = np.zeros(buffer.words, np.int32), np.full(buffer.words, turns - 1, np.int32)
    return Access("memory", tensor, point, writes, integer(buffer.address), first, last)


def _separate(
    spec: GConv, view: View, buffer: BufferOp, tensor: str, nest: Nest, *, is_kernel: bool, writes: bool
) -> Access | None:
    """The words of a tensor, with the turns that touch them: each dimension says for itself how early and late that is.

    A turn touches a word if its ranges of every dimension touch the word's index there, and turns have all combinations
    of such ranges. So the first turn is the sum of the first ones of all dimensions, and the last one likewise.
    """
    words: Ints = np.full(1, integer(buffer.address) + view.offset, np.int64)
    first: Turns = np.zeros(1, np.int32)
    last: Turns = np.zeros(1, np.int32)
    for d, dim in enumerate(spec.dims):
        indices: list[Ints] = []
        begins: list[Turns] = []
        for turn, ranges in nest.of_dimension(d):
            index = _index(dim, d, ranges, view, spec, is_input=tensor == "I", is_kernel=is_kernel)
            indices.append(index * (view.strides[d] if view.shape[d] > 1 else 0))
            begins.append(np.full(len(index), turn, np.int32))
        places, numbers = np.unique(np.concatenate(indices), return_inverse=True)
        low, high = np.full(len(places), NEVER, np.int32), np.zeros(len(places), np.int32)
        np.minimum.at(low, numbers, np.concatenate(begins))
        np.maximum.at(high, numbers, np.concatenate(begins))
        words = (words[:, None] + places[None, :]).reshape(-1)
        first = (first[:, None] + low[None, :]).reshape(-1)
        last = (last[:, None] + high[None, :]).reshape(-1)
    point = Point.STORE if writes else Point.LOAD
    return Access.of("memory", tensor, point, writes, [(words, first, last)], view.strides)


def _index(dim: Dim, number: int, ranges: Ranges, view: View, spec: GConv, *, is_input: bool, is_kernel: bool) -> Ints:
    """The indices of one dimension of a tensor that ranges of its loops touch."""
    g, op, opc, ks = (np.array(ranges[number, kind]) for kind in (LoopKind.G, LoopKind.OP, LoopKind.OPC, LoopKind.KS))
    if is_input:
        extent = view.shape[number] // dim.g
        places = np.unique(opc[:, None] * dim.stride + ks[None, :] * dim.dilation - dim.pad)
        places = places[places % dim.up == 0] // dim.up
        places = places[(places >= 0) & (places < extent)]
        return (g[:, None] * extent + places[None, :]).reshape(-1)
    if is_kernel:
        return ((g[:, None, None] * dim.op + op[None, :, None]) * dim.ks + ks[None, None, :]).reshape(-1)
    if spec.main == PASS:
        op = np.arange(dim.op)
    if view.shape[number] == 1:
        return np.zeros(1, np.int64)
    return ((g[:, None, None] * dim.op + op[None, :, None]) * dim.opc + opc[None, None, :]).reshape(-1)
