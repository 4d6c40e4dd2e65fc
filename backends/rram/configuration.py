"""What a core with crossbars has read of a task, in the words of the instructions that say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from backends.effects import Told
from backends.rram.isa import Threshold
from backends.spatial.codes import Kind
from backends.spatial.configuration import entries_of_holds
from backends.spatial.holds import HoldState

if TYPE_CHECKING:
    from backends.rram.streams import Task


def configuration_of_task(
    task: Task, holds: Mapping[int, HoldState], writers: Mapping[int, int], opened: Sequence[Told]
) -> dict[str, Told]:
    """By what it is of: part, vectors, ranges, holds, registers, and what is done in turns.

    `writers` are those of the core's registers, `opened` the loops that have not ended.
    """
    return dict(_entries(task, holds, writers, opened))


def _entries(
    task: Task, holds: Mapping[int, HoldState], writers: Mapping[int, int], opened: Sequence[Told]
) -> Iterator[tuple[str, Told]]:
    yield from entries_of_holds(holds)
    for register, writer in writers.items():
        yield f"the writer of register {register}", (writer,)
    if task.is_matrix:
        parts = task.groups, task.rows, task.columns
        yield "the part", tuple(number for part in parts for number in (part.start, len(part)))
    if task.vectors is not None:
        vectors = task.vectors
        yield "the vectors", (vectors.first, vectors.count, vectors.stretch, vectors.step, vectors.abreast)
    if task.sums is not None:
        yield "the place of sums", task.sums
    for (dim, kind), indices in task.ranges.items():
        yield f"the range of {Kind(kind).name.lower()} in dimension {dim}", (indices.start, len(indices))
    actions = (action for piece in task.pieces for action in piece.actions)
    for number, action in enumerate(actions):
        yield f"action {number}", (action.do.value, *told_of(action.given))
    for number, loop in enumerate(opened):
        yield f"loop {number} that is open", loop


def told_of(given: Any) -> Iterator[int | str]:
    """What an action was given, one after the other."""
    match given:
        case None:
            pass
        case Enum():
            yield given.name
        case range():
            yield from (given.start, len(given))
        case Threshold():
            yield from (given.base, given.step, given.period, given.start, given.most, given.after)
        case tuple():
            for each in cast(tuple[Any, ...], given):
                yield from told_of(each)
        case _:
            yield int(given)
