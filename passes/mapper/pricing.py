"""What a mapping costs: energy from its events, time from its steps and from what memories can move in a cycle.

Memories that hold two tiles of everything at a time (`buffers = 2`) move words while the array works on others, so
that the slowest of all of them and of the array says how long a link takes, after the first tiles have arrived and
until the last results have left. What other memories move adds to that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Objective, Operand
from passes.mapper.counts import Counts
from passes.mapper.nest import Column

Values = npt.NDArray[np.float64]

_HELD = 2.0**-20
"""What a word costs, as a part of one that goes off the chip, which only leaves a place on it."""


class Prices:
    """The prices of a machine's events.

    For the objective `traffic` they are those of words that go into and out of the outermost memory: one each. Words of
    operands whose paths begin further in move nothing there; they cost so little that they only tell apart mappings
    that move the same. Those of `changed` events are other ones.
    """

    def __init__(
        self,
        hierarchy: Hierarchy,
        objective: Objective = Objective.ENERGY,
        changed: Mapping[str, float] = MappingProxyType({}),
    ):
        self.hierarchy = hierarchy
        self.objective = objective
        self._changed = changed

    @cached_property
    def of(self) -> Mapping[str, float]:
        """The price of each event that has one."""
        outermost = self.hierarchy.memories[0].name
        if self.objective is Objective.TRAFFIC:
            moved = ("input.read", "kernel.read", "extra.read", "output.update", "output.add")
            inside = {self.hierarchy.begins(operand) for operand in Operand} - {outermost}
            held = {f"{memory}.{event}": _HELD for memory in inside for event in moved}
            return {f"{outermost}.{event}": 1.0 for event in moved} | held | dict(self._changed)
        prices: dict[str, float] = {}
        for access in self.hierarchy.accesses:
            for event, times in access.events.items():
                prices[event] = prices.get(event, 0.0) + access.energy * times
        return prices | dict(self._changed)

    def event(self, name: str) -> float:
        """The price of one event."""
        return self.of.get(name, 0.0)

    @cached_property
    def evened(self) -> Prices:
        """These, but for additions: none costs more than to let the sum leave and be added up further out.

        No mapping costs more with them. They are the same on machines where that is so anyway.
        """
        inner = (memory.name for memory in self.hierarchy.memories[1:] if Operand.OUTPUT in memory.operands)
        names = [self.hierarchy.begins(Operand.OUTPUT), *inner]
        changed: dict[str, float] = {}
        least = np.inf
        for name in names:
            added = f"{name}.output.add"
            price = min(self.event(added), least)
            if price < self.event(added):
                changed[added] = price
            least = min(least, self.event(f"{name}.output.update") + price)
        return Prices(self.hierarchy, self.objective, changed) if changed else self

    @cached_property
    def meets(self) -> bool:
        """Whether sums are cheaper to add on their way to some memory than in one further in."""
        levels = self.hierarchy.levels
        axes = [place for place, level in enumerate(levels) if isinstance(level, Axis) and level.reduces]
        memories = [(place, level.name) for place, level in enumerate(levels) if isinstance(level, Memory)]
        return any(
            self.event(f"{outside}.output.hop") < self.event(f"{inside}.output.add")
            for outer, outside in memories
            for inner, inside in memories
            if any(outer < axis < inner for axis in axes)
        )

    def energy(self, counts: Counts) -> Values:
        """The priced events of all candidates, without operations, which all mappings have as many of."""
        total: Values = np.zeros(counts.candidates)
        for event, column in counts.events.items():
            if price := self.event(event):
                total = total + price * column
        return total

    def cycles(self, counts: Counts) -> Values:
        """Cycles of all candidates."""
        overlapped: Values = counts.steps.astype(np.float64)
        serial: Values = np.zeros(counts.candidates)
        for memory in self.hierarchy.memories:
            if memory.read is None and memory.write is None:
                continue
            moved = np.maximum(*self.port_cycles(memory, counts))
            if self.overlaps(memory):
                overlapped = np.maximum(overlapped, moved)
                serial = serial + self.ramp_cycles(memory, counts)
            else:
                serial = serial + moved
        return overlapped + serial

    def overlaps(self, memory: Memory) -> bool:
        """Whether a memory moves words while the array works on others."""
        return memory.buffers > 1 or memory is self.hierarchy.memories[0]

    def value(self, counts: Counts) -> Values:
        """What the search makes least; infinite where something happens that must not."""
        value = self.combined(self.energy(counts), self.cycles(counts), int(counts.events["operation"][0]))
        for event in self.hierarchy.forbidden:
            value = np.where(counts.events[event] > 0, np.inf, value)
        return value

    def combined(self, energy: Values, cycles: Values, operations: int | Column) -> Values:
        """The value of energies without operations, and of cycles, of links with so many operations.

        It grows with both. The product counts the energy of operations, too.
        """
        return self.objective.of(energy + self._per_operation * operations, cycles)

    def work(self, operations: int) -> float:
        """The energy of operations, where it changes which mapping is best."""
        return self._per_operation * operations

    @property
    def _per_operation(self) -> float:
        return self.hierarchy.operation if self.objective is Objective.EDP else 0.0

    def port_cycles(self, memory: Memory, counts: Counts) -> tuple[Values, Values]:
        """Cycles in which a memory sends words, and in which it takes some: reading and writing have a port each.

        Of a memory that exists many times, the copy with the most to do takes the whole of the time, in which it serves
        all the elements inside of it. A sum that arrives is read again, to be added to or to leave; in the outermost
        memory the last one stays.
        """
        outside = self.hierarchy.axes_outside(memory.name)
        share: Values = np.ones(counts.candidates)
        if outside:
            served = counts.steps.astype(np.float64)
            for axis in self.hierarchy.axes:
                served = served if axis in outside else served * counts.elements(axis.name)
            share = np.minimum(served / counts.events["operation"], 1.0)
        out, come = self.shared_port_cycles(memory, counts.events)
        return out * share, come * share

    def shared_port_cycles(self, memory: Memory, events: Mapping[str, Column]) -> tuple[Values, Values]:
        """As `port_cycles`, if a single copy of the memory moved the words of all."""
        out, come = self._port_events(memory)
        return _total(events, out) / (memory.read or np.inf), _total(events, come) / (memory.write or np.inf)

    @cached_property
    def wanted(self) -> frozenset[str]:
        """The events that a value hangs on."""
        priced = (event for event, price in self.of.items() if price)
        return self.timed_events.union(priced, self.hierarchy.forbidden)

    @property
    def timed_events(self) -> frozenset[str]:
        """The events of words that take time to go in or out of a memory."""
        timed = (each for each in self.hierarchy.memories if each.read is not None or each.write is not None)
        return frozenset(event for memory in timed for port in self._port_events(memory) for event in port)

    def _port_events(self, memory: Memory) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The events of words that a memory sends, and of those that it takes."""
        sums = "output.add" if memory is self.hierarchy.memories[0] else "output.update"
        out = ("input.read", "kernel.read", "extra.read", sums)
        come = ("input.fill", "kernel.fill", "output.update")
        return tuple(f"{memory.name}.{each}" for each in out), tuple(f"{memory.name}.{each}" for each in come)

    def ramp_cycles(self, memory: Memory, counts: Counts) -> Values:
        """Cycles until the first tiles are there, and after the last step until the last results have left."""
        held: Mapping[Operand, Column] = counts.occupancy.get(memory.name, {})
        total: Values = np.zeros(counts.candidates)
        for operand, words in held.items():
            rate = memory.read if operand is Operand.OUTPUT else memory.write
            total = total + words / (rate or np.inf)
        return total


def _total(events: Mapping[str, Column], names: Sequence[str]) -> Values:
    total: Values = np.zeros(len(events["operation"]))
    for name in names:
        total = total + events.get(name, 0)
    return total
