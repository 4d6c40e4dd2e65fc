"""The instructions of placed groups: holds, boxes and turns around the layers, alike on all machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby

from xdsl.ir import Operation, SSAValue

from backends.isa import Instruction
from backends.spatial.codes import Tensor
from backends.spatial.group_isa import (
    Box,
    Fetch,
    Group,
    HeldAxis,
    Hold,
    Home,
    Keep,
    Pitch,
    Range,
    Run,
    Send,
    Span,
    Turns,
)
from backends.spatial.isa import End
from backends.spatial.words import word_of_dtype
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.element_types import numpy_dtype_of
from dialects.gconv import element_type_of_value
from dialects.groups import FetchOp, GroupOp, HoldOp, KeepOp, RunOp, SendOp, StepOp, TurnsOp
from dialects.locations import describe
from dialects.spatial import BufferOp, LayerOp, integer
from dialects.turn_box import TurnBox

_TENSORS = {"I": Tensor.INPUT, "K": Tensor.KERNEL, "O": Tensor.OUTPUT, "M": Tensor.BITMAPS}

LayerCode = Callable[[LayerOp], Iterator[Instruction]]
Part = tuple[LayerOp, list[Instruction]]
"""Some instructions, and the layer that they belong to."""


def group_parts(
    group: GroupOp, number: int, layers: Mapping[LayerOp, int], memories: Mapping[str, int], code: LayerCode
) -> Iterator[Part]:
    """The instructions of a group in their order, those of one layer together; `layers` are the numbers of all layers.

    Raises `CatenaError` (CAT-R003) for names that the machine does not know.
    """
    parts = list(_parts(group, number, layers, memories, code))
    for layer, alike in groupby(parts, key=lambda part: part[0]):
        yield layer, [instruction for _, some in alike for instruction in some]


def keep(op: KeepOp) -> Keep:
    """The instruction that says where a tensor of a layer lies."""
    name = op.tensor.data
    tensor = _TENSORS.get(name) if name in _TENSORS else Tensor(Tensor.EXTRA0 + int(name[1:]))
    assert tensor is not None
    hold = op.hold.owner
    assert isinstance(hold, HoldOp)
    parent = hold.parent_op()
    assert isinstance(parent, GroupOp)
    return Keep(tensor, parent.holds.index(hold))


def _parts(
    group: GroupOp, number: int, layers: Mapping[LayerOp, int], memories: Mapping[str, int], code: LayerCode
) -> Iterator[Part]:
    members = group.layers
    first = members[0]
    boxes: dict[StepOp, int] = {op: index for index, (_, op) in enumerate(group.steps())}
    yield first, [Group(number)]
    for index, hold in enumerate(group.holds):
        yield first, list(_hold(hold, index, memories))
    for op, index in boxes.items():
        yield first, list(_box(op.box.data, index))
    for layer in members:
        yield layer, list(code(layer))
    yield from _turns(list(group.body.block.ops), group.holds, boxes, members, layers)
    yield first, [End()]


def kept_tensors(layer: LayerOp, memories: Mapping[str, int]) -> Iterator[Instruction]:
    """The holds of a layer that belongs to a group, and what of it lies in them. Raises as `group_parts`."""
    keeps = [op for op in layer.body.block.ops if isinstance(op, KeepOp)]
    made = [keep(op) for op in keeps]
    holds = {each.hold: op.hold.owner for each, op in zip(made, keeps, strict=True)}
    for number, hold in holds.items():
        assert isinstance(hold, HoldOp)
        yield from _hold(hold, number, memories)
    yield from made


def _hold(op: HoldOp, number: int, memories: Mapping[str, int]) -> Iterator[Instruction]:
    buffer = op.buffer.owner
    assert isinstance(buffer, BufferOp)
    word = word_of_dtype(numpy_dtype_of(element_type_of_value(op.buffer)))
    if op.memory.data not in memories:
        message, hint = f"the machine has no memory {op.memory.data!r}", did_you_mean(op.memory.data, memories)
        raise CatenaError(Diagnostic("CAT-R003", message, "program", describe(op), hint=hint))
    if word is None:
        message = f"the machine has no words of type {element_type_of_value(op.buffer)}"
        raise CatenaError(Diagnostic("CAT-U006", message, "program", describe(op)))
    yield Hold(number, memories[op.memory.data], integer(op.address), integer(op.words), word)
    yield Home(number, integer(buffer.address) + integer(op.offset))
    for axis in op.axes.data:
        yield HeldAxis(number, axis.extent, axis.first, axis.step, axis.kept)
        yield Pitch(number, axis.pitch)


def _box(box: TurnBox, number: int) -> Iterator[Instruction]:
    yield Box(number)
    for axis in box.axes:
        yield Range(axis.count, axis.offset, axis.step)
        for along in axis.along:
            for span in along.spans:
                yield Span(along.loop, span.turn, span.first, span.size, span.step, span.growth)


def _turns(
    ops: Sequence[Operation],
    holds: Sequence[HoldOp],
    boxes: Mapping[StepOp, int],
    members: Sequence[LayerOp],
    layers: Mapping[LayerOp, int],
) -> Iterator[Part]:
    def held(value: SSAValue) -> int:
        return next(index for index, hold in enumerate(holds) if hold.result is value)

    for op in ops:
        match op:
            case TurnsOp():
                yield members[0], [Turns(integer(op.turns))]
                yield from _turns(list(op.body.block.ops), holds, boxes, members, layers)
                yield members[0], [End()]
            case FetchOp() | SendOp():
                layer = members[integer(op.layer)]
                kind = Fetch if isinstance(op, FetchOp) else Send
                yield layer, [kind(held(op.hold), boxes[op], layers[layer])]
            case RunOp():
                layer = members[integer(op.layer)]
                yield layer, [Run(boxes[op], layers[layer])]
            case _:
                pass
