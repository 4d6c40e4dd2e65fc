"""The meaning of a mapping, literally: the loop nest is walked, and every word that moves is a member of a set.

Independent of `passes.mapper.counts`, and far too slow for anything but tests: it holds that module to its word.
All elements walk in step; an element whose piece of a loop has fewer tiles than others' waits.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from dialects.gconv import LoopKind
from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from passes.mapper.nest import For, Nest, Par, Store
from passes.mapper.problem import RELEVANT, Problem

NAMES = {Operand.INPUT: "input", Operand.KERNEL: "kernel", Operand.OUTPUT: "output"}
Word = tuple[int, ...]
Ranges = tuple[range, ...]
Turns = tuple[int, ...]
Place = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Element:
    """One position of the array: where it is along each spatial node, and what it works on."""

    place: Place
    ranges: Ranges


class Literal:
    """Walks one mapping and counts."""

    def __init__(self, problem: Problem, hierarchy: Hierarchy, nest: Nest, tiles: list[int]):
        self.problem, self.hierarchy, self.nest, self.tiles = problem, hierarchy, nest, tiles
        self.events: dict[str, int] = defaultdict(int)
        self.occupancy: dict[tuple[str, Operand], int] = defaultdict(int)
        self.steps = 0
        self.elements = 1
        self._kept: dict[tuple[int, Place], tuple[Turns, set[Word]]] = {}
        self._sums: dict[int, tuple[Turns, dict[Place, set[Word]]]] = {}
        self._there: dict[tuple[int, Place], set[Word]] = {}
        self._results: set[frozenset[Ranges]] = set()
        self._walk(0, [Element((), tuple(range(extent) for extent in problem.extents))], ())
        self._flush(0)
        self._read_after()

    def _read_after(self) -> None:
        """Results that leave together, finished, read once what all of them need of other tensors."""
        loops = range(len(self.problem.extents))
        for extra in self.problem.extras:
            own = [each for each in loops if each in self.problem.plain(Operand.OUTPUT) and each not in extra.loops]
            # without a kernel, results are repeated on their way out
            again = extra.words // math.prod(self.problem.extents[loop] for loop in own)
            words = sum(
                len({word for tile in tiles for word in itertools.product(*(tile[loop] for loop in own))})
                for tiles in self._results
            )
            self.events[f"{self.hierarchy.memories[0].name}.extra.read"] += again * words

    def _leaves(self, index: int, elements: Iterable[Element]) -> None:
        """Note the tiles of results that elements send together from a place to the outermost memory."""
        if self._upper(Operand.OUTPUT, index) < 0:
            indexed = self.problem.plain(Operand.OUTPUT)
            whole = [range(extent) for extent in self.problem.extents]
            tiles = (
                tuple(each.ranges[loop] if loop in indexed else whole[loop] for loop in range(len(whole)))
                for each in elements
            )
            self._results.add(frozenset(tiles))

    def _walk(self, index: int, elements: list[Element], turns: Turns) -> None:
        if index == len(self.nest.nodes):
            self._operate(elements)
            return
        node = self.nest.nodes[index]
        match node:
            case For(loop):
                for turn in itertools.count():
                    active = [
                        Element(each.place, _with(each.ranges, loop, piece))
                        for each in elements
                        if (piece := each.ranges[loop][turn * self.tiles[index] : (turn + 1) * self.tiles[index]])
                    ]
                    if not active:
                        break
                    self._walk(index + 1, active, (*turns, turn))
            case Par(loop, _):
                inner = [
                    Element((*each.place, (index, place)), _with(each.ranges, loop, each.ranges[loop][at : at + size]))
                    for each in elements
                    for size in [self.tiles[index]]
                    for place, at in enumerate(range(0, len(each.ranges[loop]), size))
                ]
                self.elements = max(self.elements, len(inner))
                self._walk(index + 1, inner, turns)
            case Store(memory, operand):
                tiles = {each: self._words(operand, each.ranges) for each in elements}
                for words in tiles.values():
                    self.occupancy[memory, operand] = max(self.occupancy[memory, operand], len(words))
                if operand is Operand.OUTPUT:
                    self._leaves(index, elements)
                    self._make_room(index, tiles, turns)
                else:
                    self._send_down(index, memory, operand, tiles, turns)
                self._walk(index + 1, elements, turns)

    def _make_room(self, index: int, tiles: dict[Element, set[Word]], turns: Turns) -> None:
        """Sums that are not added to any more leave a place before others come."""
        before = self._sums.get(index)
        if before is not None and _changed(before[0], turns, self._rules(Operand.OUTPUT, index)) != "same":
            self._flush(index)
            before = None
        held = before[1] if before else {}
        self._sums[index] = (turns, held | {each.place: words for each, words in tiles.items()})

    def _flush(self, first: int) -> None:
        """All sums leave the places from a node on, the innermost first."""
        for index in sorted((each for each in self._sums if each >= first), reverse=True):
            self._send_up(index, self._sums.pop(index)[1])
            for key in [each for each in self._there if each[0] == index]:
                del self._there[key]

    def _operate(self, elements: list[Element]) -> None:
        """Every element works through what it has, index by index."""
        counts = [max(len(each.ranges[loop]) for each in elements) for loop in range(len(self.problem.extents))]
        for indices in itertools.product(*map(range, counts)):
            active: list[Element] = []
            for each in elements:
                if all(i < len(r) for i, r in zip(indices, each.ranges, strict=True)):
                    point = tuple(range(r[i], r[i] + 1) for i, r in zip(indices, each.ranges, strict=True))
                    active.append(Element(each.place, point))
            self.steps += 1
            self.events["operation"] += len(active)
            end = len(self.nest.nodes)
            for operand in self.problem.operands:
                tiles = {each: self._words(operand, each.ranges) for each in active}
                if operand is Operand.OUTPUT:
                    self._leaves(end, active)
                    self._send_up(end, {each.place: words for each, words in tiles.items()})
                else:
                    self._send_down(end, "operation", operand, tiles, ())

    def _send_down(
        self, index: int, memory: str, operand: Operand, tiles: dict[Element, set[Word]], turns: Turns
    ) -> None:
        upper = self._upper(operand, index)
        sent: dict[tuple[object, ...], set[Word]] = defaultdict(set)
        rules = self._rules(operand, index)
        for element, words in tiles.items():
            before = self._kept.get((index, element.place)) if index < len(self.nest.nodes) else None
            fresh = words
            if before is not None:
                changed = _changed(before[0], turns, rules)
                fresh = set() if changed == "same" else words - before[1] if changed == "slides" else words
            self._kept[index, element.place] = (turns, words)
            self.events[f"{memory}.{NAMES[operand]}.fill"] += len(fresh)
            sent[self._group(operand, upper, index, element)] |= fresh
        self.events[f"{self._memory(upper)}.{NAMES[operand]}.read"] += sum(map(len, sent.values()))

    def _memory(self, place: int) -> str:
        node = self.nest.nodes[place] if place >= 0 else None
        return node.memory if isinstance(node, Store) else self.hierarchy.memories[0].name

    def _send_up(self, index: int, tiles: dict[Place, set[Word]]) -> None:
        """Words of output leave a place upwards and meet those that came before."""
        upper = self._upper(Operand.OUTPUT, index)
        sums: dict[tuple[Place, Place], set[Word]] = defaultdict(set)
        sent = 0
        for place, words in tiles.items():
            above = tuple(each for each in place if each[0] < upper)
            apart = tuple(each for each in place if each[0] > upper and not self._is_added(each[0]))
            sums[above, apart] |= words
            sent += len(words)
        arrivals = sum(map(len, sums.values()))
        target = f"{self._memory(upper)}.output"
        self.events[f"{target}.update"] += arrivals
        self.events[f"{target}.hop"] += sent - arrivals
        for (above, _), words in sums.items():
            there = self._there.setdefault((upper, above), set())
            self.events[f"{target}.add"] += len(words & there)
            there |= words

    def _is_added(self, index: int) -> bool:
        node = self.nest.nodes[index]
        assert isinstance(node, Par)
        return self.hierarchy.axis(node.axis).reduces and self.problem.loops[node.loop].kind is LoopKind.KS

    def _group(self, operand: Operand, upper: int, index: int, element: Element) -> tuple[object, ...]:
        """Elements with the same group get a word together."""
        return tuple(each for each in element.place if each[0] < upper or not self._is_shared(operand, each[0], index))

    def _is_shared(self, operand: Operand, spatial: int, end: int) -> bool:
        node = self.nest.nodes[spatial]
        assert isinstance(node, Par)
        if operand not in self.hierarchy.axis(node.axis).multicast:
            return False
        if operand is Operand.INPUT and self.problem.window_of(node.loop) is not None:
            innermost = 1 if end == len(self.nest.nodes) else self._largest(node.loop, end)
            return self._largest(node.loop, spatial + 1) == innermost
        return True

    def _largest(self, loop: int, end: int) -> int:
        size = self.problem.extents[loop]
        for node, tile in zip(self.nest.nodes[:end], self.tiles, strict=False):
            if not isinstance(node, Store) and node.loop == loop:
                size = min(size, tile)
        return size

    def _rules(self, operand: Operand, end: int) -> tuple[set[int], int | None]:
        """Of the temporal nodes above a place: those whose steps change nothing there, and the one that slides."""
        same: set[int] = set()
        node = self.nest.nodes[end] if end < len(self.nest.nodes) else None
        if not isinstance(node, Store):
            return same, None
        memory = self.hierarchy.memory(node.memory)
        temporal = [(i, each) for i, each in enumerate(self.nest.nodes[:end]) if isinstance(each, For)]
        # What words only pass by sends all of them on in every visit, through whatever lies in between.
        passed = [
            i for i, _ in self.nest.stores(operand) if i < end and not self.hierarchy.memory(self._memory(i)).stays
        ]
        for turn, (index, each) in reversed(list(enumerate(temporal))):
            if passed and index < passed[-1]:
                return same, None
            if memory.stays and self.problem.loops[each.loop].kind not in RELEVANT[operand]:
                same.add(turn)
            elif self._largest(each.loop, index) > self.tiles[index]:
                slides = operand is Operand.INPUT and memory.slides
                return same, turn if slides and self._overlaps(each.loop, end) else None
        return same, None

    def _overlaps(self, loop: int, end: int) -> bool:
        window = self.problem.window_of(loop)
        if window is None or (window.across if loop == window.outputs else window.along) > 1:
            return False
        laid = [
            each.loop
            for index, each in enumerate(self.nest.nodes[:end])
            if isinstance(each, Par) and self._largest(each.loop, index) > self.tiles[index]
        ]
        return window.outputs not in laid and window.kernels not in laid

    def _upper(self, operand: Operand, index: int) -> int:
        above = [
            i for i, node in enumerate(self.nest.nodes[:index]) if isinstance(node, Store) and node.operand is operand
        ]
        return above[-1] if above else -1

    def _words(self, operand: Operand, ranges: Ranges) -> set[Word]:
        parts: list[list[int]] = []
        paired: set[int] = set()
        for window in self.problem.windows if operand is Operand.INPUT else ():
            paired |= {window.outputs, window.kernels}
            positions = {
                a * window.stride + b * window.dilation for a in ranges[window.outputs] for b in ranges[window.kernels]
            }
            parts.append(sorted(positions))
        for loop, indices in enumerate(ranges):
            if loop not in paired and self.problem.loops[loop].kind in RELEVANT[operand]:
                parts.append(list(indices))
        return set(itertools.product(*parts))


def _with(ranges: Ranges, loop: int, piece: range) -> Ranges:
    return (*ranges[:loop], piece, *ranges[loop + 1 :])


def _changed(before: Turns, now: Turns, rules: tuple[set[int], int | None]) -> str:
    same, slide = rules
    changed = {i for i, (a, b) in enumerate(zip(before, now, strict=True)) if a != b} - same
    if not changed:
        return "same"
    return "slides" if slide is not None and changed == {slide} and before[slide] + 1 == now[slide] else "all"
