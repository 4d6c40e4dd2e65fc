"""What one mapping asks a machine to move, and when: every transfer between neighbouring places of an operand.

`passes.mapper.counts` prices many mappings at once and says what a memory keeps; here the same rules become the
conditions under which a sequencer carries a transfer out, so that it need not know them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from dialects.hierarchy import Hierarchy
from dialects.schedule import Mapping, Operand
from passes.mapper.nest import For, Nest, Par, Store, nest_of
from passes.mapper.problem import Problem

OPERATION = "operation"
"""Where operands end and results begin: the arithmetic of an element."""


@dataclass(frozen=True)
class Transfer:
    """Words of an operand between a memory and the next place further in: a memory, or the operation.

    It stands at node `node` of the nest. Of the `once` innermost loops around it only the first turn asks for words,
    and only the last sends sums away. If it `slides`, the next loop brings what its step before did not. One word
    serves all positions of `shared` spatial nodes, which are counted from the outermost.
    """

    operand: Operand
    upper: str
    lower: str
    node: int
    once: int = 0
    slides: bool = False
    shared: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A mapping of a link as the nest that a machine walks, with its transfers by node."""

    problem: Problem
    nest: Nest
    tiles: tuple[int, ...]
    transfers: dict[tuple[int, Operand], Transfer]

    def at(self, node: int, operand: Operand) -> Transfer:
        """The transfer of an operand at a store, or at the end of the nest."""
        return self.transfers[node, operand]


def plan(problem: Problem, mapping: Mapping, hierarchy: Hierarchy) -> Plan:
    """The transfers of a legal mapping (`passes.mapper.legality`)."""
    nest, columns = nest_of(problem, mapping)
    return _Planner(problem, hierarchy, nest, tuple(int(column[0]) for column in columns)).plan()


class _Planner:
    def __init__(self, problem: Problem, hierarchy: Hierarchy, nest: Nest, tiles: tuple[int, ...]):
        self._problem, self._hierarchy, self._nest, self._tiles = problem, hierarchy, nest, tiles
        self._end = len(nest.nodes)
        pars = (index for index, node in enumerate(nest.nodes) if isinstance(node, Par))
        self._numbers = {index: number for number, index in enumerate(pars)}

    def plan(self) -> Plan:
        transfers = {
            (each.node, each.operand): each for operand in self._problem.operands for each in self._transfers(operand)
        }
        return Plan(self._problem, self._nest, self._tiles, transfers)

    def _transfers(self, operand: Operand) -> Iterator[Transfer]:
        places = [(-1, self._hierarchy.memories[0].name)]
        places += [(node, store.memory) for node, store in self._nest.stores(operand)]
        places.append((self._end, OPERATION))
        for (above, upper), (node, lower) in pairwise(places):
            once, slides = self._kept(operand, node)
            shared = () if operand is Operand.OUTPUT else tuple(self._shared(operand, above, node))
            yield Transfer(operand, upper, lower, node, once, slides, shared)

    def _kept(self, operand: Operand, end: int) -> tuple[int, bool]:
        """How many of the loops around a place change nothing there, and whether the next one slides."""
        node = self._nest.nodes[end] if end < self._end else None
        if not isinstance(node, Store):
            return 0, False
        memory = self._hierarchy.memory(node.memory)
        passed = kept = 0
        for index in reversed(range(end)):
            each = self._nest.nodes[index]
            if isinstance(each, Store) and each.operand is operand:
                if not self._hierarchy.memory(each.memory).stays:
                    return kept, False
            elif isinstance(each, For):
                turns = self._reach(each.loop, index) > self._tiles[index]
                is_kept = memory.stays and not self._problem.is_relevant(operand, each.loop)
                if turns and not is_kept:
                    slides = operand is Operand.INPUT and memory.slides and self._overlaps(each.loop, end)
                    return (passed if slides else kept), slides
                passed += 1
                kept = passed if turns else kept
        return kept, False

    def _overlaps(self, loop: int, end: int) -> bool:
        """Whether an element can keep what steps of a loop share: only neighbours do, and no axis cuts the window."""
        window = self._problem.window_of(loop)
        if window is None or (window.across if loop == window.outputs else window.along) > 1:
            return False
        above = self._nest.nodes[:end]
        return not any(isinstance(node, Par) and node.loop in (window.outputs, window.kernels) for node in above)

    def _shared(self, operand: Operand, above: int, end: int) -> Iterator[int]:
        """Spatial nodes between two places whose positions get a word together."""
        for index, number in self._numbers.items():
            node = self._nest.nodes[index]
            if not above < index < end or not isinstance(node, Par):
                continue
            if operand in self._hierarchy.axis(node.axis).multicast and self._is_uncut(operand, node.loop, index, end):
                yield number

    def _is_uncut(self, operand: Operand, loop: int, spatial: int, end: int) -> bool:
        """A window that further nodes cut is asked for by different positions at different times."""
        if operand is not Operand.INPUT or self._problem.window_of(loop) is None:
            return True
        innermost = 1 if end == self._end else self._reach(loop, end)
        return self._reach(loop, spatial + 1) == innermost

    def _reach(self, loop: int, end: int) -> int:
        """The largest piece of a loop above a node."""
        size = self._problem.extents[loop]
        for node, tile in zip(self._nest.nodes[:end], self._tiles, strict=False):
            if not isinstance(node, Store) and node.loop == loop:
                size = min(size, tile)
        return size
