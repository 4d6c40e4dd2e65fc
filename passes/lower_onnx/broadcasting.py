"""Element-wise links: one function on one tensor, or on two that broadcast to each other.

Along each dimension two operands of equal extent share a `g` loop; where the kernel is repeated the loop is `opc`,
where the input is repeated it is `op`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from xdsl.ir import Attribute

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Step
from passes.elementwise import SWAPPED
from passes.lower_onnx.chain import Chain, dimension_names
from passes.lower_onnx.tensor import Tensor


def unary(
    chain: Chain,
    x: Tensor,
    steps: Sequence[Step],
    element_type: Attribute | None = None,
    extras: Sequence[Tensor] = (),
) -> Tensor:
    """`steps` applied to every element; `extras` are what they read and broadcast to `x`."""
    x = x.with_rank(max(1, x.rank))
    dims = tuple(Dim(name, opc=n) for name, n in zip(dimension_names(x.rank), x.shape, strict=True))
    extras = [extra.with_rank(x.rank).compact(range(x.rank)) for extra in extras]
    return chain.link(GConv(dims, post=tuple(steps)), x, None, extras, element_type)


def binary(
    chain: Chain,
    function: str,
    x: Tensor,
    k: Tensor,
    post: Sequence[Step] = (),
    extras: Sequence[Tensor] = (),
    element_type: Attribute | None = None,
) -> Tensor:
    """function(x, k) by NumPy's broadcasting rules, then `post`; `x` is the link's input, `k` its kernel.

    `extras` are what the steps of `post` read; they broadcast to the result.
    """
    shape = np.broadcast_shapes(x.shape, k.shape)
    rank = max(1, len(shape))
    x, k = x.with_rank(rank), k.with_rank(rank)
    k = k.compact(range(rank))
    if len(shape) == rank:
        # Where the kernel only repeats words, the input does so in its place.
        x = x.expand([n if m == 1 else o for n, m, o in zip(shape, k.shape, x.shape, strict=True)])
    x = x.compact([axis for axis in range(rank) if k.shape[axis] != 1])
    names = dimension_names(rank)
    dims = tuple(_dim(name, n, m) for name, n, m in zip(names, x.shape, k.shape, strict=True))
    spec = GConv(dims, function, post=tuple(post))
    extras = [extra.with_rank(rank) for extra in extras]
    return chain.link(spec, x, k, [extra.compact(range(rank)) for extra in extras], element_type)


def chosen(chain: Chain, condition: Tensor, first: Tensor, second: Tensor, shape: Sequence[int]) -> Tensor:
    """`first` where the condition is not 0, else `second`, in the shape that all broadcast to: two links."""
    rejected = binary(chain, "drop", second.expand(shape), condition)
    return binary(chain, "keep", first.expand(shape), condition, (Step("add", operand=0),), [rejected])


def _dim(name: str, input_extent: int, kernel_extent: int) -> Dim:
    if kernel_extent == 1:
        return Dim(name, opc=input_extent)
    if input_extent == 1:
        return Dim(name, op=kernel_extent)
    return Dim(name, g=input_extent)


def pointwise(
    chain: Chain,
    function: str,
    a: Tensor,
    b: Tensor,
    post: Sequence[Step] = (),
    element_type: Attribute | None = None,
) -> Tensor:
    """function(a, b), with the better of the two as kernel: a constant, else the smaller one.

    A constant scalar becomes a parameter of a unary function where the result is the same to the last bit.
    """
    function, x, k = _assigned(chain, function, a, b)
    shape = np.broadcast_shapes(x.shape, k.shape)
    constant = chain.constant_of(k) if k.size == 1 and math.prod(shape) == x.size else None
    if constant is not None and numpy_dtype_of(x.element_type).kind == "f":
        steps = _with_scalar(function, float(constant.reshape(-1)[0]))
        if steps is not None:
            return unary(chain, x, (*steps, *post), element_type)
    return binary(chain, function, x, k, post, element_type=element_type)


def _assigned(chain: Chain, function: str, a: Tensor, b: Tensor) -> tuple[str, Tensor, Tensor]:
    """The function, its input and its kernel."""
    swapped = SWAPPED.get(function)
    if swapped is None:
        return function, a, b
    rank = (chain.constant_of(a) is not None, -a.size)
    if rank > (chain.constant_of(b) is not None, -b.size):
        return swapped, b, a
    return function, a, b


def _with_scalar(function: str, value: float) -> tuple[Step, ...] | None:
    """A binary function with a constant kernel as unary steps, None if there are none that round the same."""
    match function:
        case "add":
            return (Step("affine", (1.0, value)),)
        case "sub":
            return (Step("affine", (1.0, -value)),)
        case "rsub":
            return (Step("affine", (-1.0, value)),)
        case "mul":
            return (Step("affine", (value, 0.0)),)
        case "div" if value != 0 and math.isfinite(value) and abs(math.frexp(value)[0]) == 0.5:
            return (Step("affine", (1 / value, 0.0)),)
        case "div" if value != 0 and math.isfinite(value):
            return (Step("over", (value,)),)
        case "rdiv" if value == 1:
            return (Step("reciprocal"),)
        case "pow":
            return ({0.5: Step("sqrt"), 2.0: Step("square"), -1.0: Step("reciprocal")}.get(value)
                    or Step("power", (value,)),)  # fmt: skip
        case "max" if not math.isnan(value):
            return (Step("clip", (value, math.inf)),)
        case "min" if not math.isnan(value):
            return (Step("clip", (-math.inf, value)),)
        case _:
            return None
