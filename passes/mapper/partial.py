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

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Operand
from passes.mapper.footprint import tile_words
from passes.mapper.nest import Column, For, Nest, Node, Par, Store
from passes.mapper.problem import Problem

Rows = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]

OPERATION = "operation"


def in_banks(memory: Memory, words: Column) -> Column:
    """What so many words of one operand take of a memory."""
    bank = memory.bank or 1
    return -(-words // bank) * bank


@dataclass(frozen=True)
class Link:
    """Words of an operand on their way between two neighbouring places of its path.

    `shared` and `own` have a row for every loop: the tiles that count where elements that may share a word count once,
    and where all count. `owed`: the tile is larger for the sake of these operands, which only pays if they get a place
    before a loop follows that leaves this one alone; empty, that loop is due. `laid` says over how many elements the
    loop was laid while the link was alive.
    """

    operand: Operand
    lower: str
    upper: str | None
    alive: bool
    slides: bool
    owed: frozenset[Operand] | None
    shared: Column
    own: Column
    laid: Column

    def take(self, rows: Rows) -> Link:
        """Of some parts."""
        return replace(self, shared=self.shared[:, rows], own=self.own[:, rows], laid=self.laid[:, rows])

    def outlives(self, problem: Problem, loops: Sequence[int]) -> bool:
        """Whether it stays alive when these loops are cut."""
        idle = problem.idle(self.operand)
        return self.alive and all(loop in idle for loop in loops)

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
        kept = np.ones_like(grow)
        kept[counted] = grow[counted]
        extents = np.array(problem.extents, np.int64)[:, None]
        shared, own = (np.minimum(tiles * kept, extents) for tiles in (self.shared, self.own))
        return replace(self, alive=alive, owed=self.owed if self.owed or not counted else None, shared=shared, own=own)

    def beside(self, problem: Problem, axis: Axis, grow: Column) -> Link:
        """With further elements along an axis."""
        together = axis.reduces if self.operand is Operand.OUTPUT else self.operand in axis.multicast
        link = replace(self, laid=self.laid * grow) if self.alive else self
        if self.upper is not None or not together:
            return link
        extents = np.array(problem.extents, np.int64)[:, None]
        return replace(link, shared=np.minimum(self.shared * grow, extents))


@dataclass(frozen=True)
class Parts:
    """Parts that were made by the same moves; they differ in tiles.

    `nodes` and `columns` are those of the nest from the inside out; `tiles` and `busy` have a row for every loop: the
    indices that a part covers, and over how many elements they are laid. `sunk` is what links cost of which nothing
    is open any more; they are no longer among `links`, but `placed` still has them.
    """

    problem: Problem
    nodes: tuple[Node, ...]
    columns: tuple[Column, ...]
    tiles: Column
    busy: Column
    links: tuple[Link, ...]
    placed: frozenset[tuple[Operand, str]]
    held: dict[str, Column]
    sunk: Values

    @classmethod
    def empty(cls, problem: Problem) -> Parts:
        """One part, of nothing but an operation."""
        ones = np.ones((len(problem.extents), 1), np.int64)
        links = tuple(Link(each, OPERATION, None, False, False, None, ones, ones, ones) for each in problem.operands)
        placed = frozenset((link.operand, link.lower) for link in links)
        return cls(problem, (), (), ones, ones, links, placed, {}, np.zeros(1))

    @property
    def count(self) -> int:
        """How many parts there are."""
        return self.tiles.shape[1]

    def take(self, rows: Rows) -> Parts:
        """Some of them."""
        return replace(
            self,
            columns=tuple(column[rows] for column in self.columns),
            tiles=self.tiles[:, rows],
            busy=self.busy[:, rows],
            links=tuple(link.take(rows) for link in self.links),
            held={memory: words[rows] for memory, words in self.held.items()},
            sunk=self.sunk[rows],
        )

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
            replace(link, upper=memory) if link.operand is operand and link.upper is None else link.after(operand)
            for link in self.links
        )
        ones = np.ones_like(self.tiles)
        new = Link(operand, memory, None, level.stays, slides, owed or None, self.tiles, self.tiles, ones)
        grown = replace(
            self,
            nodes=(*self.nodes, Store(memory, operand)),
            columns=(*self.columns, np.ones(self.count, np.int64)),
            links=(*links, new),
            placed=self.placed | {(operand, memory)},
            held={**self.held, memory: held},
        )
        return grown if fits.all() else grown.take(np.flatnonzero(fits))

    def cut(self, loops: Sequence[int], factors: Column, rows: Rows) -> Parts:
        """Parts `rows`, repeated over time: loop `loops[i]` runs over `factors[i]` tiles, the last loop innermost.

        More than one tile of at least one loop. None, if a link would end that is owed a loop.
        """
        if not all(link.allows(self.problem, loops) for link in self.links):
            rows, factors = rows[:0], factors[:, :0]
        chosen = self.take(rows)
        grow = np.ones_like(chosen.tiles)
        grow[list(loops)] = factors
        tiles = chosen.grown(grow)
        links = tuple(link.repeated(self.problem, loops, grow) for link in chosen.links)
        # inside out: the last loop first
        nodes = tuple(For(loop) for loop in reversed(loops))
        columns = tuple(chosen.tiles[loop] for loop in reversed(loops))
        return replace(
            chosen,
            nodes=(*chosen.nodes, *nodes),
            columns=(*chosen.columns, *columns),
            tiles=tiles,
            links=links,
        )

    def laid(self, axis: Axis, loop: int, factors: Column, rows: Rows) -> Parts:
        """Parts `rows`, side by side: `loop` runs over `factors` tiles along an axis."""
        chosen = self.take(rows)
        grow = np.ones_like(chosen.tiles)
        grow[loop] = factors
        tiles = chosen.grown(grow)
        busy = chosen.busy.copy()
        busy[loop] *= factors
        return replace(
            chosen,
            nodes=(*chosen.nodes, Par(loop, axis.name)),
            columns=(*chosen.columns, chosen.tiles[loop]),
            tiles=tiles,
            busy=busy,
            links=tuple(link.beside(self.problem, axis, grow) for link in chosen.links),
        )

    def nest(self) -> tuple[Nest, list[Column]]:
        """The nest, with its tiles, if what is left of all loops runs over time outside everything."""
        rest = tuple(For(loop) for loop in range(len(self.problem.extents)))
        return Nest((*rest, *reversed(self.nodes))), [*self.tiles, *reversed(self.columns)]

    def grown(self, factors: Column) -> Column:
        """The tiles, times factors."""
        return np.minimum(self.tiles * factors, np.array(self.problem.extents, np.int64)[:, None])
