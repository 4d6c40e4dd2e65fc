"""Operators of `com.microsoft` that ONNX Runtime's quantizer writes, in terms of operators of the default domain.

Each dequantizes its operands, computes in real numbers and quantizes the result, as
onnxruntime/docs/ContribOperators.md defines them; the pass fold-quantization makes integers of that again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dialects.onnx.schemas import python_value
from dialects.onnx.values import ValueType

if TYPE_CHECKING:
    import onnx

MICROSOFT_DOMAIN = "com.microsoft"

BODY_OPSET = 21
_COERCING_OPSET = 11
"""An opset in which Softmax takes its input as a matrix of two dimensions."""
_SOFTMAX_OF_AN_AXIS = 13
"""The opset from which on it works along one axis."""


def microsoft_body(
    node: onnx.NodeProto, types: Sequence[ValueType | None]
) -> tuple[onnx.GraphProto, Mapping[str, int]] | None:
    """What a node of `com.microsoft` computes, and the operator set that is written in; None if not known here.

    `types` are those of the inputs, None for one that is left out.
    """
    from onnx import helper

    make = _BODIES.get(node.op_type)
    call = _Call(node, types)
    if make is None or not make(call):
        return None
    inputs = [helper.make_empty_tensor_value_info(_input(index)) for index in range(len(node.input))]
    graph = helper.make_graph(call.nodes, node.op_type, inputs, [helper.make_empty_tensor_value_info("result")])
    return graph, {"": call.opset}


def is_microsoft_function(op_type: str) -> bool:
    """Whether some nodes of an operator have a body here."""
    return op_type in _BODIES


def _input(index: int) -> str:
    return f"x{index}"


class _Call:
    """A node of the domain, and the nodes of its body as they are added; the last one makes `result`."""

    def __init__(self, node: onnx.NodeProto, types: Sequence[ValueType | None]):
        self.types = types
        self.attributes: dict[str, Any] = {each.name: python_value(each) for each in node.attribute}
        self.nodes: list[onnx.NodeProto] = []
        self.opset = BODY_OPSET

    def has(self, index: int) -> bool:
        """Whether an input is there."""
        return index < len(self.types) and self.types[index] is not None

    def type_of(self, index: int) -> ValueType:
        """The type of an input that must be there."""
        found = self.types[index]
        assert found is not None
        return found

    def add(self, op_type: str, *inputs: str, result: str | None = None, **attributes: Any) -> str:
        """A node of one result; returns its name."""
        from onnx import helper

        name = result or f"t{len(self.nodes)}"
        given = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op_type, inputs, [name], **given))
        return name

    def constant(self, array: np.ndarray[Any, Any]) -> str:
        """A constant."""
        from onnx import numpy_helper

        return self.add("Constant", value=numpy_helper.from_array(array))

    def dequantized(self, index: int, scale: str | None = None, axis: int | None = None) -> str:
        """The numbers of an input whose scale, unless given, and zero point are the next two inputs."""
        zero = [_input(index + 2)] if self.has(index + 2) else []
        return self.add("DequantizeLinear", _input(index), scale or _input(index + 1), *zero, axis=axis)

    def quantize(self, numbers: str, scale: int, like: int) -> bool:
        """The result: integers of the scale at input `scale` and the zero point behind it, of the type of an input."""
        zero = _input(scale + 1)
        if not self.has(scale + 1):
            zero = self.constant(np.zeros((), self.type_of(like).dtype))
        self.add("QuantizeLinear", numbers, _input(scale), zero, result="result")
        return True


def _binary(op_type: str) -> Callable[[_Call], bool]:
    def make(call: _Call) -> bool:
        return call.quantize(call.add(op_type, call.dequantized(0), call.dequantized(3)), 6, 0)

    return make


def _unary(op_type: str, *attributes: str) -> Callable[[_Call], bool]:
    """An operator of one input that takes some of the node's attributes."""

    def make(call: _Call) -> bool:
        given = {name: call.attributes.get(name) for name in attributes}
        return call.quantize(call.add(op_type, call.dequantized(0), **given), 3, 0)

    return make


def _average_pool(call: _Call) -> bool:
    if call.attributes.get("channels_last"):
        return False
    names = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")
    return _unary("AveragePool", *names)(call)


def _global_average_pool(call: _Call) -> bool:
    if not call.attributes.get("channels_last"):
        return _unary("GlobalAveragePool")(call)
    axes = call.constant(np.arange(1, len(call.type_of(0).shape) - 1))
    return call.quantize(call.add("ReduceMean", call.dequantized(0), axes, keepdims=1), 3, 0)


def _softmax(call: _Call) -> bool:
    """`opset` is the version of Softmax that is meant."""
    is_newer = call.attributes.get("opset", _SOFTMAX_OF_AN_AXIS) >= _SOFTMAX_OF_AN_AXIS
    call.opset = BODY_OPSET if is_newer else _COERCING_OPSET
    return _unary("Softmax", "axis")(call)


def _concat(call: _Call) -> bool:
    parts = [call.dequantized(index) for index in range(2, len(call.types), 3)]
    return call.quantize(call.add("Concat", *parts, axis=call.attributes.get("axis")), 0, 2)


def _where(call: _Call) -> bool:
    return call.quantize(call.add("Where", _input(0), call.dequantized(1), call.dequantized(4)), 7, 1)


def _gemm(call: _Call) -> bool:
    """A and B times the scales of both and `alpha`; C, of 32 bits, in those units; without a scale Y is real."""
    trans_b = call.attributes.get("transB", 0)
    factors = call.type_of(4)
    per_column = factors.size > 1
    scale = _input(4)
    if call.attributes.get("alpha", 1.0) != 1:
        scale = call.add("Mul", scale, call.constant(np.array(call.attributes["alpha"], np.float32)))
    operands = [call.dequantized(0), call.dequantized(3, scale, (0 if trans_b else 1) if per_column else None)]
    if call.has(6):
        bias = call.type_of(6)
        if per_column and (not bias.shape or bias.shape[-1] != factors.size):
            return False
        axis = len(bias.shape) - 1 if per_column else None
        operands.append(call.add("DequantizeLinear", _input(6), call.add("Mul", _input(1), scale), axis=axis))
    is_real = not call.has(7)
    result = call.add(
        "Gemm", *operands, result="result" if is_real else None, transA=call.attributes.get("transA"), transB=trans_b
    )
    return is_real or call.quantize(result, 7, 0)


def _standard(op_type: str) -> Callable[[_Call], bool]:
    """An operator that is the same in the default domain."""

    def make(call: _Call) -> bool:
        inputs = [_input(index) if call.has(index) else "" for index in range(len(call.types))]
        call.add(op_type, *inputs, result="result", **call.attributes)
        return True

    return make


_BODIES: Mapping[str, Callable[[_Call], bool]] = {
    "DequantizeLinear": _standard("DequantizeLinear"),
    "QGemm": _gemm,
    "QLinearAdd": _binary("Add"),
    "QLinearAveragePool": _average_pool,
    "QLinearConcat": _concat,
    "QLinearGlobalAveragePool": _global_average_pool,
    "QLinearLeakyRelu": _unary("LeakyRelu", "alpha"),
    "QLinearMul": _binary("Mul"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearSoftmax": _softmax,
    "QLinearWhere": _where,
    "QuantizeLinear": _standard("QuantizeLinear"),
}
