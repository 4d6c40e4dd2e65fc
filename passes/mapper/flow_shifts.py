"""Where a cut left out of a nest may make events more frequent, as its loop then runs further in.

A memory that stays keeps its words while loops run that do not change them, if only others run further in. Let a cut
be left out of a loop that is cut again further in, above the memory. Where that changes the words, loops in between no
longer leave them alone; where it lies along an axis and does not change them, each of more elements gets a copy. One
that slides keeps what steps of a window share, if nothing else runs in between and no axis lies along the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from dialects.gconv import LoopKind
from dialects.hierarchy import Hierarchy, Memory
from dialects.schedule import Operand
from passes.mapper.chains import nodes_of
from passes.mapper.dataflow import BoundFlow
from passes.mapper.nest import For, Par, Store

ONE_INDEX = ((1, ()),)
"""The terms of a tile of one index."""


class FlowShifts:
    """Says which further cuts to leave out so that no event becomes more frequent without some cuts of a nest."""

    def __init__(self, flow: BoundFlow, hierarchy: Hierarchy):
        self._flow = flow
        self._hierarchy = hierarchy
        self._nodes = flow.nest.nodes
        self.of = cache(self._of)
        """By operand, the further cuts to leave out for its events, if any, by the cuts that are."""

    def further(self, cuts: Iterable[int]) -> frozenset[int]:
        """All cuts further in of the loops of some cuts."""
        loops = {place: self._flow.loop(place) for place in cuts}
        return frozenset(each for place, loop in loops.items() for each in nodes_of(self._flow, loop) if each > place)

    def meeting(self, cuts: Iterable[int]) -> frozenset[str]:
        """The memories on the way to which sums meet along an axis by some cuts."""
        stores = self._flow.nest.stores(Operand.OUTPUT)
        outermost = self._hierarchy.memories[0].name
        found: set[str] = set()
        for place in cuts:
            node = self._nodes[place]
            if not isinstance(node, Par) or not self._hierarchy.axis(node.axis).reduces:
                continue
            if self._flow.problem.loops[node.loop].kind is LoopKind.KS:
                found.add([outermost, *(store.memory for each, store in stores if each < place)][-1])
        return frozenset(found)

    def _of(self, cuts: tuple[int, ...]) -> Mapping[Operand, frozenset[int]]:
        found: dict[Operand, frozenset[int]] = {}
        for end, node in enumerate(self._nodes):
            if isinstance(node, Store):
                further = {each for place in cuts if place < end for each in self._shifted(node, end, place, cuts)}
                if further:
                    found[node.operand] = found.get(node.operand, frozenset()) | further
        return found

    def _shifted(self, store: Store, end: int, place: int, cuts: tuple[int, ...]) -> Iterator[int]:
        """The further cuts of a loop where a memory may keep less if one is left out."""
        loop = self._flow.loop(place)
        memory = self._hierarchy.memory(store.memory)
        if self._flow.problem.extents[loop] == 1:
            return
        for each in nodes_of(self._flow, loop):
            if not place < each < end or each in cuts:
                continue
            if isinstance(self._nodes[each], Par):
                shifts = self._copies(memory, store.operand, loop, range(place + 1, end))
            else:
                shifts = self._runs_past(memory, store.operand, loop, range(place + 1, each), range(each + 1, end))
            if shifts:
                yield each

    def _copies(self, memory: Memory, operand: Operand, loop: int, inside: range) -> bool:
        """Whether elements along which a loop is laid further in bring what one would have kept."""
        if memory.slides and operand is Operand.INPUT and self._flow.problem.window_of(loop) is not None:
            return True
        return memory.stays and not self._flow.problem.is_relevant(operand, loop) and not self._changes(operand, inside)

    def _runs_past(self, memory: Memory, operand: Operand, loop: int, between: range, inside: range) -> bool:
        """Whether a loop that runs further in runs past others that leave alone what it changes, or some of it."""
        if self._changes(operand, inside):
            return False
        problem = self._flow.problem
        cut = {self._flow.loop(each) for each in between if not isinstance(self._nodes[each], Store)} - {loop}
        others = [each for each in cut if problem.extents[each] > 1]
        stays = memory.stays and problem.is_relevant(operand, loop)
        slides = memory.slides and operand is Operand.INPUT
        return (stays and any(not problem.is_relevant(operand, each) for each in others)) or (
            slides and any(problem.window_of(each) is not None for each in others)
        )

    def _changes(self, operand: Operand, places: range) -> bool:
        """Whether some loop there changes an operand whatever parameters are: then nothing is kept across others."""
        return any(
            isinstance(node, For)
            and self._flow.expressions[each].terms == ONE_INDEX
            and self._flow.problem.extents[node.loop] > 1
            and self._flow.problem.is_relevant(operand, node.loop)
            and nodes_of(self._flow, node.loop)[0] == each
            for each in places
            for node in [self._nodes[each]]
        )
