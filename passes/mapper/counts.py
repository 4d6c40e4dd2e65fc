"""What the mappings of a nest cost in words and steps, in closed form, for many candidates at once.

Every operand has a path of places: the outermost memory, its stores from the outermost inwards, and the operation,
which takes a word of input and kernel and makes one of output in every element. Words go from each place to the next:

- input, kernel: every visit of a place brings the words that everything below needs (`fill`). The upper memory sends a
  word once (`read`) to all elements that ask for it in the same step, along axes that multicast the operand; where a
  window is laid along the axis, only if no element's piece of it is cut further between two visits.
- A memory keeps what it has while the loops right above the store, up to a place where words only pass by, do not
  change it. One that slides also keeps the
  words that a step of the next loop shares with the one before, unless the window is laid along an axis further out.
- output: every visit of a place ends with sending its words upwards, where they are added to what is there (`update`).
  Along axes that add up partial sums on the way (`hop`), one word arrives for all. All but the first of a word's
  arrivals while it stays in the upper memory are additions (`add`): the word is read, and written again.
- Tensors that scalar functions read (`extra.read`) come from the outermost memory, or where else they lie: every
  transfer of finished sums out of their outermost place, of all elements side by side together, reads the words that
  it needs once. Without a store of sums, every step is such a transfer.

Sources: Parashar et al., Timeloop, ISPASS 2019, for the shape of the counts; Chen et al., ISCA 2016, for accumulation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from dialects.gconv import LoopKind
from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from passes.mapper.footprint import positions, tile_words
from passes.mapper.nest import Column, For, Nest, Par, Place, Store
from passes.mapper.notation import one_number
from passes.mapper.pieces import Pieces
from passes.mapper.problem import Problem

Flags = npt.NDArray[np.bool_]

_ZERO, _ONE = np.zeros(1, np.int64), np.ones(1, np.int64)
_ALWAYS: Flags = np.ones(1, np.bool_)

_NO_COLUMNS: Mapping[int, Column] = MappingProxyType({})
_NO_FLAGS: Mapping[int, Flags] = MappingProxyType({})

OPERAND_NAMES = {Operand.INPUT: "input", Operand.KERNEL: "kernel", Operand.OUTPUT: "output"}


@dataclass(frozen=True)
class _Kept:
    """What temporal nodes above a place do not bring again.

    `once`: by node, for which candidates only the first of its steps counts; `tiles`: with which tiles others cut.
    """

    once: dict[int, Flags]
    tiles: dict[int, Column]


class Counts:
    """The counts of all candidates of a nest: columns of words and steps.

    `tiles` has one column for every node (those of stores are not read), or one of a single number that is the same for
    all `candidates`. A tile that is not smaller than what is left of its loop cuts nothing. With `wanted`, only those
    events of operands are counted.
    """

    def __init__(
        self,
        problem: Problem,
        hierarchy: Hierarchy,
        nest: Nest,
        tiles: list[Column],
        wanted: Collection[str] | None = None,
        candidates: int | None = None,
    ):
        self._wanted = wanted
        self._problem = problem
        self._hierarchy = hierarchy
        self._nest = nest
        self._nodes = nest.nodes
        self._tiles = tiles
        self.candidates = max((len(column) for column in tiles), default=1) if candidates is None else candidates
        self._end = len(nest.nodes)
        self._wholes: dict[int, Pieces] = {}
        self._brought_words: dict[tuple[Operand, int, frozenset[int]], Column] = {}
        self._tiles_words: dict[tuple[Operand, int], Column] = {}
        self._keeps: dict[tuple[Operand, int], _Kept] = {}
        self._prefixes: dict[tuple[int, int], Pieces] = {}
        self._reaches: dict[int, list[Column]] = {}
        """By loop, the largest pieces before and after each of its cuts."""
        self.planned: Counts | None = None
        """The counts of larger ranges that decide what transfers bring, if these are of a smaller part of them."""

    @cached_property
    def events(self) -> dict[str, Column]:
        """Words by event, `memory.operand.event`, and `operation`."""
        counted = {"operation": np.full(1, self._problem.operations, np.int64)}
        for operand in self._problem.operands:
            counted |= self.moved(operand)
        counted |= self.read_after
        return {event: self._whole(words) for event, words in counted.items()}

    @cached_property
    def read_after(self) -> dict[str, Column]:
        """The events of tensors that are read along with finished results; none if there are none.

        Columns may be of a single number.
        """
        outermost = self._hierarchy.memories[0].name
        counted: dict[str, Column] = {}
        for extra, words in zip(self._problem.extras, self.extra_words, strict=True):
            event = f"{extra.memory or outermost}.extra.read"
            counted[event] = counted.get(event, _ZERO) + words
        return counted

    @cached_property
    def extra_words(self) -> list[Column]:
        """Words of each of these tensors."""
        first, *_ = (*(place for place, _ in self._nest.stores(Operand.OUTPUT)), self._end)
        found: list[Column] = []
        for extra in self._problem.extras:
            words = np.full(1, extra.words, np.int64)
            for loop in extra.loops:
                pieces = self._pieces(loop, first, once=self._side_by_side(loop))
                words = words * (pieces.total if first == self._end else pieces.number)
            found.append(self._whole(words))
        return found

    def moved(self, operand: Operand) -> dict[str, Column]:
        """The events of one operand; columns may be of a single number."""
        counted: dict[str, Column] = {}
        for upper, lower in pairwise(self._path(operand)):
            counted |= self._between(operand, upper, lower)
        return counted

    def _between(self, operand: Operand, upper: Place, lower: Place) -> dict[str, Column]:
        """The events of one operand on its way between two places."""
        events = self._sums(upper, lower) if operand is Operand.OUTPUT else self._sent(operand, upper, lower)
        wanted = self._wanted
        return {event: count() for event, count in events.items() if wanted is None or event in wanted}

    @cached_property
    def occupancy(self) -> dict[str, dict[Operand, Column]]:
        """Words that each memory holds of each operand at a time, at most."""
        held: dict[str, dict[Operand, Column]] = {}
        for operand in self._problem.operands:
            for place in self._path(operand)[1:-1]:
                held.setdefault(place.memory, {})[operand] = self._whole(self._tile_words(operand, place.node))
        return held

    @cached_property
    def steps(self) -> Column:
        """Steps until the slowest element is done, of one operation in every element each."""
        result = _ONE
        for loop in range(len(self._problem.extents)):
            result = result * self._pieces(loop, self._end, once=self._side_by_side(loop)).total
        return self._whole(result)

    def _side_by_side(self, loop: int) -> Mapping[int, Flags]:
        """The nodes that lay a loop along an axis, of whose pieces the first, which is the largest, counts for all."""
        cuts = self._nest.cuts(loop)
        return {index: _ALWAYS for index, node in cuts if isinstance(node, Par)}

    def elements(self, axis: str, unknown: Collection[int] = ()) -> Column:
        """Elements side by side along an axis; nodes whose tiles are `unknown` lay nothing along it."""
        result = _ONE
        for index, node in self._nest.spatial:
            if node.axis == axis and index not in unknown:
                result = result * -(-self._reach(node.loop, index) // self._tiles[index])
        return self._whole(result)

    def elements_over(self, axis: str, others: Counts) -> Column:
        """Elements along an axis at most, if tiles are anything between these and those of others."""
        result = _ONE
        for index, node in self._nest.spatial:
            if node.axis == axis:
                reach = np.maximum(self._reach(node.loop, index), others._reach(node.loop, index))
                result = result * -(-reach // np.minimum(self._tiles[index], others._tiles[index]))
        return self._whole(result)

    def _path(self, operand: Operand) -> tuple[Place, ...]:
        return self._nest.path(operand, self._hierarchy.begins(operand))

    def _sent(self, operand: Operand, upper: Place, lower: Place) -> dict[str, Callable[[], Column]]:
        """By event, what counts the words of an operand that go from one place to the next."""
        multicast = frozenset(
            index
            for index, node in self._spatial(upper.node, lower.node)
            if operand in self._hierarchy.axis(node.axis).multicast
        )
        name = OPERAND_NAMES[operand]
        return {
            f"{upper.memory}.{name}.read": lambda: self._brought(operand, lower, multicast),
            f"{lower.memory}.{name}.fill": lambda: self._brought(operand, lower),
        }

    def _sums(self, upper: Place, lower: Place) -> dict[str, Callable[[], Column]]:
        """The same of sums, which go from the lower place to the upper one."""
        added = frozenset(
            index
            for index, node in self._spatial(upper.node, lower.node)
            if self._hierarchy.axis(node.axis).reduces and self._problem.loops[node.loop].kind is LoopKind.KS
        )

        def arrived() -> Column:
            return self._brought(Operand.OUTPUT, lower, added)

        def words() -> Column:
            outermost = upper.node < 0
            return self._tile_words(Operand.OUTPUT, 0) if outermost else self._brought(Operand.OUTPUT, upper)

        return {
            f"{upper.memory}.output.update": arrived,
            f"{upper.memory}.output.add": lambda: arrived() - words(),
            f"{upper.memory}.output.hop": lambda: self._brought(Operand.OUTPUT, lower) - arrived(),
        }

    def _brought(self, operand: Operand, place: Place, shared: frozenset[int] = frozenset()) -> Column:
        """Words that all visits of a place bring or send, with what its memory keeps; `shared` is as for `_words`."""
        key = operand, place.node, shared
        if key not in self._brought_words:
            if (operand, place.node) not in self._keeps:
                self._keeps[operand, place.node] = self._kept(operand, place)
            self._brought_words[key] = self._words(operand, place.node, shared, self._keeps[operand, place.node])
        return self._brought_words[key]

    def _kept(self, operand: Operand, place: Place) -> _Kept:
        """What a memory keeps: see the module."""
        kept = _Kept({}, {})
        if not 0 <= place.node < self._end:
            return kept
        memory = self._hierarchy.memory(place.memory)
        slides = operand is Operand.INPUT and memory.slides
        waiting = _ALWAYS
        for index in reversed(range(place.node)):
            node = self._nodes[index]
            if isinstance(node, Store) and node.operand is operand and not self._hierarchy.memory(node.memory).stays:
                break
            if not isinstance(node, For):
                continue
            reach, tile = self._planned_reach(node.loop, index), self._tiles[index]
            if len(reach) == len(tile) == 1 and reach[0] <= tile[0]:
                # it takes one step
                continue
            if memory.stays and not self._problem.is_relevant(operand, node.loop):
                kept.once[index] = waiting
                continue
            turns = waiting & (reach > tile)
            if slides:
                shared = turns & self._overlaps(node.loop, place.node)
                for inner, _ in self._nest.cuts(node.loop):
                    if index <= inner < place.node:
                        kept.tiles[inner] = np.where(shared, reach, kept.tiles.get(inner, self._tiles[inner]))
            waiting = waiting & ~turns
        return kept

    def _overlaps(self, loop: int, end: int) -> Flags:
        """Whether an element can keep what steps of a loop share: only neighbours do, and no axis cuts the window."""
        window = self._problem.window_of(loop)
        if window is None or (window.across if loop == window.outputs else window.along) > 1:
            return ~_ALWAYS
        result = _ALWAYS
        for index, node in self._nest.spatial:
            if index < end and node.loop in (window.outputs, window.kernels):
                result = result & (self._planned_reach(node.loop, index) <= self._tiles[index])
        return result

    def _spatial(self, start: int, end: int) -> Iterator[tuple[int, Par]]:
        return ((index, node) for index, node in self._nest.spatial if start <= index < end)

    def _words(self, operand: Operand, end: int, shared: frozenset[int], kept: _Kept) -> Column:
        """Words of a tile at a place, summed over all visits; the elements of `shared` spatial nodes count together."""
        once = kept.once | dict.fromkeys(shared, _ALWAYS)
        result = _ONE
        for loop, extent in enumerate(self._problem.extents):
            if not self._problem.is_relevant(operand, loop):
                pieces = self._pieces(loop, end, once=once)
                result = result * (pieces.total if end == self._end else pieces.number)
            elif operand is not Operand.INPUT or self._problem.window_of(loop) is None:
                result = result * extent
        if operand is Operand.INPUT:
            for window in self._problem.windows:
                outputs, kernels = (
                    self._window_pieces(loop, end, shared, kept.tiles) for loop in (window.outputs, window.kernels)
                )
                result = result * positions(window, outputs, kernels)
        return result

    def _window_pieces(self, loop: int, end: int, shared: frozenset[int], kept: Mapping[int, Column]) -> Pieces:
        """The pieces of a window's loop that count apart."""
        extent = self._problem.extents[loop]
        innermost = _ONE if end == self._end else self._planned_reach(loop, end)
        instead = dict(kept)
        together: Flags | None = None
        for index, _ in self._nest.cuts(loop):
            if index in shared:
                is_uncut = self._planned_reach(loop, index + 1) == innermost
                together = is_uncut if together is None else together | is_uncut
            if together is not None:
                instead[index] = np.where(together, extent, instead.get(index, self._tiles[index]))
        pieces = self._pieces(loop, end, instead)
        if end == self._end:
            return pieces.cut(_ONE if together is None else np.where(together, extent, 1))
        return pieces if self._hierarchy.nested else pieces.evened(extent)

    def _tile_words(self, operand: Operand, end: int) -> Column:
        """Words of the largest tile at a place."""
        if (operand, end) not in self._tiles_words:
            reach = {loop: self._reach(loop, end) for loop in self._problem.indexing(operand)}
            self._tiles_words[operand, end] = tile_words(self._problem, operand, reach)
        return self._tiles_words[operand, end]

    def _pieces(
        self,
        loop: int,
        end: int,
        instead: Mapping[int, Column] = _NO_COLUMNS,
        once: Mapping[int, Flags] = _NO_FLAGS,
    ) -> Pieces:
        """The pieces of a loop above a node.

        Some nodes cut with tiles `instead`; of what others cut, only the first tile counts where `once` says so.
        """
        if loop not in self._wholes:
            self._wholes[loop] = Pieces.whole(self._problem.extents[loop], 1)
        pieces = whole = self._wholes[loop]
        changed = False
        for index, _ in self._nest.cuts(loop):
            if index >= end:
                break
            changed |= index in instead or index in once
            if not changed and (loop, index) in self._prefixes:
                pieces = self._prefixes[loop, index]
                continue
            tile = instead.get(index, self._tiles[index])
            if index in once and (once[index] is _ALWAYS or np.count_nonzero(once[index]) == len(once[index])):
                pieces = pieces.first(tile)
                continue
            if self._hierarchy.nested:
                pieces = pieces.cut(tile, once.get(index))
            else:
                cut = whole.cut(np.minimum(tile, pieces.largest))
                pieces = pieces.first(tile).where(once[index], cut) if index in once else cut
            if not changed:
                self._prefixes[loop, index] = pieces
        return pieces

    def _reach(self, loop: int, end: int) -> Column:
        """The largest piece of a loop above a node: what is left over of a cut is smaller than the others."""
        if loop not in self._reaches:
            reach = one_number(self._problem.extents[loop])
            self._reaches[loop] = [reach]
            for index, _ in self._nest.cuts(loop):
                tile = self._tiles[index]
                if len(reach) == len(tile) == 1:
                    reach = tile if tile[0] < reach[0] else reach
                else:
                    reach = np.minimum(reach, tile)
                self._reaches[loop].append(reach)
        return self._reaches[loop][self._nest.depth(loop, end)]

    def _planned_reach(self, loop: int, end: int) -> Column:
        """As `_reach`, of the ranges that the nest was made for."""
        return self._reach(loop, end) if self.planned is None else self.planned._reach(loop, end)

    def _whole(self, column: Column) -> Column:
        """A column, or a single number for all candidates, with a number for each."""
        return column if len(column) == self.candidates else np.broadcast_to(column, (self.candidates,))
