"""What is done in every turn as boxes that a sequencer can count through: exact, in a few numbers for each axis.

A `Region` holds tables of all turns. Here each axis becomes ranges that go along with one loop or with several, where
all of them are met at once (`dialects.turn_box`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from dialects.turn_box import Along, Span, TurnAxis, TurnBox
from passes.fusion.region import Box, Region, Table, any_of, is_still

MOST_BOXES = 64
"""Boxes that a region may come to; what takes more is no regular work."""
Numbers = npt.NDArray[np.int64]
_KEPT = 1 << 12
"""Axes that no loop moves that are kept: most of those of a network."""
_STILL = -1
"""In the place of a loop, for an axis that no loop moves."""


class IrregularError(Exception):
    """A region is no few boxes: the message says what about it."""


def boxes_of(region: Region, *, steps: bool = True) -> tuple[TurnBox, ...]:
    """A region as disjoint boxes; with `steps`, an axis may take every n-th index.

    Raises `IrregularError` if it takes more than `MOST_BOXES`.
    """
    found: list[TurnBox] = []
    for box in merged(region):
        for part in _apart(box, region.turns):
            found += _split(part, steps=steps)
            if len(found) > MOST_BOXES:
                raise IrregularError(f"it takes more than {MOST_BOXES} boxes in a turn")
    return tuple(found)


def merged(region: Region) -> tuple[Box, ...]:
    """The boxes of a region, those joined that differ along one axis only."""
    boxes = list(region.boxes)
    joined = True
    while joined:
        joined = False
        for one, other in ((a, b) for a in range(len(boxes)) for b in range(a)):
            whole = _joined(boxes[one], boxes[other])
            if whole is not None:
                boxes = [box for index, box in enumerate(boxes) if index not in (one, other)] + [whole]
                joined = True
                break
    return tuple(boxes)


def _joined(one: Box, other: Box) -> Box | None:
    differ = [axis for axis, (a, b) in enumerate(zip(one, other, strict=True)) if not _equal(a, b)]
    if len(differ) > 1:
        return None
    return tuple(a | b if axis in differ else a for axis, (a, b) in enumerate(zip(one, other, strict=True)))


def _equal(one: Table, other: Table) -> bool:
    return bool((one == other).all())


Factors = list[dict[int, Table]]
"""For every axis, by loop, its indices in every turn of that loop: all of these together are those of the axis."""


def _apart(box: Box, turns: tuple[int, ...]) -> Iterator[Factors]:
    """A box as one in which loops move an axis each for itself; where they do not, turns of a loop are taken apart."""
    factors: Factors = []
    for axis, table in enumerate(box):
        if is_still(table):
            factors.append({_STILL: table})
            continue
        loops = [loop for loop in range(len(turns)) if not _equal(table, table[_turn(loop, 0)])]
        of_loops = {loop: any_of_others(table, loop) for loop in loops}
        whole = math.prod(of_loops.values(), start=np.ones((1,) * table.ndim, np.bool_)) if loops else table
        if not _equal(np.asarray(whole, np.bool_), table):
            yield from _by_turns(box, axis, loops, turns)
            return
        factors.append(of_loops or {_STILL: table[(slice(0, 1),) * (table.ndim - 1)]})
    yield [{loop: table.reshape(-1, table.shape[-1]) for loop, table in of_axis.items()} for of_axis in factors]


def any_of_others(table: Table, loop: int) -> Table:
    """The union over all turns of all loops but one."""
    for other in range(table.ndim - 1):
        if other != loop:
            table = any_of(table, other)
    return table


def _turn(loop: int, turn: int) -> tuple[slice, ...]:
    return (*(slice(None),) * loop, slice(turn, turn + 1))


def _by_turns(box: Box, axis: int, loops: Sequence[int], turns: tuple[int, ...]) -> Iterator[Factors]:
    """A box taken apart by the turns of the loop in which an axis has fewest different tables."""
    # a loop of which all turns that have anything have the same was taken apart before
    groups = min((alike for alike in (_alike(box[axis], loop) for loop in loops) if len(alike) > 1), key=len)
    if len(groups) > MOST_BOXES:
        raise IrregularError("several loops move one axis, and not each for itself")
    for loop, alike in groups:
        when = np.zeros(turns[loop], np.bool_)
        when[alike] = True
        shape = [1] * box[axis].ndim
        shape[loop] = len(when)
        table = box[axis][_turn(loop, alike[0])] & when.reshape(shape)
        part = (*box[:axis], table, *box[axis + 1 :])
        if all(each.any() for each in part):
            yield from _apart(part, turns)


def _alike(table: Table, loop: int) -> list[tuple[int, list[int]]]:
    """Turns of a loop in which a table has something, and the same."""
    found: list[tuple[int, list[int]]] = []
    for turn in np.flatnonzero(table.any(axis=tuple(axis for axis in range(table.ndim) if axis != loop))).tolist():
        for _, alike in found:
            if _equal(table[_turn(loop, turn)], table[_turn(loop, alike[0])]):
                alike.append(turn)
                break
        else:
            found.append((loop, [turn]))
    return found


def _split(factors: Factors, *, steps: bool) -> Iterator[TurnBox]:
    """Boxes of ranges without gaps."""
    axes = [list(_axes(of_axis, steps=steps)) for of_axis in factors]
    if math.prod(map(len, axes)) > MOST_BOXES:
        raise IrregularError("what is wanted of an axis has many gaps")
    for chosen in product(*axes):
        yield TurnBox(chosen)


def _axes(factors: dict[int, Table], *, steps: bool) -> Iterator[TurnAxis]:
    """An axis as ranges: one, or as many as there are runs between gaps that a step does not explain."""
    if (still := factors.get(_STILL)) is not None:
        # groups and links have most of these together
        yield from _still_axes(still.tobytes(), steps)
        return
    used = np.flatnonzero(np.logical_and.reduce([table.any(axis=0) for table in factors.values()]))
    step = _step(used, factors) if steps else 1
    offset = int(used[0]) % step
    thin = {loop: table[:, offset::step] for loop, table in factors.items()}
    count = next(iter(thin.values())).shape[1]
    parts: list[list[Along]] = []
    for loop, table in sorted(thin.items()):
        runs = _runs(table)
        numbers = range(max(map(len, runs)))
        parts.append([_along(loop, [each[run] if run < len(each) else (0, 0) for each in runs]) for run in numbers])
    for along in product(*parts):
        yield TurnAxis(count, along, offset, step)


@lru_cache(_KEPT)
def _still_axes(table: bytes, steps: bool) -> tuple[TurnAxis, ...]:
    """The ranges of an axis that no loop moves."""
    still = np.frombuffer(table, np.bool_)[np.newaxis]
    used = np.flatnonzero(still)
    step = _step(used, {_STILL: still}) if steps else 1
    offset = int(used[0]) % step
    runs = _runs(still[:, offset::step])[0]
    return tuple(TurnAxis(end - first, (), offset + step * first, step) for first, end in runs)


def _step(used: Numbers, factors: dict[int, Table]) -> int:
    """The step between all indices that are ever used, if ranges have gaps otherwise."""
    if len(used) < 2 or all(len(row) <= 1 for table in factors.values() for row in _runs(table)):
        return 1
    return int(np.gcd.reduce(np.diff(used)))


def _runs(table: Table) -> list[list[tuple[int, int]]]:
    """For every row the first index of every run of indices, and the one behind its last."""
    rows, width = table.shape
    # between two columns of nothing every row begins and ends with none, so that edges are in turn first and behind
    padded = np.zeros((rows, width + 2), np.bool_)
    padded[:, 1:-1] = table
    flat = padded.ravel()
    row, column = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), width + 2)
    found: list[list[tuple[int, int]]] = [[] for _ in range(rows)]
    of: list[int] = row[::2].tolist()
    for number, first, end in zip(of, column[::2].tolist(), column[1::2].tolist(), strict=True):
        found[number].append((first, end))
    return found


def _along(loop: int, ranges: Sequence[tuple[int, int]]) -> Along:
    """The fewest spans, taken from the first turn on, that give these ranges."""
    spans: list[Span] = []
    turn = 0
    while turn < len(ranges):
        first, end = ranges[turn]
        if turn + 1 < len(ranges):
            after = ranges[turn + 1]
            step, growth = after[0] - first, (after[1] - after[0]) - (end - first)
            span = Span(turn, first, end - first, step, growth)
            length = next((n for n, each in enumerate(ranges[turn:]) if span.at(turn + n) != each), len(ranges) - turn)
            if length > 2 or (step, growth) == (0, 0):
                spans.append(span)
                turn += length
                continue
        spans.append(Span(turn, first, end - first))
        turn += 1
    found = Along(loop, tuple(spans))
    assert np.array_equal(np.stack(found.ends(len(ranges)), axis=1), ranges)
    return found
