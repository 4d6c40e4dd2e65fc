"""Which moves lead from a part of a mapping to the next, such that no better mapping is left out.

A loop that is cut further out than it was makes the tiles between smaller, and costs nothing more but where

- it was inside a link that is alive for it,
- it was inside a place of the input, whose tiles overlap, or inside a loop along which a window slides,
- it was inside a place from which words are brought again for every turn,
- it was inside the outermost place of sums, and finished ones read the same words of other tensors for every turn, or
- it made a tile larger, which then stays while other loops run, with a place of an operand that this loop leaves alone
  between them.

So these cuts are tried, right inside the store of an operand, and no others: none inside of an axis, and of the tiles
that cut a loop into equally many only the smallest, unless tiles of a window have gaps: what they touch then does not
grow evenly with them. Along an axis all numbers of elements are tried where more of them save additions inside: sums
that meet on their way out may be cheaper.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from dialects.hierarchy import Axis, Hierarchy
from dialects.schedule import Operand
from passes.mapper.choices import Tried, few_even, worthwhile
from passes.mapper.effort import GROUP, Effort
from passes.mapper.footprint import tile_words
from passes.mapper.nest import Column, Store
from passes.mapper.partial import Flags, Parts, Rows, in_banks, together
from passes.mapper.problem import Problem
from passes.mapper.stages import Place, Stage, nexts

Grow = Callable[[Parts, tuple[int, ...]], Iterator[Parts]]
"""Parts with all cuts of some loops, of one at least."""

_SLICE = 2048
"""How many parts are cut at a time; each becomes up to some hundreds."""

_KEPT = 1024
"""How many parts may be left of cuts that are kept."""

_LAID = 16
"""How many numbers of elements are tried at least where not all are: whether all can be busy hangs on them."""

Filter = Callable[[Parts], Parts | None]
"""Those parts that may still be part of a mapping that is better than what is known; None if none is."""


@dataclass(frozen=True)
class Laying:
    """What is left of axes: so many times as many elements, for these loops."""

    room: Column
    loops: tuple[int, ...]


class Made:
    """Cuts of some parts, and cuts of these, that were looked at already: whichever place comes next, they are alike.

    Few are kept, as all wait until the last place was tried. `promising` says that the parts were found to be so.
    """

    def __init__(self, parts: Parts, *, promising: bool = False):
        self._parts = parts
        self._promising = promising
        self._known = {id(parts)}
        self._found: dict[tuple[int, tuple[int, ...]], tuple[int, Parts | None]] = {}

    def get(self, some: Parts, loops: tuple[int, ...]) -> tuple[int, Parts | None] | None:
        """How much effort it took to cut loops of some parts, and what is left of these then; None if not known."""
        return self._found.get((id(some), loops))

    def is_promising(self, some: Parts) -> bool:
        """Whether these are parts, or cuts of them that are kept, that were found to be promising as they are."""
        return id(some) in self._known and (self._promising or some is not self._parts)

    def keep(self, some: Parts, loops: tuple[int, ...], effort: int, cut: Parts | None) -> None:
        """Keep what `get` gives, if these are the parts, or cuts of them that are kept."""
        if id(some) in self._known and (cut is None or cut.count <= _KEPT):
            self._found[id(some), loops] = effort, cut
            if cut:
                self._known.add(id(cut))


@dataclass(frozen=True)
class _Laid:
    """Parts in the middle of axes, and how many positions along each are used."""

    parts: Parts
    used: tuple[Column, ...]


class Moves:
    """The moves on one machine; `promising` drops parts on the way.

    Tiles that are larger for the sake of others are many, and rarely pay; without `larger` they are left out. With
    `values`, only so many tiles of a loop are tried at a time, and the search is no longer exact. With `sends`, sums
    may cost less if they leave a memory before they are complete; with `meets` for some that meet along an axis then.
    `stages` are those that parts pass.
    """

    def __init__(
        self,
        problem: Problem,
        hierarchy: Hierarchy,
        stages: Sequence[Stage],
        effort: Effort,
        *,
        larger: bool = True,
        values: int | None = None,
        sends: bool = False,
        meets: bool = False,
    ):
        self.effort = effort
        self.stages = stages
        self._sends = sends
        self._meets = meets
        self._values = values
        self.problem = problem
        self._hierarchy = hierarchy
        self._larger = larger
        self._levels = {memory.name: memory for memory in hierarchy.memories}
        self._tried_of: dict[tuple[int, int, bool], Tried] = {}
        self._windows = tuple(loop for window in problem.windows for loop in (window.outputs, window.kernels))

    def storing(
        self, parts: Parts, waiting: Sequence[Place], further: frozenset[Operand], promising: Filter
    ) -> Iterator[Parts]:
        """All ways to give operands the places that they wait for, cuts between them included.

        `further` operands get a place in memories further out.
        """
        if not waiting:
            yield parts
            return
        made = Made(parts)
        for place, others in nexts(waiting):
            for placed in self.placing(parts, place, others, further, promising, made):
                if stored := promising(placed):
                    yield from self.storing(stored, others, further, promising)

    def placing(
        self,
        parts: Parts,
        place: Place,
        others: Sequence[Place],
        further: frozenset[Operand],
        promising: Filter,
        made: Made,
    ) -> Iterator[Parts]:
        """All ways to give one operand a place in a memory, after cuts, before `others` get theirs.

        Cuts are looked up in what is `made` of the same parts, and kept there.
        """
        memory, operand = place
        later = further.union(each for _, each in others)
        for cut, owed in self._cuts(parts, (place, *others), later, promising, made):
            if not self._is_swapped(cut, memory, operand):
                placed = cut.stored(self._hierarchy, memory, operand, owed)
                if placed.count:
                    yield placed.sending if self._is_sent(operand, later) else placed

    @staticmethod
    def _is_sent(operand: Operand, later: frozenset[Operand]) -> bool:
        """Whether a place is the outermost one of sums, from which finished ones leave."""
        return operand is Operand.OUTPUT and operand not in later

    def _is_swapped(self, parts: Parts, memory: str, operand: Operand) -> bool:
        """Whether the store before, with nothing in between, could as well come later, and is tried so."""
        last = parts.trail.nodes[-1] if parts.trail.nodes else None
        order = list(Operand)
        return (
            isinstance(last, Store)
            and order.index(last.operand) > order.index(operand)
            and any({last.memory, memory} <= {level.name for level in stage} for stage in self.stages)
        )

    def laying(self, parts: Parts, axes: Sequence[Axis], promising: Callable[[Parts, Laying], Flags]) -> Parts:
        """With every loop that may be laid along axes laid over as many elements as there are, or fewer.

        `promising` is also told what is left of the axes.
        """
        begun = _Laid(parts, tuple(np.ones(parts.count, np.int64) for _ in axes))
        loops = self.along(axes)
        for number, loop in enumerate(loops):
            if not begun.parts.count:
                break
            taking = [index for index, axis in enumerate(axes) if self.problem.loops[loop].kind in axis.loops]
            orders = itertools.permutations(taking)
            begun = _all([self._laid(begun, axes, loops[number:], order, promising) for order in orders])
        return begun.parts

    def _laid(
        self,
        begun: _Laid,
        axes: Sequence[Axis],
        loops: tuple[int, ...],
        order: Sequence[int],
        promising: Callable[[Parts, Laying], Flags],
    ) -> _Laid:
        """With the first of some loops laid along axes one after the other, from the inside out.

        Those along which there is one element come first, in one order: it makes no difference.
        """
        parts, used, before = begun.parts, list(begun.used), None
        for place, index in enumerate(order):
            sums = axes[index].reduces and not self.problem.is_relevant(Operand.OUTPUT, loops[0])
            most = axes[index].size // used[index]
            size, is_uneven = axes[index].size, self._meets and sums
            rows, factors = self._factors(loops[0], parts.left[loops[0]], most, size, uneven=is_uneven)
            parts, used = parts.laid(axes[index], loops[0], factors, rows), [each[rows] for each in used]
            used[index] = used[index] * factors
            room = reduce(operator.mul, (axis.size // each for axis, each in zip(axes, used, strict=True)))
            allowed = promising(parts, Laying(room, loops[place + 1 == len(order) :]))
            if self._hierarchy.elements is not None:
                allowed = allowed & (np.multiply.reduce(parts.busy, axis=0) <= self._hierarchy.elements)
            if before is not None:
                allowed = allowed & ((factors > 1) | ((before[rows] == 1) & (order[place - 1] < index)))
            fits = allowed.nonzero()[0]
            parts, used, before = parts.take(fits), [each[fits] for each in used], factors[fits]
        return _Laid(parts, tuple(used))

    def along(self, axes: Sequence[Axis]) -> tuple[int, ...]:
        """The loops that may be laid along some axes."""
        kinds = {kind for axis in axes for kind in axis.loops}
        return tuple(number for number, loop in enumerate(self.problem.loops) if loop.kind in kinds)

    def finishing(self, parts: Parts) -> Iterator[Parts]:
        """All ways to order what is left outside everything: what is to stay alive runs innermost."""

        def grown(some: Parts, loops: tuple[int, ...]) -> Iterator[Parts]:
            left = some.left[list(loops)]
            rows: Rows = np.logical_or.reduce(left > 1).nonzero()[0]
            if len(rows):
                yield some.cut(loops, left[:, rows], rows)

        for some in (parts, *self._slid(parts, grown), *self._sent(parts, grown)):
            yield some
            for loops in dict.fromkeys(self.problem.idle(link.operand) for link in some.links if link.alive):
                yield from grown(some, loops)

    def _cuts(
        self, parts: Parts, waiting: Sequence[Place], later: frozenset[Operand], promising: Filter, made: Made
    ) -> Iterator[tuple[Parts, frozenset[Operand]]]:
        """With all sequences of cuts right inside the store of the first of some operands that wait for a place.

        Loops for which a link is alive come first, so that it is alive for as many of them as there will be. Those who
        may profit from a larger tile get a place `later`; says for whose sake it is larger.
        """

        def grown(some: Parts, loops: tuple[int, ...]) -> Iterator[Parts]:
            if not loops:
                yield some
                return
            if known := made.get(some, loops):
                effort, cut = known
                self.effort.spend(effort)
                if cut:
                    yield cut
                return
            before = self.effort.spent
            # what ends with any of these cuts tells most parts that are too dear before there are many of them
            ending = some.before(loops)
            if ending is some and made.is_promising(some):
                self.effort.spend(GROUP)
                begun = some
            else:
                begun = promising(ending) if ending else None
            if begun is None:
                made.keep(some, loops, self.effort.spent - before, None)
            for few in begun.slices(_SLICE) if begun else ():
                several = self._grown(few, loops, waiting)
                cut = promising(several) if several else None
                if begun and begun.count <= _SLICE:
                    made.keep(some, loops, self.effort.spent - before, cut)
                if cut:
                    yield cut

        memory, operand = waiting[0]
        slid = self._windows if operand is Operand.INPUT else ()
        others = [each for each in self.problem.operands if each is not operand and each in later]
        level = self._hierarchy.memory(memory)
        profiting = _subsets(others) if self._larger and level.stays else [()]
        # what does not stay is brought again for all loops outside of it
        again = () if level.stays else self.problem.idle(operand)
        # for tiles of these, results that leave read the same words of other tensors
        read = self.problem.rereading if self._is_sent(operand, later) else ()
        for before in (parts, *self._slid(parts, grown), *self._sent(parts, grown)):
            alive = dict.fromkeys(self.problem.idle(link.operand) for link in before.links if link.alive)
            for loops in ((), *alive):
                # cut alone, they are tried as loops for which a link is alive, if they are the same
                more = () if not loops and read in alive else tuple(loop for loop in read if loop not in loops)
                inside = tuple(dict.fromkeys((*again, *more)))
                for first in grown(before, loops):
                    for overlapping in dict.fromkeys(((), tuple(loop for loop in slid if loop not in loops))):
                        for second in grown(first, overlapping):
                            for innermost in dict.fromkeys(((), inside)):
                                for third in grown(second, innermost):
                                    for several in profiting:
                                        for last in self._for_sake_of(several, third, loops, grown):
                                            yield last, frozenset(several)

    def _for_sake_of(
        self, operands: Sequence[Operand], parts: Parts, done: tuple[int, ...], grown: Grow
    ) -> Iterator[Parts]:
        """With cuts of the loops that leave some operands alone, but for those that are done."""
        if not operands:
            yield parts
            return
        idle = self.problem.idle(operands[0])
        if operands[0] is Operand.OUTPUT:
            # what results read stays the same as well
            idle = (*idle, *self.problem.rereading)
        loops = tuple(loop for loop in idle if loop not in done)
        for cut in grown(parts, loops) if loops else ():
            yield from self._for_sake_of(operands[1:], cut, (*done, *loops), grown)

    def _slid(self, parts: Parts, grown: Grow) -> Iterator[Parts]:
        """With one loop of a window cut where a memory keeps what its steps share.

        Inside of it, loops that leave the input alone.
        """
        for link in parts.links:
            if link.alive and link.slides:
                idle = self.problem.idle(link.operand)
                for inside in (parts, *(grown(parts, idle) if idle else ())):
                    for loop in self._windows:
                        yield from grown(inside, (loop,))

    def _sent(self, parts: Parts, grown: Grow) -> Iterator[Parts]:
        """With a loop cut that makes a memory turn to other sums, if these had better leave than be added up there."""
        for link in parts.links if self._sends else ():
            if link.alive and link.operand is Operand.OUTPUT:
                for loop in range(len(self.problem.loops)):
                    if self.problem.is_relevant(Operand.OUTPUT, loop):
                        yield from grown(parts, (loop,))

    def _grown(self, parts: Parts, loops: tuple[int, ...], waiting: Sequence[Place]) -> Parts | None:
        """With all cuts of loops, of one at least, for which tiles of the operands that wait fit into the memories."""
        rows: Rows = np.arange(parts.count)
        factors: list[Column] = []
        tiles = parts.tiles
        for loop in loops:
            more, by = self._factors(loop, parts.left[loop][rows])
            tiles = tiles.take(more, axis=1)
            tiles[loop] = np.minimum(tiles[loop] * by, self.problem.extent(loop, tiles))
            rows, factors = rows[more], [*(each[more] for each in factors), by]
            fits = self._fits(parts, rows, tiles, waiting)
            if np.count_nonzero(fits) < len(fits):
                chosen = fits.nonzero()[0]
                rows, tiles, factors = rows[chosen], tiles.take(chosen, axis=1), [each[chosen] for each in factors]
        stacked = np.array(factors)
        some: Rows = np.logical_or.reduce(stacked > 1).nonzero()[0]
        if not len(some):
            return None
        return parts.cut(loops, stacked.take(some, axis=1), rows[some])

    def _fits(self, parts: Parts, rows: Rows, tiles: Column, waiting: Sequence[Place]) -> Flags:
        fits = np.ones(len(rows), np.bool_)
        held: dict[str, Column] = {}
        for memory, operand in waiting:
            level = self._levels[memory]
            if memory not in held:
                held[memory] = parts.held[memory][rows] if memory in parts.held else np.zeros(len(rows), np.int64)
            words = tile_words(self.problem, operand, tiles)
            if level.buffers > 1:
                words = words * level.buffers
            if level.words is not None:
                held[memory] = held[memory] + in_banks(level, words)
            if operand in level.rooms:
                fits &= words <= level.rooms[operand]
        for memory, taken in held.items():
            most = self._levels[memory].words
            if most is not None:
                fits &= taken <= most
        return fits

    def _factors(
        self, loop: int, left: Column, most: Column | None = None, size: int = 0, *, uneven: bool = False
    ) -> tuple[Rows, Column]:
        """Rows, each repeated with every factor of a loop that is worth trying: up to `most`, one always.

        There is none above `size`. With `uneven`, those too that make no fewer tiles.
        """
        key = left if most is None else left * (size + 1) + most
        order = np.argsort(key, kind="stable")
        tried = self._tried_of.get((loop, size, uneven))
        if tried is None:
            tried = self._tried_of[loop, size, uneven] = Tried()
        keys = key[order]
        for each in tried.missing(keys):
            value, limit = divmod(each, size + 1)
            tried.add(each, self._tried(loop, value, None if most is None else limit, uneven=uneven))
        rows, factors = tried.each(keys)
        self.effort.spend(len(rows))
        return order[rows], factors

    def _tried(self, loop: int, left: int, most: int | None, *, uneven: bool) -> Column:
        """The factors of a loop that are tried if so many tiles of it are left; see `_factors`."""
        if self._values is not None:
            return few_even(left, most, self._values if most is None else max(self._values, _LAID))
        values = np.arange(1, left + 1) if uneven else worthwhile(self.problem, loop, left)
        return values if most is None else values[values <= most]


def _all(found: Sequence[_Laid]) -> _Laid:
    """All that was laid in several orders."""
    some = [each for each in found if each.parts.count] or [*found[:1]]
    if len(some) == 1:
        return some[0]
    used = (np.concatenate(each) for each in zip(*(each.used for each in some), strict=True))
    return _Laid(together([each.parts for each in some]), tuple(used))


def _subsets(operands: Sequence[Operand]) -> list[tuple[Operand, ...]]:
    return [some for number in range(len(operands) + 1) for some in itertools.combinations(operands, number)]
