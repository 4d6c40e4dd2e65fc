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
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Operand
from passes.mapper.footprint import tile_words
from passes.mapper.nest import Column, For, Nest, Par, Store
from passes.mapper.problem import Problem
from passes.mapper.trail import Rows, Trail, merged

Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]

OPERATION = "operation"
_ROUNDING = 1e-12
"""Pieces are divided by room."""


def in_banks(memory: Memory, words: Column) -> Column:
    """What so many words of one operand take of a memory."""
    bank = memory.bank or 1
    return words if bank == 1 else -(-words // bank) * bank


@dataclass(frozen=True)
class Link:
    """Words of an operand on their way between two neighbouring places of its path.

    `own` and `shared` have a row for every loop: the tiles that count where all elements count, and where those that
    may share a word count once. `owed`: the tile is larger for the sake of these operands, which only pays if they get
    a place before a loop follows that leaves this one alone; empty, that loop is due. `laid` says over how many
    elements the loop was laid while the link was alive, `kept` over how many steps after that the link stayed alive;
    without them, it was not. What `stays` false brings again for every turn may still slide.
    """

    operand: Operand
    lower: str
    upper: str | None
    alive: bool
    stays: bool
    slides: bool
    owed: frozenset[Operand] | None
    shared: Column
    own: Column
    laid: Column | None
    kept: Column | None

    def take(self, rows: Rows) -> Link:
        """Of some parts."""
        shared = self.shared[:, rows]
        own = shared if self.own is self.shared else self.own[:, rows]
        laid = None if self.laid is None else self.laid[:, rows]
        kept = None if self.kept is None else self.kept[:, rows]
        end = (self.alive, self.stays, self.slides, self.owed)
        return Link(self.operand, self.lower, self.upper, *end, shared, own, laid, kept)

    @property
    def kind(self) -> tuple[object, ...]:
        """What links of parts must have in common to be compared, or put together."""
        owed = None if self.owed is None else tuple(sorted(self.owed))
        return (self.operand, self.lower, self.upper, self.alive, self.stays, self.slides, owed)

    def outlives(self, problem: Problem, loops: Sequence[int]) -> bool:
        """Whether it stays alive when these loops are cut."""
        idle = problem.idle(self.operand)
        return self.alive and self.stays and all(loop in idle for loop in loops)

    def inside(self, memory: str, *, stays: bool) -> Link:
        """When its operand got a place in a memory further out: where words do not stay, all of them come anew."""
        return replace(self, upper=self.upper or memory, alive=self.alive and stays)

    def after(self, operand: Operand) -> Link:
        """When another operand got a place."""
        return self if self.owed is None else replace(self, owed=self.owed - {operand})

    def allows(self, problem: Problem, loops: Sequence[int]) -> bool:
        """Whether these loops may be cut next."""
        return self.owed is None or (self.outlives if self.owed else self.gains)(problem, loops)

    def gains(self, problem: Problem, loops: Sequence[int]) -> bool:
        """Whether fewer words pass for these loops, the last of them innermost, being cut while it is alive."""
        return self.outlives(problem, loops) or (
            self.alive and self.slides and problem.window_of(loops[-1]) is not None
        )

    def repeated(self, problem: Problem, loops: Sequence[int], grow: Column) -> Link:
        """With further loops over time, the last of them innermost."""
        if not self.alive:
            return self
        alive = self.outlives(problem, loops)
        counted = list(loops) if alive else [loops[-1]] if self.gains(problem, loops) else []
        factors = np.ones_like(grow)
        factors[counted] = grow[counted]
        if self.laid is None:
            kept, more = None, factors
        else:
            kept = np.where(self.laid > 1, factors, 1) * (1 if self.kept is None else self.kept)
            more = np.where(self.laid > 1, 1, factors)
        own = problem.within(self.own * more)
        owed = self.owed if self.owed or not counted else None
        return replace(self, alive=alive, owed=owed, shared=problem.within(self.shared * factors), own=own, kept=kept)

    def beside(self, problem: Problem, axis: Axis, loop: int, factors: Column, tiles: Column) -> Link:
        """With further elements along an axis, over which tiles of a loop are laid.

        Elements share what a window covers only where none of them moves it on its own.
        """
        link = self
        if self.alive:
            laid = np.ones_like(self.own) if self.laid is None else self.laid.copy()
            laid[loop] *= factors
            link = replace(self, laid=laid)
        together = axis.reduces if self.operand is Operand.OUTPUT else self.operand in axis.multicast
        if self.upper is not None or not together:
            return link
        shared = self.shared.copy()
        if self.operand is Operand.INPUT and problem.window_of(loop) is not None:
            factors = np.where(tiles == self.own[loop], factors, 1)
        shared[loop] = np.minimum(shared[loop] * factors, problem.extents[loop])
        return replace(link, shared=shared)

    @property
    def ended(self) -> Link:
        """When the next loop that is cut is none that it outlives."""
        return replace(self, alive=False)

    def visits(self, problem: Problem, loop: int) -> Column:
        """How often elements get tiles of a loop that the operand is not indexed by."""
        extent = problem.extents[loop]
        own = self.own[loop]
        if self.laid is None or self.kept is None:
            return -(-extent // own)
        reach = np.minimum(own * self.laid[loop], extent)
        elements = -(-reach // own)
        whole, rest = np.divmod(extent, reach * self.kept[loop])
        return whole * elements + np.minimum(elements, -(-rest // own))

    def elements(self, problem: Problem, loop: int) -> Column:
        """How many elements a loop was laid over while the link was alive."""
        own = self.own[loop]
        if self.laid is None:
            return np.ones_like(own)
        return -(-np.minimum(own * self.laid[loop], problem.extents[loop]) // own)

    def lasting(self, problem: Problem, loop: int) -> Column:
        """The tile of a loop while each element kept what it had."""
        own = self.own[loop] if self.kept is None else self.own[loop] * self.kept[loop]
        return np.minimum(own, problem.extents[loop])


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

    @classmethod
    def empty(cls, problem: Problem, flows: int = 0) -> Parts:
        """One part, of nothing but an operation, with so many `flows`."""
        ones = np.ones((len(problem.extents), 1), np.int64)
        links = tuple(
            Link(each, OPERATION, None, False, False, False, None, ones, ones, None, None) for each in problem.operands
        )
        placed = frozenset((link.operand, link.lower) for link in links)
        sure = np.ones(1, np.bool_)
        marks: Column = np.zeros((0, 1), np.int64)
        return cls(
            problem, Trail.empty(), ones, ones, links, placed, {}, np.zeros(1), sure, np.zeros((flows, 1)), marks
        )

    @property
    def count(self) -> int:
        """How many parts there are."""
        return self.tiles.shape[1]

    @cached_property
    def kind(self) -> tuple[object, ...]:
        """What parts must have in common to be compared, or put together."""
        return (*sorted(map(str, (link.kind for link in self.links))), tuple(sorted(self.placed)), tuple(self.held))

    def take(self, rows: Rows) -> Parts:
        """Some of them."""
        return replace(
            self,
            trail=self.trail.take(rows),
            tiles=self.tiles[:, rows],
            busy=self.busy[:, rows],
            links=tuple(link.take(rows) for link in self.links),
            held={memory: words[rows] for memory, words in self.held.items()},
            sunk=self.sunk[rows],
            sure=self.sure[rows],
            flows=self.flows[:, rows],
            marks=self.marks[:, rows],
            sent=None if self.sent is None else self.sent[:, rows],
        )

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
        return replace(self, marks=np.concatenate([self.marks, self.tiles]))

    def stored(self, hierarchy: Hierarchy, memory: str, operand: Operand, owed: frozenset[Operand]) -> Parts:
        """With a tile of an operand in a memory, where it fits; `owed` as in `Link`."""
        level = hierarchy.memory(memory)
        words = tile_words(self.problem, operand, self.tiles) * level.buffers
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
        grown = replace(
            self,
            trail=self.trail.around([Store(memory, operand)], [np.ones(self.count, np.int64)]),
            links=(*links, new),
            placed=self.placed | {(operand, memory)},
            held={**self.held, memory: held},
            flows=flows,
        )
        return grown if fits.all() else grown.take(np.flatnonzero(fits))

    @property
    def sending(self) -> Parts:
        """When sums got their outermost place, from which results leave."""
        return replace(self, sent=self.tiles) if self.problem.rereading else self

    def before(self, loops: Sequence[int]) -> Parts:
        """When these loops are cut next, the last of them innermost: without links that this ends."""
        if not all(link.allows(self.problem, loops) for link in self.links):
            return self.take(np.zeros(0, np.intp))
        links = (link if link.gains(self.problem, loops) or not link.alive else link.ended for link in self.links)
        return replace(self, links=tuple(links))

    def cut(self, loops: Sequence[int], factors: Column, rows: Rows) -> Parts:
        """Parts `rows`, repeated over time: loop `loops[i]` runs over `factors[i]` tiles, the last loop innermost.

        More than one tile of at least one loop. None, if a link would end that is owed a loop.
        """
        if not all(link.allows(self.problem, loops) for link in self.links):
            rows, factors = rows[:0], factors[:, :0]
        chosen = self.take(rows)
        grow = np.ones_like(chosen.tiles)
        grow[list(loops)] = factors
        tiles = self.problem.within(chosen.tiles * grow)
        links = tuple(link.repeated(self.problem, loops, grow) for link in chosen.links)
        # inside out: the last loop first
        inner = list(reversed(loops))
        return replace(
            chosen,
            trail=chosen.trail.around([For(loop) for loop in inner], [chosen.tiles[loop] for loop in inner]),
            tiles=tiles,
            links=links,
            sure=chosen.sure & ~self._is_doubtful_cut(chosen, links, loops, grow, tiles),
        )

    def _is_doubtful_cut(
        self, chosen: Parts, links: tuple[Link, ...], loops: Sequence[int], grow: Column, tiles: Column
    ) -> Flags:
        """Where a link may cost more than its tiles say after a cut."""
        doubtful = np.zeros(chosen.count, np.bool_)
        for before, after in zip(chosen.links, links, strict=True):
            if before.alive and not before.outlives(self.problem, loops) and before.gains(self.problem, loops):
                doubtful |= grow[loops[-1]] > 1
            if after.alive:
                for loop in loops:
                    extent = self.problem.extents[loop]
                    alone = after.shared[loop] == after.lasting(self.problem, loop)
                    whole = after.shared[loop] == tiles[loop]
                    doubtful |= ~alone & ~whole & (grow[loop] > 1) & (extent % tiles[loop] > 0)
        return doubtful

    def laid(self, axis: Axis, loop: int, factors: Column, rows: Rows) -> Parts:
        """Parts `rows`, side by side: `loop` runs over `factors` tiles along an axis."""
        chosen = self.take(rows)
        tiles, busy = chosen.tiles.copy(), chosen.busy.copy()
        tiles[loop] = np.minimum(tiles[loop] * factors, self.problem.extents[loop])
        busy[loop] *= factors
        doubtful = np.zeros(chosen.count, np.bool_)
        for link in chosen.links:
            if loop in self.problem.idle(link.operand):
                again = link.alive and link.kept is not None and link.kept[loop] > 1
                apart = (link.shared[loop] != chosen.tiles[loop]) & (self.problem.extents[loop] % tiles[loop] > 0)
                doubtful |= again | apart
        return replace(
            chosen,
            trail=chosen.trail.around([Par(loop, axis.name)], [chosen.tiles[loop]]),
            tiles=tiles,
            busy=busy,
            links=tuple(link.beside(self.problem, axis, loop, factors, chosen.tiles[loop]) for link in chosen.links),
            sure=chosen.sure & ~(doubtful & (factors > 1)),
        )

    @cached_property
    def left(self) -> Column:
        """How many tiles of every loop there are to run over, a row for each."""
        return -(-self.problem.whole // self.tiles)

    @cached_property
    def steps(self) -> Column:
        """Steps until the element with the most to do is done, if all else runs over time; needs the `marks`."""
        extents = self.problem.whole
        edges = [*np.split(self.marks, len(self.marks) // len(extents)), self.tiles] if len(self.marks) else []
        axes = list(zip(edges[::2], edges[1::2], strict=False))
        return np.prod(_slowest(np.broadcast_to(extents, self.tiles.shape), axes), axis=0)

    def nest(self) -> tuple[Nest, list[Column]]:
        """The nest of parts that were made alike, if what is left of all loops runs over time outside everything."""
        nodes, columns = self.trail.made()
        rest = tuple(For(loop) for loop in range(len(self.problem.extents)))
        return Nest((*rest, *reversed(nodes))), [*self.tiles, *reversed(columns)]

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
    first = groups[0]
    order = [sorted(group.links, key=lambda link: str(link.kind)) for group in groups]
    links = tuple(
        replace(
            same[0],
            shared=np.concatenate([link.shared for link in same], axis=1),
            own=np.concatenate([link.own for link in same], axis=1),
            laid=_side_by_side([link.laid for link in same], same),
            kept=_side_by_side([link.kept for link in same], same),
        )
        for same in zip(*order, strict=True)
    )
    return Parts(
        first.problem,
        merged([group.trail for group in groups]),
        np.concatenate([group.tiles for group in groups], axis=1),
        np.concatenate([group.busy for group in groups], axis=1),
        links,
        first.placed,
        {memory: np.concatenate([group.held[memory] for group in groups]) for memory in first.held},
        np.concatenate([group.sunk for group in groups]),
        np.concatenate([group.sure for group in groups]),
        np.concatenate([group.flows for group in groups], axis=1),
        np.concatenate([group.marks for group in groups], axis=1),
        None if first.sent is None else np.concatenate([each.sent for each in groups if each.sent is not None], axis=1),
    )


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
    steps: Column = np.zeros_like(indices)
    for (before, after), each in zip(reversed(axes), reversed(whole), strict=True):
        times, rest = np.divmod(indices, after)
        steps, indices = steps + times * each, np.minimum(rest, before)
    return steps + indices


def _side_by_side(columns: Sequence[Column | None], links: Sequence[Link]) -> Column | None:
    """Columns of factors together, of which some may be all ones."""
    if all(each is None for each in columns):
        return None
    filled = [np.ones_like(link.own) if each is None else each for each, link in zip(columns, links, strict=True)]
    return np.concatenate(filled, axis=1)
