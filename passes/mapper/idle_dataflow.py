"""What a description says of a dataflow, or because of one, to no effect: nobody means that.

Files that say it are refused, as for `dialects.pointless`. Machines in IR and programs may: they are what they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from dialects.diagnostics import Diagnostic
from dialects.hierarchy import Hierarchy
from dialects.toml_text import as_toml, in_text
from passes.mapper.dataflow import Dataflow
from passes.mapper.notation import Expression, OpenNode
from passes.mapping.roles import PARTS

_ONE = ((1, ()),)


def idle(hierarchy: Hierarchy, flow: Dataflow) -> Iterator[Diagnostic]:
    """All that has no effect (CAT-C003) in a dataflow that is right for its machine."""
    yield from _idle_even(hierarchy, flow.nodes)
    yield from _idle_cuts(flow.nodes, flow.seam)
    yield from _idle_reserves(hierarchy, flow)


def _idle_even(hierarchy: Hierarchy, nodes: Sequence[OpenNode]) -> Iterator[Diagnostic]:
    """Parts that are to be cut into equal tiles, and are not cut, or index by index only."""
    cut = {node.part for node in nodes if node.kind != "store" and node.tile.terms != _ONE}
    for part in hierarchy.dataflow.even if hierarchy.dataflow else ():
        if part not in cut:
            message = f"dataflow.even: the nest does not cut {part} into tiles of more than one index"
            hint = "leave it out, or cut this part in dataflow.nest"
            parts = ", ".join(each for each in PARTS if each in cut)
            expected = f"parts that the nest cuts: {parts}" if parts else "no such key: the nest cuts nothing so"
            yield Diagnostic("CAT-C003", message, "target", "", "", expected, part, hint)


def _idle_cuts(nodes: Sequence[OpenNode], seam: int) -> Iterator[Diagnostic]:
    """Loops cut, or laid along axes, where tiles around leave no more than one tile, or one element's share.

    Right of the bar a nest may say once more with which tiles it begins.
    """
    around: dict[str, Expression] = {}
    begun: set[str] = set()
    for index, node in enumerate(nodes):
        if node.kind == "store":
            continue
        outer = around.get(node.part)
        begins = index >= seam and node.part not in begun
        begun |= {node.part} if index >= seam else set()
        if outer is not None and _is_whole(outer, node.tile) and not (begins and node.kind == "for"):
            idle = f"on {node.axis} lays nothing along it" if node.kind == "par" else "cuts nothing"
            message = f"dataflow.nest: '{node.kind} {node.part}' {idle}"
            expected = "a tile that is smaller than the one that the nest cuts it out of"
            hint = "leave the statement out, or cut this part into larger tiles further out"
            found = "a tile that is as large"
            yield Diagnostic("CAT-C003", message, "target", "", in_text(node.line), expected, found, hint)
        around[node.part] = node.tile


def _is_whole(outer: Expression, tile: Expression) -> bool:
    """Whether a tile is at least as large as the one that it is cut out of, whatever the parameters are."""
    if len(outer.terms) != 1 or len(tile.terms) != 1:
        return outer.terms == tile.terms
    (few, some), (more, all_of_them) = outer.terms[0], tile.terms[0]
    return few <= more and Counter(some) <= Counter(all_of_them)


def _idle_reserves(hierarchy: Hierarchy, flow: Dataflow) -> Iterator[Diagnostic]:
    """Words that are kept free in memories where the nest stores nothing."""
    used = {node.memory for node in flow.nodes if node.kind == "store"}
    for memory in hierarchy.memories:
        reserve = flow.reserves[memory.name]
        if memory.words is not None and memory.name not in used and reserve.terms != ((0, ()),):
            message = f"levels.{memory.name}.reserve: the nest stores nothing there that could leave words free"
            hint = f"leave it out, or store an operand in {memory.name} in dataflow.nest"
            yield Diagnostic("CAT-C003", message, "target", "", "", "no such key", as_toml(memory.reserve), hint)
