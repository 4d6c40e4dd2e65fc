"""Operations of the gconv dialect that address by index tensors: an indexed view to read, a scatter to write.

%v = gconv.indexed %x : tensor<1000x64xf32> at %i : tensor<8x1x1xi64> <[0, 1], 64 of 1000> -> tensor<8x64xf32>
%y = gconv.scatter %u : tensor<8x64xf32> at %i : tensor<8x1x1xi64> into %x : tensor<1000x64xf32>
     <[0, 1], 64 of 1000> add -> tensor<1000x64xf32>
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from xdsl.dialects.builtin import IntegerType, StringAttr, TensorType, i1
from xdsl.ir import Data, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from dialects.element_types import tensor_type
from dialects.gconv.attributes import ReduceAttr
from dialects.gconv.indexed import IndexedView
from dialects.gconv.ops import LinkOp, element_type_of_value, shape_of
from dialects.gconv.spec import Reduce
from dialects.gconv.view import View


@dataclass(frozen=True)
class Addressing:
    """An indexed view without its shape: strides of its dimensions, (step, extent) of components, first element."""

    strides: tuple[int, ...]
    terms: tuple[tuple[int, int], ...]
    offset: int = 0

    @classmethod
    def of(cls, view: IndexedView) -> Addressing:
        """That of `view`."""
        return cls(view.plain.strides, view.terms, view.reach.offset)

    def over(self, shape: tuple[int, ...]) -> IndexedView:
        """The indexed view of a shape that has as many dimensions as there are strides."""
        return IndexedView.of_terms(View(shape, self.strides, self.offset), self.terms)


@irdl_attr_definition
class AddressingAttr(Data[Addressing]):
    """How index components and positions make addresses: `<[strides], step of extent, ..., offset n>`."""

    name = "gconv.addressing"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Addressing:
        terms: list[tuple[int, int]] = []
        offset = 0
        with parser.in_angle_brackets():
            strides = parser.parse_comma_separated_list(
                parser.Delimiter.SQUARE, lambda: parser.parse_integer(allow_boolean=False)
            )
            while parser.parse_optional_punctuation(",") is not None:
                if parser.parse_optional_keyword("offset") is not None:
                    offset = parser.parse_integer(allow_boolean=False, allow_negative=False)
                    break
                step = parser.parse_integer(allow_boolean=False)
                parser.parse_keyword("of")
                terms.append((step, parser.parse_integer(allow_boolean=False, allow_negative=False)))
        return Addressing(tuple(strides), tuple(terms), offset)

    def print_parameter(self, printer: Printer) -> None:
        given = self.data
        parts = [str(list(given.strides)), *(f"{step} of {extent}" for step, extent in given.terms)]
        with printer.in_angle_brackets():
            printer.print_string(", ".join([*parts, *([f"offset {given.offset}"] if given.offset else [])]))

    def verify(self) -> None:
        if not self.data.terms:
            raise VerifyException("an address needs an index of one component at least")
        for step, extent in self.data.terms:
            if extent < 1:
                raise VerifyException(f"'{step} of {extent}' has no index")


@irdl_op_definition
class IndexedOp(IRDLOperation):
    """The elements of `base` at computed addresses: what the load of a link's input reads, no words of its own.

    Only a link may read it, and only as its input.
    """

    name = "gconv.indexed"

    base = operand_def(TensorType)
    index = operand_def(TensorType)
    layout = prop_def(AddressingAttr)
    result = result_def(TensorType)

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(Pure())

    assembly_format = "$base `:` type($base) `at` $index `:` type($index) $layout attr-dict `->` type($result)"

    @classmethod
    def of(cls, base: SSAValue, index: SSAValue, view: IndexedView) -> IndexedOp:
        """The indexed view `view` of `base`."""
        return cls(
            operands=[base, index],
            properties={"layout": AddressingAttr(Addressing.of(view))},
            result_types=[tensor_type(element_type_of_value(base), view.shape)],
        )

    @property
    def view(self) -> IndexedView:
        """The indexed view as plain data."""
        return self.layout.data.over(shape_of(self.result))

    def verify_(self) -> None:
        if element_type_of_value(self.base) != element_type_of_value(self.result):
            raise VerifyException("a view keeps the element type")
        _verify_addressing(self.layout.data, self.result, self.index, self.base)
        for use in self.result.uses:
            if not isinstance(use.operation, LinkOp) or use.index != 0:
                found = f"operand {use.index} of {use.operation.name}"
                raise VerifyException(f"only the input of a link is read at computed addresses, not {found}")


@irdl_op_definition
class ScatterOp(IRDLOperation):
    """`data` with updates at computed addresses, combined in row-major order of the updates: none replaces.

    Without `data`, every element of the result has to be written. `tensor` names the ONNX tensor the result equals.
    The link that makes the updates writes them in place if it can; otherwise a link copies them.
    """

    name = "gconv.scatter"

    updates = operand_def(TensorType)
    index = operand_def(TensorType)
    data = opt_operand_def(TensorType)
    layout = prop_def(AddressingAttr)
    reduce = prop_def(ReduceAttr)
    tensor = opt_prop_def(StringAttr)
    result = result_def(TensorType)

    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(Pure())

    assembly_format = (
        "$updates `:` type($updates) `at` $index `:` type($index) (`into` $data^ `:` type($data))?"
        " $layout $reduce attr-dict `->` type($result)"
    )

    @classmethod
    def of(
        cls,
        updates: SSAValue,
        index: SSAValue,
        view: IndexedView,
        shape: tuple[int, ...],
        data: SSAValue | None = None,
        reduce: Reduce = Reduce.NONE,
        tensor: str | None = None,
    ) -> ScatterOp:
        """A result of `shape` whose elements `view` are updated."""
        return cls(
            operands=[updates, index, [] if data is None else [data]],
            properties={
                "layout": AddressingAttr(Addressing.of(view)),
                "reduce": ReduceAttr(reduce),
                "tensor": None if tensor is None else StringAttr(tensor),
            },
            result_types=[tensor_type(element_type_of_value(updates), shape)],
        )

    @property
    def view(self) -> IndexedView:
        """The elements of the result that are updated, in the shape of the updates."""
        return self.layout.data.over(shape_of(self.updates))

    def verify_(self) -> None:
        kind = element_type_of_value(self.result)
        if element_type_of_value(self.updates) != kind:
            raise VerifyException(f"updates of {self.updates.type} for {self.result.type}")
        if self.data is not None and self.data.type != self.result.type:
            raise VerifyException(f"data of {self.data.type} for {self.result.type}")
        if self.data is None and self.reduce.data is not Reduce.NONE:
            raise VerifyException(f"updates by {self.reduce.data} need data to act on")
        _verify_addressing(self.layout.data, self.updates, self.index, self.result)


def _verify_addressing(layout: Addressing, positions: SSAValue, index: SSAValue, base: SSAValue) -> None:
    """Positions, index and addressed tensor fit each other, and no index within its extent leads outside."""
    kind = element_type_of_value(index)
    if not isinstance(kind, IntegerType) or kind == i1:
        raise VerifyException(f"an index holds integers, not {kind}")
    shape, extent = shape_of(positions), math.prod(shape_of(base))
    if len(layout.strides) != len(shape):
        raise VerifyException(f"{len(layout.strides)} strides for {positions.type}")
    view = layout.over(shape)
    if not view.takes(shape_of(index)):
        expected = f"{list(shape)} or 1, then {view.components}"
        raise VerifyException(f"an index of {index.type} does not broadcast to {expected}")
    if view.size:
        low, high = view.reach.bounds()
        if low < 0 or high >= extent:
            raise VerifyException(f"the addresses reach elements {low} to {high} of a tensor with {extent}")
