"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: element-wise links between numbers and their words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import f32

from dialects.dtypes import NARROW_DTYPES
from dialects.element_types import element_type_of, numpy_dtype_of
from dialects.gconv import Reduce, Step
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.reduction import reduced
from passes.lower_onnx.requantization import (
    StepList,
    elementwise_constant,
    elementwise_link,
    is_narrow,
    is_zero,
    saturated,
    widened,
)
from passes.lower_onnx.tensor import Tensor


def _along_axis(node: Node, chain: Chain, values: Tensor, shape: Sequence[int]) -> Tensor:
    """Scales or zero points as they meet a tensor of `shape`: one for all, one an index of `axis`, or one a block."""
    rank = len(shape)
    if values.size == 1:
        return chain.reshape(values, (1,) * rank)
    axis = node.integer("axis", 1) % rank
    if values.rank <= 1:
        return chain.reshape(values, [values.size if a == axis else 1 for a in range(rank)])
    blocks, block = values.shape[axis], node.integer("block_size")
    repeated = values.insert(axis + 1)
    repeated = repeated.expand([block if a == axis + 1 else n for a, n in enumerate(repeated.shape)])
    flat = chain.reshape(repeated, [blocks * block if a == axis else n for a, n in enumerate(values.shape)])
    return flat.slice(axis, 0, shape[axis])


@constraint()
def known_block(node: Node) -> str | None:
    """blocks of `block_size` cover the axis"""
    scale = node.shape(1)
    if len(scale) <= 1 or math.prod(scale) == 1 or node.integer("block_size") > 0:
        return None
    return f"a scale of rank {len(scale)} and no block_size"


@lowering("DequantizeLinear", constraints=(known_block,))
def dequantize(node: Node, chain: Chain) -> Tensor:
    """one link: (x - zero point) * scale"""
    x, scale, zero = chain.input(node, 0), chain.input(node, 1), chain.optional_input(node, 2)
    dtype = numpy_dtype_of(x.element_type)
    steps = StepList(chain)
    wide = dtype.itemsize > 2 and dtype.name not in NARROW_DTYPES
    if zero is not None and not is_zero(chain, zero):
        zero = zero if not is_narrow(zero) else widened(chain, zero)
        steps.read("sub", _along_axis(node, chain, zero, x.shape))
    if wide:
        steps.plain("to_float32")
    steps.read("mul", _along_axis(node, chain, scale, x.shape))
    return elementwise_link(chain, x, steps, f32, dtype.name if wide else "float32")


@lowering("QuantizeLinear", constraints=(known_block,))
def quantize(node: Node, chain: Chain) -> Tensor:
    """one link: round(x / scale) + zero point, saturated; NaN becomes the smallest integer. Constants stay constants"""
    x, scale, zero = chain.input(node, 0), chain.input(node, 1), chain.optional_input(node, 2)
    steps = StepList(chain).read("div", _along_axis(node, chain, scale, x.shape))
    placed = None if zero is None or is_zero(chain, zero) else _along_axis(node, chain, zero, x.shape)
    saturated(steps, chain, placed, node.result_type(), bool(node.integer("saturate", 1)))
    of = chain, x, steps, node.result_type(), "float32"
    # Products of integers need to know their kernels.
    known = elementwise_constant(*of) if numpy_dtype_of(node.result_type()).name in ("int8", "uint8", "int16") else None
    return elementwise_link(*of) if known is None else known


@lowering("DynamicQuantizeLinear", results=3)
def dynamic_quantize(node: Node, chain: Chain) -> tuple[Tensor, ...]:
    """five links: largest and smallest value, scale, zero point, the quantized words"""
    x = chain.input(node, 0)
    x = x.with_rank(max(1, x.rank))
    axes = tuple(range(x.rank))
    high = reduced(chain, x, axes, Reduce.MAX, post=(Step("clip", (0.0, math.inf)),))
    low = reduced(chain, x, axes, Reduce.MIN, post=(Step("clip", (-math.inf, 0.0)),))
    # A tensor of zeros has no range: as in ONNX Runtime its scale is 1. So is one too small for a number.
    scale = binary(chain, "sub", high, low, (Step("over", (255.0,)), Step("nonzero_or", (1.0,))))
    byte = element_type_of(np.uint8)
    post = (Step("neg"), Step("clip", (0.0, 255.0)), Step("round"))
    zero = binary(chain, "div", low, scale, post, element_type=byte)
    steps = StepList(chain).read("div", scale)
    saturated(steps, chain, zero, byte)
    return elementwise_link(chain, x, steps, byte, "float32"), scale, zero


QUANTIZATION = (*quantize, *dequantize, *dynamic_quantize)
