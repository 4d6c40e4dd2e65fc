"""Which inner parameters of a dataflow may be open while candidates are bounded, and candidates that wait to be grown.

With the cuts left out that open parameters would make, nothing may become more frequent (`passes.mapper.search`). That
is so unless what a cut leaves to others, further in, runs there past other loops, so that a memory keeps less, or lies
along an axis, so that windows are cut and no memory slides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dialects.gconv import LoopKind
from dialects.hierarchy import Hierarchy
from passes.mapper.candidates import Candidates
from passes.mapper.chains import cut_by, moves_inwards
from passes.mapper.dataflow import BoundFlow
from passes.mapper.nest import Column, Par
from passes.mapper.pricing import Values

FIRST, _MOST = 256, 2048
"""Candidates that are grown together: few until there is something to compare with, then more and more."""
ROUNDED = 1 - 1e-12
"""Bounds and values are sums of the same prices in another order."""


class Busy(NamedTuple):
    """How many elements candidates keep busy at most, and how many steps they take at least."""

    elements: Column
    steps: Column


class Open:
    """Candidates with some inner parameters decided, to be grown in the order of their bounds; `level` is how many.

    Of equal bounds those that may keep the most elements `busy` come first.
    """

    def __init__(self, level: int, candidates: Candidates, bound: Values, busy: Busy | None = None):
        order = np.argsort(bound, kind="stable") if busy is None else np.lexsort((busy.steps, -busy.elements, bound))
        self.level = level
        self._candidates = candidates.take(order)
        self._bound = bound[order] * ROUNDED
        self._busy = None if busy is None else Busy(busy.elements[order], busy.steps[order])
        self._next, self._size = 0, FIRST
        self._known: tuple[float, int, int] | None = None

    def prefer(self, value: float, elements: int, steps: int) -> None:
        """Leave out what costs no less than a value, and keeps no more elements busy, or as many for as many steps."""
        if self._busy is None or self._known == (value, elements, steps):
            return
        self._known = value, elements, steps
        rest = slice(self._next, int(np.searchsorted(self._bound, value * ROUNDED * ROUNDED)))
        tied = slice(max(rest.stop, self._next), None)
        busy = Busy(*(column[tied] for column in self._busy))
        better = (busy.elements > elements) | ((busy.elements == elements) & (busy.steps < steps))
        rows = np.concatenate([np.arange(rest.start, tied.start), tied.start + np.flatnonzero(better)])
        self._candidates, self._bound = self._candidates.take(rows), self._bound[rows]
        self._busy, self._next = Busy(*(column[rows] for column in self._busy)), 0

    @property
    def least(self) -> float:
        """The least bound of those that wait; infinite if none does."""
        return float(self._bound[self._next]) if self._next < len(self._bound) else np.inf

    def put_back(self, number: int) -> None:
        """Put back so many of those that were taken last."""
        self._next -= number

    def take(self, limit: float, most: int | None) -> tuple[Candidates, Values]:
        """The next ones, at most so many, and their bounds, without those above a limit: none once these are left."""
        start = self._next
        end = min(start + (most or self._size), int(np.searchsorted(self._bound, limit, side="right")))
        self._next, self._size = max(start, end), min(2 * self._size, _MOST)
        rows = np.arange(start, max(start, end))
        return self._candidates.take(rows), self._bound[rows]


@dataclass(frozen=True)
class Early:
    """Which parameters may be open."""

    flow: BoundFlow
    hierarchy: Hierarchy

    def may_be_open(self, name: str) -> bool:
        """Whether a bound holds without the cuts that a parameter decides."""
        loops = {place: self.flow.loop(place) for place in cut_by(self.flow, frozenset({name}))}
        sums = {place for place, loop in loops.items() if self.flow.problem.loops[loop].kind is LoopKind.KS}
        if any(self._adds_up(place) for place in sums):
            return False
        slides = any(each.slides for each in self.hierarchy.memories[1:])
        if slides and any(self._lies_inside(place, loop) for place, loop in loops.items()):
            return False
        keeps = slides or any(each.stays for each in self.hierarchy.memories[1:])
        return not (keeps and moves_inwards(self.flow, name, timed_only=True))

    def _adds_up(self, place: int) -> bool:
        node = self.flow.nest.nodes[place]
        return isinstance(node, Par) and self.hierarchy.axis(node.axis).reduces

    def _lies_inside(self, place: int, loop: int) -> bool:
        """Whether a loop of a window is laid along an axis further in."""
        inside = enumerate(self.flow.nest.nodes[place + 1 :])
        laid = any(isinstance(node, Par) and node.loop == loop for _, node in inside)
        return laid and self.flow.problem.window_of(loop) is not None
