"""Normalisations: statistics are reductions, the rest is steps after them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain, dimension_names
from passes.lower_onnx.constraints import floating
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.pooling import norm_steps
from passes.lower_onnx.reduction import mean_step, normalized, reduced, reduced_with
from passes.lower_onnx.tensor import Tensor


@constraint(hint="export the model for inference")
def inference_mode(node: Node) -> str | None:
    """`training_mode` is 0"""
    mode = node.integer("training_mode")
    return None if mode == 0 else f"training_mode = {mode}"


@constraint()
def spatial_statistics(node: Node) -> str | None:
    """`spatial` is 1: the statistics are per channel"""
    spatial = node.integer("spatial", 1)
    return None if spatial == 1 else f"spatial = {spatial}"


def per_channel(chain: Chain, values: Tensor, rank: int) -> Tensor:
    """One value a channel as an operand of a link over (N, C, ...)."""
    return chain.reshape(values, (1, values.size, *(1 for _ in range(rank - 2))))


@lowering("BatchNormalization", constraints=(inference_mode, spatial_statistics, floating()))
def batch_normalization(node: Node, chain: Chain) -> Tensor:
    """one link, x * factor + offset per channel; two when the statistics are no constants"""
    x = chain.input(node, 0)
    epsilon = node.number("epsilon", 1e-5)
    constants = [node.constant(index) for index in range(1, 5)]
    scale, bias, mean, variance = (None if c is None else c.astype(np.float64) for c in constants)
    if scale is None or bias is None or mean is None or variance is None:
        return _batch_normalization_at_run_time(node, chain, x, epsilon)
    factor = scale / np.sqrt(variance + epsilon)
    offset = bias - mean * factor
    factors, offsets = (chain.constant(values.astype(node.dtype(0))) for values in (factor, offset))
    offsets = per_channel(chain, offsets, x.rank)
    return binary(chain, "mul", x, per_channel(chain, factors, x.rank), (Step("add", operand=0),), [offsets])


def _batch_normalization_at_run_time(node: Node, chain: Chain, x: Tensor, epsilon: float) -> Tensor:
    scale, bias, mean, variance = (per_channel(chain, chain.input(node, index), x.rank) for index in range(1, 5))
    dims = tuple(Dim(name, g=n) for name, n in zip(dimension_names(x.rank), scale.shape, strict=True))
    pre = (Step("affine", (1.0, epsilon)), Step("rsqrt"))
    factor = chain.link(GConv(dims, "mul", pre=pre), variance, scale)
    return binary(chain, "sub", x, mean, (Step("mul", operand=0), Step("add", operand=1)), [factor, bias])


def standardized(
    chain: Chain,
    x: Tensor,
    axes: tuple[int, ...],
    after_variance: tuple[Step, ...],
    scale: Tensor | None = None,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """(x - mean) * inverse * scale + bias, with the mean and the inverse deviation over `axes`, in three links.

    `after_variance` are the steps from the mean square of x - mean to the inverse deviation.
    """
    mean = reduced(chain, x, axes, Reduce.ADD, post=(mean_step(x, axes),))
    post = (mean_step(x, axes), *after_variance)
    inverse = reduced_with(chain, "sub", x, mean, axes, (Step("square"),), post)
    steps, extras = [Step("mul", operand=0)], [inverse]
    for function, operand in (("mul", scale), ("add", bias)):
        if operand is not None:
            steps.append(Step(function, operand=len(extras)))
            extras.append(operand)
    return binary(chain, "sub", x, mean, steps, extras), mean, inverse


def _inverse_deviation(epsilon: float) -> tuple[Step, ...]:
    return (Step("affine", (1.0, epsilon)), Step("rsqrt"))


@lowering("InstanceNormalization", constraints=(floating(),))
def instance_normalization(node: Node, chain: Chain) -> Tensor:
    """three links: mean, inverse deviation, the scaled difference"""
    x = chain.input(node, 0)
    scale, bias = (per_channel(chain, chain.input(node, index), x.rank) for index in (1, 2))
    steps = _inverse_deviation(node.number("epsilon", 1e-5))
    return standardized(chain, x, tuple(range(2, x.rank)), steps, scale, bias)[0]


@lowering("LayerNormalization", constraints=(floating(),), results=3)
def layer_normalization(node: Node, chain: Chain) -> tuple[Tensor, ...]:
    """three links: mean, inverse deviation, the scaled difference"""
    x = chain.input(node, 0)
    axes = tuple(range(node.integer("axis", -1) % x.rank, x.rank))
    steps = _inverse_deviation(node.number("epsilon", 1e-5))
    return standardized(chain, x, axes, steps, chain.input(node, 1), chain.optional_input(node, 2))


@lowering("GroupNormalization", constraints=(floating(),))
def group_normalization(node: Node, chain: Chain) -> Tensor:
    """three links over (N, group, channel of the group, ...): mean, inverse deviation, the scaled difference"""
    x = chain.input(node, 0)
    groups = node.integer("num_groups")
    split = chain.reshape(x, (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]))
    rest = [1] * (x.rank - 2)
    # One value a group before opset 21, one a channel since.
    scale, bias = (
        chain.reshape(operand, (1, groups, operand.size // groups, *rest))
        for operand in (chain.input(node, 1), chain.input(node, 2))
    )
    steps = _inverse_deviation(node.number("epsilon", 1e-5))
    return standardized(chain, split, tuple(range(2, split.rank)), steps, scale, bias)[0]


@lowering("RMSNormalization", constraints=(floating(),))
def rms_normalization(node: Node, chain: Chain) -> Tensor:
    """two links: the inverse root of the mean square, the scaled product"""
    x, scale = chain.input(node, 0), chain.input(node, 1)
    axes = tuple(range(node.integer("axis", -1) % x.rank, x.rank))
    post = (mean_step(x, axes, node.number("epsilon", 1e-5)), Step("rsqrt"))
    inverse = reduced(chain, x, axes, Reduce.ADD, (Step("square"),), post)
    return binary(chain, "mul", x, inverse, (Step("mul", operand=0),), [scale])


@lowering("MeanVarianceNormalization", constraints=(floating(),))
def mean_variance_normalization(node: Node, chain: Chain) -> Tensor:
    """three links: mean, inverse deviation, the scaled difference"""
    x = chain.input(node, 0)
    axes = normalized(node.integers("axes", (0, 2, 3)), x.rank)
    steps = (Step("sqrt"), Step("affine", (1.0, 1e-9)), Step("reciprocal"))
    return standardized(chain, x, axes, steps)[0]


@lowering("LpNormalization", constraints=(floating(),))
def lp_normalization(node: Node, chain: Chain) -> Tensor:
    """two links: the norm, the quotient; a vector of zeros stays one"""
    x = chain.input(node, 0)
    pre, post = norm_steps(node.integer("p", 2))
    smallest = float(np.finfo(node.dtype(0)).tiny)
    axis = node.integer("axis", -1) % x.rank
    norm = reduced(chain, x, (axis,), Reduce.ADD, pre, (*post, Step("clip", (smallest, math.inf))))
    return binary(chain, "div", x, norm)


@lowering("LRN", constraints=(floating(),))
def local_response_normalization(node: Node, chain: Chain) -> Tensor:
    """two links: (bias + alpha / size * sum of squares) ** -beta over a window of channels, the product"""
    x = chain.input(node, 0)
    size = node.integer("size")
    dims = [Dim(name, opc=n) for name, n in zip(dimension_names(x.rank), x.shape, strict=True)]
    dims[1] = replace(dims[1], ks=size, pad=(size - 1) // 2)
    post = (
        Step("affine", (node.number("alpha", 1e-4) / size, node.number("bias", 1.0))),
        Step("power", (-node.number("beta", 0.75),)),
    )
    factor = chain.link(GConv(tuple(dims), reduce=Reduce.ADD, pre=(Step("square"),), post=post), x)
    return binary(chain, "mul", x, factor)


NORMALIZATION = (
    *batch_normalization,
    *instance_normalization,
    *layer_normalization,
    *group_normalization,
    *rms_normalization,
    *mean_variance_normalization,
    *lp_normalization,
    *local_response_normalization,
)
