"""Steps of a link with constant operands as multiplications and additions, merged and written out again.

All numbers are float64 until a pass stores them, so that merging two steps rounds once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from dialects.gconv import Step
from dialects.gconv.scalar import Array
from passes.chain_views import constant_words

Operand = SSAValue | Array | None
"""What a step reads besides the flowing value: a tensor, a constant still without an op, or nothing."""


@dataclass(frozen=True, eq=False)
class Term:
    """One step and its operand."""

    function: str
    parameters: tuple[float, ...] = ()
    operand: Operand = None

    def words(self) -> Array | None:
        """The operand's words if it is a constant, else None."""
        return constant_words(self.operand) if isinstance(self.operand, SSAValue) else self.operand


@dataclass(frozen=True, eq=False)
class Linear:
    """x * scale + offset; each an array of rank 0, or one that broadcasts to the link's result.

    `exact` is false when a rounded reciprocal stands for a division. `origin` are the terms it was made from.
    """

    scale: Array
    offset: Array
    exact: bool
    origin: tuple[Term, ...]

    def then(self, other: Linear) -> Linear | None:
        """Both, one after the other; None if an array would grow beyond those there are."""
        scale = self.scale * other.scale
        offset = self.offset * other.scale + other.offset
        largest = max(part.size for part in (self.scale, self.offset, other.scale, other.offset))
        if max(scale.size, offset.size) > largest or not (np.isfinite(scale).all() and np.isfinite(offset).all()):
            return None
        return Linear(_lean(scale), _lean(offset), self.exact and other.exact, (*self.origin, *other.origin))

    def terms(self) -> list[Term]:
        """The fewest steps that compute this: the origin itself unless there are shorter or plainer ones."""
        fresh = _written(self.scale, self.offset)
        plainer = self.exact and any(term.function in ("sub", "div") for term in self.origin)
        if len(fresh) < len(self.origin) or (len(fresh) == len(self.origin) and plainer):
            return fresh
        return list(self.origin)


def offset_only(offset: Array) -> Linear:
    """The addition of a constant."""
    return Linear(np.array(1.0), _lean(offset), True, tuple(_written(np.array(1.0), _lean(offset))))


def linear(term: Term) -> Linear | None:
    """A step as a multiplication and an addition, if it is one with finite constants."""
    zero, one = np.array(0.0), np.array(1.0)
    if term.function == "affine":
        scale, offset = (np.array(parameter) for parameter in term.parameters)
        return _checked(scale, offset, True, term)
    if term.function == "neg":
        return Linear(-one, zero, True, (term,))
    if term.function == "over":
        divisor = np.array(term.parameters[0])
        return _checked(reciprocal(divisor), zero, has_exact_reciprocal(divisor), term)
    if term.function not in ("add", "sub", "rsub", "mul", "div"):
        return None
    words = term.words()
    if words is None:
        return None
    words = _lean(words.astype(np.float64))
    match term.function:
        case "add":
            return _checked(one, words, True, term)
        case "sub":
            return _checked(one, -words, True, term)
        case "rsub":
            return _checked(-one, words, True, term)
        case "mul":
            return _checked(words, zero, True, term)
        case _:
            return _checked(reciprocal(words), zero, has_exact_reciprocal(words), term)


def reciprocal(words: Array) -> Array:
    """1 / words, infinite where they are zero."""
    with np.errstate(divide="ignore"):
        return np.reciprocal(words)


def has_exact_reciprocal(words: Array) -> bool:
    """Whether multiplying by 1 / words is dividing by them to the last bit: all are powers of two."""
    return bool((np.abs(np.frexp(words)[0]) == 0.5).all())


def merged(terms: Sequence[Term]) -> list[Term]:
    """The same function with adjacent multiplications and additions of constants merged.

    Divisions are merged only when their reciprocals are exact.
    """
    result: list[Term] = []
    pending: Linear | None = None
    for term in terms:
        current = linear(term)
        if current is not None and not current.exact:
            current = None
        joined = pending.then(current) if pending is not None and current is not None else None
        if joined is not None:
            pending = joined
            continue
        result += pending.terms() if pending is not None else []
        pending = current
        if current is None:
            result.append(term)
    return result + (pending.terms() if pending is not None else [])


def unary_terms(steps: Iterable[Step]) -> list[Term]:
    """Steps of pre or mid as terms."""
    return [Term(step.function, step.parameters) for step in steps]


def _checked(scale: Array, offset: Array, exact: bool, term: Term) -> Linear | None:
    if not (np.isfinite(scale).all() and np.isfinite(offset).all()):
        return None
    return Linear(scale, offset, exact, (term,))


def _lean(words: Array) -> Array:
    """One number where all words are the same."""
    return words.reshape(-1)[0].reshape(()) if words.size and (words == words.reshape(-1)[0]).all() else words


def _written(scale: Array, offset: Array) -> list[Term]:
    if scale.ndim == offset.ndim == 0:
        return [] if (scale, offset) == (1, 0) else [Term("affine", (float(scale), float(offset)))]
    terms: list[Term] = []
    if scale.ndim:
        terms.append(Term("mul", operand=scale))
    elif scale != 1:
        terms.append(Term("affine", (float(scale), 0.0)))
    if offset.ndim:
        terms.append(Term("add", operand=offset))
    elif offset != 0:
        terms.append(Term("affine", (1.0, float(offset))))
    return terms
