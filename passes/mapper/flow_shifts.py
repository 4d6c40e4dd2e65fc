"""Where a cut left out of a nest may make events more frequent, as its loop then runs further in.

A memory that stays keeps its words while loops run that do not change them, if only others run further in. Let a cut
be left out of a loop that is cut again further in, above the memory. Where that changes the words, loops in between no
longer leave them alone; where it lies along an axis and does not change them, each of more elements gets a copy. One
that slides keeps what steps of a window share, if nothing else runs in between and no axis lies along the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations

from dialects.hierarchy import Hierarchy, Memory
from dialects.schedule import Operand
from passes.mapper.chains import ONE_INDEX, cut_by, divides, nodes_of
from passes.mapper.dataflow import BoundFlow
from passes.mapper.nest import For, Par, Store


@dataclass(frozen=True)
class Split:
    """A loop that runs index by index at the node `inner`, unless the parameter is 1: then it ends further out."""

    name: str
    loop: int
    inner: int


class FlowShifts:
    """Says which further cuts to leave out so that no event becomes more frequent without some cuts of a nest."""

    def __init__(self, flow: BoundFlow, hierarchy: Hierarchy):
        self._flow = flow
        self._hierarchy = hierarchy
        self._nodes = flow.nest.nodes
        self.of = cache(self._of)
        """By operand, the further cuts to leave out for its events, if any, by the cuts that are, and by a split."""
        self.split = cache(self._split)
        """The split that is worth its while, if any, by the cuts that are left out."""
        self.uneven = cache(self._uneven)
        """Pairs of other nodes of a loop, further in than such cuts, where the outer tile may be no multiple."""

    def further(self, cuts: Iterable[int]) -> frozenset[int]:
        """All cuts further in of the loops of some cuts."""
        loops = {place: self._flow.loop(place) for place in cuts}
        return frozenset(each for place, loop in loops.items() for each in nodes_of(self._flow, loop) if each > place)

    def lays(self, cuts: Iterable[int]) -> bool:
        """Whether some cuts may lay loops along axes: elements may share words then, and fewer loops run inside."""
        return any(isinstance(self._nodes[place], Par) for place in cuts)

    def _split(self, cuts: tuple[int, ...]) -> Split | None:
        """A parameter whose value 1 is better bounded apart, by the cuts that are left out.

        With it 1, sums may stay where they are while other loops run, at the price of all that then comes anew for each
        index; with it larger they do not, but for a last index that remains.
        """
        if Operand.OUTPUT not in self.of(cuts, None):
            return None
        for place in cuts:
            terms = self._flow.expressions[place].terms
            names = self._flow.expressions[place].names
            loop = self._flow.loop(place)
            nodes = nodes_of(self._flow, loop)
            inner = [
                each
                for each in nodes
                if isinstance(self._nodes[each], For) and self._flow.expressions[each].terms == ONE_INDEX
            ]
            if len(names) != 1 or not inner or nodes[:2] != [place, inner[0]] or self._flow.problem.extents[loop] == 1:
                continue
            (name,) = names
            found = Split(name, loop, inner[0])
            alone = terms == ((1, (name,)),) and cut_by(self._flow, frozenset(names)) == (place,)
            if alone and self._flow.problem.is_relevant(Operand.OUTPUT, loop) and self._lessens(cuts, found):
                return found
        return None

    def _lessens(self, cuts: tuple[int, ...], split: Split) -> bool:
        return self.of(cuts, split).get(Operand.OUTPUT, frozenset()) < self.of(cuts, None)[Operand.OUTPUT]

    def _uneven(self, cuts: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
        found: list[tuple[int, int]] = []
        for loop in sorted({self._flow.loop(place) for place in cuts}):
            nodes = nodes_of(self._flow, loop)
            outermost = min(place for place in nodes if place in cuts)
            others = [place for place in nodes if place > outermost and place not in cuts]
            found += (
                (outer, inner)
                for outer, inner in combinations(others, 2)
                if not divides(self._flow.expressions[inner], self._flow.expressions[outer])
            )
        return tuple(found)

    def _of(self, cuts: tuple[int, ...], split: Split | None) -> Mapping[Operand, frozenset[int]]:
        found: dict[Operand, frozenset[int]] = {}
        for end, node in enumerate(self._nodes):
            if isinstance(node, Store):
                further = {
                    each for place in cuts if place < end for each in self._shifted(node, end, place, cuts, split)
                }
                if further:
                    found[node.operand] = found.get(node.operand, frozenset()) | further
        return found

    def along_several(self, cuts: tuple[int, ...]) -> Mapping[int, tuple[int, ...]]:
        """By loop that is laid along several axes, one of them in tiles that are left open, the places where it is."""
        laid = [(place, node.loop) for place, node in enumerate(self._nodes) if isinstance(node, Par)]
        loops = {loop for place, loop in laid if place in cuts}
        found = {loop: tuple(place for place, each in laid if each == loop) for loop in loops}
        return {loop: places for loop, places in found.items() if len(places) > 1}

    def _shifted(self, store: Store, end: int, place: int, cuts: tuple[int, ...], split: Split | None) -> Iterator[int]:
        """The further cuts of a loop where a memory may keep less if one is left out."""
        # Only what is counted of sums is split.
        split = split if store.operand is Operand.OUTPUT else None
        loop = self._flow.loop(place)
        memory = self._hierarchy.memory(store.memory)
        if self._flow.problem.extents[loop] == 1:
            return
        for each in nodes_of(self._flow, loop):
            if not place < each < end or each in cuts or (split and split.loop == loop and each >= split.inner):
                continue
            if isinstance(self._nodes[each], Par):
                shifts = self._copies(memory, store.operand, loop, range(place + 1, end), split)
            else:
                shifts = self._runs_past(
                    memory, store.operand, loop, range(place + 1, each), range(each + 1, end), split
                )
            if shifts:
                yield each

    def _copies(self, memory: Memory, operand: Operand, loop: int, inside: range, split: Split | None) -> bool:
        """Whether elements along which a loop is laid further in bring what one would have kept."""
        if memory.slides and operand is Operand.INPUT and self._flow.problem.window_of(loop) is not None:
            return True
        return (
            memory.stays
            and not self._flow.problem.is_relevant(operand, loop)
            and not self._changes(operand, inside, split)
        )

    def _runs_past(
        self, memory: Memory, operand: Operand, loop: int, between: range, inside: range, split: Split | None
    ) -> bool:
        """Whether a loop that runs further in runs past others that leave alone what it changes, or some of it."""
        if self._changes(operand, inside, split):
            return False
        problem = self._flow.problem
        cut = {self._flow.loop(each) for each in between if not isinstance(self._nodes[each], Store)} - {loop}
        others = [each for each in cut if problem.extents[each] > 1]
        stays = memory.stays and problem.is_relevant(operand, loop)
        if stays and any(not problem.is_relevant(operand, each) for each in others):
            return True
        if not memory.slides or operand is not Operand.INPUT:
            return False
        # Cut again right away, a window slides within tiles only.
        again = any(place in between or place in inside for place in nodes_of(self._flow, loop))
        return any(problem.window_of(each) is not None for each in (*others, *([loop] if again else [])))

    def _changes(self, operand: Operand, places: range, split: Split | None) -> bool:
        """Whether some loop there changes an operand whatever parameters are: then nothing is kept across others."""
        if split and split.inner in places:
            return True
        return any(
            isinstance(node, For)
            and self._flow.expressions[each].terms == ONE_INDEX
            and self._flow.problem.extents[node.loop] > 1
            and self._flow.problem.is_relevant(operand, node.loop)
            and nodes_of(self._flow, node.loop)[0] == each
            for each in places
            for node in [self._nodes[each]]
        )
