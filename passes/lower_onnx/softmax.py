"""Softmax and its relatives: never across the reductions, everything else in their steps."""

from __future__ import annotations

import math

import numpy as np

from dialects.gconv import Reduce, Step
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import floating
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.reduction import along, extreme_position, reduced, reduced_with
from passes.lower_onnx.tensor import Tensor


def softmax_axes(node: Node) -> tuple[int, ...]:
    """The dimensions that are normalised together: `axis`; before opset 13 `axis` (1) and all that follow."""
    rank = len(node.shape(0))
    if node.version >= 13:
        return (node.integer("axis", -1) % rank,)
    return tuple(range(node.integer("axis", 1) % rank, rank)) if rank else ()


def softmax_over(chain: Chain, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """exp(x - max) / sum over `axes`, in three links."""
    largest = reduced(chain, x, axes, Reduce.MAX)
    scale = reduced_with(chain, "sub", x, largest, axes, (Step("exp"),), (Step("reciprocal"),))
    return binary(chain, "sub", x, largest, (Step("exp"), Step("mul", operand=0)), [scale])


def log_softmax_over(chain: Chain, x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """x - max - log(sum of exp(x - max)) over `axes`, in three links."""
    largest = reduced(chain, x, axes, Reduce.MAX)
    total = reduced_with(chain, "sub", x, largest, axes, (Step("exp"),), (Step("log"),))
    return binary(chain, "sub", x, largest, (Step("sub", operand=0),), [total])


@lowering("Softmax", constraints=(floating(),))
def softmax(node: Node, chain: Chain) -> Tensor:
    """three links: maximum, reciprocal of the sum of exponentials, product"""
    return softmax_over(chain, chain.input(node, 0), softmax_axes(node))


@lowering("LogSoftmax", constraints=(floating(),))
def log_softmax(node: Node, chain: Chain) -> Tensor:
    """three links: maximum, logarithm of the sum of exponentials, difference"""
    return log_softmax_over(chain, chain.input(node, 0), softmax_axes(node))


@lowering("Hardmax", constraints=(floating(),))
def hardmax(node: Node, chain: Chain) -> Tensor:
    """four links: the maximum, where it occurs, the first such position, 1 there and 0 elsewhere; NaN is largest"""
    x, axes = chain.input(node, 0), softmax_axes(node)
    if len(axes) > 1:
        x = chain.reshape(x, (math.prod(x.shape[: axes[0]]), math.prod(x.shape[axes[0] :])))
    axis = axes[0] if len(axes) == 1 else 1
    first = extreme_position(chain, x, axis, Reduce.MAX, False, x.element_type)
    positions = np.arange(x.shape[axis]).astype(node.dtype(0))
    return binary(chain, "eq", first, chain.constant(along(x.rank, axis, positions)))


SOFTMAX = (*softmax, *log_softmax, *hardmax)
