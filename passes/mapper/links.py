"""Links: words of operands on their way between two neighbouring places, of many parts of mappings at a time.

`passes.mapper.partial` says what parts are, and when a link is alive and open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from dialects.hierarchy import Axis
from dialects.schedule import Operand
from passes.mapper.nest import Column
from passes.mapper.problem import Problem
from passes.mapper.trail import Rows

OPERATION = "operation"


@lru_cache(maxsize=4096)
def _kind(
    operand: Operand,
    lower: str,
    upper: str | None,
    alive: bool,
    stays: bool,
    slides: bool,
    owed: frozenset[Operand] | None,
) -> str:
    """What is said of a link, in words that can be sorted."""
    return str((operand, lower, upper, alive, stays, slides, owed if owed is None else sorted(owed)))


class Taken:
    """Some rows of arrays: of one that several links share, once, so that they share what is taken, too."""

    def __init__(self, rows: Rows):
        self._rows = rows
        self._found: dict[int, Column] = {}

    def of(self, array: Column) -> Column:
        """Of an array with a column for every part, which is alive as long as this is."""
        found = self._found.get(id(array))
        if found is None:
            found = self._found[id(array)] = array.take(self._rows, axis=1)
        return found


def taken_of(known: Mapping[object, Column], rows: Rows, count: int) -> dict[object, Column]:
    """Some rows of columns of `count`; a single number may be for all."""
    return {name: column[rows] if len(column) == count else column for name, column in known.items()}


def known_together(several: Sequence[tuple[Mapping[object, Column], int]]) -> Iterator[tuple[object, Column]]:
    """What is known of all of several parts, put together; each has columns of so many numbers, or a single one."""
    first, *others = [known for known, _ in several]
    for name in first:
        if all(name in known for known in others):
            columns = [(known[name], count) for known, count in several]
            yield name, np.concatenate([each if len(each) == count else each.repeat(count) for each, count in columns])


class Grown:
    """Tiles that are so many times as large, no larger than the loops; of arrays that several links share, once."""

    def __init__(self, problem: Problem, factors: Column):
        self._problem, self._factors = problem, factors
        self._found: dict[int, Column] = {}

    def of(self, tiles: Column) -> Column:
        """Of an array that is alive as long as this is."""
        found = self._found.get(id(tiles))
        if found is None:
            found = self._found[id(tiles)] = self._problem.within(tiles * self._factors)
        return found


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
    known: dict[object, Column] = field(default_factory=dict[object, Column], init=False, compare=False, repr=False)
    """What follows from these tiles alone, a number for every part or one for all: whoever needs it keeps it here."""

    def take(self, rows: Rows, taken: Taken | None = None, *, knowing: bool = True) -> Link:
        """Of some parts; `taken` are the arrays of which these rows are known. Not `knowing`, its tiles will change."""
        taken = Taken(rows) if taken is None else taken
        link = object.__new__(Link)
        content = link.__dict__
        content.update(self.__dict__)
        shared = content["shared"] = taken.of(self.shared)
        content["own"] = shared if self.own is self.shared else taken.of(self.own)
        if self.laid is not None:
            content["laid"] = taken.of(self.laid)
        if self.kept is not None:
            content["kept"] = taken.of(self.kept)
        content["known"] = taken_of(self.known, rows, self.own.shape[1]) if knowing else {}
        return link

    def with_tiles(self, **changed: object) -> Link:
        """As `replace` in less time, for other tiles."""
        link = object.__new__(Link)
        link.__dict__.update(self.__dict__)
        link.__dict__.update(changed, known={})
        return link

    def _being(self, **changed: object) -> Link:
        """As `replace`, where tiles are the same: what is known of them stays."""
        link = object.__new__(Link)
        link.__dict__.update(self.__dict__)
        link.__dict__.update(changed)
        return link

    @property
    def columns(self) -> list[Column]:
        """The arrays of tiles, elements and steps."""
        return [each for each in (self.shared, self.own, self.laid, self.kept) if each is not None]

    def with_columns(self, instead: Mapping[int, Column]) -> Link:
        """With others instead of these, by their ids, which say the same of loops."""
        return self._being(
            shared=instead[id(self.shared)],
            own=instead[id(self.own)],
            laid=None if self.laid is None else instead[id(self.laid)],
            kept=None if self.kept is None else instead[id(self.kept)],
        )

    @property
    def kind(self) -> str:
        """What links of parts must have in common to be compared, or put together."""
        return _kind(self.operand, self.lower, self.upper, self.alive, self.stays, self.slides, self.owed)

    def outlives(self, problem: Problem, loops: Sequence[int]) -> bool:
        """Whether it stays alive when these loops are cut."""
        idle = problem.idle(self.operand)
        return self.alive and self.stays and all(loop in idle for loop in loops)

    def inside(self, memory: str, *, stays: bool) -> Link:
        """When its operand got a place in a memory further out: where words do not stay, all of them come anew."""
        return self._being(upper=self.upper or memory, alive=self.alive and stays)

    def after(self, operand: Operand) -> Link:
        """When another operand got a place."""
        return self if self.owed is None else self._being(owed=self.owed - {operand})

    def allows(self, problem: Problem, loops: Sequence[int]) -> bool:
        """Whether these loops may be cut next."""
        return self.owed is None or (self.outlives if self.owed else self.gains)(problem, loops)

    def gains(self, problem: Problem, loops: Sequence[int]) -> bool:
        """Whether fewer words pass for these loops, the last of them innermost, being cut while it is alive."""
        return self.outlives(problem, loops) or (
            self.alive and self.slides and problem.window_of(loops[-1]) is not None
        )

    def repeated(self, problem: Problem, loops: Sequence[int], grow: Column, grown: Grown) -> Link:
        """With further loops over time, the last of them innermost; `grown` are tiles that are larger for all of them.

        A link that ends with them counts none.
        """
        if not self.alive:
            return self
        alive = self.outlives(problem, loops)
        if not alive and not self.gains(problem, loops):
            return self._being(alive=False)
        factors = grow
        if not alive:
            factors = np.ones_like(grow)
            factors[loops[-1]] = grow[loops[-1]]
            grown = Grown(problem, factors)
        if self.laid is None:
            kept, own = None, grown.of(self.own)
        else:
            is_laid = self.laid > 1
            kept = np.where(is_laid, factors, 1) * (1 if self.kept is None else self.kept)
            own = problem.within(self.own * np.where(is_laid, 1, factors))
        return self.with_tiles(alive=alive, owed=self.owed or None, shared=grown.of(self.shared), own=own, kept=kept)

    def beside(self, problem: Problem, axis: Axis, loop: int, factors: Column, tiles: Column) -> Link:
        """With further elements along an axis, over which tiles of a loop are laid.

        Elements share what a window covers only where none of them moves it on its own.
        """
        link = self
        if self.alive:
            laid = np.ones_like(self.own) if self.laid is None else self.laid.copy()
            laid[loop] *= factors
            link = self.with_tiles(laid=laid)
        if not self.may_share(axis):
            return link
        shared = self.shared.copy()
        if self.operand is Operand.INPUT and problem.window_of(loop) is not None:
            factors = np.where(tiles == self.own[loop], factors, 1)
        shared[loop] = np.minimum(shared[loop] * factors, problem.extent(loop, shared))
        return link.with_tiles(shared=shared)

    def may_share(self, axis: Axis) -> bool:
        """Whether elements along an axis may share words of it."""
        return self.upper is None and (
            axis.reduces if self.operand is Operand.OUTPUT else self.operand in axis.multicast
        )

    @property
    def ended(self) -> Link:
        """When the next loop that is cut is none that it outlives."""
        return self._being(alive=False)

    def visits(self, problem: Problem, loop: int) -> Column:
        """How often elements get tiles of a loop that the operand is not indexed by."""
        extent = problem.extent(loop, self.own)
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
        return -(-np.minimum(own * self.laid[loop], problem.extent(loop, self.own)) // own)

    @property
    def is_alone(self) -> bool:
        """Whether all elements count, as none shares a word."""
        return self.shared is self.own and self.kept is None

    def lasting(self, problem: Problem, loop: int) -> Column:
        """The tile of a loop while each element kept what it had."""
        own = self.own[loop] if self.kept is None else self.own[loop] * self.kept[loop]
        return np.minimum(own, problem.extent(loop, self.own))


def linked(links: Sequence[Link]) -> Link:
    """Links of one kind, of different parts, as one."""
    shared = own = np.concatenate([link.shared for link in links], axis=1)
    if any(link.own is not link.shared for link in links):
        own = np.concatenate([link.own for link in links], axis=1)
    laid, kept = (_side_by_side(each, links) for each in ([x.laid for x in links], [x.kept for x in links]))
    link = links[0].with_tiles(shared=shared, own=own, laid=laid, kept=kept)
    link.known.update(known_together([(each.known, each.own.shape[1]) for each in links]))
    return link


def _side_by_side(columns: Sequence[Column | None], links: Sequence[Link]) -> Column | None:
    """Columns of factors together, of which some may be all ones."""
    if all(each is None for each in columns):
        return None
    filled = [np.ones_like(link.own) if each is None else each for each, link in zip(columns, links, strict=True)]
    return np.concatenate(filled, axis=1)
