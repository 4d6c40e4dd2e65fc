"""Our side: the least traffic of a problem by size of the buffer, as groups and fused mappings.

A module of `benchmarks/fused_peers.py`, no command of its own. `best_plan` is all that the comparison needs of the
search.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fused_peers_mappings import BUFFER, NotExpressibleError, Part
from fused_peers_problems import Problem

from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop, Mapping, Node, Operand, Storage, Temporal
from passes.fusion.inference import turns_of
from passes.fusion.model import FusedCosts
from passes.fusion.network import IN_PIECES, GroupSearches, Network, NetworkPlan, NetworkSearch

TURNS = 1_000_000
"""Turns of a group that is priced turn by turn, at most."""
RUNS = 7
"""Runs of a search: its CPU time is the least of them, for the machine is never quite quiet."""

SHORT = 4
"""Layers of a network that may be one group as a whole; groups of longer ones have as many as usual."""


def best_plan(problem: Problem, size: int, searches: GroupSearches) -> tuple[NetworkPlan | None, float]:
    """The least traffic that fits into `size` bytes, None if nothing does; CPU seconds of the search."""
    before = time.process_time()
    plan = NetworkSearch(Network(problem.group()), size, searches).run()
    return plan, round(time.process_time() - before, 3)


def parts_of(plan: NetworkPlan) -> list[Part]:
    """A plan's groups as parts, which name their layers."""
    groups = ((tuple(link.name for link in part.group.links), part.mapping) for part in plan.parts)
    return [Part(links, mapping) for links, mapping in groups if mapping is not None]


def run_ours(problem: Problem, sizes: Sequence[int]) -> dict[str, Any]:
    """Our runs on a problem by size, as `ours.json` has them.

    Sizes share the tables of their groups, which count for the first one.
    """
    runs = [_run(problem, sizes) for _ in range(RUNS)]
    found = runs[0]
    for size in found:
        found[size]["cpu_seconds"] = min(run[size]["cpu_seconds"] for run in runs)
    return found


def _run(problem: Problem, sizes: Sequence[int]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    layers = len(problem.layers)
    longest = max(IN_PIECES.longest, layers) if layers <= SHORT else IN_PIECES.longest
    searches = GroupSearches(BUFFER, replace(IN_PIECES, most_work=None, longest=longest))
    for size in sizes:
        plan, seconds = best_plan(problem, size, searches)
        if plan is None:
            found[str(size)] = {"failed": "nothing fits", "cpu_seconds": seconds}
            continue
        found[str(size)] = {
            "traffic": plan.traffic,
            "buffer": plan.capacity,
            "operations": plan.operations,
            "cpu_seconds": seconds,
            "exact": plan.exact,
            "parts": [written(part) for part in parts_of(plan)],
        }
    return found


def written(part: Part) -> dict[str, Any]:
    """A group as JSON."""
    return {
        "layers": part.layers,
        "loops": [[node.loop.dim, node.loop.kind.value, node.tile] for node in part.mapping.loops],
        "kept": {each.tensor: [each.level, each.reuse] for each in part.mapping.retentions},
        "stages": part.mapping.stages.value,
        "own": {link: [_node_written(node) for node in nest.nodes] for link, nest in part.mapping.branches},
        "resident": sorted(each.tensor for each in part.mapping.retentions if each.resident),
    }


def read(content: dict[str, Any]) -> Part:
    """A group as `written` wrote it."""
    loops = tuple(Temporal(Loop(dim, LoopKind(kind)), tile) for dim, kind, tile in content["loops"])
    kept = tuple(
        Retention(tensor, BUFFER, level, reuse, tensor in content["resident"])
        for tensor, (level, reuse) in content["kept"].items()
    )
    own = tuple((link, Mapping(tuple(map(_node_read, nodes)))) for link, nodes in content["own"].items())
    return Part(tuple(content["layers"]), FusedMapping(loops, kept, Stages(content["stages"]), own))


def _node_written(node: Node) -> list[Any]:
    """A loop of a link's own, or, in the buffer, operands."""
    if isinstance(node, Storage):
        return [operand.value for operand in node.operands]
    return [node.loop.dim, node.loop.kind.value, node.tile]


def _node_read(content: list[Any]) -> Node:
    match content:
        case [str(dim), str(kind), int(tile)]:
            return Temporal(Loop(dim, LoopKind(kind)), tile)
        case _:
            return Storage(BUFFER, tuple(map(Operand, content)))


def price(problem: Problem, parts: Sequence[Part]) -> tuple[int, int]:
    """Traffic and buffer of groups that run one after another, by the model that equals the element-exact walk.

    Raises `NotExpressibleError` if they take too many turns.
    """
    traffic, buffer = 0, 0
    for part, passing in zip(parts, _passing(problem, parts), strict=True):
        group = problem.group(part.layers)
        if math.prod(turns_of(group.head, part.mapping)) > TURNS:
            raise NotExpressibleError(f"it takes more than {TURNS:,} turns")
        costs = FusedCosts(group, part.mapping)
        traffic += costs.traffic
        buffer = max(buffer, costs.capacity(BUFFER) + passing)
    return traffic, buffer


def _passing(problem: Problem, parts: Sequence[Part]) -> Iterator[int]:
    """For every part the words of tensors that stay in the buffer from parts before it to parts behind it."""
    touched = [{each.tensor for each in part.mapping.retentions} for part in parts]
    staying = [{each.tensor for each in part.mapping.retentions if each.resident} for part in parts]
    for index, here in enumerate(touched):
        through = set[str]().union(*staying[:index]) & set[str]().union(*staying[index + 1 :])
        yield sum(map(problem.words, through - here))


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/fused_peers.py")
