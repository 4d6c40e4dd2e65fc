"""Parts of mappings, grown from the inside out, many at a time; and what they cost at least.

A part begins with a single index of every loop and grows by three moves: a memory gets a tile of an operand (`stored`),
a loop runs over several of the tiles made so far (`cut`), or several lie side by side on an axis (`laid`). Every tile
is a whole number of those inside it; only the last one of a loop is smaller.

What goes from one place to the next inside is known when the outer one is there, but for how often. An operand is not
brought again while only loops that do not change it run right above its store: such a link is *alive* until another
loop is cut. Elements that share a word count once while the link is *open*: until the outer place is there. So every
link keeps the tile that counts, and its words can only become fewer when that tile grows, which gives the bounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Operand
from passes.mapper.footprint import tile_words
from passes.mapper.links import OPERATION, Grown, Link, Taken, known_together, linked, taken_of
from passes.mapper.nest import Column, For, Nest, Par, Store
from passes.mapper.problem import Problem
from passes.mapper.trail import Rows, Trail, merged

Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]

_ROUNDING = 1e-12
"""Pieces are divided by room."""


def in_banks(memory: Memory, words: Column) -> Column:
    """What so many words of one operand take of a memory."""
    bank = memory.bank or 1
    return words if bank == 1 else -(-words // bank) * bank


@dataclass(frozen=True)
class Parts:
    """Parts that differ in tiles, and in how their inside was made, which their `trail` says.

    `tiles` and `busy` have a row for every loop: the indices that a part covers, and over how many elements they are
    laid. `sunk` is what links cost of which nothing is open any more; they are no longer among `links`, but `placed`
    still has them. `sure`: they do not cost more than is said, as they may where several axes and steps share a loop
    that they do not divide. Where time matters, `flows` are words that ports of memories move so far, and in the last
    row cycles that first and last tiles take; `marks` are the tiles before
    and after each axis. `sent` are the tiles of results in their outermost place, for the sake of what these read of
    other tensors, once it is there and until the words are sunk, too.
    """

    problem: Problem
    trail: Trail
    tiles: Column
    busy: Column
    links: tuple[Link, ...]
    placed: frozenset[tuple[Operand, str]]
    held: dict[str, Column]
    sunk: Values
    sure: Flags
    flows: Values
    marks: Column
    sent: Column | None = None
    known: dict[object, Column] = field(default_factory=dict[object, Column], init=False, compare=False, repr=False)
    """What follows from tiles alone, a number for every part or one for all: whoever needs it keeps it here."""

    @classmethod
    def empty(cls, problem: Problem, flows: int = 0) -> Parts:
        """A part of nothing but an operation, with so many `flows`; of several problems one of each."""
        tiles: Column = problem.beginning
        count: int = tiles.shape[1]
        links = tuple(
            Link(each, OPERATION, None, False, False, False, None, tiles, tiles, None, None)
            for each in problem.operands
        )
        placed = frozenset((link.operand, link.lower) for link in links)
        return cls(
            problem,
            Trail.empty(count),
            tiles,
            np.ones_like(tiles),
            links,
            placed,
            {},
            np.zeros(count),
            np.ones(count, np.bool_),
            np.zeros((flows, count)),
            np.zeros((0, count), np.int64),
        )

    @property
    def count(self) -> int:
        """How many parts there are."""
        return self.tiles.shape[1]

    @cached_property
    def kind(self) -> tuple[object, ...]:
        """What parts must have in common to be compared, or put together."""
        return (*sorted([link.kind for link in self.links]), self.placed, *self.held)

    @property
    def order(self) -> tuple[object, ...]:
        """What parts must have in common to be `joined`: as `kind`, and the order of links."""
        return (tuple([link.kind for link in self.links]), self.placed, tuple(self.held), self.sent is None)

    def take(self, rows: Rows) -> Parts:
        """Some of them."""
        taken = Taken(rows)
        some = self._rows(rows, taken, [False] * len(self.links))
        some.known.update(taken_of(self.known, rows, self.count))
        if "left" in self.__dict__:
            some.__dict__["left"] = taken.of(self.left)
        if "steps" in self.__dict__:
            some.__dict__["steps"] = self.steps[rows]
        return some

    def _rows(self, rows: Rows, taken: Taken, changing: Sequence[bool]) -> Parts:
        """Some of them, without what is known of their tiles, which will change, or of links that are `changing`."""
        some = self._with(
            trail=self.trail.take(rows),
            tiles=taken.of(self.tiles),
            busy=taken.of(self.busy),
            links=tuple([x.take(rows, taken, knowing=not y) for x, y in zip(self.links, changing, strict=True)]),
            held={memory: words[rows] for memory, words in self.held.items()},
            sunk=self.sunk[rows],
            sure=self.sure[rows],
            flows=taken.of(self.flows) if len(self.flows) else np.zeros((0, len(rows))),
            marks=taken.of(self.marks) if len(self.marks) else np.zeros((0, len(rows)), np.int64),
            sent=None if self.sent is None else taken.of(self.sent),
        )
        if "kind" in self.__dict__:
            some.__dict__["kind"] = self.kind
        if "steps" in self.__dict__ and self._has_laid:
            some.__dict__["steps"] = self.steps[rows]
        return some

    @property
    def _has_laid(self) -> bool:
        """Whether loops are laid along all axes that were begun: further tiles do not change the steps then."""
        return len(self.marks) % (2 * max(1, len(self.tiles))) == 0

    def _with(self, **changed: object) -> Parts:
        """As `replace`, in less time."""
        parts = object.__new__(Parts)
        content = parts.__dict__
        content.update(self.__dict__)
        for name in ("kind", "left", "steps"):
            content.pop(name, None)
        content.update(changed, known={})
        return parts

    def being(self, **changed: object) -> Parts:
        """As `replace`, where tiles and marks are the same: what is known of these stays."""
        parts = object.__new__(Parts)
        content = parts.__dict__
        content.update(self.__dict__)
        content.pop("kind", None)
        content.update(changed)
        return parts

    def _grown(self, trail: Trail, tiles: Column, links: tuple[Link, ...], sure: Flags, busy: Column) -> Parts:
        """With other tiles of loops."""
        grown = self._with(trail=trail, tiles=tiles, links=links, sure=sure, busy=busy)
        if "steps" in self.__dict__ and self._has_laid:
            grown.__dict__["steps"] = self.steps
        return grown

    def beside(self, others: Sequence[Parts]) -> Parts:
        """With others of the same `order`."""
        groups = (self, *others)
        several = self._with(
            trail=merged([group.trail for group in groups]),
            tiles=np.concatenate([group.tiles for group in groups], axis=1),
            busy=np.concatenate([group.busy for group in groups], axis=1),
            links=tuple([linked(same) for same in zip(*(group.links for group in groups), strict=True)]),
            held={memory: np.concatenate([group.held[memory] for group in groups]) for memory in self.held},
            sunk=np.concatenate([group.sunk for group in groups]),
            sure=np.concatenate([group.sure for group in groups]),
            flows=np.concatenate([group.flows for group in groups], axis=1),
            marks=np.concatenate([group.marks for group in groups], axis=1),
            sent=None if self.sent is None else np.concatenate([x.sent for x in groups if x.sent is not None], axis=1),
        )
        several.known.update(known_together([(group.known, group.count) for group in groups]))
        if all("left" in group.__dict__ for group in groups):
            several.__dict__["left"] = np.concatenate([group.left for group in groups], axis=1)
        if all("steps" in group.__dict__ for group in groups):
            several.__dict__["steps"] = np.concatenate([group.steps for group in groups])
        several.__dict__["kind"] = self.kind
        return several

    @property
    def by_kind(self) -> Parts:
        """With links in an order that parts of one `kind` share."""
        kinds = [link.kind for link in self.links]
        order = sorted(range(len(kinds)), key=kinds.__getitem__)
        if order == list(range(len(kinds))):
            return self
        some = self.being(links=tuple([self.links[number] for number in order]))
        some.__dict__["kind"] = self.kind
        return some

    def slices(self, size: int) -> Iterator[Parts]:
        """So many of them at a time."""
        if self.count <= size:
            yield self
            return
        for start in range(0, self.count, size):
            yield self.take(np.arange(start, min(start + size, self.count)))

    @property
    def marked(self) -> Parts:
        """With the tiles that there are now among the `marks`."""
        marked = self.being(marks=np.concatenate([self.marks, self.tiles]))
        marked.__dict__.pop("steps", None)
        return marked

    def stored(self, hierarchy: Hierarchy, memory: str, operand: Operand, owed: frozenset[Operand]) -> Parts:
        """With a tile of an operand in a memory, where it fits; `owed` as in `Link`."""
        level = hierarchy.memory(memory)
        words = self.words(operand) * level.buffers
        held = in_banks(level, words) + self.held.get(memory, 0)
        fits = np.ones(self.count, np.bool_) if level.words is None else held <= level.words
        if operand in level.rooms:
            fits &= words <= level.rooms[operand]
        slides = level.slides and operand is Operand.INPUT
        links = tuple(
            link.inside(memory, stays=level.stays) if link.operand is operand else link.after(operand)
            for link in self.links
        )
        flows = self.flows
        rate = level.read if operand is Operand.OUTPUT else level.write
        if len(flows) and level.buffers > 1 and rate is not None:
            flows = flows.copy()
            flows[-1] += words / level.buffers / rate
        alive = level.stays or slides
        new = Link(operand, memory, None, alive, level.stays, slides, owed or None, self.tiles, self.tiles, None, None)
        grown = self.being(
            trail=self.trail.around([Store(memory, operand)], [np.ones(self.count, np.int64)]),
            links=(*links, new),
            placed=self.placed | {(operand, memory)},
            held={**self.held, memory: held},
            flows=flows,
        )
        return grown if np.count_nonzero(fits) == len(fits) else grown.take(fits.nonzero()[0])

    @property
    def sending(self) -> Parts:
        """When sums got their outermost place, from which results leave."""
        return self.being(sent=self.tiles) if self.problem.rereading else self

    def before(self, loops: Sequence[int]) -> Parts | None:
        """When these loops are cut next, the last of them innermost: without links that this ends.

        None, if a link would end that is owed a loop.
        """
        if not all(link.allows(self.problem, loops) for link in self.links if link.owed is not None):
            return None
        ends = [link.alive and not link.gains(self.problem, loops) for link in self.links]
        if not any(ends):
            return self
        links = [link.ended if end else link for link, end in zip(self.links, ends, strict=True)]
        return self.being(links=tuple(links))

    def cut(self, loops: Sequence[int], factors: Column, rows: Rows) -> Parts:
        """Parts `rows`, repeated over time: loop `loops[i]` runs over `factors[i]` tiles, the last loop innermost.

        More than one tile of at least one loop. None, if a link would end that is owed a loop.
        """
        if not all(link.allows(self.problem, loops) for link in self.links if link.owed is not None):
            rows, factors = rows[:0], factors[:, :0]
        changing = [link.alive and link.gains(self.problem, loops) for link in self.links]
        chosen = self._rows(rows, Taken(rows), changing)
        grow = np.ones_like(chosen.tiles)
        grow[list(loops)] = factors
        grown = Grown(self.problem, grow)
        tiles = grown.of(chosen.tiles)
        links = tuple([link.repeated(self.problem, loops, grow, grown) for link in chosen.links])
        # inside out: the last loop first
        inner = list(reversed(loops))
        return chosen._grown(
            chosen.trail.around([For(loop) for loop in inner], [chosen.tiles[loop] for loop in inner]),
            tiles,
            links,
            chosen.sure & ~self._is_doubtful_cut(chosen, links, loops, grow, tiles),
            chosen.busy,
        )

    def _is_doubtful_cut(
        self, chosen: Parts, links: tuple[Link, ...], loops: Sequence[int], grow: Column, tiles: Column
    ) -> Flags:
        """Where a link may cost more than its tiles say after a cut."""
        doubtful = np.zeros(chosen.count, np.bool_)
        uneven: dict[int, Flags] = {}
        for before, after in zip(chosen.links, links, strict=True):
            if before.alive and not before.outlives(self.problem, loops) and before.gains(self.problem, loops):
                doubtful |= grow[loops[-1]] > 1
            if after.alive and not after.is_alone:
                for loop in loops:
                    if loop not in uneven:
                        uneven[loop] = (grow[loop] > 1) & (self.problem.extent(loop, tiles) % tiles[loop] > 0)
                    alone = after.shared[loop] == after.lasting(self.problem, loop)
                    whole = after.shared[loop] == tiles[loop]
                    doubtful |= ~(alone | whole) & uneven[loop]
        return doubtful

    def laid(self, axis: Axis, loop: int, factors: Column, rows: Rows) -> Parts:
        """Parts `rows`, side by side: `loop` runs over `factors` tiles along an axis."""
        changing = [link.alive or link.may_share(axis) for link in self.links]
        chosen = self._rows(rows, Taken(rows), changing)
        tiles, busy = chosen.tiles.copy(), chosen.busy.copy()
        extent = self.problem.extent(loop, tiles)
        tiles[loop] = np.minimum(tiles[loop] * factors, extent)
        busy[loop] *= factors
        doubtful = np.zeros(chosen.count, np.bool_)
        uneven: Flags = extent % tiles[loop] > 0
        for link in chosen.links:
            if loop in self.problem.idle(link.operand):
                if link.alive and link.kept is not None:
                    doubtful |= link.kept[loop] > 1
                doubtful |= (link.shared[loop] != chosen.tiles[loop]) & uneven
        return chosen._grown(
            chosen.trail.around([Par(loop, axis.name)], [chosen.tiles[loop]]),
            tiles,
            tuple([link.beside(self.problem, axis, loop, factors, chosen.tiles[loop]) for link in chosen.links]),
            chosen.sure & ~(doubtful & (factors > 1)),
            busy,
        )

    @cached_property
    def left(self) -> Column:
        """How many tiles of every loop there are to run over, a row for each."""
        return self.problem.turns(self.tiles)

    def turns(self, loops: tuple[int, ...]) -> Column:
        """How many tiles of some loops there are to run over, all together."""
        found = self.known.get(loops)
        if found is None:
            found = self.left[loops[0]] if loops else np.ones(self.count, np.int64)
            for loop in loops[1:]:
                found = found * self.left[loop]
            self.known[loops] = found
        return found

    def words(self, operand: Operand) -> Column:
        """Words of the tiles of an operand."""
        found = self.known.get(operand)
        if found is None:
            found = self.known[operand] = tile_words(self.problem, operand, self.tiles)
        return found

    @cached_property
    def steps(self) -> Column:
        """Steps until the element with the most to do is done, if all else runs over time; needs the `marks`."""
        count = len(self.tiles)
        ends = range(0, len(self.marks), count) if count else ()
        edges = [*(self.marks[end : end + count] for end in ends), self.tiles]
        axes = list(zip(edges[::2], edges[1::2], strict=False))
        if not axes:
            return np.full(self.count, self.problem.operations_of(self.tiles), np.int64)
        whole = self.problem.extents_of(self.tiles)
        if len(axes) > 1:
            return self.problem.product(_slowest(whole, axes))
        (before, after), *_ = axes
        times = self.problem.full_turns(after)
        return self.problem.product(times * before + np.minimum(whole - times * after, before))

    def nest(self) -> tuple[Nest, list[Column]]:
        """The nest of parts that were made alike, if what is left of all loops runs over time outside everything."""
        nodes, columns = self.trail.made()
        rest = tuple(For(loop) for loop in range(len(self.problem.extents)))
        return Nest((*rest, *reversed(nodes))), [*self.tiles, *reversed(columns)]

    def of_one(self, problem: Problem, rows: Rows) -> Parts:
        """Some parts, all of the same one of several problems that are `Alike`: without the row that says which."""
        some = self.take(rows)
        first = {id(each): each for each in (some.tiles, some.busy, *(each for x in some.links for each in x.columns))}
        lessened = {number: each[:-1] for number, each in first.items()}
        width = len(some.tiles)
        marks = some.marks.reshape(-1, width, some.count)[:, :-1].reshape(-1, some.count)
        own = some.being(
            problem=problem,
            tiles=lessened[id(some.tiles)],
            busy=lessened[id(some.busy)],
            links=tuple([link.with_columns(lessened) for link in some.links]),
            marks=marks,
        )
        own.__dict__.pop("left", None)
        return own

    def alike(self) -> list[Parts]:
        """The parts, apart by how they were made."""
        return [self.take(rows) for rows in self.trail.alike()]


def read_by(problem: Problem, pieces: Column, together: Values | float) -> Values:
    """Words that results read of each other tensor at least, if up to so many pieces of loops leave `together`."""
    found: Values = np.zeros((len(problem.extras), int(pieces.shape[1])))
    for row, extra in enumerate(problem.extras):
        parts: Values = np.prod(pieces[list(extra.loops)], axis=0).astype(np.float64)
        turns: Values = np.ceil(parts * ((1 - _ROUNDING) / together))
        found[row] = np.multiply(extra.words, np.maximum(turns, 1.0), dtype=np.float64)
    return found


def together(groups: Sequence[Parts]) -> Parts:
    """Parts of one kind, made in different ways, as one."""
    return joined([group.by_kind for group in groups])


def joined(groups: Sequence[Parts]) -> Parts:
    """Parts whose links are of the same kinds in the same order as one."""
    first = groups[0]
    if len(groups) == 1:
        return first.being(trail=merged([first.trail]))
    return first.beside(groups[1:])


def _slowest(indices: Column, axes: Sequence[tuple[Column, Column]]) -> Column:
    """Steps that the element with the most to do takes for some indices, of tiles before and after `axes`.

    The first of the elements side by side has a whole tile, or all there is.
    """
    whole: list[Column] = []
    for number, (before, _) in enumerate(axes):
        whole.append(_led_inwards(before, axes[:number], whole))
    return _led_inwards(indices, axes, whole)


def _led_inwards(indices: Column, axes: Sequence[tuple[Column, Column]], whole: Sequence[Column]) -> Column:
    """As `_slowest`, where it is known how many steps the `whole` tile before each axis takes."""
    steps: Column | None = None
    for (before, after), each in zip(reversed(axes), reversed(whole), strict=True):
        times = indices // after
        more = times * each
        steps, indices = more if steps is None else steps + more, np.minimum(indices - times * after, before)
    return indices if steps is None else steps + indices
