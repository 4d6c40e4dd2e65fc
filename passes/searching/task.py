"""A search as data: what is looked for, so that any process can look, and what was found.

A search for a mapping is one kind of `Job`; whatever can be looked for in other processes is another.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol, TypeVar

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.schedule import Mapping, Objective, Search, Space
from passes.searching.stopping import never

_FINEST_GAP = 1e4
"""Gaps are rounded up to a whole number of these parts."""


@dataclass(frozen=True)
class Found:
    """The best mapping found, its value, and what no mapping of the space has a value below.

    `is_cut` says that more time might have found a better one, or a better bound.
    """

    mapping: Mapping
    value: float
    bound: float
    is_cut: bool = False

    def merged(self, other: Found) -> Found:
        """What two searches for the same know together; of equal mappings this one's."""
        best = min(self, other, key=lambda each: each.value)
        bound = max(self.bound, other.bound)
        return Found(best.mapping, best.value, bound, self.is_cut and other.is_cut and bound < best.value)


Problems = tuple[Diagnostic, ...]
Result = Found | Problems
"""What a search ends with: a mapping, or why there is none."""


@dataclass
class Deadline:
    """Says when a search should stop, and whether it did: its seconds have passed, or somebody has cancelled it."""

    seconds: float | None = None
    is_cancelled: Callable[[], bool] = never
    was_met: bool = False
    _start: float = field(default_factory=monotonic)

    def __call__(self) -> bool:
        is_over = self.seconds is not None and monotonic() - self._start >= self.seconds
        self.was_met = self.was_met or is_over or self.is_cancelled()
        return self.was_met


FoundT = TypeVar("FoundT")
FoundT_co = TypeVar("FoundT_co", covariant=True)


class Job(Protocol[FoundT_co]):
    """What a process can do for another: look for something until a deadline. Raises `CatenaError` if it is not."""

    def look(self, deadline: Deadline) -> FoundT_co:
        """What is found; once the deadline says stop, the best until then."""
        ...


@dataclass(frozen=True)
class Task:
    """A search for the mapping of a layer that makes `objective` least; `node` names the layer in messages."""

    objective: Objective
    node: str = field(compare=False)

    @property
    @abstractmethod
    def space(self) -> Space:
        """Among which mappings it looks."""

    @property
    @abstractmethod
    def signature(self) -> list[Any]:
        """All that the search reads but for machine and objective, as JSON."""

    @abstractmethod
    def look(self, deadline: Deadline) -> Found:
        """Search until the deadline says stop. Raises `CatenaError` (CAT-F001) if there is no mapping."""

    @classmethod
    def begun_together(cls, tasks: Sequence[Task], is_stopped: Callable[[], bool]) -> Sequence[Task]:
        """The same searches, once what takes less time for all of this kind at once is done.

        They find the same then. It ends early if `is_stopped` says so.
        """
        return tasks

    def mark(self, found: Found) -> Search:
        """How good what it found is, as the IR notes it."""
        gap = 0.0 if found.bound >= found.value else 1 - max(0.0, found.bound) / found.value
        return Search(self.objective, self.space, math.ceil(gap * _FINEST_GAP) / _FINEST_GAP)

    @abstractmethod
    def violations(self, mapping: Mapping) -> list[Diagnostic]:
        """Every rule of the machine that a mapping of the layer breaks."""


def run(job: Job[FoundT], seconds: float | None, is_cancelled: Callable[[], bool] = never) -> FoundT | Problems:
    """Make a search, for `seconds` at most."""
    try:
        return job.look(Deadline(seconds, is_cancelled))
    except CatenaError as error:
        return error.diagnostics
