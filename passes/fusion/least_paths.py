"""Groups that a network may be cut into, with what is known of their costs, and the path of them that costs least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dialects.fused_mapping import FusedMapping
from passes.fusion.stretches import Part

Cost = tuple[int, int]
"""Words over the off-chip link, and operations."""
NEVER: Cost = (2**62, 2**62)


@dataclass(frozen=True)
class Found:
    """The best mapping that a search found of a group, if any, and whether it came to its end."""

    capacity: int
    cost: Cost
    mapping: FusedMapping | None
    exact: bool


@dataclass
class Option:
    """A part, what is known of its cost, and the mapping once it has been searched.

    `ends` are the numbers of the cuts before and behind it; a search takes `effort`, compared with others.
    """

    part: Part
    ends: tuple[int, int]
    effort: int
    least: Cost
    cost: Cost
    found: Found | None = None
    alone: Found | None = None
    """What a link costs by a mapping of its own, once that is known; None where it has to run as a group."""
    alone_at_least: int | None = None
    """Words that it moves so at least, as long as no more is known."""

    @property
    def may_be_alone(self) -> bool:
        """Whether it may run by a mapping of its own, as far as is known."""
        return self.alone is not None or self.alone_at_least is not None


class LeastPaths:
    """The path that costs least over options, as far as is known; of those that cost the same the one soon known.

    Options are in the order of the cuts that they begin at; `ends` are the numbers of the cuts that paths lead from and
    to. With `known_only`, paths have options alone that were searched. Where an option is `changed`, only paths behind
    the cut that it begins at are looked at again.
    """

    def __init__(self, options: Sequence[Option], ends: tuple[int, int], *, known_only: bool = False):
        self._ends, self._known_only = ends, known_only
        incoming: dict[tuple[int, int], list[Option]] = {}
        for option in options:
            incoming.setdefault((option.part.stretch.end, option.ends[1]), []).append(option)
        self._incoming = [(cut, node, incoming[cut, node]) for cut, node in sorted(incoming)]
        self._best = {ends[0]: (0, 0, 0)}
        """Words, operations and effort of the best path to a cut, by its number."""
        self._last: dict[int, Option] = {}
        """The option at the end of that path."""
        self._first_changed: int | None = 0

    def changed(self, first: int = 0) -> None:
        """What is known of options that begin at a cut, or behind it, is something else."""
        self._first_changed = first if self._first_changed is None else min(self._first_changed, first)

    def best(self) -> list[Option] | None:
        """The best path; None if there is none."""
        if self._first_changed is not None:
            for cut, node, options in self._incoming:
                if cut > self._first_changed:
                    self._look_again(node, options)
            self._first_changed = None
        return _path_of(self._best, self._last, self._ends)

    def _look_again(self, node: int, options: Sequence[Option]) -> None:
        """Find the best path to a cut, of which the paths to all cuts before are known."""
        least: tuple[int, int, int] | None = None
        best, known_only, never = self._best, self._known_only, NEVER[0]
        for option in options:
            before, (moved, worked), found = best.get(option.ends[0]), option.cost, option.found
            if before is None or moved >= never or (known_only and found is None):
                continue
            effort = before[2] if found is not None else before[2] + option.effort
            cost = before[0] + moved, before[1] + worked, effort
            if least is None or cost < least:
                least, self._last[node] = cost, option
        if least is None:
            best.pop(node, None)
        else:
            best[node] = least


def best_path(options: Sequence[Option], ends: tuple[int, int]) -> list[Option] | None:
    """The path that `LeastPaths` finds, where it is looked for once."""
    best, last = {ends[0]: (0, 0, 0)}, dict[int, Option]()
    for option in options:
        begin, end = option.ends
        if begin in best:
            (words, operations, effort), (moved, worked) = best[begin], option.cost
            cost = words + moved, operations + worked, effort + (0 if option.found else option.effort)
            if end not in best or cost < best[end]:
                best[end], last[end] = cost, option
    return _path_of(best, last, ends)


def _path_of(
    best: dict[int, tuple[int, int, int]], last: dict[int, Option], ends: tuple[int, int]
) -> list[Option] | None:
    start, goal = ends
    if goal not in best or best[goal][:2] >= NEVER:
        return None
    path: list[Option] = []
    while goal != start:
        path.append(last[goal])
        goal = last[goal].ends[0]
    return path[::-1]


def total_of(path: Sequence[Option]) -> Cost:
    """Words and operations of all options of a path."""
    return sum(option.cost[0] for option in path), sum(option.cost[1] for option in path)
