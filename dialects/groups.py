"""The placed form of a fused group: its tensors in holds, its links as layers, and what is done in every turn.

    group.fused mapping #schedule.fused<for H.opc 4, store glb ["x", "conv1", ...], sequential {...}> {
      %f = group.hold %x : tensor<3x20x20xf32> from 0 in "glb" at 0 words 480 axes <3 pitch 400, 20 pitch 20 keep 8, 20>
      ...
      spatial.layer %x : tensor<...> by %k : tensor<...> to %t : tensor<...> <...> "mul" add {
        group.keep "O" in %m
        group.keep "I" in %f
        levels.open "glb" once 0
        ...
      }
      group.turns 4 {
        group.fetch %f for 0 <3, 20 along 0 {0: 0 size 8, 1: 8 size 4 step 4}, 20>
        group.run 0 <...>
        group.send %o for 1 <...>
      }
    }

A hold keeps elements of a tensor in a memory on the chip, every axis of it around in circles: an axis is its extent,
the `pitch` between neighbours in the buffer if it is not 1, how many indices it can `keep` at a time if not all, and if
they are not one after another from 0 on, `from` which index on and `by` which step. Buffers of what never leaves the
chip give elements their names, and nothing is written to them.

`group.run` numbers the layers of the group from 0; `for` says which of them a transfer counts for. A box has a range
for every axis of a hold, or for the loops (g, op, opc, ks) of every dimension of a layer: `4` are the indices 0 to 3,
`4 from 2 by 3` the indices 2, 5, 8, 11. `along L {T: F size S step D growth G, ...}` limits them in the turns of loop L
from T on to the S ones from number F, in every later turn D further on and G more (`dialects.turn_box`).
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from xdsl.dialects.builtin import I64, ArrayAttr, IntegerAttr, StringAttr, TensorType, i64
from xdsl.ir import Block, Data, Dialect, Operation, ParametrizedAttribute, Region, SSAValue, TypeAttribute
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import NoTerminator
from xdsl.utils.exceptions import VerifyException

from dialects.fused_attribute import FusedAttr
from dialects.spatial import LayerOp, integer
from dialects.turn_box import Along, Span, TurnAxis, TurnBox

KINDS = 4
"""Loops of a dimension: g, op, opc, ks."""


@irdl_attr_definition
class HoldType(ParametrizedAttribute, TypeAttribute):
    """A hold."""

    name = "group.held"


@irdl_attr_definition
class BoxAttr(Data[TurnBox]):
    """A product of ranges in every turn."""

    name = "group.box"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> TurnBox:
        axes = parser.parse_comma_separated_list(parser.Delimiter.ANGLE, lambda: _parse_axis(parser))
        return TurnBox(tuple(axes))

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(", ".join(_axis_text(axis) for axis in self.data.axes))

    def verify(self) -> None:
        for axis in self.data.axes:
            if axis.step < 1 or min(axis.count, axis.offset) < 0:
                raise VerifyException(f"{_axis_text(axis)}: no range of indices")
            loops = [each.loop for each in axis.along]
            if len(set(loops)) < len(loops):
                raise VerifyException(f"{_axis_text(axis)}: a loop is there twice")
            for each in axis.along:
                turns = [span.turn for span in each.spans]
                if not turns or turns[0] != 0 or turns != sorted(set(turns)):
                    raise VerifyException(f"{_axis_text(axis)}: spans begin in turn 0 and follow one another")


def _axis_text(axis: TurnAxis) -> str:
    text = str(axis.count)
    if axis.offset or axis.step != 1:
        text += f" from {axis.offset}" + (f" by {axis.step}" if axis.step != 1 else "")
    for each in axis.along:
        text += f" along {each.loop} {{{', '.join(map(_span_text, each.spans))}}}"
    return text


def _span_text(span: Span) -> str:
    text = f"{span.turn}: {span.first} size {span.size}"
    if span.step or span.growth:
        text += f" step {span.step}"
    return text + (f" growth {span.growth}" if span.growth else "")


def _parse_axis(parser: AttrParser) -> TurnAxis:
    count, offset, step = _number(parser), 0, 1
    if parser.parse_optional_keyword("from") is not None:
        offset = _number(parser)
        if parser.parse_optional_keyword("by") is not None:
            step = _number(parser)
    along: list[Along] = []
    while parser.parse_optional_keyword("along") is not None:
        loop = _number(parser)
        spans = parser.parse_comma_separated_list(parser.Delimiter.BRACES, lambda: _parse_span(parser))
        along.append(Along(loop, tuple(spans)))
    return TurnAxis(count, tuple(along), offset, step)


def _parse_span(parser: AttrParser) -> Span:
    turn = _number(parser)
    parser.parse_punctuation(":")
    first = _number(parser)
    parser.parse_keyword("size")
    size, step, growth = _number(parser), 0, 0
    if parser.parse_optional_keyword("step") is not None:
        step = parser.parse_integer(allow_boolean=False)
        if parser.parse_optional_keyword("growth") is not None:
            growth = parser.parse_integer(allow_boolean=False)
    return Span(turn, first, size, step, growth)


def _number(parser: AttrParser) -> int:
    return parser.parse_integer(allow_boolean=False, allow_negative=False)


@dataclass(frozen=True)
class PlacedAxis:
    """An axis of a hold: of `extent` indices, first, first + step ... lie there, `kept` of them at a time.

    `pitch` are the words between neighbours in the buffer.
    """

    extent: int
    pitch: int
    kept: int
    first: int = 0
    step: int = 1

    def __str__(self) -> str:
        parts = [
            str(self.extent),
            *([f"pitch {self.pitch}"] if self.pitch != 1 else []),
            *([f"keep {self.kept}"] if self.kept != self.extent else []),
            *([f"from {self.first}"] if self.first else []),
            *([f"by {self.step}"] if self.step != 1 else []),
        ]
        return " ".join(parts)


@irdl_attr_definition
class AxesAttr(Data[tuple[PlacedAxis, ...]]):
    """The axes of a hold."""

    name = "group.axes"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> tuple[PlacedAxis, ...]:
        def axis() -> PlacedAxis:
            extent = _number(parser)
            values = {"pitch": 1, "keep": extent, "from": 0, "by": 1}
            for keyword in values:
                if parser.parse_optional_keyword(keyword) is not None:
                    values[keyword] = _number(parser)
            return PlacedAxis(extent, *values.values())

        return tuple(parser.parse_comma_separated_list(parser.Delimiter.ANGLE, axis))

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(", ".join(map(str, self.data)))

    def verify(self) -> None:
        for axis in self.data:
            if min(axis.extent, axis.pitch, axis.kept, axis.step) < 1 or axis.first < 0:
                raise VerifyException(f"{axis}: what an axis has is at least 1")


@irdl_op_definition
class HoldOp(IRDLOperation):
    """Words of a memory that keep elements of a buffer, from word `offset` of it on, every axis around in circles."""

    name = "group.hold"

    buffer = operand_def(TensorType)
    memory = prop_def(StringAttr)
    address = prop_def(IntegerAttr[I64])
    words = prop_def(IntegerAttr[I64])
    offset = prop_def(IntegerAttr[I64])
    axes = prop_def(AxesAttr)
    result = result_def(HoldType)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$buffer `:` type($buffer) `from` $offset `in` $memory `at` $address `words` $words `axes` $axes"
        " attr-dict `:` type($result)"
    )

    @classmethod
    def of(
        cls, buffer: SSAValue, offset: int, memory: str, address: int, words: int, axes: Sequence[PlacedAxis]
    ) -> HoldOp:
        """A hold of words from `address` of a memory, of a tensor from word `offset` of a buffer."""
        return cls(
            operands=[buffer],
            properties={
                "memory": StringAttr(memory),
                "address": IntegerAttr(address, i64),
                "words": IntegerAttr(words, i64),
                "offset": IntegerAttr(offset, i64),
                "axes": AxesAttr(tuple(axes)),
            },
            result_types=[HoldType()],
        )

    @property
    def elements(self) -> int:
        """How many elements can be kept at a time."""
        return math.prod(axis.kept for axis in self.axes.data)

    def verify_(self) -> None:
        if integer(self.address) < 0 or integer(self.words) < 1 or integer(self.offset) < 0:
            raise VerifyException("a hold has words, and addresses are not negative")
        if self.elements > integer(self.words):
            raise VerifyException(f"the axes keep {self.elements} elements in {integer(self.words)} words")


@irdl_op_definition
class KeepOp(IRDLOperation):
    """In a layer: one of its tensors (I, K, O, or P0, P1 ... of its post steps) lies in a hold.

    In the nest, I and K are brought no further than there; sums of O come about and are finished there. M are the
    bitmaps of a K in blocks, which then lies in a hold as well.
    """

    name = "group.keep"

    tensor = prop_def(StringAttr)
    hold = operand_def(HoldType)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$tensor `in` $hold `:` type($hold) attr-dict"

    @classmethod
    def of(cls, tensor: str, hold: SSAValue) -> KeepOp:
        """A tensor in a hold."""
        return cls(operands=[hold], properties={"tensor": StringAttr(tensor)})

    def verify_(self) -> None:
        name = self.tensor.data
        if name not in ("I", "K", "O", "M") and not (name[:1] == "P" and name[1:].isdecimal()):
            raise VerifyException(f"unknown tensor {name!r}: expected I, K, O, M, P0, P1 ...")


@irdl_op_definition
class TurnsOp(IRDLOperation):
    """Turns of a loop around what the group does."""

    name = "group.turns"

    turns = prop_def(IntegerAttr[I64])
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(NoTerminator())
    assembly_format = "$turns attr-dict-with-keyword $body"

    @classmethod
    def of(cls, turns: int, body: Sequence[Operation]) -> TurnsOp:
        """A loop around `body`."""
        return cls(properties={"turns": IntegerAttr(turns, i64)}, regions=[Region(Block(body))])

    def verify_(self) -> None:
        if integer(self.turns) < 1:
            raise VerifyException("a loop makes at least one turn")


class TransferOp(IRDLOperation, ABC):
    """A box of elements between off-chip and a hold, which counts for a layer of the group."""

    hold = operand_def(HoldType)
    layer = prop_def(IntegerAttr[I64])
    box = prop_def(BoxAttr)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$hold `:` type($hold) `for` $layer $box attr-dict"

    @classmethod
    def of(cls, hold: SSAValue, layer: int, box: TurnBox) -> Self:
        """A transfer for a layer of the group."""
        return cls(operands=[hold], properties={"layer": IntegerAttr(layer, i64), "box": BoxAttr(box)})

    def verify_(self) -> None:
        owner, axes = self.hold.owner, len(self.box.data.axes)
        if isinstance(owner, HoldOp) and axes != len(owner.axes.data):
            raise VerifyException(f"a box of {axes} axes for a hold of {len(owner.axes.data)}")


@irdl_op_definition
class FetchOp(TransferOp):
    """Bring a box of elements from off-chip into a hold, for the first layer that reads it."""

    name = "group.fetch"


@irdl_op_definition
class SendOp(TransferOp):
    """Take a box of elements from a hold off-chip, for the layer that made it."""

    name = "group.send"


@irdl_op_definition
class RunOp(IRDLOperation):
    """Run a layer of the group on a box of its loops."""

    name = "group.run"

    layer = prop_def(IntegerAttr[I64])
    box = prop_def(BoxAttr)

    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$layer $box attr-dict"

    @classmethod
    def of(cls, layer: int, box: TurnBox) -> RunOp:
        """A run of a layer."""
        return cls(properties={"layer": IntegerAttr(layer, i64), "box": BoxAttr(box)})


StepOp = FetchOp | RunOp | SendOp


@irdl_op_definition
class GroupOp(IRDLOperation):
    """A fused group: holds, layers, and then what is done with them. `mapping` is what it was made from.

    Groups between which tensors stay on the chip are one op: it has the turns of one after those of another, and an
    array of mappings, each of as many layers as it has branches.
    """

    name = "group.fused"

    mapping = opt_prop_def(FusedAttr | ArrayAttr[FusedAttr])
    body = region_def("single_block")

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(NoTerminator())
    assembly_format = "(`mapping` $mapping^)? attr-dict-with-keyword $body"

    @property
    def mappings(self) -> tuple[FusedAttr, ...]:
        """What the groups were made from, if that is known."""
        if self.mapping is None:
            return ()
        return (self.mapping,) if isinstance(self.mapping, FusedAttr) else tuple(self.mapping)

    @property
    def holds(self) -> list[HoldOp]:
        """The holds, by number."""
        return [op for op in self.body.block.ops if isinstance(op, HoldOp)]

    @property
    def layers(self) -> list[LayerOp]:
        """The layers, by number."""
        return [op for op in self.body.block.ops if isinstance(op, LayerOp)]

    def steps(self) -> list[tuple[tuple[int, ...], StepOp]]:
        """What is done, with the turns of the loops around it."""
        return _steps(list(self.body.block.ops), ())

    def verify_(self) -> None:
        layers = self.layers
        for turns, op in self.steps():
            number = integer(op.layer)
            if not 0 <= number < len(layers):
                raise VerifyException(f"{op.name}: there is no layer {number}")
            if isinstance(op, RunOp) and len(op.box.data.axes) != KINDS * len(layers[number].nest.data):
                raise VerifyException(f"a run of layer {number} has {KINDS} ranges for each of its dimensions")
            loops = {each.loop for axis in op.box.data.axes for each in axis.along}
            if any(loop >= len(turns) for loop in loops):
                raise VerifyException(f"{op.name}: a range goes along with loop {max(loops)}, which is not around it")


def _steps(ops: Sequence[Operation], turns: tuple[int, ...]) -> list[tuple[tuple[int, ...], StepOp]]:
    found: list[tuple[tuple[int, ...], StepOp]] = []
    for op in ops:
        if isinstance(op, TurnsOp):
            found += _steps(list(op.body.block.ops), (*turns, integer(op.turns)))
        elif isinstance(op, FetchOp | RunOp | SendOp):
            found.append((turns, op))
        elif not isinstance(op, HoldOp | LayerOp) or turns:
            raise VerifyException(f"{op.name} does not belong {'into turns' if turns else 'into a group'}")
    return found


GROUP = Dialect("group", [GroupOp, HoldOp, KeepOp, TurnsOp, FetchOp, RunOp, SendOp], [HoldType, AxesAttr, BoxAttr])
