"""Sets of elements of a tensor, one for every turn of the loops around a group.

A set is a union of disjoint boxes; a box is a product of one set of indices for each axis. Which indices depends on the
turn: a `Table` has one axis for each loop, outermost first, and one for the indices. Where a loop makes no difference,
its axis has extent 1: work and memory grow with what depends on a loop, not with the elements of a tensor.

Sets of several turns are exact as well: in a box whose axes depend on different loops, the union over earlier turns is
the product of unions; a box two of whose axes depend on one loop is taken apart turn by turn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.bool_]
"""Which indices of an axis, in every turn: shape (extent of loop 0 or 1, ..., indices of the axis)."""
Counts = npt.NDArray[np.int64]
"""A number for every turn: shape (extent of loop 0 or 1, ...)."""
Box = tuple[Table, ...]


@dataclass(frozen=True)
class Region:
    """Disjoint boxes of a tensor of at least one axis; loops make `turns` turns each."""

    boxes: tuple[Box, ...]
    turns: tuple[int, ...]

    @staticmethod
    def union_of(boxes: Iterable[Box], turns: tuple[int, ...]) -> Region:
        """The union of boxes that may overlap."""
        disjoint: list[Box] = []
        for box in boxes:
            pieces = [box] if _is_possible(box) else []
            for other in disjoint:
                pieces = [piece for each in pieces for piece in _difference(each, other)]
            disjoint += pieces
        return Region(tuple(disjoint), turns)

    def union(self, other: Region) -> Region:
        """What is in either."""
        return Region.union_of((*self.boxes, *other.boxes), self.turns)

    def minus(self, other: Region) -> Region:
        """What is here and not there."""
        pieces = list(self.boxes)
        for box in other.boxes:
            pieces = [piece for each in pieces for piece in _difference(each, box)]
        return Region(tuple(pieces), self.turns)

    @cached_property
    def counts(self) -> Counts:
        """Elements in every turn; an extent of 1 where a loop makes no difference."""
        total: Counts = np.zeros((1,) * len(self.turns), np.int64)
        for box in self.boxes:
            total = total + math.prod((lengths(table) for table in box[1:]), start=lengths(box[0]))
        return total

    @cached_property
    def total(self) -> int:
        """Elements of all turns together."""
        return sum(_sum_of_products([lengths(table) for table in box], self.turns) for box in self.boxes)

    @property
    def largest(self) -> int:
        """Elements of the turn that has most."""
        return int(self.counts.max())

    def over(self, loops: Sequence[int]) -> Region:
        """The union over all turns of some loops, which then make one turn."""
        boxes = self.boxes
        for loop in loops:
            boxes = tuple(piece for box in boxes for piece in _over(box, loop))
        turns = tuple(1 if loop in loops else count for loop, count in enumerate(self.turns))
        return Region.union_of(boxes, turns)

    def before(self, level: int) -> Region:
        """What earlier turns had and a place below the first `level` loops may still hold (looptree.md 1.3, Prior).

        These are the turn before of the innermost loop around the place, and all earlier turns of the loops below it.
        """
        boxes: list[Box] = []
        for loop in range(max(level - 1, 0), len(self.turns)):
            if self.turns[loop] == 1:
                continue
            for box in self.boxes:
                for inner in _over_all(box, range(loop + 1, len(self.turns))):
                    boxes += [_shifted(inner, loop, self.turns)] if loop < level else _earlier(inner, loop, self.turns)
        return Region.union_of(boxes, self.turns)

    def just_before(self, level: int) -> Region:
        """What the turn right before of the first `level` loops had; inner loops have made one turn."""
        boxes: list[Box] = []
        for loop in range(level):
            ended: Region = self
            for inner in range(loop + 1, level):
                ended = ended.at(inner, slice(-1, None))
            for box in ended.boxes if self.turns[loop] > 1 else ():
                moved = _shifted(box, loop, self.turns)
                for inner in range(loop + 1, level):
                    moved = _guarded(moved, inner, np.arange(self.turns[inner]) == 0)
                boxes += [moved] if _meets(moved, self) else []
        return Region.union_of(boxes, self.turns)

    def at(self, loop: int, turns: slice) -> Region:
        """Some turns of a loop only."""
        count = len(range(self.turns[loop])[turns])
        where = (slice(None),) * loop
        boxes = tuple(
            tuple(table[(*where, turns)] if table.shape[loop] > 1 else table for table in box) for box in self.boxes
        )
        return Region(
            tuple(box for box in boxes if _is_possible(box)) if count else (),
            (*self.turns[:loop], count, *self.turns[loop + 1 :]),
        )


def any_of(table: Table, axis: int) -> Table:
    """The union of a table's sets along an axis, which keeps an extent of 1."""
    # `np.any` takes three times as long for small tables
    return np.asarray(np.logical_or.reduce(table, axis=axis, keepdims=True), np.bool_)


def lengths(table: Table) -> Counts:
    """How many indices a table has in every turn."""
    # `np.count_nonzero` takes twice as long for small tables
    return np.asarray(np.add.reduce(table, axis=-1, dtype=np.int64))


def is_still(table: Table) -> bool:
    """Whether no loop moves a table."""
    return table.size == table.shape[-1]


def _is_possible(box: Box) -> bool:
    return all(table.any() for table in box)


def _meets(box: Box, region: Region) -> bool:
    """Whether a box and a region have an element together in any turn."""
    for other in region.boxes:
        together = [(mine & theirs).any(axis=-1) for mine, theirs in zip(box, other, strict=True)]
        if bool(np.logical_and.reduce(np.broadcast_arrays(*together)).any()):
            return True
    return False


def _difference(box: Box, other: Box) -> list[Box]:
    """`box` without `other`, as disjoint boxes: the first axis on which an element leaves `other` says which."""
    pieces: list[Box] = []
    common: list[Table] = []
    for axis, (mine, theirs) in enumerate(zip(box, other, strict=True)):
        outside = mine & ~theirs
        if outside.any():
            pieces.append((*common, outside, *box[axis + 1 :]))
        inside = mine & theirs
        if not inside.any():
            return pieces if not common else [box]
        common.append(inside)
    return pieces


def _depend_on(box: Box, loop: int) -> list[int]:
    return [axis for axis, table in enumerate(box) if table.shape[loop] > 1]


def _over(box: Box, loop: int) -> list[Box]:
    """The union of a box over all turns of a loop."""
    axes = _depend_on(box, loop)
    if len(axes) > 1:
        return [_at(box, loop, turn) for turn in range(box[axes[0]].shape[loop])]
    return [tuple(any_of(table, loop) for table in box)]


def _over_all(box: Box, loops: Iterable[int]) -> list[Box]:
    boxes = [box]
    for loop in loops:
        boxes = [piece for each in boxes for piece in _over(each, loop)]
    return boxes


def _at(box: Box, loop: int, turn: int) -> Box:
    where = (slice(None),) * loop
    return tuple(table[(*where, slice(turn, turn + 1))] if table.shape[loop] > 1 else table for table in box)


def _shifted(box: Box, loop: int, turns: tuple[int, ...]) -> Box:
    """What the turn before of a loop had."""
    axes = _depend_on(box, loop)
    if not axes:
        return _guarded(box, loop, np.arange(turns[loop]) > 0)
    return tuple(_moved(table, loop) if axis in axes else table for axis, table in enumerate(box))


def _earlier(box: Box, loop: int, turns: tuple[int, ...]) -> list[Box]:
    """What all earlier turns of a loop had."""
    axes = _depend_on(box, loop)
    if len(axes) > 1:
        count = turns[loop]
        return [_guarded(_at(box, loop, turn), loop, np.arange(count) > turn) for turn in range(count - 1)]
    if not axes:
        return [_guarded(box, loop, np.arange(turns[loop]) > 0)]
    (axis,) = axes
    earlier = _moved(np.logical_or.accumulate(box[axis], axis=loop), loop)
    return [(*box[:axis], earlier, *box[axis + 1 :])]


def _moved(table: Table, loop: int) -> Table:
    """A table one turn later; nothing in the first turn."""
    moved = np.zeros_like(table)
    where = (slice(None),) * loop
    moved[(*where, slice(1, None))] = table[(*where, slice(None, -1))]
    return moved


def _guarded(box: Box, loop: int, when: npt.NDArray[np.bool_]) -> Box:
    """A box that is there in some turns of a loop only."""
    shape = [1] * box[0].ndim
    shape[loop] = len(when)
    return (box[0] & when.reshape(shape), *box[1:])


def _sum_of_products(factors: Sequence[Counts], turns: tuple[int, ...]) -> int:
    """The sum over all turns of the product of factors, without making a table of factors that share no loop."""
    groups: list[tuple[set[int], Counts]] = []
    for factor in factors:
        loops = {loop for loop, count in enumerate(factor.shape) if count > 1}
        for other in [group for group in groups if group[0] & loops]:
            groups.remove(other)
            loops, factor = loops | other[0], factor * other[1]
        groups.append((loops, factor))
    depends = {loop for loops, _ in groups for loop in loops}
    repeats = math.prod(count for loop, count in enumerate(turns) if loop not in depends)
    return repeats * math.prod(int(factor.sum()) for _, factor in groups)
