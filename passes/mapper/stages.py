"""What parts of mappings pass in one step, from the inside out: a memory or an axis, or several that may be mixed."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

from dialects.hierarchy import Axis, Hierarchy, Level, Memory
from dialects.schedule import Operand

Stage = tuple[Level, ...]
"""Memories, or axes, without one of the other kind in between, from the inside out, that parts pass in one step."""

Place = tuple[str, Operand]
"""A memory, and an operand that has a place there."""


def stages_of(hierarchy: Hierarchy, mixed: Collection[type[Memory | Axis]] = (Memory, Axis)) -> tuple[Stage, ...]:
    """The levels from the inside out, but for the outermost memory, and others that take no operand.

    Those of a `mixed` kind between which none of the other kind lies are one stage: places in such memories come in any
    order that every operand meets from the inside out, and loops are laid along such axes in any order.
    """
    stages: list[Stage] = []
    taking = (level for level in hierarchy.levels[1:] if isinstance(level, Axis) or level.operands)
    for kind, group in itertools.groupby(reversed([*taking]), type):
        levels = tuple(group)
        stages += [levels] if kind in mixed else [(level,) for level in levels]
    return tuple(stages)


def axes_of(stage: Stage) -> list[Axis]:
    """The axes of a stage; none if it is of memories."""
    return [level for level in stage if isinstance(level, Axis)]


def nexts(waiting: Sequence[Place]) -> Iterator[tuple[Place, tuple[Place, ...]]]:
    """Which place may come next, and those that still wait then: of every operand the first, which is the innermost."""
    for number, (memory, operand) in enumerate(waiting):
        if all(operand is not each for _, each in waiting[:number]):
            yield (memory, operand), (*waiting[:number], *waiting[number + 1 :])
