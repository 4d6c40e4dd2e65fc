"""The notation of dataflows: nodes as in the text of a mapping, with expressions for tiles.

    for filters m*p*t, store glb [I, O] | par channels q on pe, store rf [K]

An expression is made of whole numbers, names, `+`, `-`, `*` and parentheses. Names stand for whole numbers of at
least one. With each name written as one more than what it exceeds one by, the signs of an expression's coefficients say
between what its values lie, whatever the names are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import product
from math import comb, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.schedule import Operand
from dialects.toml_text import as_toml, in_text
from passes.mapper.nest import Column

_HINTS = {
    "flow": "for PART TILE, par PART TILE on AXIS, store MEMORY [OPERANDS], with a comma or one | between two of them",
    "sum": "whole numbers below 1e9, names, +, -, * and parentheses",
}
_EXPECTED = {"flow": "a statement: for, par or store", "sum": "an expression"}
_MOST_TERMS = 64
"""Products in a sum, multiplied out, at most."""
_MOST_NAMES = 12
"""Names in a product, at most."""
_LARGEST_FACTOR = 1 << 48
"""What numbers multiply to, at most: words of a memory."""
_EXACT = float(1 << 53)
"""Whole numbers below are exact as floats."""

Terms = tuple[tuple[int, tuple[str, ...]], ...]
Floats = npt.NDArray[np.float64]


def as_column(value: Column | int, count: int) -> Column:
    """A number, or a column of this length, as such a column."""
    column = np.asarray(value, np.int64)
    return column if column.shape == (count,) else np.broadcast_to(column, (count,))


@lru_cache(maxsize=4096)
def one_number(value: int) -> Column:
    """A column of a single number, not to be written to."""
    column = np.array([value], np.int64)
    column.flags.writeable = False
    return column


@dataclass(frozen=True)
class Expression:
    """A sum of products: for every product, its factor and the names in it."""

    terms: Terms

    def __call__(self, values: Mapping[str, Column | int]) -> Column | int:
        """The value where names have these; columns give a column."""
        total: Column | int | None = None
        for factor, names in self.terms:
            product: Column | int | None = None if factor == 1 and names else factor
            for name in names:
                product = values[name] if product is None else product * values[name]
            if product is not None:
                total = product if total is None else total + product
        return 0 if total is None else total

    def column(self, values: Mapping[str, Column | int], count: int) -> Column:
        """The value as a column of some length."""
        return as_column(self(values), count)

    def clipped(self, values: Mapping[str, Column | int], count: int) -> Column:
        """As `column`, but what is beyond 2^53 is that: for expressions whose values may be too large for words."""
        value, _ = self.bounds(values, {})
        return np.broadcast_to(np.clip(value, -_EXACT, _EXACT).astype(np.int64), (count,))

    def bounds(self, values: Mapping[str, Column | int], open_names: Mapping[str, int]) -> tuple[Floats, Floats]:
        """The least and the most that the value may be where names have these values, and others reach up to a number.

        Both are exact if no name is open, and up to 2^53.
        """
        coefficients: dict[tuple[tuple[str, int], ...], Floats] = {(): np.zeros(())}
        for factor, names in self.terms:
            fixed = np.asarray(float(factor))
            for name in names:
                if name not in open_names:
                    fixed = fixed * np.asarray(values[name], np.float64)
            for times, powers in _shifted([name for name in names if name in open_names]):
                coefficients[powers] = coefficients.get(powers, 0.0) + times * fixed
        least = most = coefficients.pop(())
        for powers, coefficient in coefficients.items():
            reach = coefficient * prod(float(open_names[name] - 1) ** power for name, power in powers)
            least, most = least + np.minimum(reach, 0.0), most + np.maximum(reach, 0.0)
        return least, most

    @cached_property
    def ever(self) -> tuple[int | None, int | None]:
        """The least and the most that it is whatever the names are; None where that is not known."""
        coefficients: dict[tuple[tuple[str, int], ...], int] = {(): 0}
        for factor, names in self.terms:
            for times, powers in _shifted(names):
                coefficients[powers] = coefficients.get(powers, 0) + times * factor
        at_ones = coefficients.pop(())
        grows, shrinks = (any(sign * each > 0 for each in coefficients.values()) for sign in (1, -1))
        return None if shrinks else at_ones, None if grows else at_ones

    @cached_property
    def at_ones(self) -> int:
        """The value where all names are one."""
        return sum(factor for factor, _ in self.terms)

    def is_wide(self, most: Mapping[str, int]) -> bool:
        """Whether values may be beyond 2^53 where names are at most these numbers."""
        return sum(abs(factor) * prod(float(most[name]) for name in names) for factor, names in self.terms) >= _EXACT

    @cached_property
    def names(self) -> frozenset[str]:
        """All names that occur."""
        return frozenset(name for _, names in self.terms for name in names)


def _shifted(names: Sequence[str]) -> Iterator[tuple[int, tuple[tuple[str, int], ...]]]:
    """A product of names, each one more than another, multiplied out: factors, and powers of those others."""
    times = sorted(Counter(names).items())
    for powers in product(*(range(power + 1) for _, power in times)):
        factor = prod(comb(power, taken) for (_, power), taken in zip(times, powers, strict=True))
        yield factor, tuple((name, taken) for (name, _), taken in zip(times, powers, strict=True) if taken)


@dataclass(frozen=True)
class OpenNode:
    """A node of a dataflow: a loop by its part, or a memory and its operands; `line` is that of its text, from 1."""

    kind: str
    part: str = ""
    tile: Expression = Expression(((1, ()),))
    axis: str = ""
    memory: str = ""
    operands: tuple[Operand, ...] = ()
    line: int = field(default=1, compare=False)


class _TooLarge(Exception):
    """An expression with more in it than anybody means."""


class _UnreadableError(Exception):
    """A text that goes on at a character as none does."""

    def __init__(self, at: int):
        super().__init__(at)
        self.at = at


def parse_nodes(text: str, where: str) -> tuple[tuple[OpenNode, ...], tuple[OpenNode, ...]]:
    """The nodes left and right of the bar.

    Raises `CatenaError` (CAT-C003) saying where the text is wrong.
    """
    return _parse(text, "flow", where)


def parse_expression(text: str, where: str) -> Expression:
    """One expression; raises as `parse_nodes`."""
    return _parse(text, "sum", where)


def _parse(text: str, start: str, where: str) -> Any:
    try:
        return _parsed(text, start)
    except _TooLarge as error:
        hint = f"at most {_MOST_TERMS} products of {_MOST_NAMES} names, with factors up to {_LARGEST_FACTOR}"
        message = f"{where}: an expression is too large"
        expected, hint = hint, "say it with fewer names and smaller numbers"
        raise CatenaError(
            Diagnostic("CAT-C003", message, "target", expected=expected, found=as_toml(text), hint=hint)
        ) from error
    except _UnreadableError as error:
        before, rest = text[: error.at].split("\n"), text[error.at :].split("\n")[0][:20]
        raise CatenaError(
            Diagnostic(
                "CAT-C003",
                f"{where}: cannot read this",
                "target",
                where=in_text(len(before)),
                expected=_EXPECTED[start],
                found=f"character {len(before[-1]) + 1}: {rest if rest.strip() else 'the end'}",
                hint=_HINTS[start],
            )
        ) from error


@lru_cache(maxsize=256)
def _parsed(text: str, start: str) -> Any:
    reader = _Reader(text)
    found = reader.flow() if start == "flow" else reader.sum()
    reader.need(_END)
    return found


_BLANK = re.compile(r"[ \t\f\r\n]*")
_NUMBER = re.compile(r"[0-9]{1,9}(?![0-9])")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WORD = re.compile(r"(?:for|par|store)(?![A-Za-z0-9_])")
_ON = re.compile(r"on(?![A-Za-z0-9_])")
_OPERAND = re.compile(r"[IKO](?![A-Za-z0-9_])")
_SIGN, _TIMES, _BEGIN, _CLOSE = (re.compile(each) for each in (r"[+-]", r"\*", r"\(", r"\)"))
_COMMA, _BAR, _FIRST, _LAST = (re.compile(each) for each in (",", r"\|", r"\[", r"\]"))
_END = re.compile(r"\Z")


@dataclass
class _Sum:
    """A sum that is being read: what there is before a sign, and the product after it."""

    total: Expression | None = None
    sign: str = "+"
    product: Expression | None = None

    def times(self, factor: Expression) -> None:
        self.product = factor if self.product is None else _product(self.product, factor)

    def end(self) -> Expression:
        """With the product, which ends."""
        assert self.product is not None
        terms = self.product.terms
        if self.total is not None:
            signed = terms if self.sign == "+" else tuple((-factor, names) for factor, names in terms)
            terms = _sum_of(*self.total.terms, *signed).terms
        self.total, self.product = Expression(terms), None
        return self.total


class _Reader:
    """Reads a text from its beginning. Raises `_UnreadableError` where it goes on in another way."""

    def __init__(self, text: str):
        self._text, self._at = text, 0

    def take(self, pattern: re.Pattern[str]) -> str | None:
        """What comes next, if it is that; None leaves it there."""
        match = pattern.match(self._text, self._next)
        if match is None:
            return None
        self._at = match.end()
        return match.group()

    def need(self, pattern: re.Pattern[str]) -> str:
        """What must come next."""
        found = self.take(pattern)
        if found is None:
            raise _UnreadableError(self._next if self._next < len(self._text) else self._at)
        return found

    @property
    def _next(self) -> int:
        """Where the next word begins."""
        match = _BLANK.match(self._text, self._at)
        return self._at if match is None else match.end()

    def flow(self) -> tuple[tuple[OpenNode, ...], tuple[OpenNode, ...]]:
        """Nodes with a bar between them, or after them, or without one."""
        left = self._nodes()
        has_more = self.take(_BAR) is not None and not self._is_end
        return left, self._nodes() if has_more else ()

    @property
    def _is_end(self) -> bool:
        return self._next == len(self._text)

    def _nodes(self) -> tuple[OpenNode, ...]:
        nodes = [self._node()]
        while self.take(_COMMA):
            nodes.append(self._node())
        return tuple(nodes)

    def _node(self) -> OpenNode:
        kind = self.need(_WORD)
        line = self._text.count("\n", 0, self._next) + 1
        name = self.need(_NAME)
        if kind == "store":
            return OpenNode(kind, memory=name, operands=self._operands(), line=line)
        tile = self.sum()
        axis = ""
        if kind == "par":
            self.need(_ON)
            axis = self.need(_NAME)
        return OpenNode(kind, name, tile, axis, line=line)

    def _operands(self) -> tuple[Operand, ...]:
        self.need(_FIRST)
        operands = [Operand(self.need(_OPERAND))]
        while self.take(_COMMA):
            operands.append(Operand(self.need(_OPERAND)))
        self.need(_LAST)
        return tuple(operands)

    def sum(self) -> Expression:
        """An expression, multiplied out; those in parentheses wait on a stack, however many there are."""
        within = [_Sum()]
        while True:
            while self.take(_BEGIN):
                within.append(_Sum())
            number = self.take(_NUMBER)
            within[-1].times(Expression(((1, (self.need(_NAME),)),) if number is None else ((int(number), ()),)))
            while True:
                if self.take(_TIMES):
                    break
                ended = within[-1].end()
                if sign := self.take(_SIGN):
                    within[-1].sign = sign
                    break
                if len(within) == 1:
                    return ended
                self.need(_CLOSE)
                within.pop()
                within[-1].times(ended)


def _product(one: Expression, another: Expression) -> Expression:
    if len(one.terms) * len(another.terms) > _MOST_TERMS:
        raise _TooLarge
    products = ((a * b, (*left, *right)) for a, left in one.terms for b, right in another.terms)
    return _sum_of(*products)


def _sum_of(*terms: tuple[int, tuple[str, ...]]) -> Expression:
    if len(terms) > _MOST_TERMS or any(len(names) > _MOST_NAMES or abs(n) > _LARGEST_FACTOR for n, names in terms):
        raise _TooLarge
    return Expression(terms)
