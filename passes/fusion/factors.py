"""Which loops of a group's head have to be tabulated together, and tables of each such factor as they are asked for.

States of a factor (which of its loops are cut, in which order, in tiles of which sizes, and how the intermediates stand
to them) are numbers, so that rows of candidates are columns of numbers: `block * width + combination of tile sizes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dialects.schedule import Loop
from passes.fusion.axis_tables import Tabulation
from passes.fusion.group import Group, Role
from passes.fusion.link_walk import Cut, Ratios, Stance
from passes.fusion.space import Space, loops_of
from passes.fusion.turn_walk import NotFactorisableError, TooLargeError

_MOST_ONE_BY_ONE = 128
"""Combinations of tile sizes of loops that depend on one another, at most, where each would be looked at by itself."""

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[Any]


def independent_loops(group: Group, tabulation: Tabulation, cuts: tuple[Cut, ...]) -> list[list[int]]:
    """Indices of loops, those together that meet in an axis of a tensor in a way that is no product.

    Raises `NotFactorisableError`.
    """

    @cache
    def moved(cut: int) -> set[tuple[str, int]]:
        return tabulation.moved(cuts[cut])

    factors = [[index] for index in range(len(cuts))]
    for first in range(len(cuts)):
        for second in range(first):
            loops = cuts[first].loop, cuts[second].loop
            if _may_meet(group, *loops) and any(_meet(group, *loops, *each) for each in moved(first) & moved(second)):
                mine, other = (next(f for f in factors if index in f) for index in (first, second))
                if mine is not other:
                    factors.remove(mine)
                    other += mine
    return [sorted(factor) for factor in factors]


def _may_meet(group: Group, first: Loop, second: Loop) -> bool:
    """Whether two loops may `_meet` in any axis, by the dimensions that move axes of what the head reads.

    What they move of more links is not known without a walk.
    """
    head = group.head
    if len(group.links) > 1 or len({operand.tensor for operand in head.operands}) < len(head.operands):
        return True
    # a walk refuses a loop that moves two axes
    terms = [[dim for each in operand.axes for dim, _ in each.terms] for operand in head.operands]
    if any(len(dims) > len({*dims}) for dims in terms):
        return True
    numbers = {dim.name: number for number, dim in enumerate(head.spec.dims)}
    both = {numbers[first.dim], numbers[second.dim]}
    return any(
        both <= {dim for dim, _ in each.terms} and _meet(group, first, second, operand.tensor, axis)
        for operand in head.operands
        if not group.is_kernel_alone(operand.tensor)
        for axis, each in enumerate(operand.axes)
    )


def _meet(group: Group, first: Loop, second: Loop, tensor: str, axis: int) -> bool:
    """Whether two loops that both move an axis of a tensor may make something else than a product there."""
    head = group.head
    readers = list(group.readers(tensor))
    if tensor == head.result:
        return bool(readers)
    if tensor in group.makers or len(readers) > 1 or first.dim != second.dim:
        return True
    ((link, operand),) = readers
    if group.is_kernel_alone(tensor):
        return link is not head
    if link is not head or len(operand.axes[axis].terms) > 1:
        return True
    return operand.role is Role.INPUT and {first.kind, second.kind} == {"opc", "ks"}


@dataclass(frozen=True)
class Placed:
    """A factor of some of the head's loops; a factor of loops that are alike in all links is shared by them."""

    factor: Factor
    loops: tuple[int, ...]
    exchanged: tuple[int, int] | None = None
    """Which axes the loops move instead of which that the factor was made for."""

    def differing(self, states: Ids) -> Ids:
        """See `Union`: (states, unions)."""
        axes = self.factor.differing[states]
        if self.exchanged is None:
            return axes
        bits = [(axes >> axis) & 1 for axis in self.exchanged]
        return axes ^ ((bits[0] ^ bits[1]) * sum(1 << axis for axis in self.exchanged))


def placed_factors(group: Group, tabulation: Tabulation, cuts: tuple[Cut, ...]) -> list[Placed]:
    """Independent factors of the head's loops."""
    try:
        together = independent_loops(group, tabulation, cuts)
    except NotFactorisableError:
        together = [list(range(len(cuts)))]
    placed: list[Placed] = []
    dims = [dim.name for dim in group.head.spec.dims]
    for loops in together:
        axes = {dims.index(cuts[loop].loop.dim) for loop in loops}
        for other in placed:
            others = {dims.index(cuts[loop].loop.dim) for loop in other.loops}
            if len(axes) == len(others) == 1 and other.exchanged is None:
                (mine,), (its,) = axes, others
                kinds = [[cuts[loop].loop.kind for loop in each] for each in (loops, other.loops)]
                if kinds[0] == kinds[1] and alike(group, its, mine):
                    placed.append(Placed(other.factor, tuple(loops), (its, mine)))
                    break
        else:
            placed.append(Placed(Factor(tabulation, tuple(cuts[loop] for loop in loops)), tuple(loops)))
    return placed


def alike(group: Group, first: int, second: int) -> bool:
    """Whether a group is the same with two dimensions of every link, and axes of every tensor, exchanged."""

    def exchanged(index: int) -> int:
        return {first: second, second: first}.get(index, index)

    for link in group.links:
        dims = link.spec.dims
        if max(first, second) >= len(dims) or replace(dims[first], name="") != replace(dims[second], name=""):
            return False
        for operand in link.operands:
            shape = group.tensor(operand.tensor).shape
            if len(shape) != len(dims) or len(operand.axes) != len(dims):
                return False
            for axis in range(len(dims)):
                other = exchanged(axis)
                mine, its = operand.axes[axis], operand.axes[other]
                terms = {(exchanged(dim), step) for dim, step in mine.terms}
                if (mine.offset, terms) != (its.offset, set(its.terms)) or shape[axis] != shape[other]:
                    return False
                if operand.shape[axis] != operand.shape[other]:
                    return False
    return True


@dataclass
class _Block:
    """Some loops of a factor cut, in one order, with one stance of every intermediate to each of them."""

    loops: tuple[int, ...]
    stances: tuple[tuple[Stance, ...], ...]
    """For each intermediate."""


@dataclass
class Factor:
    """The states of some loops and their numbers, by state.

    `common`, `most`, `first` and so on are those of `AxisTable`, with states along the first axis and as many codes as
    all loops of the factor need. A state whose numbers are no product is not `valid`, and `too_large` if there
    are too many of its kind to find their numbers one by one; what it needs at `most` is then no less than told.
    """

    tabulation: Tabulation
    cuts: tuple[Cut, ...]
    blocks: list[_Block] = field(default_factory=list[_Block])
    _numbers: dict[tuple[tuple[int, ...], tuple[tuple[Stance, ...], ...]], int] = field(
        default_factory=dict[tuple[tuple[int, ...], tuple[tuple[Stance, ...], ...]], int]
    )
    _others: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    """The numbers of blocks with a loop more, or with another stance."""
    _first: dict[tuple[object, ...], int] = field(default_factory=dict[tuple[object, ...], int])

    def __post_init__(self) -> None:
        self.width = int(np.prod([len(cut.tiles) for cut in self.cuts]))
        self.codes = 2 * len(self.cuts) + 1
        group = self.tabulation.group
        intermediates = group.intermediates
        self.common: Ratios = np.empty((0, self.codes, len(group.tensors)))
        self.most: Ratios = np.empty((0, len(group.tensors)))
        self.first: Ratios = self.most
        self.made: Ratios = np.empty((0, len(intermediates)))
        self.work: Ratios = np.empty((0, len(group.links)))
        self.read: Ratios = np.empty((0, len(self.tabulation.readings)))
        self.most_read: Ratios = np.empty((0, len(self.tabulation.readings)))
        self.valid: Mask = np.empty(0, np.bool_)
        self.too_large: Mask = self.valid
        self.within: Mask = np.empty((0, len(self.tabulation.whole.unions)), np.bool_)
        self.around: Mask = self.within
        self.differing: Ids = np.empty(self.within.shape, np.int64)
        self.same: Ids = np.empty(0, np.int64)
        """The first state that makes no difference from a state."""
        self.block((), ((),) * len(intermediates))

    def block(self, loops: tuple[int, ...], stances: tuple[tuple[Stance, ...], ...]) -> int:
        """The number of a block, tabulated if it is new."""
        key = (loops, stances)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.blocks)
            self.blocks.append(_Block(loops, stances))
            self._tabulate(self.blocks[-1])
        return number

    def tiles(self, state: int) -> dict[int, int]:
        """The tile sizes of a state's loops, outermost first, by number of the loop."""
        block, combination = divmod(state, self.width)
        loops = self.blocks[block].loops
        cuts = [self.cuts[loop] for loop in loops]
        indices = np.unravel_index(combination, [len(cut.tiles) for cut in cuts]) if cuts else ()
        return {loop: cut.tiles[int(index)] for loop, cut, index in zip(loops, cuts, indices, strict=True)}

    def indices(self, loops: tuple[int, ...]) -> Ids:
        """How many indices of some of the loops the largest turn has together, by state."""
        sizes: list[Ids] = []
        for block in self.blocks:
            found = np.ones(1, np.int64)
            for loop in block.loops:
                tiles = np.asarray(self.cuts[loop].tiles if loop in loops else [1] * len(self.cuts[loop].tiles))
                found = (found[:, np.newaxis] * tiles).ravel()
            whole = math.prod(self.cuts[loop].count for loop in loops if loop not in block.loops)
            sizes.append(np.pad(found * whole, (0, self.width - len(found)), mode="edge"))
        return np.concatenate(sizes)

    def least(self) -> Ratios:
        """What part of each tensor the first turn needs in the smallest tiles: no place ever holds less."""
        loops = tuple(range(len(self.cuts)))
        forget = ((Stance.FORGET,) * len(loops),) * len(self.tabulation.group.intermediates)
        finest = self.block(loops, forget) * self.width
        return self.first[finest]

    def complete(self, states: Ids) -> Mask:
        """In which states all loops are cut."""
        return np.array([len(block.loops) == len(self.cuts) for block in self.blocks])[states // self.width]

    def extended(self, states: Ids, placed: Ids, loop: int) -> Ids:
        """States with one more loop inside, for every tile size of it: (states, tile sizes).

        `placed` has one bit for every intermediate that has its place above the loop.
        """
        count = len(self.cuts[loop].tiles)

        def further(number: int, mask: int) -> int:
            block = self.blocks[number]
            stances = tuple(
                (*each, Stance.KEEP if mask >> index & 1 else Stance.FORGET) for index, each in enumerate(block.stances)
            )
            return self.block((*block.loops, loop), stances)

        blocks = self._changed(states // self.width, placed, loop, further)
        return (blocks * self.width + states % self.width * count)[:, np.newaxis] + np.arange(count)

    def slid(self, states: Ids, intermediate: int) -> Ids:
        """States with the place of an intermediate right below the last loop of the factor."""

        def below(number: int, _: int) -> int:
            block = self.blocks[number]
            mine = block.stances[intermediate]
            stances = (*block.stances[:intermediate], (*mine[:-1], Stance.SLIDE), *block.stances[intermediate + 1 :])
            return self.block(block.loops, stances)

        blocks = self._changed(states // self.width, np.zeros_like(states), ~intermediate, below)
        return blocks * self.width + states % self.width

    def _changed(self, blocks: Ids, masks: Ids, kind: int, change: Callable[[int, int], int]) -> Ids:
        """The numbers of changed blocks; what a `kind` of change makes of a block and a mask is asked for once."""

        def changed(key: int) -> int:
            number = self._others.get((kind, key))
            if number is None:
                number = self._others[kind, key] = change(key >> 32, key & 0xFFFFFFFF)
            return number

        keys = blocks << 32 | masks
        if len(keys) and (keys == keys[0]).all():
            return np.full(len(keys), changed(int(keys[0])), np.int64)
        keys, where = np.unique(keys, return_inverse=True)
        return np.array([changed(key) for key in keys.tolist()], np.int64)[where.ravel()]

    def _tabulate(self, block: _Block) -> None:
        cuts = [self.cuts[loop] for loop in block.loops]
        stances = dict(zip(self.tabulation.group.intermediates, block.stances, strict=True))
        table, is_too_large = None, False
        first: Array | None = None
        try:
            table = self.tabulation.table(cuts, stances)
        except TooLargeError:
            is_too_large, first = True, self.tabulation.first(cuts)
        except NotFactorisableError:
            is_too_large = math.prod(len(cut.tiles) for cut in cuts) > _MOST_ONE_BY_ONE
        start = len(self.valid)

        def longer(column: Array, rows: Array | None) -> Array:
            grown = np.zeros((start + self.width, *column.shape[1:]), column.dtype)
            grown[:start] = column
            if rows is not None:
                grown[(slice(start, start + len(rows)), *(slice(0, extent) for extent in rows.shape[1:]))] = rows
            return grown

        self.common = longer(self.common, table and table.common)
        self.most = longer(self.most, table.most if table else first)
        self.first = longer(self.first, table.first if table else first)
        self.made = longer(self.made, table and table.made)
        self.work = longer(self.work, table and table.work)
        self.read = longer(self.read, table and table.read)
        self.most_read = longer(self.most_read, table and table.most_read)
        combinations = len(table.contents) if table else 0
        self.valid = longer(self.valid, np.ones(combinations, np.bool_))
        self.too_large = longer(self.too_large, np.full(self.width, is_too_large))
        unions = table.unions if table else ()
        none = np.zeros((combinations, 0))
        self.within = longer(self.within, np.stack([u.first_in_second for u in unions], 1) if unions else none)
        self.around = longer(self.around, np.stack([u.second_in_first for u in unions], 1) if unions else none)
        self.differing = longer(self.differing, np.stack([u.differing for u in unions], 1) if unions else none)
        same = np.arange(start, start + self.width)
        for combination, contents in enumerate(table.contents if table else ()):
            key = (block.loops, combination, contents)
            same[combination] = self._first.setdefault(key, start + combination)
        self.same = longer(self.same, same)


class GroupTables:
    """The loops of a group that a space cuts, and their factors, for any number of searches."""

    def __init__(self, group: Group, space: Space):
        self.group, self.space = group, space
        self.tabulation = Tabulation(group)
        self.loops = loops_of(group, max(space.fewest_turns, 2), space.kinds)

    @cached_property
    def factors(self) -> list[Placed]:
        """Independent factors of the loops."""
        return placed_factors(self.group, self.tabulation, self._cuts)

    @cached_property
    def least(self) -> dict[str, float]:
        """What the first turn needs of every tensor if all loops are cut in their smallest tiles."""
        return self.tabulation.first_of_smallest(self._cuts)

    @cached_property
    def _cuts(self) -> tuple[Cut, ...]:
        dims = {dim.name: dim for dim in self.group.head.spec.dims}
        counts = [dims[loop.dim].count(loop.kind) for loop in self.loops]
        pairs = zip(self.loops, counts, strict=True)
        return tuple(Cut(loop, count, self.space.tiles(count)) for loop, count in pairs)
