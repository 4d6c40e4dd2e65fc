"""What a mapping moves, by walking its loops: the turns of every dimension one after another, words as members of sets.

The meaning is that of `tests/passes/mapper/literal.py`, which walks all loops at once and is the definition; that takes
hours for a layer of a network. But no loop of a dimension changes which indices of another are worked on, a tile's
words are all combinations of its indices in each dimension, and so are the elements that work on something: what all
visits move together is a product of what each dimension's own turns move. Nothing here is a closed form, and nothing is
shared with `passes.mapper.counts`.

A module of the benchmarks, no command of its own.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from dialects.gconv import LoopKind
from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from passes.mapper.nest import For, Nest, Par, Store
from passes.mapper.problem import RELEVANT, Problem

NAMES = {Operand.INPUT: "input", Operand.KERNEL: "kernel", Operand.OUTPUT: "output"}
Loops = tuple[int, ...]
Words = Set[int]
Steps = tuple[tuple[int, int], ...]
"""Where nodes are: the index of each, and its turn or position."""


@dataclass(frozen=True)
class Visit:
    """What one element works on in one turn, as far as a dimension goes: `turns` of loops, `places` along axes."""

    turns: Steps
    places: Steps
    ranges: tuple[range, ...]


class DimensionWalk:
    """Walks one mapping and counts: `events`, `occupancy` by memory and operand, `steps`, `elements`."""

    def __init__(self, problem: Problem, hierarchy: Hierarchy, nest: Nest, tiles: list[int]):
        self.problem, self.hierarchy, self.nest, self.tiles = problem, hierarchy, nest, tiles
        self._end = len(nest.nodes)
        self._walked: dict[tuple[Loops, int, frozenset[int], bool], list[Visit]] = {}
        paired = [(window.outputs, window.kernels) for window in problem.windows]
        alone = set(range(len(problem.extents))) - {loop for pair in paired for loop in pair}
        self._dimensions: list[Loops] = [*paired, *((loop,) for loop in sorted(alone))]

    @cached_property
    def events(self) -> dict[str, int]:
        """Words by event, `memory.operand.event`, and `operation`."""
        counted: dict[str, int] = defaultdict(int, operation=math.prod(self.problem.extents))
        for operand in self.problem.operands:
            for upper, lower in pairwise(self._path(operand)):
                if operand is Operand.OUTPUT:
                    self._count_sums(counted, upper, lower)
                else:
                    self._count_sent(counted, operand, upper, lower)
        return counted

    @cached_property
    def occupancy(self) -> dict[tuple[str, Operand], int]:
        """Words that each memory holds of each operand at a time, at most."""
        held: dict[tuple[str, Operand], int] = {}
        for operand in self.problem.operands:
            for place in self._path(operand)[1:-1]:
                most = [
                    max(len(self._words(operand, each, dim)) for each in self._visits(dim, place))
                    for dim in self._dimensions
                ]
                held[self._memory(place), operand] = math.prod(most)
        return held

    @cached_property
    def steps(self) -> int:
        """Steps of one operation in every element, until the slowest is done."""
        return math.prod(self._slowest(loop) for loop in range(len(self.problem.extents)))

    def elements(self, axis: str) -> int:
        """Positions along an axis that have something to do at a time, at most."""
        nodes = {i for i, node in enumerate(self.nest.nodes) if isinstance(node, Par) and node.axis == axis}
        result = 1
        for dim in self._dimensions:
            side_by_side: dict[Steps, set[Steps]] = defaultdict(set)
            for visit in self._visits(dim, max(nodes, default=-1) + 1):
                laid = tuple(each for each in visit.places if each[0] in nodes)
                rest = tuple(each for each in visit.places if each[0] not in nodes)
                side_by_side[visit.turns + rest].add(laid)
            result *= max(map(len, side_by_side.values()))
        return result

    def _path(self, operand: Operand) -> list[int]:
        return [-1, *(index for index, _ in self.nest.stores(operand)), self._end]

    def _memory(self, place: int) -> str:
        if place == self._end:
            return "operation"
        node = self.nest.nodes[place] if place >= 0 else None
        return node.memory if isinstance(node, Store) else self.hierarchy.memories[0].name

    def _spatial(self, upper: int, lower: int) -> Iterator[tuple[int, Par]]:
        for index, node in enumerate(self.nest.nodes[:lower]):
            if isinstance(node, Par) and index > upper:
                yield index, node

    def _count_sent(self, counted: dict[str, int], operand: Operand, upper: int, lower: int) -> None:
        """Words of input or kernel on their way down; elements of a group get one together."""
        same, slide = self._rules(operand, lower)
        shared = {index for index, node in self._spatial(upper, lower) if self._is_shared(operand, index, node, lower)}
        fills = reads = 1
        for dim in self._dimensions:
            groups: dict[tuple[Steps, Steps], set[int]] = defaultdict(set)
            filled = 0
            held: dict[Steps, Words] = {}
            for visit in self._visits(dim, lower, same, singly=lower == self._end):
                words = self._words(operand, visit, dim)
                fresh = words
                if any(index == slide and turn for index, turn in visit.turns):
                    fresh = words - held[visit.places]
                held[visit.places] = words
                filled += len(fresh)
                apart = tuple(each for each in visit.places if each[0] not in shared)
                groups[visit.turns, apart] |= fresh
            fills *= filled
            reads *= sum(map(len, groups.values()))
        counted[f"{self._memory(lower)}.{NAMES[operand]}.fill"] += fills
        counted[f"{self._memory(upper)}.{NAMES[operand]}.read"] += reads

    def _count_sums(self, counted: dict[str, int], upper: int, lower: int) -> None:
        """Sums on their way up: added on the way, then where they meet those that came while the upper place stays."""
        same, _ = self._rules(Operand.OUTPUT, lower)
        stays, _ = self._rules(Operand.OUTPUT, upper)
        added = {index for index, node in self._spatial(upper, lower) if self._is_added(node)}
        sent = arrived = first = 1
        for dim in self._dimensions:
            arrivals: dict[tuple[Steps, Steps], set[int]] = defaultdict(set)
            there: dict[tuple[Steps, Steps], set[int]] = defaultdict(set)
            leaving = 0
            for visit in self._visits(dim, lower, same, singly=lower == self._end):
                words = self._words(Operand.OUTPUT, visit, dim)
                leaving += len(words)
                apart = tuple(each for each in visit.places if each[0] not in added)
                arrivals[visit.turns, apart] |= words
                stay = tuple(each for each in visit.turns if each[0] < upper and each[0] not in stays)
                there[stay, tuple(each for each in visit.places if each[0] < upper)] |= words
            sent *= leaving
            arrived *= sum(map(len, arrivals.values()))
            first *= sum(map(len, there.values()))
        target = f"{self._memory(upper)}.output"
        counted[f"{target}.update"] += arrived
        counted[f"{target}.hop"] += sent - arrived
        counted[f"{target}.add"] += arrived - first

    def _visits(self, dim: Loops, end: int, once: Iterable[int] = (), *, singly: bool = False) -> list[Visit]:
        """What elements work on above a node, turn by turn; of the loops `once`, the first turn only.

        `singly` if what is left in an element is gone through index by index.
        """
        key = (dim, end, frozenset(once), singly)
        if key not in self._walked:
            self._walked[key] = list(self._walk(dim, end, frozenset(once), singly))
        return self._walked[key]

    def _walk(self, dim: Loops, end: int, once: frozenset[int], singly: bool) -> Iterator[Visit]:
        cuts = [(i, n, self.tiles[i]) for i, n in enumerate(self.nest.nodes[:end]) if not isinstance(n, Store)]
        cuts = [(index, node, tile) for index, node, tile in cuts if node.loop in dim]
        if singly:
            cuts += [(self._end + loop, For(loop), 1) for loop in dim]

        def walk(depth: int, visit: Visit) -> Iterator[Visit]:
            if depth == len(cuts):
                yield visit
                return
            index, node, tile = cuts[depth]
            slot = dim.index(node.loop)
            whole = visit.ranges[slot]
            starts = range(0, len(whole), tile)
            for at, start in enumerate(starts[:1] if index in once else starts):
                ranges = (*visit.ranges[:slot], whole[start : start + tile], *visit.ranges[slot + 1 :])
                step = ((index, at),)
                if isinstance(node, Par):
                    yield from walk(depth + 1, Visit(visit.turns, visit.places + step, ranges))
                else:
                    yield from walk(depth + 1, Visit(visit.turns + step, visit.places, ranges))

        return walk(0, Visit((), (), tuple(range(self.problem.extents[loop]) for loop in dim)))

    def _words(self, operand: Operand, visit: Visit, dim: Loops) -> Words:
        """The part of the words' indices that a dimension gives: one index, the same for all words if it gives none."""
        if len(dim) > 1 and operand is Operand.INPUT:
            window = next(each for each in self.problem.windows if (each.outputs, each.kernels) == dim)
            outputs, kernels = visit.ranges
            return {a * window.stride + b * window.dilation for a in outputs for b in kernels}
        named = [
            r for loop, r in zip(dim, visit.ranges, strict=True) if self.problem.loops[loop].kind in RELEVANT[operand]
        ]
        return set(named[0] if named else range(1))

    def _slowest(self, loop: int) -> int:
        """Steps of a loop: in every turn those of the element with the most to do."""
        most: dict[Steps, int] = defaultdict(int)
        for visit in self._visits((loop,), self._end):
            most[visit.turns] = max(most[visit.turns], len(visit.ranges[0]))
        return sum(most.values())

    def _rules(self, operand: Operand, place: int) -> tuple[set[int], int | None]:
        """Of the loops around a place: those whose turns change nothing there, and the one that slides."""
        same: set[int] = set()
        node = self.nest.nodes[place] if 0 <= place < self._end else None
        if not isinstance(node, Store):
            return same, None
        memory = self.hierarchy.memory(node.memory)
        for index in reversed(range(place)):
            node = self.nest.nodes[index]
            if isinstance(node, Store) and node.operand is operand and not self.hierarchy.memory(node.memory).stays:
                return same, None
            if not isinstance(node, For):
                continue
            if memory.stays and self.problem.loops[node.loop].kind not in RELEVANT[operand]:
                same.add(index)
            elif self._largest(node.loop, index) > self.tiles[index]:
                slides = operand is Operand.INPUT and memory.slides and self._overlaps(node.loop, place)
                return same, index if slides else None
        return same, None

    def _overlaps(self, loop: int, place: int) -> bool:
        """Whether an element can keep what steps of a loop share: only neighbours do, and no axis cuts the window."""
        window = self.problem.window_of(loop)
        if window is None or (window.across if loop == window.outputs else window.along) > 1:
            return False
        return not any(
            isinstance(node, Par)
            and node.loop in (window.outputs, window.kernels)
            and self._largest(node.loop, index) > self.tiles[index]
            for index, node in enumerate(self.nest.nodes[:place])
        )

    def _is_shared(self, operand: Operand, index: int, node: Par, end: int) -> bool:
        """Whether elements along a spatial node get a word together; of a window, where no piece is cut further."""
        if operand not in self.hierarchy.axis(node.axis).multicast:
            return False
        if operand is Operand.INPUT and self.problem.window_of(node.loop) is not None:
            innermost = 1 if end == self._end else self._largest(node.loop, end)
            return self._largest(node.loop, index + 1) == innermost
        return True

    def _is_added(self, node: Par) -> bool:
        return self.hierarchy.axis(node.axis).reduces and self.problem.loops[node.loop].kind is LoopKind.KS

    def _largest(self, loop: int, end: int) -> int:
        """The largest piece of a loop above a node."""
        size = self.problem.extents[loop]
        for node, tile in zip(self.nest.nodes[:end], self.tiles, strict=False):
            if not isinstance(node, Store) and node.loop == loop:
                size = min(size, tile)
        return size


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/zigzag.py: run that one")
