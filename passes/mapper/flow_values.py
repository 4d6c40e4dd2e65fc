"""Which values of the parameters of a dataflow are tried, such that no better mapping is missing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dialects.gconv import LoopKind
from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from passes.mapper.candidates import Candidates
from passes.mapper.chains import ONE_INDEX, counts_tiles, cut_by, moves_inwards, nodes_of, tiles_within
from passes.mapper.choices import even
from passes.mapper.dataflow import BoundFlow
from passes.mapper.nest import Column, Par

_COUNTED = 1 << 12
"""Numbers up to which it takes less time to count all of them than to sort those that there are."""


def _distinct(numbers: Column) -> tuple[Column, Column]:
    """The numbers of a column that differ, ascending, and which of these each one is; none is negative."""
    if not len(numbers) or numbers.max() > _COUNTED:
        return np.unique(numbers, return_inverse=True)
    there = np.bincount(numbers) > 0
    return there.nonzero()[0], (there.cumsum() - 1)[numbers]


class FlowValues:
    """The values of parameters, all of them of those that are `free`; `counted` only cut loops into numbers of tiles.

    Larger values of `inwards` ones may make loops run further in. Of `unordered` ones any that fits may cost least, of
    others the largest. `tied` ones differ in busy elements alone, if `ties` are to be told apart at last. With
    `dear_sums` it may cost less to let sums leave sooner; on their way to memories of `dear_hops`, to meet no others.
    """

    def __init__(
        self,
        flow: BoundFlow,
        hierarchy: Hierarchy,
        *,
        timed: bool,
        ties: bool,
        dear_sums: bool = False,
        dear_hops: frozenset[str] = frozenset(),
    ):
        self._flow = flow
        self._hierarchy = hierarchy
        self._dear_sums = dear_sums
        self._dear_hops = dear_hops
        self.timed = timed
        self.parameters = (*flow.flow.inner, *flow.flow.outer)
        limited = [flow.flow.reserves[each.name] for each in hierarchy.memories if each.words is not None]
        # More of a parameter may leave more room, or make something of less than nothing.
        least = [(each.names, each.ever[0]) for each in limited]
        self._reserving = frozenset(name for names, words in least if words is None or words < 0 for name in names)
        self.tied = frozenset(self._find_tied()) if ties else frozenset[str]()
        self.free = frozenset(self._find_free()) - self.tied
        self.counted = frozenset(
            name for name in self.parameters if counts_tiles(flow, name, frozenset(self.parameters))
        )
        slides = any(each.slides for each in hierarchy.memories[1:])
        keeps = slides or any(each.stays for each in hierarchy.memories[1:])
        self.inwards = frozenset(name for name in self.parameters if keeps and moves_inwards(flow, name, slides=slides))
        self.unordered = frozenset(self._find_unordered())

    def ragged(self, candidates: Candidates, name: str) -> tuple[npt.NDArray[np.intp], Column]:
        """All values of a further parameter that candidates may have, and which: those with the fewest values first."""
        left = self.left_of(candidates, name)
        order = np.argsort(left, kind="stable")
        table, first, number = self.tables(left[order], name)
        rows = np.repeat(order, number)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(number) - number, number)
        return rows, table[np.repeat(first, number) + within]

    def tables(self, left: Column, name: str) -> tuple[Column, Column, Column]:
        """A table of values that are at most what is `left`: where each one's begin, and how many there are."""
        distinct, which = _distinct(left)
        values: list[Column] = [
            np.arange(1, most + 1) if name in self.free else even(most) for most in map(int, distinct)
        ]
        number = np.array([len(each) for each in values], np.int64)
        first = np.cumsum(number) - number
        return np.concatenate([np.zeros(0, np.int64), *values]), first[which], number[which]

    def number_of(self, name: str) -> int:
        """How many values a parameter has, at most."""
        most = self._flow.most_of(name)
        return most if name in self.free else len(even(most))

    def left_of(self, candidates: Candidates, name: str) -> Column:
        """What a parameter is at most: with more no tile is larger, beside what is decided before it, nor room less."""
        if name in self._reserving:
            return np.full(candidates.count, self._flow.most_of(name))
        before = frozenset(itertools.takewhile(lambda other: other != name, self.parameters))
        most: Column = np.ones(candidates.count, np.int64)
        for part, others in self._flow.flow.products_of(name):
            done: Column = np.ones(candidates.count, np.int64)
            for other in others & before & candidates.columns.keys():
                done = done * candidates.columns[other]
            most = np.maximum(most, -(-self._flow.values[part] // done))
        return most

    def most_tied(self, candidates: Candidates, name: str) -> Column:
        """The largest value of a tied parameter that cuts its loop into as many tiles."""
        left, value = self.left_of(candidates, name), candidates.columns[name]
        tiles = -(-left // value)
        return np.where(tiles > 1, (left - 1) // np.maximum(tiles - 1, 1), left)

    def largest_tied(self, candidates: Candidates) -> Candidates:
        """Candidates with the largest values of parameters that differ in busy elements alone."""
        for name in (each for each in self.parameters if each in self.tied and each in candidates.columns):
            candidates = candidates.beside(name, self.most_tied(candidates, name))
        return candidates

    def smaller(self, candidates: Candidates, name: str) -> Column:
        """The value of a parameter that comes before each one."""
        below = np.maximum(candidates.columns[name] - 1, 1)
        left = self.left_of(candidates, name)
        return below if name in self.free else -(-left // -(-left // below))

    def _find_unordered(self) -> Iterator[str]:
        """Parameters of which any value that fits may cost least."""
        for name in self.parameters:
            laid = any(isinstance(self._flow.nest.nodes[place], Par) for place in cut_by(self._flow, frozenset({name})))
            is_alone = tiles_within(self._flow, name, timed=self.timed) is not None
            sends = self._dear_sums and self._cuts_sums(name)
            # More elements take less time, or share more words, but each may get its own copy of others.
            spreads = name in self._flow.flow.laid and (self.timed or name in self.inwards)
            if name in self._reserving or laid or sends or spreads or not (name in self.counted or is_alone):
                yield name

    def _cuts_sums(self, name: str) -> bool:
        """Whether a parameter helps to cut a loop that adds up."""
        loops = (self._flow.loop(place) for place in cut_by(self._flow, frozenset({name})))
        return any(self._flow.problem.loops[loop].kind is LoopKind.KS for loop in loops)

    def _find_free(self) -> Iterator[str]:
        """Parameters that are to have all values: sizes that cut a loop into equally many tiles differ.

        They do in busy elements, strips, or reserved words, or if that number says not all.
        """
        for name in self.parameters:
            if name in self._flow.flow.laid or not self._counts_alone(name):
                yield name

    def _find_tied(self) -> Iterator[str]:
        """Inner parameters of which sizes that cut a loop into equally many tiles differ in busy elements alone."""
        for name in self._flow.flow.inner:
            if name in self._flow.flow.laid and self._counts_alone(name):
                yield name

    def _counts_alone(self, name: str) -> bool:
        """Whether only the number of tiles matters into which a parameter cuts its loop, but for busy elements."""
        loops = (self._flow.places[part] for part in self._flow.flow.parts_of(name))
        slides = any(loop is not None and self._flow.problem.window_of(loop) is not None for loop in loops)
        strips = not self._hierarchy.nested and slides
        before = frozenset(itertools.takewhile(lambda other: other != name, self.parameters))
        if strips or name in self._reserving or not counts_tiles(self._flow, name, before):
            return False
        return not any(self._shares_by_size(name, operand) for operand in self._flow.problem.operands)

    def _shares_by_size(self, name: str, operand: Operand) -> bool:
        """Whether elements that share words do so more or less often with other sizes of equally many tiles.

        They do for every index of a tile that lies in an element, or for every piece of it above the next store: that
        is less often for a small last tile. Where the parameter is the tile of an element, the smallest is the best,
        but for sums that had better meet no others.
        """
        flow, nodes = self._flow, self._flow.nest.nodes
        places = cut_by(flow, frozenset({name}))
        if not places or flow.problem.is_relevant(operand, flow.loop(places[0])):
            return False
        stores = flow.nest.stores(operand)
        for place in (each for each in nodes_of(flow, flow.loop(places[0])) if each >= places[0]):
            node = nodes[place]
            if not isinstance(node, Par):
                continue
            axis = self._hierarchy.axis(node.axis)
            if not (axis.reduces if operand is Operand.OUTPUT else operand in axis.multicast):
                continue
            if place in places:
                outside = [self._hierarchy.memories[0].name, *(store.memory for at, store in stores if at < place)]
                if operand is Operand.OUTPUT and outside[-1] in self._dear_hops:
                    return True
                continue
            inside = min((at for at, _ in stores if at > place), default=len(nodes))
            cuts = [each for each in nodes_of(flow, flow.loop(place)) if place < each < inside]
            if flow.expressions[place].terms != ONE_INDEX and (cuts or inside == len(nodes)):
                return True
        return False
