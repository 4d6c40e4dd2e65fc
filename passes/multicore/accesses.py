"""Which words of the shared memories each turn of a core's stream reads and writes, as tables.

A stream of a layer is a *block* of turns. For every tensor that it touches there is a table: the words, and for each
the first and the last turn in which the block touches it. Tables are supersets where a copy begins in the middle of a
row of the output, and for addresses that only a run can tell: exact enough to order accesses, never too small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block as IrBlock

from dialects.gconv import Dim, GConv, View
from dialects.gconv.view import row_major
from dialects.groups import GroupOp
from dialects.multicore import (
    ActivateOp,
    FetchOp,
    PartOp,
    RunOp,
    StoreOp,
    StreamOp,
    SumsOp,
    VectorsOp,
    span,
)
from dialects.spatial import BufferOp, ForOp, LayerOp, Role, integer
from dialects.vector_sets import VectorSet
from passes.multicore.matrix import Matrix
from passes.multicore.tables import Access, Ints, Point, Turns
from passes.multicore.vector_accesses import Nest, of_vectors


@dataclass
class Run:
    """Turns of a stream whose ops stand in one block of IR; `offset` is the number of its first turn."""

    body: IrBlock
    offset: int
    turns: int
    start: int = 0
    """Of a run of vectors, the first of them."""


@dataclass
class Block:
    """What a core does for a layer: turns, and what they touch; `number` counts blocks in program order."""

    number: int
    core: int
    layer: LayerOp
    stream: StreamOp
    runs: list[Run]
    turns: int
    accesses: list[Access] = field(default_factory=list[Access])

    @property
    def is_matrix(self) -> bool:
        """Whether crossbars do it, turn by turn a vector."""
        return isinstance(self.runs[0].body.parent_op(), RunOp)

    @cached_property
    def row(self) -> int:
        """Turns after which others are told of them: a row of the output, or a stretch that the core has of it."""
        if not self.is_matrix:
            return 1
        vectors = cast(VectorsOp, _one(self.stream, VectorsOp))
        found = vectors.positions
        row = Matrix.of(self.layer.spec).width if vectors.stretches is None else found.stretch
        return max(1, row // found.abreast)


def placed_layers(function: FuncOp) -> list[LayerOp]:
    """The layers of a placed function in their order, those of groups among them."""
    found: list[LayerOp] = []
    for op in function.body.block.ops:
        if isinstance(op, GroupOp):
            found += op.layers
        elif isinstance(op, LayerOp):
            found.append(op)
    return found


def blocks_of(layers: Iterable[LayerOp]) -> list[Block]:
    """The blocks of placed layers, in program order, with their accesses."""
    found: list[Block] = []
    for layer in layers:
        inputs: Inputs = {}
        for op in layer.body.block.ops:
            if isinstance(op, StreamOp):
                found.append(_block(len(found), layer, op, inputs))
    return found


Inputs = dict[tuple[range, range, VectorSet, int], Access | None]
"""What cores of a layer read of its input, by groups, rows, vectors and the first of these: several do the same."""


def _block(number: int, layer: LayerOp, stream: StreamOp, inputs: Inputs) -> Block:
    runs: list[Run] = []
    offset = 0
    for op in stream.body.block.ops:
        if isinstance(op, RunOp):
            runs.append(Run(op.body.block, offset, integer(op.turns), integer(op.start)))
            offset += integer(op.turns)
    core = integer(stream.core)
    if runs:
        block = Block(number, core, layer, stream, runs, offset)
        block.accesses = [each for each in _of_matrix(block, inputs) if each is not None]
    else:
        nest = Nest.of(layer.spec, stream)
        block = Block(number, core, layer, stream, [Run(_innermost(stream), 0, nest.count)], nest.count)
        block.accesses = [each for each in of_vectors(layer, nest) if each is not None]
    return block


def _innermost(stream: StreamOp) -> IrBlock:
    """What is done in every turn of a stream of the vector units."""
    block = stream.body.block
    while (inner := next((op for op in block.ops if isinstance(op, ForOp)), None)) is not None:
        block = inner.body.block
    return block


# Crossbars ------------------------------------------------------------------------------------------------------------


def _one(stream: StreamOp, kind: type[Any]) -> Any:
    return next((op for op in stream.body.block.ops if isinstance(op, kind)), None)


def _of_matrix(block: Block, inputs: Inputs) -> Iterator[Access | None]:
    layer, stream, spec = block.layer, block.stream, block.layer.spec
    part, vectors = cast(PartOp, _one(stream, PartOp)), cast(VectorsOp, _one(stream, VectorsOp)).positions
    groups, rows, columns = span(part.groups), span(part.rows), span(part.columns)
    start = block.runs[0].start
    turn_of = ((np.arange(len(vectors)) // vectors.abreast - start) % vectors.turns).astype(np.int32)
    base, view = _buffer(layer, 0), layer.views[0]
    if not _is_constant(layer, 0):
        key = groups, rows, vectors, start
        if key not in inputs:
            inputs[key] = _input(spec, view, base, *key)
        yield inputs[key]
    of_output = vectors.numbers
    of_columns = np.array([g * math.prod(d.op for d in spec.dims) + c for g in groups for c in columns])
    for kind, writes, runs in _by_runs(block):
        chosen = np.concatenate([np.arange(run.offset, run.offset + run.turns) for run in runs])
        touched = np.isin(turn_of, chosen)
        if kind == "S":
            sums = cast(SumsOp, _one(stream, SumsOp))
            at = integer(sums.address) + of_output[touched] * integer(sums.stride)
            yield _table("sums", "S", writes, at, np.arange(len(of_columns)), turn_of[touched], ())
            continue
        numbers = [len(layer.views) - 1] if kind == "O" else range(2, len(layer.views) - 1)
        for number in numbers:
            if _is_constant(layer, number):
                continue
            if kind == "X" and not varies(spec, layer.views[number]):
                at, across = _output_words(spec, layer.views[number], of_output[:1], of_columns)
                words = np.unique(_buffer(layer, number) + at + across)
                first = np.zeros(len(words), np.int32)
                yield Access.of("memory", "B", Point.LOAD, False, [(words, first, first + np.int32(runs[0].offset))])
                continue
            at, across = _output_words(spec, layer.views[number], of_output[touched], of_columns)
            at += _buffer(layer, number)
            yield _table("memory", kind, writes, at, across, turn_of[touched], layer.views[number].strides)


def varies(spec: GConv, view: View) -> bool:
    """Whether a tensor in the shape of the output has other words for other vectors."""
    return any(dim.opc > 1 and n > 1 and s for dim, n, s in zip(spec.dims, view.shape, view.strides, strict=True))


def _by_runs(block: Block) -> Iterator[tuple[str, bool, list[Run]]]:
    """Accesses behind the product: what they touch, whether they write, and in which runs."""
    found: dict[tuple[str, bool], list[Run]] = {}
    for run in block.runs:
        for op in run.body.ops:
            match op:
                case FetchOp():
                    found.setdefault(("S", False), []).append(run)
                case StoreOp():
                    found.setdefault((op.tensor.data, True), []).append(run)
                case ActivateOp():
                    found.setdefault(("X", False), []).append(run)
                case _:
                    pass
    return ((kind, writes, runs) for (kind, writes), runs in found.items())


def _table(
    memory: str, tensor: str, writes: bool, at: Ints, across: Ints, turns: Turns, strides: Sequence[int]
) -> Access | None:
    """Words `at` + `across`, those of one `at` touched in one turn."""
    words = (at[:, None] + across[None, :]).reshape(-1)
    when = np.repeat(turns, len(across))
    return Access.of(memory, tensor, Point.STORE, writes, [(words, when, when)], strides)


def _output_words(spec: GConv, view: View, vectors: Ints, columns: Ints) -> tuple[Ints, Ints]:
    """Of a tensor in the shape of the output: words from its start by vector, and by column of all groups."""
    at, across = np.full(len(vectors), view.offset, np.int64), np.zeros(len(columns), np.int64)
    of_vector = np.unravel_index(vectors, [dim.opc for dim in spec.dims])
    groups, parallel = np.divmod(columns, math.prod(dim.op for dim in spec.dims))
    of_group = np.unravel_index(groups, [dim.g for dim in spec.dims])
    of_column = np.unravel_index(parallel, [dim.op for dim in spec.dims])
    for d, dim in enumerate(spec.dims):
        stride = view.strides[d] if view.shape[d] > 1 else 0
        at += of_vector[d] * stride
        across += (of_group[d] * dim.op + of_column[d]) * dim.opc * stride
    return at, across


def _input(
    spec: GConv, view: View, base: int, groups: range, rows: range, vectors: VectorSet, start: int
) -> Access | None:
    """The words of the input that the windows of some vectors need."""
    boxes = _boxes(rows.start, rows.stop, [dim.ks for dim in spec.dims])
    tables = (_window(spec, view, base, groups, box, vectors, start) for box in boxes)
    return Access.of("memory", "I", Point.LOAD, False, tables, view.strides)


def _boxes(start: int, stop: int, shape: Sequence[int]) -> list[list[range]]:
    """A range of row-major numbers as ranges of the indices of every dimension."""
    if not shape:
        return [[]]
    inner = math.prod(shape[1:])
    (first, begin), (last, end) = divmod(start, inner), divmod(stop, inner)
    if first == last:
        return [[range(first, first + 1), *rest] for rest in _boxes(begin, end, shape[1:])]
    found = [[range(first, first + 1), *rest] for rest in _boxes(begin, inner, shape[1:])] if begin else []
    if last > first + bool(begin):
        found.append([range(first + bool(begin), last), *map(range, shape[1:])])
    return found + ([[range(last, last + 1), *rest] for rest in _boxes(0, end, shape[1:])] if end else [])


def _window(
    spec: GConv, view: View, base: int, groups: range, rows: Sequence[range], vectors: VectorSet, start: int
) -> tuple[Ints, Turns, Turns]:
    """Words, first and last turns of some kernel positions: a range of each dimension."""
    group_sets = _sets(groups, [dim.g for dim in spec.dims])
    steps = row_major([dim.opc for dim in spec.dims])
    # Words that every vector reads alike, such as those of all channels, and words that only some do.
    alike, words = np.full(1, base + view.offset, np.int64), np.zeros(1, np.int64)
    low = high = np.zeros(1, np.int64)
    for d, dim in enumerate(spec.dims):
        extent = view.shape[d] // dim.g
        places, first, last = _readers(dim, extent, np.array(rows[d]))
        at = (group_sets[d][:, None] * extent + places[None, :]).reshape(-1) * view.strides[d]
        if dim.opc == 1:
            alike = (alike[:, None] + at[None, :]).reshape(-1)
            continue
        first, last = np.tile(first, len(group_sets[d])), np.tile(last, len(group_sets[d]))
        words = (words[:, None] + at[None, :]).reshape(-1)
        low = (low[:, None] + first[None, :] * steps[d]).reshape(-1)
        high = (high[:, None] + last[None, :] * steps[d]).reshape(-1)
    # From positions of the output to turns: the first of the part's at or behind one, the last at or before another.
    numbers, count = vectors.numbers, vectors.turns
    low, high = np.searchsorted(numbers, low), np.searchsorted(numbers, high, side="right") - 1
    touched = low <= high
    words, low, high = words[touched], low[touched] // vectors.abreast, high[touched] // vectors.abreast
    wraps = (low < start) & (high >= start)
    begins = np.where(wraps, 0, (low - start) % count).astype(np.int32)
    ends = np.where(wraps, count - 1, (high - start) % count).astype(np.int32)
    words = (alike[:, None] + words[None, :]).reshape(-1)
    return words, np.tile(begins, len(alike)), np.tile(ends, len(alike))


def _sets(flat: range, shape: Sequence[int]) -> list[Ints]:
    """The indices of each dimension that occur in a range of row-major numbers."""
    return [np.unique(each) for each in np.unravel_index(np.arange(flat.start, flat.stop), shape)]


def _readers(dim: Dim, extent: int, rows: Ints) -> tuple[Ints, Ints, Ints]:
    """Positions of one group that are read, and the first and last output position that reads each."""
    outputs = np.arange(dim.opc)
    places = outputs[:, None] * dim.stride + rows[None, :] * dim.dilation - dim.pad
    first, last = np.full(extent, dim.opc, np.int64), np.full(extent, -1, np.int64)
    exists = (places >= 0) & (places < extent)
    reading = np.broadcast_to(outputs[:, None], places.shape)[exists]
    np.minimum.at(first, places[exists], reading)
    np.maximum.at(last, places[exists], reading)
    read = np.flatnonzero(last >= 0)
    return read, first[read], last[read]


def _buffer(layer: LayerOp, number: int) -> int:
    return integer(cast(BufferOp, layer.tensors[number].owner).address)


def _is_constant(layer: LayerOp, number: int) -> bool:
    return cast(BufferOp, layer.tensors[number].owner).role.data == Role.CONSTANT
