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
    is_proved: bool = True
    """Whether it costs no less: no search for its mapping ended with the effort."""

    @property
    def may_be_alone(self) -> bool:
        """Whether it may run by a mapping of its own, as far as is known."""
        return self.alone is not None or self.alone_at_least is not None


@dataclass
class _Paths:
    """Of the best paths to cuts, by their numbers, words, operations and effort, and the options at their ends.

    Those to cuts behind the first link of `changed` options are to be looked for again.
    """

    best: dict[int, tuple[int, int, int]]
    last: dict[int, Option]
    changed: int | None = 0


class LeastPaths:
    """The path that costs least over options, as far as is known; of those that cost the same the one soon known.

    Options are in the order of the cuts that they begin at; `ends` are the numbers of the cuts that paths lead from and
    to. Where an option is `changed`, only paths behind the cut that it begins at are looked at again.
    """

    def __init__(self, options: Sequence[Option], ends: tuple[int, int]):
        self._ends = ends
        incoming: dict[tuple[int, int], list[Option]] = {}
        for option in options:
            incoming.setdefault((option.part.stretch.end, option.ends[1]), []).append(option)
        self._incoming = [(cut, node, incoming[cut, node]) for cut, node in sorted(incoming)]
        """For every place in the network and number of a cut there, by rising place, the options that end there."""
        self._every, self._known = (_Paths({ends[0]: (0, 0, 0)}, {}) for _ in range(2))

    def changed(self, first: int = 0) -> None:
        """What is known of options that begin at a cut, or behind it, is something else."""
        for paths in (self._every, self._known):
            paths.changed = first if paths.changed is None else min(paths.changed, first)

    def best(self) -> list[Option] | None:
        """The best path; None if there is none."""
        return self._best(self._every, known_only=False)

    def best_of_known(self) -> list[Option] | None:
        """The best path of options that were searched."""
        return self._best(self._known, known_only=True)

    def _best(self, paths: _Paths, *, known_only: bool) -> list[Option] | None:
        if paths.changed is not None:
            for cut, node, options in self._incoming:
                if cut > paths.changed:
                    _look_again(paths, node, options, known_only=known_only)
            paths.changed = None
        return _path_of(paths.best, paths.last, self._ends)


def _look_again(paths: _Paths, node: int, options: Sequence[Option], *, known_only: bool) -> None:
    """Find the best path to a cut, where the paths to all cuts before are known."""
    least: tuple[int, int, int] | None = None
    best, last, never = paths.best, paths.last, NEVER[0]
    for option in options:
        before, (moved, worked), found = best.get(option.ends[0]), option.cost, option.found
        if before is None or moved >= never or (known_only and found is None):
            continue
        effort = before[2] if found is not None else before[2] + option.effort
        cost = before[0] + moved, before[1] + worked, effort
        if least is None or cost < least:
            least, last[node] = cost, option
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
