"""Runs of links of a chain that may be fused, as networks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from xdsl.dialects.func import FuncOp

from dialects.diagnostics import CatenaError
from dialects.gconv import LinkOp, ViewOp
from dialects.weights import ConstantOp
from passes.fusion.from_ir import group_of_links
from passes.fusion.names import chain_names
from passes.fusion.network import Network

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
    ops = [op for op in function.body.block.ops if not isinstance(op, ViewOp | ConstantOp)]
    for free, run in groupby(ops, lambda op: isinstance(op, LinkOp) and op.mapping is None and _is_plain(op)):
        if free:
            yield [op for op in run if isinstance(op, LinkOp)]


def _is_plain(link: LinkOp) -> bool:
    """Whether each index of what a link reads is a sum of steps."""
    try:
        group_of_links([link])
    except CatenaError:
        return False
    return True


def network_of(links: Sequence[LinkOp], function: FuncOp) -> Network | None:
    """Links of a function as a network; None if they read a tensor in ways that do not go together."""
    try:
        return Network(group_of_links(links, chain_names(function)))
    except CatenaError:
        return None
