"""The counts of a layer while it runs, and the time that they take."""

from __future__ import annotations

from math import ceil, inf

from backends.generic.nest import RunCounts
from backends.spatial.codes import Tensor
from dialects.events import Counts
from dialects.nest_machine import NestMachine

_DIGITS = 6
"""Parts of cycles beyond these digits come from the order of additions."""
_OUT = ("input.read", "kernel.read", "extra.read")
_IN = ("input.fill", "kernel.fill", "output.update")


class NestCounters:
    """Events of one layer by name, steps and turns, and what was held and used at most."""

    def __init__(self, machine: NestMachine):
        self._machine = machine
        self.events = dict.fromkeys(sorted(machine.event_names), 0)
        self.steps = self.turns = self.elements = 0
        self.held: dict[tuple[int, Tensor], int] = {}
        self.used = [1] * len(machine.axes)

    def add(self, name: str, count: int) -> None:
        """Count an event."""
        self.events[name] = self.events.get(name, 0) + count

    def hold(self, memory: int, tensor: Tensor, words: int) -> None:
        """Note that a memory held so many words of a tensor."""
        self.held[memory, tensor] = max(self.held.get((memory, tensor), 0), words)

    def use(self, axis: int, positions: int) -> None:
        """Note that so many positions along an axis were in use."""
        self.used[axis] = max(self.used[axis], positions)

    def noted(self) -> RunCounts:
        """All of it, to be taken again."""
        return RunCounts(dict(self.events), self.steps, self.turns, self.elements, dict(self.held), list(self.used))

    def take(self, counts: RunCounts) -> None:
        """Become what was noted."""
        self.events, self.held, self.used = dict(counts.events), dict(counts.held), list(counts.used)
        self.steps, self.turns, self.elements = counts.steps, counts.turns, counts.elements

    def result(self) -> Counts:
        """The counts so far."""
        return Counts(dict(self.events), self.steps, self.turns, self.elements, self._cycles())

    def _cycles(self) -> int:
        """Steps, or what the slowest of the memories takes that move words meanwhile; then what other memories move.

        Memories with two buffers, and the outermost one, move words while the array works, but for their first and last
        tiles.
        """
        meanwhile, besides = float(self.steps), 0.0
        for number, memory in enumerate(self._machine.memories):
            read, write = memory.read or inf, memory.write or inf
            if read == write == inf:
                continue
            # a sum that arrives is read again, to be added to or to leave; in the outermost memory the last one stays
            sums = "output.update" if number else "output.add"
            out = sum(self.events.get(f"{memory.name}.{event}", 0) for event in (*_OUT, sums))
            come = sum(self.events[f"{memory.name}.{event}"] for event in _IN)
            moving = max(out / read, come / write) * self._share(memory.name)
            if number and memory.buffers == 1:
                besides += moving
            else:
                meanwhile = max(meanwhile, moving)
                for (where, tensor), words in self.held.items():
                    besides += words / (read if tensor is Tensor.OUTPUT else write) * (where == number)
        return ceil(round(meanwhile + besides, _DIGITS))

    def _share(self, memory: str) -> float:
        """Of what the copies of a memory move, the share of the one with the most to do.

        It takes the whole of the time, in which it serves all the elements inside of it.
        """
        outside = self._machine.axes_outside(memory)
        operations = self.events["operation.mac"] + self.events["operation.other"]
        if not outside or not operations:
            return 1.0
        served = self.steps
        for axis, used in zip(self._machine.axes, self.used, strict=True):
            served *= 1 if axis in outside else used
        return min(served / operations, 1.0)
