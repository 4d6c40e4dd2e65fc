"""TopK: every element's rank by comparing it with all others, then positions stored at their ranks."""

from __future__ import annotations

import math

import numpy as np
from xdsl.dialects.builtin import f32, i32
from xdsl.ir import Attribute

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Reduce, Step, View
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import constant_input
from passes.lower_onnx.gathering import elements_along
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

_COUNTING = {"float16": f32, "int8": i32, "int16": i32, "uint8": i32, "uint16": i32}
"""Types that cannot count far, and one for each that can and holds all their values."""


@constraint(hint="split the dimension")
def countable_axis(node: Node) -> str | None:
    """the sorted dimension has at most 2**24 positions, so that f32 counts them exactly"""
    extent = node.shape(0)[node.integer("axis", -1)]
    return None if extent <= 2**24 else f"extent {extent}"


@lowering("TopK", constraints=(constant_input(1, "K"), countable_axis), results=2)
def top_k(node: Node, chain: Chain) -> list[Tensor]:
    """six links: two padded copies, two that count the better elements on either side, positions stored by rank, a
    gather of the values; NaN counts as infinity"""
    x = chain.input(node, 0)
    axis = node.integer("axis", -1) % x.rank
    count = (node.constant_integers(1) or (1,))[0] if node.version >= 10 else node.integer("k")
    last = [*(a for a in range(x.rank) if a != axis), axis]
    rows = chain.reshape(x.permute(last), (math.prod(x.shape) // x.shape[axis], x.shape[axis]))
    if rows.shape[1] == 1:
        return [x, chain.constant(np.zeros(x.shape, np.int64))]
    ranks = _ranks(chain, rows, "gt" if node.integer("largest", 1) else "lt")
    size, n = rows.shape
    positions = chain.constant(np.arange(n, dtype=np.int64)).insert(0).expand(rows.shape)
    order = chain.scatter(positions, ranks, View((size, n, n), (n, 0, 1)), rows.shape).slice(1, 0, count)
    values = chain.gather(Tensor(rows.base, elements_along(rows.view, 1, order.shape)), order.insert(2))
    outer, back = [x.shape[a] for a in last[:-1]], [last.index(a) for a in range(x.rank)]
    return [chain.reshape(each, (*outer, count)).permute(back) for each in (values, order)]


def _ranks(chain: Chain, rows: Tensor, better: str) -> Tensor:
    """How many elements of its row come before each element when the better ones do, and of equals the first ones.

    For element i that is i, less the worse elements before it, plus the better ones after it: strict comparisons, so
    that what pads a row, best before it and worst after it, counts for nothing. Ranks have a last dimension of 1.
    Floats are compared as their negatives, with infinity in place of NaN: every element has a rank of its own.
    """
    dtype = numpy_dtype_of(rows.element_type)
    kind = _COUNTING.get(str(dtype), rows.element_type)
    steps = () if dtype.kind in "iu" else (Step("neg"), Step("saturate", (-math.inf, math.inf)))
    best = math.inf if better == "gt" else -math.inf
    before, after = ("lt", "gt") if (better == "gt") is not bool(steps) else ("gt", "lt")
    n = rows.shape[1]
    positions = chain.constant(np.arange(n, dtype=numpy_dtype_of(kind)).reshape(1, n, 1))
    low = chain.link(_copy(rows, n - 1, best, steps), rows, element_type=kind)
    at_least = _compared(chain, low, rows.shape, n - 1, before, Step("rsub", operand=0), positions, kind)
    high = chain.link(_copy(rows, 0, -best, steps), rows, element_type=kind)
    return _compared(chain, high, rows.shape, 0, after, Step("add", operand=0), at_least, i32)


def _copy(rows: Tensor, low: int, padding: float, steps: tuple[Step, ...]) -> GConv:
    """Rows of n elements padded to 2 n - 1, `low` words of them in front; `padding` goes through the steps as well."""
    size, n = rows.shape
    return GConv((Dim("R", opc=size), Dim("P", opc=2 * n - 1, pad=low)), post=steps, pad_value=padding)


def _compared(
    chain: Chain,
    padded: Tensor,
    shape: tuple[int, ...],
    low: int,
    function: str,
    post: Step,
    extra: Tensor,
    result: Attribute,
) -> Tensor:
    """How often function(other, element) holds for the n - 1 others on one side of an element; then `post`.

    With `low` = n - 1 words before a row in `padded` these are the others before it, with none those after it. The
    others of every element are an overlapping view of the padded row: no table of n x n words is stored.
    """
    size, n = shape
    row, step = padded.view.strides
    others = Tensor(padded.base, View((size, n, n - 1), (row, step, step), 0 if low else step))
    own = Tensor(padded.base, View((size, n, n - 1), (row, step, 0), low * step))
    dims = (Dim("R", g=size), Dim("P", g=n), Dim("B", ks=n - 1))
    return chain.link(GConv(dims, function, Reduce.ADD, post=(post,)), others, own, [extra], result)
