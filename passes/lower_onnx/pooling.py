"""Pools: windows that are reduced without a kernel."""

from __future__ import annotations

import math

import numpy as np

from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.chain import Chain, dimension_names
from passes.lower_onnx.constraints import floating, table_within_limit
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.pool_indices import indices_of_maxima
from passes.lower_onnx.tensor import Tensor
from passes.lower_onnx.windows import AUTO_PAD, Window, spatial_rank, windows_of


def _windows(node: Node) -> list[Window]:
    return windows_of(node, node.integers("kernel_shape"), node.shape(0)[2:], node.result_shape()[2:])


def _pool(chain: Chain, x: Tensor, windows: list[Window], spec: GConv, extras: tuple[Tensor, ...] = ()) -> Tensor:
    """`spec` without dimensions, over the windows of every image and channel."""
    dims = (Dim("N", opc=x.shape[0]), Dim("C", opc=x.shape[1]), *(window.dim for window in windows))
    return chain.link(GConv(dims, spec.main, spec.reduce, spec.pre, spec.mid, spec.post), x, None, extras)


@lowering("MaxPool", constraints=(spatial_rank, AUTO_PAD), results=2)
def max_pool(node: Node, chain: Chain) -> list[Tensor]:
    """one link; three to six with the indices: the maxima, where they are, the first such place; NaN is largest"""
    x, windows = chain.input(node, 0), _windows(node)
    maxima = _pool(chain, x, windows, GConv((), reduce=Reduce.MAX))
    if len(node.results) == 1:
        return [maxima]
    return [maxima, indices_of_maxima(chain, x, maxima, windows, node)]


def _map_words(node: Node) -> int:
    """Words of the map of how many words windows hold, or of what it is made of along a dimension."""
    outputs = node.result_shape()[2:]
    pairs = zip(outputs, node.integers("kernel_shape"), strict=False)
    return max(math.prod(outputs), *(output * kernel for output, kernel in pairs))


@lowering(
    "AveragePool",
    constraints=(
        spatial_rank,
        AUTO_PAD,
        floating(),
        table_within_limit("the map of how many words its windows hold", _map_words),
    ),
)
def average_pool(node: Node, chain: Chain) -> Tensor:
    """one link; where windows hold different numbers of words, a post step multiplies by a constant map"""
    x, windows = chain.input(node, 0), _windows(node)
    shares = [1 / _words_inside(window, bool(node.integer("count_include_pad"))) for window in windows]
    if all((share == share[0]).all() for share in shares):
        scale = math.prod(float(share[0]) for share in shares)
        return _pool(chain, x, windows, GConv((), reduce=Reduce.ADD, post=(Step("affine", (scale, 0.0)),)))
    grid = math.prod(np.ix_(*shares), start=np.ones(()))
    factors = chain.constant(grid[np.newaxis, np.newaxis].astype(node.dtype(0)))
    return _pool(chain, x, windows, GConv((), reduce=Reduce.ADD, post=(Step("mul", operand=0),)), (factors,))


def _words_inside(window: Window, with_padding: bool) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """For every output position, how many words of its window count (at least one)."""
    starts = np.arange(window.output) * window.stride - window.low
    positions = starts[:, np.newaxis] + np.arange(window.kernel) * window.dilation
    low, high = (-window.low, window.input + window.high) if with_padding else (0, window.input)
    inside = ((positions >= low) & (positions < high)).sum(axis=1)
    return np.maximum(inside, 1).astype(np.float64)


@constraint()
def positive_order(node: Node) -> str | None:
    """`p` is at least 1"""
    order = node.integer("p", 2)
    return None if order >= 1 else f"p = {order}"


def norm_steps(order: int) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """What an Lp norm does before and after the sum."""
    match order:
        case 1:
            return (Step("abs"),), ()
        case 2:
            return (Step("square"),), (Step("sqrt"),)
        case _:
            return (Step("abs"), Step("power", (float(order),))), (Step("power", (1 / order,)),)


@lowering("LpPool", constraints=(spatial_rank, AUTO_PAD, positive_order, floating()))
def lp_pool(node: Node, chain: Chain) -> Tensor:
    """one link"""
    pre, post = norm_steps(node.integer("p", 2))
    return _pool(chain, chain.input(node, 0), _windows(node), GConv((), reduce=Reduce.ADD, pre=pre, post=post))


def _global(chain: Chain, x: Tensor, spec: GConv) -> Tensor:
    """`spec` without dimensions, over all words of every image and channel."""
    dims = tuple(
        Dim(name, opc=n) if axis < 2 else Dim(name, ks=n)
        for axis, (name, n) in enumerate(zip(dimension_names(x.rank), x.shape, strict=True))
    )
    return chain.link(GConv(dims, spec.main, spec.reduce, spec.pre, spec.mid, spec.post), x)


@lowering("GlobalAveragePool", constraints=(floating(),))
def global_average_pool(node: Node, chain: Chain) -> Tensor:
    """one link"""
    x = chain.input(node, 0)
    mean = Step("affine", (1 / math.prod(x.shape[2:]), 0.0))
    return _global(chain, x, GConv((), reduce=Reduce.ADD, post=(mean,)))


@lowering("GlobalMaxPool")
def global_max_pool(node: Node, chain: Chain) -> Tensor:
    """one link"""
    return _global(chain, chain.input(node, 0), GConv((), reduce=Reduce.MAX))


@lowering("GlobalLpPool", constraints=(positive_order, floating()))
def global_lp_pool(node: Node, chain: Chain) -> Tensor:
    """one link"""
    pre, post = norm_steps(node.integer("p", 2))
    return _global(chain, chain.input(node, 0), GConv((), reduce=Reduce.ADD, pre=pre, post=post))


POOLING = (
    *max_pool,
    *average_pool,
    *lp_pool,
    *global_average_pool,
    *global_max_pool,
    *global_lp_pool,
)
