"""Our side: the least traffic of a problem by size of the buffer, as groups and fused mappings.

A module of `benchmarks/fused_peers.py`, no command of its own. `best_groups` is all that the comparison needs of the
search.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fused_peers_mappings import BUFFER, NotExpressibleError, Part
from fused_peers_problems import Problem

from dialects.fused_mapping import FusedMapping
from passes.fusion.group import Group
from passes.fusion.inference import turns_of
from passes.fusion.model import FusedCosts
from passes.fusion.search import GroupSearch, Limits
from passes.mapper.effort import Effort

EFFORT = 2_000_000
"""Parts of mappings that a search looks at, at most."""
ALLOWED = (1, 1.25, 1.6, 2, 3, 5, None)
"""What a group may move, one after another, by what it must."""
TURNS = 1_000_000
"""Turns of a group that is priced turn by turn, at most."""
LONGEST = 3
"""Links of a group, at most."""


@dataclass(frozen=True)
class Best:
    """Groups, one after another, and what they move and need; CPU seconds of the search."""

    parts: tuple[Part, ...]
    traffic: int
    buffer: int
    seconds: float


def best_groups(problem: Problem, size: int) -> Best | None:
    """The least traffic that fits into `size` bytes; None if nothing does."""
    before = sum(os.times()[:4])
    names = [layer.name for layer in problem.layers]
    if len(names) <= LONGEST and (whole := _best_mapping(problem.group(), size, problem.compulsory)) is not None:
        return Best((Part(tuple(names), whole[2]),), whole[0], whole[1], round(sum(os.times()[:4]) - before, 2))
    found: list[tuple[int, int, tuple[Part, ...]] | None] = [(0, 0, ())]
    for end in range(1, len(names) + 1):
        choices: list[tuple[int, int, tuple[Part, ...]]] = []
        for first in range(end - 1, max(end - LONGEST, 0) - 1, -1):
            head = found[first]
            if head is None:
                continue
            # What is known already is the most that a longer group may move.
            most = min((traffic for traffic, _, _ in choices), default=None)
            point = _best_mapping(problem.group(names[first:end]), size, None if most is None else most - head[0])
            if point is not None:
                traffic, buffer, mapping = point
                part = Part(tuple(names[first:end]), mapping)
                choices.append((head[0] + traffic, max(head[1], buffer), (*head[2], part)))
        found.append(min(choices, key=lambda choice: choice[:2], default=None))
    last = found[-1]
    if last is None:
        return None
    return Best(last[2], last[0], last[1], round(sum(os.times()[:4]) - before, 2))


def _best_mapping(group: Group, size: int, most: int | None) -> tuple[int, int, FusedMapping] | None:
    """Traffic, buffer and mapping of a group that fits and moves no more than `most`, with least traffic.

    Of mappings that move as little the one with fewest operations. A search is quicker the less may be moved: it begins
    with what must be, and more is allowed until something fits.
    """
    if len(group.heads) > 1:
        return None
    between = {*group.intermediates} - group.exported
    least = sum(tensor.size for tensor in group.tensors if tensor.name not in between)
    for times in ALLOWED:
        limit = int(least * times) if times is not None else None
        is_last = limit is None or (most is not None and limit >= most)
        limits = Limits(capacity=size, traffic=most if is_last else limit)
        front = GroupSearch(group, BUFFER, limits=limits, effort=Effort(EFFORT)).run().front
        if front:
            best = min(front, key=lambda point: (point.traffic, point.operations, point.capacity))
            return best.traffic, best.capacity, best.mapping
        if is_last:
            return None
    return None


def run_ours(problem: Problem, sizes: Sequence[int]) -> dict[str, Any]:
    """Our runs on a problem by size, as `ours.json` has them."""
    found: dict[str, Any] = {}
    for size in sizes:
        best = best_groups(problem, size)
        if best is None:
            found[str(size)] = {"failed": "nothing fits"}
            continue
        found[str(size)] = {
            "traffic": best.traffic,
            "buffer": best.buffer,
            "cpu_seconds": best.seconds,
            "parts": [written(part) for part in best.parts],
        }
    return found


def written(part: Part) -> dict[str, Any]:
    """A group as JSON."""
    return {
        "layers": part.layers,
        "loops": [[node.loop.dim, node.loop.kind.value, node.tile] for node in part.mapping.loops],
        "kept": {each.tensor: [each.level, each.reuse] for each in part.mapping.retentions},
        "stages": part.mapping.stages.value,
        "resident": sorted(part.resident),
    }


def read(content: dict[str, Any]) -> Part:
    """A group as `written` wrote it."""
    from dialects.fused_mapping import Retention, Stages
    from dialects.gconv.spec import LoopKind
    from dialects.schedule import Loop, Temporal

    loops = tuple(Temporal(Loop(dim, LoopKind(kind)), tile) for dim, kind, tile in content["loops"])
    kept = tuple(Retention(tensor, BUFFER, level, reuse) for tensor, (level, reuse) in content["kept"].items())
    mapping = FusedMapping(loops, kept, Stages(content["stages"]))
    return Part(tuple(content["layers"]), mapping, frozenset(content.get("resident", ())))


def price(problem: Problem, parts: Sequence[Part]) -> tuple[int, int]:
    """Traffic and buffer of groups that run one after another, by the model that equals the element-exact walk.

    Raises `NotExpressibleError` if they take too many turns.
    """
    traffic, buffer = 0, 0
    for part in parts:
        group = problem.group(part.layers)
        if math.prod(turns_of(group.head, part.mapping)) > TURNS:
            raise NotExpressibleError(f"it takes more than {TURNS:,} turns")
        costs = FusedCosts(group, part.mapping)
        moved = {**costs.reads}
        for tensor, words in costs.writes.items():
            moved[tensor] = moved.get(tensor, 0) + words
        outside = {tensor: words for tensor, words in moved.items() if tensor not in part.resident}
        kept = {tensor for tensor in part.resident if part.mapping.retention(tensor).level != 0}
        if kept:
            raise ValueError(f"{', '.join(kept)} between groups, but not whole")
        traffic += sum(outside.values())
        buffer = max(buffer, costs.capacity(BUFFER))
    return traffic, buffer


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/fused_peers.py")
