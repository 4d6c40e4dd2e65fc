"""Networks of a quantized layer, in each way that ONNX has to write it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

Draw = st.DrawFn
CHANNELS, FILTERS = 4, 6


class _Layer:
    """The nodes and constants of a layer as they are drawn."""

    def __init__(self, draw: Draw):
        self.draw = draw
        self.random = np.random.default_rng(draw(st.integers(0, 99)))
        self.activation = np.dtype(draw(st.sampled_from(("int8", "uint8"))))
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, op_type: str, *inputs: str, **attributes: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
        return name

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def scale(self, mean: float, *shape: int) -> str:
        """Scales for all channels, or one: those are round numbers, so that results lie between two integers often."""
        factors = 0.5 + self.random.random(shape) if shape else self.draw(st.sampled_from((0.5, 1.0, 2.0)))
        return self.constant(np.asarray(factors * mean, np.float32))

    def zero(self) -> str:
        """The zero point of the activations: in the middle of their type or beside it."""
        middle = 128 if self.activation == np.uint8 else 0
        return self.constant(np.array(middle + self.draw(st.sampled_from((0, -7, 5))), self.activation))

    def words(self, *shape: int) -> str:
        """Weights, one byte each."""
        return self.constant(self.random.integers(-127, 128, shape).astype(np.int8))

    def bias(self) -> list[str]:
        """A bias of 32 bits for every filter, or none."""
        return [self.constant(self.random.integers(-2000, 2000, FILTERS, np.int32))] if self.draw(st.booleans()) else []

    def model(self, result: str, shape: tuple[int, ...], kind: np.dtype) -> onnx.ModelProto:
        inputs = [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(kind), shape)]
        outputs = [onnx.ValueInfoProto(name=result)]
        graph = helper.make_graph(self.nodes, "layer", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def _qlinear_conv(layer: _Layer) -> onnx.ModelProto:
    x = ("x", layer.scale(0.02), layer.zero())
    w = (layer.words(FILTERS, CHANNELS, 2, 2), layer.scale(0.01, FILTERS), layer.constant(np.zeros(FILTERS, np.int8)))
    y = (layer.scale(0.1), layer.zero())
    result = layer.node("QLinearConv", *x, *w, *y, *layer.bias())
    return layer.model(result, (1, CHANNELS, 5, 5), layer.activation)


def _qlinear_matmul(layer: _Layer) -> onnx.ModelProto:
    x = ("x", layer.scale(0.02), layer.zero())
    w = (layer.words(CHANNELS, FILTERS), layer.scale(0.02), layer.constant(np.int8(3)))
    result = layer.node("QLinearMatMul", *x, *w, layer.scale(0.1), layer.zero())
    return layer.model(result, (3, CHANNELS), layer.activation)


def _matmul_integer(layer: _Layer) -> onnx.ModelProto:
    result = layer.node("MatMulInteger", "x", layer.words(CHANNELS, FILTERS), layer.zero())
    if layer.draw(st.booleans()):
        result = layer.node("Mul", layer.node("Cast", result, to=TensorProto.FLOAT), layer.scale(0.02))
    return layer.model(result, (3, CHANNELS), layer.activation)


def _conv_integer(layer: _Layer) -> onnx.ModelProto:
    result = layer.node("ConvInteger", "x", layer.words(FILTERS, CHANNELS, 3, 3), layer.zero())
    return layer.model(result, (1, CHANNELS, 5, 5), layer.activation)


def _dequantized_conv(layer: _Layer) -> onnx.ModelProto:
    input = [layer.scale(0.03), layer.zero()]
    x = layer.node("DequantizeLinear", layer.node("QuantizeLinear", "x", *input), *input)
    zeros = layer.constant(np.zeros(FILTERS, np.int8))
    w = layer.node("DequantizeLinear", layer.words(FILTERS, CHANNELS, 2, 2), layer.scale(0.01, FILTERS), zeros, axis=0)
    bias = [layer.constant(layer.random.standard_normal(FILTERS).astype(np.float32))] * layer.draw(st.integers(0, 1))
    y = layer.node("Conv", x, w, *bias, pads=[1, 0, 0, 1])
    if layer.draw(st.booleans()):
        y = layer.node("Relu", y)
    output = [layer.scale(0.05), layer.zero()]
    result = layer.node("DequantizeLinear", layer.node("QuantizeLinear", y, *output), *output)
    return layer.model(result, (1, CHANNELS, 5, 5), np.dtype(np.float32))


def _between(make: Callable[[_Layer, str], str]) -> Callable[[_Layer], onnx.ModelProto]:
    """A layer of one operator between a dequantized image and a quantized result."""

    def build(layer: _Layer) -> onnx.ModelProto:
        input, output = [layer.scale(0.03), layer.zero()], [layer.scale(0.05), layer.zero()]
        x = layer.node("DequantizeLinear", layer.node("QuantizeLinear", "x", *input), *input)
        result = layer.node("DequantizeLinear", layer.node("QuantizeLinear", make(layer, x), *output), *output)
        return layer.model(result, (1, CHANNELS, 5, 5), np.dtype(np.float32))

    return build


def _resized(layer: _Layer, x: str) -> str:
    scales = layer.constant(np.array(layer.draw(st.sampled_from(([1, 1, 2, 2], [1, 1, 1.6, 3]))), np.float32))
    return layer.node("Resize", x, "", scales, mode="linear")


def _averaged(layer: _Layer, x: str) -> str:
    padding = layer.draw(st.integers(0, 1))
    return layer.node("AveragePool", x, kernel_shape=[3, 3], pads=[padding] * 4, count_include_pad=padding)


def _maximal(layer: _Layer, x: str) -> str:
    return layer.node("MaxPool", x, kernel_shape=[2, 2], pads=[1, 0, 0, 1])


def _doubled(layer: _Layer, x: str) -> str:
    return layer.node(layer.draw(st.sampled_from(("Add", "Mul"))), x, x)


def _product_of_activations(layer: _Layer, x: str) -> str:
    other = [layer.scale(0.04), layer.zero()]
    y = layer.node("DequantizeLinear", layer.node("QuantizeLinear", layer.node("Neg", "x"), *other), *other)
    return layer.node("MatMul", x, layer.node("Transpose", y, perm=[0, 1, 3, 2]))


_KINDS: tuple[Callable[[_Layer], onnx.ModelProto], ...] = (
    _qlinear_conv,
    _qlinear_matmul,
    _matmul_integer,
    _conv_integer,
    _dequantized_conv,
    *[_between(_resized)] * 2,
    *map(_between, (_averaged, _maximal, _doubled, _product_of_activations)),
)


@st.composite
def quantized_layers(draw: Draw) -> onnx.ModelProto:
    """A network of one quantized layer of a random kind, with random types, zero points and constants."""
    return draw(st.sampled_from(_KINDS))(_Layer(draw))
