"""Steps that clamp (relu, clip), merged with each other and dropped where they have no effect."""

from __future__ import annotations

import math
from collections.abc import Sequence

from passes.linear_steps import Term

Interval = tuple[float, float]

_RANGES: dict[str, Interval] = {
    **dict.fromkeys(("relu", "abs", "square", "sqrt", "exp", "softplus"), (0.0, math.inf)),
    **dict.fromkeys(("sigmoid", "hard_sigmoid"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "erf", "softsign", "sin", "cos", "sign"), (-1.0, 1.0)),
    **dict.fromkeys(("not", "isnan", "isinf", "nonzero", "eq", "lt", "le", "gt", "ge", "and", "or", "xor"), (0.0, 1.0)),
}  # fmt: skip
"""The values that functions return, NaN apart."""

_EVERYTHING = (-math.inf, math.inf)


def without_idle_clamps(terms: Sequence[Term]) -> list[Term]:
    """The same function with adjacent clamps merged, and without those that the step before makes idle."""
    result: list[Term] = []
    for term in terms:
        bounds = _bounds(term)
        if bounds is None:
            result.append(term)
            continue
        low, high = _range(result[-1]) if result else _EVERYTHING
        if bounds[0] <= low and bounds[1] >= high:
            continue
        before = _bounds(result[-1]) if result else None
        joined = None if before is None else _joined(before, bounds)
        if joined is not None:
            result[-1] = _clamp(joined)
        else:
            result.append(_clamp(bounds) if bounds == (0.0, math.inf) and term.function != "relu" else term)
    return result


def _bounds(term: Term) -> Interval | None:
    """What a clamping step clamps to."""
    if term.function == "relu":
        return 0.0, math.inf
    if term.function == "clip" and not any(math.isnan(bound) for bound in term.parameters):
        return term.parameters[0], term.parameters[1]
    return None


def _range(term: Term) -> Interval:
    bounds = _bounds(term)
    if bounds is not None:
        return min(bounds), bounds[1]
    return _RANGES.get(term.function, _EVERYTHING)


def _joined(first: Interval, second: Interval) -> Interval | None:
    """One clamp for two: min(max(min(max(x, a), b), c), d) = min(max(x, max(a, c)), min(b, d)) if c <= b and a <= b."""
    if first[0] > first[1] or second[0] > first[1]:
        return None
    return max(first[0], second[0]), min(first[1], second[1])


def _clamp(bounds: Interval) -> Term:
    return Term("relu") if bounds == (0.0, math.inf) else Term("clip", bounds)
