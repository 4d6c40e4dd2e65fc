"""Runs of links of a chain that may be fused, as networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue

from dialects.diagnostics import CatenaError
from dialects.gconv import LinkOp, ViewOp
from dialects.weights import ConstantOp
from passes.fusion.from_ir import group_of_links
from passes.fusion.names import chain_names
from passes.fusion.network import Network, Row

LINKS_BY_LENGTH = 70
"""Links of a run times links of its longest group, at most: a search's effort grows with both."""
LENGTHS = 3, 6
"""Links of the longest groups: so many at least, though a run has more links than go with them, and at most."""


def longest_group(count: int) -> int:
    """How many links groups may have in a run of so many: more in short runs, for they are searched soon."""
    least, most = LENGTHS
    return max(least, min(most, LINKS_BY_LENGTH // count))


def fusible_runs(function: FuncOp) -> Iterator[list[LinkOp]]:
    """Links without mappings in a row, with nothing but views and constants between them; each may be in a group."""
    known = chain_names(function)
    ops = [op for op in function.body.block.ops if not isinstance(op, ViewOp | ConstantOp)]
    for free, run in groupby(ops, lambda op: isinstance(op, LinkOp) and op.mapping is None and _is_plain(op, known)):
        if free:
            yield [op for op in run if isinstance(op, LinkOp)]


def _is_plain(link: LinkOp, known: Mapping[SSAValue, str]) -> bool:
    """Whether each index of what a link reads is a sum of steps; `known` are the `chain_names`."""
    try:
        group_of_links([link], known)
    except CatenaError:
        return False
    return True


def network_of(rows: Sequence[Sequence[LinkOp]], function: FuncOp, longest: int | None = None) -> Network | None:
    """Links of a function as a network, in rows between which other ops run.

    Groups have at most `longest` links, or by the length of their row if that is not given. None if links read a tensor
    in ways that do not go together.
    """
    lengths = [Row(len(row), longest_group(len(row)) if longest is None else longest) for row in rows]
    try:
        return Network(group_of_links([link for row in rows for link in row], chain_names(function)), lengths)
    except CatenaError:
        return None


def in_one_network(rows: Sequence[list[LinkOp]], function: FuncOp) -> list[list[LinkOp]]:
    """Rows of links that make a network together: the first ones first, those left out that do not go with them."""
    found: list[list[LinkOp]] = []
    for row in rows:
        if network_of([*found, row], function) is not None:
            found.append(row)
    return found
