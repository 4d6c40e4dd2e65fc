"""The notation of dataflows: nodes as in the text of a mapping, with expressions for tiles.

    for filters m*p*t, store glb [I, O] | par channels q on pe, store rf [K]

An expression is made of whole numbers, names, `+`, `-`, `*` and parentheses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.schedule import Operand
from passes.mapper.nest import Column

if TYPE_CHECKING:
    from lark import Lark

GRAMMAR = r"""
flow: nodes ("|" nodes?)?
nodes: node ("," node)*
?node: "for" NAME sum -> temporal
     | "par" NAME sum "on" NAME -> spatial
     | "store" NAME "[" OPERAND ("," OPERAND)* "]" -> store
?sum: product | sum "+" product -> plus | sum "-" product -> minus
?product: atom | product "*" atom -> times
?atom: NUMBER -> number | NAME -> name | "(" sum ")"
NUMBER: /[0-9]{1,9}(?![0-9])/
OPERAND.2: /[IKO](?![A-Za-z0-9_])/
NAME: /[A-Za-z_][A-Za-z0-9_]*/
%import common.WS
%ignore WS
"""

_HINTS = {
    "flow": "for PART TILE, par PART TILE on AXIS, store MEMORY [OPERANDS]",
    "sum": "whole numbers below 1e9, names, +, -, * and parentheses",
}


@dataclass(frozen=True)
class Expression:
    """A sum of products: for every product, its factor and the names in it."""

    terms: tuple[tuple[int, tuple[str, ...]], ...]

    def __call__(self, values: Mapping[str, Column | int]) -> Column | int:
        """The value where names have these; columns give a column."""
        total: Column | int = 0
        for factor, names in self.terms:
            product: Column | int = factor
            for name in names:
                product = product * values[name]
            total = total + product
        return total

    def column(self, values: Mapping[str, Column | int], count: int) -> Column:
        """The value as a column of some length."""
        return np.broadcast_to(np.asarray(self(values), np.int64), (count,))

    @property
    def names(self) -> frozenset[str]:
        """All names that occur."""
        return frozenset(name for _, names in self.terms for name in names)


@dataclass(frozen=True)
class OpenNode:
    """A node of a dataflow: a loop by its part, or a memory and its operands."""

    kind: str
    part: str = ""
    tile: Expression = Expression(((1, ()),))
    axis: str = ""
    memory: str = ""
    operands: tuple[Operand, ...] = ()


def parse_nodes(text: str, where: str) -> tuple[tuple[OpenNode, ...], tuple[OpenNode, ...]]:
    """The nodes left and right of the bar.

    Raises `CatenaError` (CAT-C003) saying where the text is wrong.
    """
    return _parse(text, "flow", where)


def parse_expression(text: str, where: str) -> Expression:
    """One expression; raises as `parse_nodes`."""
    return _parse(text, "sum", where)


def _parse(text: str, start: str, where: str) -> Any:
    from lark import UnexpectedInput

    parser: Any = _parser()
    try:
        return parser.parse(text, start=start)
    except UnexpectedInput as error:
        at = max(error.pos_in_stream or 0, 0)
        raise CatenaError(
            Diagnostic(
                "CAT-C003",
                f"{where}: cannot read this",
                "target",
                found=f"character {at + 1}: {text[at : at + 20].split(chr(10))[0] or 'the end'}",
                hint=_HINTS[start],
            )
        ) from error


@cache
def _parser() -> Lark:
    from lark import Lark, Token, Transformer

    class Builder(Transformer[Token, Any]):
        """Makes nodes and expressions while parsing."""

        def flow(self, children: list[tuple[OpenNode, ...]]) -> tuple[tuple[OpenNode, ...], ...]:
            return children[0], children[1] if len(children) > 1 else ()

        def nodes(self, children: list[OpenNode]) -> tuple[OpenNode, ...]:
            return tuple(children)

        def temporal(self, children: list[Any]) -> OpenNode:
            return OpenNode("for", str(children[0]), children[1])

        def spatial(self, children: list[Any]) -> OpenNode:
            return OpenNode("par", str(children[0]), children[1], axis=str(children[2]))

        def store(self, children: list[Token]) -> OpenNode:
            return OpenNode("store", memory=str(children[0]), operands=tuple(map(Operand, children[1:])))

        def number(self, children: list[Token]) -> Expression:
            return Expression(((int(children[0]), ()),))

        def name(self, children: list[Token]) -> Expression:
            return Expression(((1, (str(children[0]),)),))

        def plus(self, children: list[Expression]) -> Expression:
            return Expression((*children[0].terms, *children[1].terms))

        def minus(self, children: list[Expression]) -> Expression:
            return Expression((*children[0].terms, *((-factor, names) for factor, names in children[1].terms)))

        def times(self, children: list[Expression]) -> Expression:
            return Expression(
                tuple((a * b, (*left, *right)) for a, left in children[0].terms for b, right in children[1].terms)
            )

        def sum(self, children: list[Expression]) -> Expression:
            return children[0]

        product = atom = sum

    return Lark(GRAMMAR, start=["flow", "sum"], parser="lalr", transformer=Builder(), maybe_placeholders=False)
