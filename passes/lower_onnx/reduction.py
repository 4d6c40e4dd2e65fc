"""Reductions over whole dimensions: `ks` loops without a kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute

from dialects.gconv import Dim, GConv, Reduce, Step
from dialects.gconv.scalar import Array
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain, dimension_names
from passes.lower_onnx.constraints import constant_input, floating
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

_NO_STEPS: tuple[Step, ...] = ()


def reduced(
    chain: Chain,
    x: Tensor,
    axes: Sequence[int],
    reduce: Reduce,
    pre: Sequence[Step] = _NO_STEPS,
    post: Sequence[Step] = _NO_STEPS,
) -> Tensor:
    """`x` reduced over `axes`, which stay with extent 1."""
    dims = tuple(
        Dim(name, ks=n) if axis in axes else Dim(name, opc=n)
        for axis, (name, n) in enumerate(zip(dimension_names(x.rank), x.shape, strict=True))
    )
    return chain.link(GConv(dims, reduce=reduce, pre=tuple(pre), post=tuple(post)), x)


def reduced_with(
    chain: Chain,
    function: str,
    x: Tensor,
    k: Tensor,
    axes: Sequence[int],
    mid: Sequence[Step],
    post: Sequence[Step] = _NO_STEPS,
    extras: Sequence[Tensor] = (),
) -> Tensor:
    """The sum over `axes` of mid(function(x, k)); `k` has extent 1 along `axes` and the extents of `x` elsewhere."""
    dims = tuple(
        Dim(name, ks=n) if axis in axes else Dim(name, g=n)
        for axis, (name, n) in enumerate(zip(dimension_names(x.rank), x.shape, strict=True))
    )
    spec = GConv(dims, function, Reduce.ADD, mid=tuple(mid), post=tuple(post))
    return chain.link(spec, x, k.expand(x.shape), extras)


def contracted(chain: Chain, x: Tensor, axis: int, matrix: Tensor, outputs: int) -> Tensor:
    """The product of a matrix (outputs, inputs) with `x` along `axis`."""
    inputs = x.shape[axis]
    dims = tuple(
        Dim(name, op=outputs, ks=inputs) if a == axis else Dim(name, opc=n)
        for a, (name, n) in enumerate(zip(dimension_names(x.rank), x.shape, strict=True))
    )
    shape = [outputs * inputs if a == axis else 1 for a in range(x.rank)]
    return chain.link(GConv(dims, "mul", Reduce.ADD), x, chain.reshape(matrix, shape))


def mean_step(x: Tensor, axes: Sequence[int], epsilon: float = 0.0) -> Step:
    """From the sum over `axes` to the mean, plus `epsilon`."""
    return Step("affine", (1 / math.prod(x.shape[axis] for axis in axes), epsilon))


def normalized(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from 0, in order."""
    return tuple(sorted({axis % rank for axis in axes}))


def _axes(node: Node) -> tuple[int, ...]:
    """The dimensions a Reduce node reduces: attribute `axes` or input 1; none given means all or none."""
    rank = len(node.shape(0))
    axes = node.integers_from("axes", 1, ())
    if not axes:
        axes = () if node.integer("noop_with_empty_axes") else tuple(range(rank))
    return normalized(axes, rank)


_REDUCTIONS: dict[str, tuple[Reduce, tuple[Step, ...], tuple[Step, ...]]] = {
    # operator -> reduction, steps before it, steps after it
    "ReduceSum": (Reduce.ADD, (), ()),
    "ReduceMax": (Reduce.MAX, (), ()),
    "ReduceMin": (Reduce.MIN, (), ()),
    "ReduceProd": (Reduce.MUL, (), ()),
    "ReduceL1": (Reduce.ADD, (Step("abs"),), ()),
    "ReduceL2": (Reduce.ADD, (Step("square"),), (Step("sqrt"),)),
    "ReduceSumSquare": (Reduce.ADD, (Step("square"),), ()),
    "ReduceLogSum": (Reduce.ADD, (), (Step("log"),)),
}


@lowering(*_REDUCTIONS, constraints=(constant_input(1, "axes"),))
def reduce_op(node: Node, chain: Chain) -> Tensor:
    """one link"""
    x = chain.input(node, 0)
    reduce, pre, post = _REDUCTIONS[node.op_type]
    return _over(chain, x, _axes(node), reduce, pre, post)


def _over(
    chain: Chain, x: Tensor, axes: tuple[int, ...], reduce: Reduce, pre: tuple[Step, ...], post: tuple[Step, ...]
) -> Tensor:
    if axes:
        return reduced(chain, x, axes, reduce, pre, post)
    return unary(chain, x, (*pre, *post)) if pre or post else x


@lowering("ReduceMean", constraints=(constant_input(1, "axes"), floating()))
def reduce_mean(node: Node, chain: Chain) -> Tensor:
    """one link"""
    x, axes = chain.input(node, 0), _axes(node)
    return _over(chain, x, axes, Reduce.ADD, (), (mean_step(x, axes),) if axes else ())


@lowering("ReduceLogSumExp", constraints=(constant_input(1, "axes"), floating()))
def reduce_log_sum_exp(node: Node, chain: Chain) -> Tensor:
    """two links: the maximum, then the logarithm of the sum of exponentials relative to it"""
    x, axes = chain.input(node, 0), _axes(node)
    if not axes:
        return x
    # A finite reference keeps rows of infinities free of inf - inf.
    limit = float(np.finfo(node.dtype(0)).max)
    largest = reduced(chain, x, axes, Reduce.MAX, post=(Step("clip", (-limit, limit)),))
    post = (Step("log"), Step("add", operand=0))
    return reduced_with(chain, "sub", x, largest, axes, (Step("exp"),), post, [largest])


@constraint(hint="split the dimension")
def countable_axis(node: Node) -> str | None:
    """the reduced dimension has at most 2**24 positions, so that f32 counts them exactly"""
    extent = node.shape(0)[node.integer("axis")]
    return None if extent <= 2**24 else f"extent {extent}"


@lowering("ArgMax", "ArgMin", constraints=(countable_axis,))
def arg_max(node: Node, chain: Chain) -> Tensor:
    """three links: the extreme value, where it occurs, and the first or last such position; NaN is most extreme"""
    x = chain.input(node, 0)
    axis = node.integer("axis") % x.rank
    reduce = Reduce.MAX if node.op_type == "ArgMax" else Reduce.MIN
    return extreme_position(chain, x, axis, reduce, bool(node.integer("select_last_index")), node.result_type())


def extreme_position(chain: Chain, x: Tensor, axis: int, reduce: Reduce, last: bool, element_type: Attribute) -> Tensor:
    """Where along `axis` (which stays with extent 1) the largest or smallest value is, the first or last time.

    NaN is both the largest and the smallest, as in NumPy, so that there always is such a position.
    """
    occurs = binary(chain, "same", x, reduced(chain, x, (axis,), reduce), element_type=f32)
    # The first position is found as the largest distance from the end.
    n = x.shape[axis]
    positions = np.arange(n) if last else n - np.arange(n)
    kernel = chain.constant(along(x.rank, axis, positions.astype(np.float32)))
    dims = tuple(
        Dim(name, ks=extent) if a == axis else Dim(name, opc=extent)
        for a, (name, extent) in enumerate(zip(dimension_names(x.rank), x.shape, strict=True))
    )
    post = () if last else (Step("affine", (-1.0, float(n))),)
    return chain.link(GConv(dims, "mul", Reduce.MAX, post=post), occurs, kernel, element_type=element_type)


def along(rank: int, axis: int, values: Array) -> Array:
    """A vector as an array of `rank` dimensions that lies along `axis`."""
    return values.reshape([-1 if a == axis else 1 for a in range(rank)])


@lowering("CumSum", "CumProd", constraints=(constant_input(1, "axis"),))
def cumulative(node: Node, chain: Chain) -> Tensor:
    """one link whose window reaches over the whole dimension"""
    x = chain.input(node, 0)
    axis = (node.constant_integers(1) or (0,))[0] % x.rank
    n = x.shape[axis]
    exclusive = node.integer("exclusive")
    pad = -exclusive if node.integer("reverse") else n - 1 + exclusive
    dims = tuple(
        Dim(name, opc=n, ks=n, pad=pad) if a == axis else Dim(name, opc=extent)
        for a, (name, extent) in enumerate(zip(dimension_names(x.rank), x.shape, strict=True))
    )
    return chain.link(GConv(dims, reduce=Reduce.ADD if node.op_type == "CumSum" else Reduce.MUL), x)


REDUCTION = (*reduce_op, *reduce_mean, *reduce_log_sum_exp, *arg_max, *cumulative)
