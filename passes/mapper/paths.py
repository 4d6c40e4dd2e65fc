"""The memories that operands pass on their way to the array, if these have a place for them, and what lies between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise

from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from passes.mapper.links import OPERATION

Assignment = Mapping[str, tuple[Operand, ...]]
"""Which operands have a place in which memory; the outermost one is not among them."""


class Paths:
    """The paths of some operands on a machine, by an assignment of operands to memories.

    A link of a path is named by its operand and its lower place.
    """

    def __init__(self, operands: Sequence[Operand], hierarchy: Hierarchy, assignment: Assignment):
        self.operands, self._hierarchy, self._assignment = operands, hierarchy, assignment

    def of(self, operand: Operand) -> list[str]:
        """The places of an operand, from the one in which its path begins to the operation."""
        inner = (memory.name for memory in self._hierarchy.memories[1:])
        return [
            self._hierarchy.begins(operand),
            *(memory for memory in inner if operand in self._assignment.get(memory, ())),
            OPERATION,
        ]

    @cached_property
    def upper(self) -> Mapping[tuple[Operand, str], str | None]:
        """By link, the upper place; None for that in which the path begins."""
        return {
            (operand, lower): upper if number else None
            for operand in self.operands
            for number, (upper, lower) in enumerate(pairwise(self.of(operand)))
        }

    @cached_property
    def between(self) -> Mapping[tuple[Operand, str], frozenset[str]]:
        """By link, the axes between its two places."""
        names = [level.name for level in self._hierarchy.levels]
        axes = [axis.name for axis in self._hierarchy.axes]
        places = {name: number for number, name in enumerate([*names, OPERATION])}
        return {
            (operand, lower): frozenset(axis for axis in axes if places[upper] < places[axis] < places[lower])
            for operand in self.operands
            for upper, lower in pairwise(self.of(operand))
        }

    @cached_property
    def inner(self) -> Mapping[tuple[Operand, str], tuple[Operand, str]]:
        """By link, the link further in."""
        return {
            (operand, lower): (operand, inside)
            for operand in self.operands
            for lower, inside in pairwise(self.of(operand)[1:])
        }
