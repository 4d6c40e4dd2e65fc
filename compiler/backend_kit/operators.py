"""The operators of the kit: a function each, which makes a model of it in a type and a shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from compiler.backend_kit.models import ModelBuilder, SmallModel

FLOAT, INT8, INT16, INT32 = (np.dtype(each) for each in ("float32", "int8", "int16", "int32"))


@dataclass(frozen=True)
class Shape:
    """The sizes of a case: images, channels, filters, side of a feature map; `name` says what is special about it."""

    name: str
    images: int
    channels: int
    filters: int
    side: int

    @property
    def maps(self) -> tuple[int, int, int, int]:
        """The shape of the input of a convolution."""
        return self.images, self.channels, self.side, self.side

    @property
    def matrix(self) -> tuple[int, int]:
        """The shape of the input of a matrix product."""
        return self.side, 2 * self.channels


SHAPES = (
    Shape("even", 1, 4, 4, 6),
    Shape("odd", 2, 2, 6, 5),
    Shape("thin", 1, 2, 2, 5),
)
"""Sizes that arrays divide, such as they do not, and such as leave most of an array idle; small, as some engines walk
word by word."""

Build = Callable[[ModelBuilder, "np.dtype[Any]", Shape], str]
Builders = Mapping[str, tuple[Build, tuple["np.dtype[Any]", ...]]]


EVERY_ENGINE = "thin"
"""The shape that all engines of an emulator are asked for, not only the usual one."""


@dataclass(frozen=True)
class OperatorCase:
    """One operator in one type and one shape."""

    operator: str
    dtype: np.dtype[Any]
    shape: Shape

    @property
    def name(self) -> str:
        """What messages and patterns call it."""
        return f"{self.operator}/{self.dtype.name}/{self.shape.name}"

    def build(self) -> SmallModel:
        """The model and its inputs; always the same."""
        builder = ModelBuilder(self.name, seed=len(self.operator) + self.shape.side)
        return builder.finished(OPERATORS[self.operator][0](builder, self.dtype, self.shape))


def operator_cases() -> Iterator[OperatorCase]:
    """Every operator in every type that it is asked for in, and every shape."""
    for operator, (_, dtypes) in OPERATORS.items():
        for dtype in dtypes:
            for shape in SHAPES:
                yield OperatorCase(operator, dtype, shape)


def _convolution(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape, groups: int = 1, **attributes: Any) -> str:
    """A convolution with a bias; of integers one between quantized tensors, as quantizers write it."""
    kernel = (shape.filters, shape.channels // groups, 3, 3)
    if dtype == FLOAT:
        weights = builder.weights(dtype, kernel)
        bias = builder.weights(dtype, (shape.filters,))
        return builder.node("Conv", builder.input(dtype, shape.maps), weights, bias, group=groups, **attributes)
    real = dequantized(builder, builder.input(dtype, shape.maps), dtype, 0.125)
    weights = dequantized(builder, builder.weights(dtype, kernel), dtype, 0.25)
    made = builder.node("Conv", real, weights, group=groups, **attributes)
    return quantized(builder, made, dtype, 0.5)


def dequantized(builder: ModelBuilder, tensor: str, dtype: np.dtype[Any], scale: float) -> str:
    """A DequantizeLinear of a tensor, with no zero point."""
    constants = builder.constant(np.array(scale, np.float32)), builder.constant(np.array(0, dtype))
    return builder.node("DequantizeLinear", tensor, *constants)


def quantized(builder: ModelBuilder, tensor: str, dtype: np.dtype[Any], scale: float) -> str:
    """A QuantizeLinear of a tensor, with no zero point."""
    constants = builder.constant(np.array(scale, np.float32)), builder.constant(np.array(0, dtype))
    return builder.node("QuantizeLinear", tensor, *constants)


def _conv(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    return _convolution(builder, dtype, shape, pads=[1, 1, 1, 1])


def _conv_strided(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    return _convolution(builder, dtype, shape, strides=[2, 2], pads=[1, 0, 1, 0])


def _conv_dilated(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    return _convolution(builder, dtype, shape, dilations=[2, 1])


def _conv_grouped(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    return _convolution(builder, dtype, shape, groups=2)


def _conv_transposed(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    weights = builder.weights(dtype, (shape.channels, shape.filters, 3, 3))
    return builder.node("ConvTranspose", builder.input(dtype, shape.maps), weights, strides=[2, 2])


def _conv_in_one_dimension(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    weights = builder.weights(dtype, (shape.filters, shape.channels, 3))
    return builder.node("Conv", builder.input(dtype, shape.maps[:3]), weights)


def _conv_in_three_dimensions(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    weights = builder.weights(dtype, (shape.filters, shape.channels, 2, 2, 2))
    return builder.node("Conv", builder.input(dtype, (shape.images, shape.channels, 3, shape.side, 4)), weights)


def _product(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    rows, terms = shape.matrix
    if dtype != INT8:
        return builder.node(
            "MatMul", builder.input(dtype, (rows, terms)), builder.weights(dtype, (terms, shape.filters))
        )
    left, right = builder.input(dtype, (rows, terms)), builder.weights(dtype, (terms, shape.filters))
    return builder.node("MatMulInteger", left, right)


def _product_of_inputs(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    rows, terms = shape.matrix
    left, right = (builder.input(dtype, (2, *each)) for each in ((rows, terms), (terms, shape.filters)))
    return builder.node("MatMul", left, right)


def _gemm(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    rows, terms = shape.matrix
    weights, bias = builder.weights(dtype, (shape.filters, terms)), builder.weights(dtype, (shape.filters,))
    return builder.node("Gemm", builder.input(dtype, (rows, terms)), weights, bias, transB=1)


def _pool(op_type: str, **attributes: Any) -> Build:
    def build(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
        return builder.node(op_type, builder.input(dtype, shape.maps), **attributes)

    return build


def _binary(op_type: str) -> Build:
    """An operator on a feature map and one number a channel."""

    def build(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
        return builder.node(op_type, builder.input(dtype, shape.maps), builder.input(dtype, (shape.channels, 1, 1)))

    return build


def _unary(op_type: str, **attributes: Any) -> Build:
    def build(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
        return builder.node(op_type, builder.input(dtype, shape.maps), **attributes)

    return build


def _normalised(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    weights = [builder.weights(dtype, (shape.side,)) for _ in range(2)]
    return builder.node("LayerNormalization", builder.input(dtype, shape.maps), *weights)


def _reduced(op_type: str) -> Build:
    def build(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
        return builder.node(op_type, builder.input(dtype, shape.maps), builder.integers(1, 3), keepdims=0)

    return build


def _joined(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    made = [builder.node("Abs", builder.input(dtype, shape.maps)) for _ in range(2)]
    return builder.node("Concat", *made, axis=1)


def _sliced(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    part = builder.node(
        "Slice",
        builder.input(dtype, shape.maps),
        builder.integers(1),
        builder.integers(shape.side),
        builder.integers(2),
        builder.integers(2),
    )
    return builder.node("Transpose", part, perm=[0, 2, 3, 1])


def _padded(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    return builder.node("Pad", builder.input(dtype, shape.maps), builder.integers(0, 0, 1, 2, 0, 1, 0, 0))


def _resized(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    scales = builder.constant(np.array([1, 1, 2, 2], np.float32))
    return builder.node("Resize", builder.input(dtype, shape.maps), "", scales, mode="nearest")


def _gathered(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    indices = builder.node("Cast", builder.input(INT32, (3,)), to=7)
    bounded = builder.node("Mod", indices, builder.integers(shape.side))
    return builder.node("Gather", builder.input(dtype, shape.maps), bounded, axis=2)


def _scattered(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    rows, columns = shape.matrix
    indices = builder.constant(np.arange(columns, dtype=np.int64)[None] % rows)
    tensors = builder.input(dtype, (rows, columns)), indices, builder.input(dtype, (1, columns))
    return builder.node("ScatterElements", *tensors, axis=0, reduction="add")


def _best(builder: ModelBuilder, dtype: np.dtype[Any], shape: Shape) -> str:
    return builder.node("TopK", builder.input(dtype, shape.matrix), builder.integers(2), outputs=2)


OPERATORS: Builders = MappingProxyType(
    {
        "Conv": (_conv, (FLOAT, INT8, INT16)),
        "Conv, strided": (_conv_strided, (FLOAT, INT8)),
        "Conv, dilated": (_conv_dilated, (FLOAT, INT8)),
        "Conv, in groups": (_conv_grouped, (FLOAT, INT8)),
        "Conv, 1-D": (_conv_in_one_dimension, (FLOAT,)),
        "Conv, 3-D": (_conv_in_three_dimensions, (FLOAT,)),
        "ConvTranspose": (_conv_transposed, (FLOAT,)),
        "MatMul": (_product, (FLOAT, INT8, INT32)),
        "MatMul of two inputs": (_product_of_inputs, (FLOAT, INT32)),
        "Gemm": (_gemm, (FLOAT, INT32)),
        "MaxPool": (_pool("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), (FLOAT, INT8)),
        "AveragePool": (_pool("AveragePool", kernel_shape=[2, 2], strides=[2, 2]), (FLOAT,)),
        "GlobalAveragePool": (_pool("GlobalAveragePool"), (FLOAT,)),
        "Add": (_binary("Add"), (FLOAT, INT8, INT16, INT32)),
        "Mul": (_binary("Mul"), (FLOAT, INT32)),
        "Div": (_binary("Div"), (FLOAT, INT32)),
        "Max": (_binary("Max"), (FLOAT, INT8, INT16, INT32)),
        "Relu": (_unary("Relu"), (FLOAT, INT8, INT16, INT32)),
        "Sigmoid": (_unary("Sigmoid"), (FLOAT,)),
        "Softmax": (_unary("Softmax", axis=-1), (FLOAT,)),
        "LayerNormalization": (_normalised, (FLOAT,)),
        "ReduceSum": (_reduced("ReduceSum"), (FLOAT, INT32)),
        "ReduceMax": (_reduced("ReduceMax"), (FLOAT, INT8, INT32)),
        "Concat": (_joined, (FLOAT, INT8)),
        "Slice, Transpose": (_sliced, (FLOAT, INT8, INT32)),
        "Pad": (_padded, (FLOAT, INT32)),
        "Resize": (_resized, (FLOAT,)),
        "Gather": (_gathered, (FLOAT, INT8)),
        "ScatterElements": (_scattered, (FLOAT, INT32)),
        "TopK": (_best, (FLOAT,)),
    }
)
"""What is asked of a backend: the function that makes a model of an operator, and the types that it is asked for in."""
