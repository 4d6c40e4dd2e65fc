"""The networks of the kit: a few layers each, as those of real ones follow one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from compiler.backend_kit.models import ModelBuilder, SmallModel
from compiler.backend_kit.operators import FLOAT, INT8, dequantized, quantized

_SEED = 7


def _classifier(builder: ModelBuilder) -> str:
    """Convolution, pooling and a matrix product, as LeNet has them."""
    tensor = builder.input(FLOAT, (1, 3, 8, 8))
    for channels, filters in ((3, 4), (4, 6)):
        weights, bias = builder.weights(FLOAT, (filters, channels, 3, 3)), builder.weights(FLOAT, (filters,))
        tensor = builder.node("Relu", builder.node("Conv", tensor, weights, bias, pads=[1, 1, 1, 1]))
        tensor = builder.node("MaxPool", tensor, kernel_shape=[2, 2], strides=[2, 2])
    flat = builder.node("Flatten", tensor)
    scores = builder.node("Gemm", flat, builder.weights(FLOAT, (24, 5)), builder.weights(FLOAT, (5,)))
    return builder.node("Softmax", scores)


def _residual(builder: ModelBuilder) -> str:
    """An inverted residual block: pointwise, depthwise, pointwise, and a sum, as MobileNet-v2 has it."""
    given = builder.input(FLOAT, (1, 4, 5, 5))
    wide = builder.node("Clip", builder.node("Conv", given, builder.weights(FLOAT, (6, 4, 1, 1))), *_bounds(builder))
    depth = builder.node("Conv", wide, builder.weights(FLOAT, (6, 1, 3, 3)), group=6, pads=[1, 1, 1, 1])
    narrow = builder.node("Conv", builder.node("Clip", depth, *_bounds(builder)), builder.weights(FLOAT, (4, 6, 1, 1)))
    return builder.node("GlobalAveragePool", builder.node("Add", narrow, given))


def _bounds(builder: ModelBuilder) -> tuple[str, str]:
    return builder.constant(np.array(0, np.float32)), builder.constant(np.array(6, np.float32))


def _attention(builder: ModelBuilder) -> str:
    """One head of attention and what follows it, as transformers have it."""
    words = builder.input(FLOAT, (5, 8))
    query, key, value = (builder.node("MatMul", words, builder.weights(FLOAT, (8, 6))) for _ in range(3))
    scores = builder.node("Softmax", builder.node("MatMul", query, builder.node("Transpose", key, perm=[1, 0])))
    mixed = builder.node("MatMul", builder.node("MatMul", scores, value), builder.weights(FLOAT, (6, 8)))
    sums = builder.node("Add", mixed, words)
    return builder.node("LayerNormalization", sums, builder.weights(FLOAT, (8,)), builder.weights(FLOAT, (8,)))


def _quantized(builder: ModelBuilder) -> str:
    """Two convolutions of 8-bit integers and a sum, as quantizers write them."""
    given = builder.input(INT8, (1, 4, 6, 6))
    tensor = given
    for _ in range(2):
        weights = dequantized(builder, builder.weights(INT8, (4, 4, 3, 3)), INT8, 0.0625)
        made = builder.node("Conv", dequantized(builder, tensor, INT8, 0.25), weights, pads=[1, 1, 1, 1])
        tensor = quantized(builder, builder.node("Relu", made), INT8, 0.25)
    sums = builder.node("Add", dequantized(builder, tensor, INT8, 0.25), dequantized(builder, given, INT8, 0.25))
    return quantized(builder, sums, INT8, 0.5)


NETWORKS: Mapping[str, Callable[[ModelBuilder], str]] = MappingProxyType(
    {
        "classifier": _classifier,
        "inverted residual": _residual,
        "attention": _attention,
        "quantized convolutions": _quantized,
    }
)
"""Every network by name."""


def build_network(name: str) -> SmallModel:
    """The network and its inputs; always the same."""
    builder = ModelBuilder(name, _SEED)
    return builder.finished(NETWORKS[name](builder))
