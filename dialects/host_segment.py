"""Host segments: parts of a network that no chain can express, kept as ONNX models for the runtime to execute.

A segment stands in the body of `@main` between the links that make its inputs and those that use its outputs. The
tensors that cross over are ports of the function: what the device makes for a segment is a result, what a segment
makes for the device an argument, and both carry `onnx.host`. So they have memory of their own, and passes that keep
the function's results keep the segment's inputs.

    host.segment 0 holds #weights.ref<"..."> reads ["scores"] makes ["selected"] loc("nms")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import numpy as np
from xdsl.dialects.builtin import I64, ArrayAttr, DictionaryAttr, IntegerAttr, StringAttr, UnitAttr, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Dialect, Operation, SSAValue
from xdsl.irdl import IRDLOperation, irdl_op_definition, prop_def, var_operand_def
from xdsl.utils.exceptions import VerifyException

from dialects.weights import Array, WeightRef

PORT = "onnx.host"
"""The attribute of arguments and results of `@main` that only segments see."""


@irdl_op_definition
class SegmentOp(IRDLOperation):
    """An ONNX model that the runtime executes with ONNX Runtime.

    `model` are its bytes; its first inputs and outputs are the tensors `reads` and `makes`, by ONNX name, the others
    go from and to the user or other segments without the device. Once placed, `buffers` are theirs, in that order.
    """

    name = "host.segment"

    index = prop_def(IntegerAttr[I64])
    model = prop_def(WeightRef)
    reads = prop_def(ArrayAttr[StringAttr])
    makes = prop_def(ArrayAttr[StringAttr])
    buffers = var_operand_def()

    assembly_format = (
        "$index `holds` $model `reads` $reads `makes` $makes (`on` $buffers^ `:` type($buffers))? attr-dict"
    )

    @classmethod
    def of(cls, index: int, content: bytes, reads: list[str], makes: list[str]) -> SegmentOp:
        """A segment that is not placed yet."""
        return cls(
            operands=[[]],
            properties={
                "index": IntegerAttr(index, i64),
                "model": WeightRef.of(np.frombuffer(content, np.uint8)),
                "reads": ArrayAttr(StringAttr(name) for name in reads),
                "makes": ArrayAttr(StringAttr(name) for name in makes),
            },
        )

    def placed(self, buffers: list[SSAValue]) -> SegmentOp:
        """The same segment on buffers."""
        return SegmentOp(operands=[buffers], properties=dict(self.properties))

    @property
    def content(self) -> Array:
        """The bytes of the model. Raises `CatenaError` (CAT-R004) if they are not at hand."""
        return self.model.data.array

    @property
    def read_names(self) -> tuple[str, ...]:
        """The tensors that come from the device."""
        return tuple(name.data for name in self.reads)

    @property
    def made_names(self) -> tuple[str, ...]:
        """The tensors that go to the device."""
        return tuple(name.data for name in self.makes)

    def verify_(self) -> None:
        if self.buffers and len(self.buffers) != len(self.reads) + len(self.makes):
            raise VerifyException(
                f"{len(self.buffers)} buffers for {len(self.reads)} inputs and {len(self.makes)} outputs"
            )


HOST = Dialect("host", [SegmentOp], [])


def host_ports(attributes: ArrayAttr[DictionaryAttr] | None, values: Sequence[SSAValue]) -> list[bool]:
    """Which of a function's arguments or results, in order, are segments' and not the user's."""
    marked = [PORT in entry.data for entry in attributes or ()]
    return (marked + [False] * len(values))[: len(values)]


def host_port(name: str) -> DictionaryAttr:
    """The attributes of an argument or result that is a segment's."""
    return DictionaryAttr({"onnx.name": StringAttr(name), PORT: UnitAttr()})


def segments_of(function: FuncOp) -> list[SegmentOp]:
    """The segments of a function, in order."""
    return [op for op in function.body.block.ops if isinstance(op, SegmentOp)]


def segment_inputs(function: FuncOp) -> dict[str, SSAValue]:
    """What the function makes for segments, by ONNX name."""
    last = function.body.block.last_op
    values = last.operands if isinstance(last, ReturnOp) else ()
    return dict(_ports(function.res_attrs, values))


def segment_outputs(function: FuncOp) -> dict[str, SSAValue]:
    """What the function gets from segments, by ONNX name."""
    return dict(_ports(function.arg_attrs, function.args))


def segment_makers(function: FuncOp) -> dict[SSAValue, Operation]:
    """The segment that makes an argument, for arguments that segments make."""
    outputs = segment_outputs(function)
    if not outputs:
        return {}
    return {outputs[name]: segment for segment in segments_of(function) for name in segment.made_names}


def _ports(attributes: ArrayAttr[DictionaryAttr] | None, values: Iterable[SSAValue]) -> Iterator[tuple[str, SSAValue]]:
    for entry, value in zip(attributes or (), values, strict=False):
        if PORT in entry.data:
            yield cast(StringAttr, entry.data["onnx.name"]).data, value


def execution_order(function: FuncOp) -> list[Operation]:
    """The ops of a function's body such that segments come after what makes their inputs, before users of outputs.

    Otherwise the order is that of the block.
    """
    ops = list(function.body.block.ops)
    if not any(isinstance(op, SegmentOp) for op in ops):
        return ops
    inputs = segment_inputs(function)
    makers = segment_makers(function)
    order: dict[Operation, None] = {}
    for op in ops:
        stack = [op]
        while stack:
            waiting = [each for each in needs(stack[-1], inputs, makers) if each not in order and each not in stack]
            if waiting:
                stack.append(waiting[0])
            else:
                order[stack.pop()] = None
    return list(order)


def needs(op: Operation, inputs: Mapping[str, SSAValue], makers: Mapping[SSAValue, Operation]) -> Iterator[Operation]:
    """The ops that make what an op reads; `inputs` are those of segments, `makers` the segments of arguments."""
    values: list[SSAValue] = [*op.operands]
    if isinstance(op, SegmentOp):
        values += [inputs[name] for name in op.read_names if name in inputs]
    for value in values:
        owner = makers.get(value, value.owner)
        if isinstance(owner, Operation):
            yield owner
