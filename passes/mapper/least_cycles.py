"""The fewest cycles that parts of mappings take: elements work while ports that exist once move words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from passes.mapper.nest import Column
from passes.mapper.partial import Parts
from passes.mapper.ports import Ports
from passes.mapper.pricing import Values
from passes.mapper.reading import Reading


class LeastCycles:
    """Lower bounds of cycles, by the `ports` of a machine and what results are `reading` of other tensors."""

    def __init__(self, ports: Ports, reading: Reading, *, reads: bool):
        self._ports, self._reading = ports, reading
        self._is_reading = reads
        self._left_of: dict[object, Sequence[float]] = {}

    def of(self, parts: Parts, room: Column | int, again: Values) -> Values:
        """The fewest cycles of parts, if up to `room` times as many elements work.

        `again` are words that results read beyond the fewest, a row for every tensor.
        """
        steps: Values = parts.steps / room
        if not self._ports.outer:
            return steps
        read = self._reads(again)
        for number, (row, port, _) in enumerate(self._ports.outer):
            left: Values | float = self._left_to_flow(parts)[number]
            if read is not None:
                left = left + read[number]
            steps = np.maximum(steps, (parts.flows[row] + left) / port.rate)
        return steps

    def _left_to_flow(self, parts: Parts) -> Sequence[float]:
        """By port that exists once, the fewest words of links that are not among what parts moved so far."""
        there = tuple([(link.operand, link.lower) for link in parts.links])
        found = self._left_of.get((parts.placed, there))
        if found is None:
            found = self._left_of[parts.placed, there] = [
                float(sum(least for link, least in through if link in there or link not in parts.placed))
                for _, _, through in self._ports.outer
            ]
        return found

    def _reads(self, again: Values) -> Sequence[Values] | None:
        """By port that exists once, words that results read of other tensors; None if they read none."""
        if not self._is_reading:
            return None
        return self._fewest_reads if again is self._reading.none else self._all_reads(again)

    @cached_property
    def _fewest_reads(self) -> Sequence[Values]:
        return self._all_reads(self._reading.none)

    def _all_reads(self, again: Values) -> Sequence[Values]:
        words = self._reading.fewest + again
        return [self._ports.reads[row] @ words for row, _, _ in self._ports.outer]
