"""TopK: every element's rank by comparing it with all others of its part, then positions stored at their ranks."""

from __future__ import annotations

import math
from functools import cache

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
from passes.lower_onnx.padding import padded
from passes.lower_onnx.tensor import Tensor

_COUNTING = {"float16": f32, "int8": i32, "int16": i32, "uint8": i32, "uint16": i32}
"""Types that cannot count far, and one for each that can and holds all their values."""

_WORDS = 16
"""Words that a round of TopK moves for each element: copied twice at twice the length, stored, gathered."""
_ROUND = 10_000
"""Comparisons that are taken to cost as much as the seven layers of a round, beside what these do for each element."""


@constraint(hint="split the dimension")
def countable_axis(node: Node) -> str | None:
    """the sorted dimension has at most 2**24 positions, so that f32 counts them exactly"""
    extent = node.shape(0)[node.integer("axis", -1)]
    return None if extent <= 2**24 else f"extent {extent}"


@lowering("TopK", constraints=(constant_input(1, "K"), countable_axis), results=2)
def top_k(node: Node, chain: Chain) -> list[Tensor]:
    """six links: two padded copies, two that count the better elements on either side, positions stored by rank, a
    gather of the values; for few of many elements several rounds, the best of parts first; NaN counts as infinity"""
    x = chain.input(node, 0)
    axis = node.integer("axis", -1) % x.rank
    count = (node.constant_integers(1) or (1,))[0] if node.version >= 10 else node.integer("k")
    last = [*(a for a in range(x.rank) if a != axis), axis]
    rows = chain.reshape(x.permute(last), (math.prod(x.shape) // x.shape[axis], x.shape[axis]))
    if rows.shape[1] == 1:
        return [x, chain.constant(np.zeros(x.shape, np.int64))]
    best = _best_of(chain, rows, count, "gt" if node.integer("largest", 1) else "lt")
    outer, back = [x.shape[a] for a in last[:-1]], [last.index(a) for a in range(x.rank)]
    return [chain.reshape(each, (*outer, count)).permute(back) for each in best]


def _best_of(chain: Chain, rows: Tensor, count: int, better: str) -> list[Tensor]:
    """The `count` best elements of every row, and their positions in it, the first of equals first.

    In every round the candidates of a row are cut into as many parts as `rounds` says, and the best of each part are
    the candidates of the next one, in order: so the first of equals stay before the others.
    """
    size, n = rows.shape
    parts = rounds(size, n, count)
    missing = -n % parts[0]
    if missing:
        # What fills up the last part is worse than all, or as bad and behind it.
        rows = padded(chain, rows, [(0, 0), (0, missing)], -math.inf if better == "gt" else math.inf)
    values, places = rows, chain.constant(np.arange(n + missing, dtype=np.int64)).insert(0).expand(rows.shape)
    for number in parts:
        length = values.shape[1] // number
        ranks = _ranks(chain, chain.reshape(values, (size * number, length)), better)
        places = chain.scatter(
            chain.reshape(places, (size, number, length)),
            chain.reshape(ranks, (size, number, length, 1)),
            View((size, number, length, length), (number * length, length, 0, 1)),
            (size, number, length),
        )
        places = chain.reshape(places.slice(2, 0, count), (size, number * count))
        values = chain.gather(Tensor(rows.base, elements_along(rows.view, 1, places.shape)), places.insert(2))
    return [values, places]


def rounds(size: int, n: int, count: int) -> tuple[int, ...]:
    """Into how many parts rows are cut in every round of finding the best `count` of n elements; 1 in the last one.

    The cheapest numbers for `size` rows. Each divides the one before, so that parts stay whole.
    """

    @cache
    def cheapest(elements: int, before: int) -> tuple[int, tuple[int, ...]]:
        plans: list[tuple[int, tuple[int, ...]]] = [(_cost(size, elements), (1,))]
        for number in (shape << power for shape in (1, 3) for power in range(1, elements.bit_length())):
            if number * count < elements and before % number == 0:
                cost, later = cheapest(number * count, number)
                plans.append((_cost(size * number, -(-elements // number)) + cost, (number, *later)))
        return min(plans)

    return cheapest(n, 0)[1]


def _cost(size: int, n: int) -> int:
    """What one round costs on `size` rows of n elements, in comparisons."""
    return size * n * (2 * n + _WORDS) + _ROUND


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
