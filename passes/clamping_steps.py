"""Steps that clamp: relu, clip and saturate (which keeps no NaN), merged and dropped where they have no effect."""

from __future__ import annotations

import math
from collections.abc import Sequence

from passes.linear_steps import Term

Interval = tuple[float, float]

_RANGES: dict[str, Interval] = {
    **dict.fromkeys(("relu", "abs", "square", "sqrt", "exp", "softplus"), (0.0, math.inf)),
    **dict.fromkeys(("sigmoid", "hard_sigmoid"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "erf", "softsign", "sin", "cos", "sign"), (-1.0, 1.0)),
    **dict.fromkeys(("not", "isnan", "isinf", "nonzero", "and", "or", "xor"), (0.0, 1.0)),
    **dict.fromkeys(("eq", "same", "lt", "le", "gt", "ge"), (0.0, 1.0)),
}  # fmt: skip
"""The values that functions return, NaN apart."""

_OF_NUMBERS = "saturate"
"""The clamp that makes NaN its lower bound."""

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
        is_number = bool(result) and result[-1].function == _OF_NUMBERS
        if bounds[0] <= low and bounds[1] >= high and (is_number or term.function != _OF_NUMBERS):
            continue
        joined = _joined(result[-1], term) if result else None
        if joined is not None:
            result[-1] = joined
        else:
            result.append(_clamp(bounds) if bounds == (0.0, math.inf) and term.function == "clip" else term)
    return result


def _bounds(term: Term) -> Interval | None:
    """What a clamping step clamps to."""
    if term.function == "relu":
        return 0.0, math.inf
    if term.function in ("clip", _OF_NUMBERS) and not any(math.isnan(bound) for bound in term.parameters):
        return term.parameters[0], term.parameters[1]
    return None


def _range(term: Term) -> Interval:
    bounds = _bounds(term)
    if bounds is not None:
        return min(bounds), bounds[1]
    return _RANGES.get(term.function, _EVERYTHING)


def _joined(first: Term, second: Term) -> Term | None:
    """One clamp for two: min(max(min(max(x, a), b), c), d) = min(max(x, max(a, c)), min(b, d)) if c <= b and a <= b.

    That NaN becomes the second one's lower bound has to be the joint one's as well.
    """
    before, after = _bounds(first), _bounds(second)
    if before is None or after is None or before[0] > before[1] or after[0] > before[1]:
        return None
    bounds = max(before[0], after[0]), min(before[1], after[1])
    if first.function == _OF_NUMBERS:
        return Term(_OF_NUMBERS, bounds)
    if second.function == _OF_NUMBERS:
        return Term(_OF_NUMBERS, bounds) if bounds[0] == after[0] else None
    return _clamp(bounds)


def _clamp(bounds: Interval) -> Term:
    return Term("relu") if bounds == (0.0, math.inf) else Term("clip", bounds)
