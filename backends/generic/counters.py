"""The counts of a layer while it runs, and the time that they take."""

from __future__ import annotations

from math import ceil, inf

from backends.spatial.isa import Tensor
from dialects.events import Counts
from dialects.target import NestMachine

_DIGITS = 6
"""Parts of cycles beyond these digits come from the order of additions."""
_OUT = ("input.read", "kernel.read", "output.add")
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
        self.events[name] += count

    def hold(self, memory: int, tensor: Tensor, words: int) -> None:
        """Note that a memory held so many words of a tensor."""
        self.held[memory, tensor] = max(self.held.get((memory, tensor), 0), words)

    def use(self, axis: int, positions: int) -> None:
        """Note that so many positions along an axis were in use."""
        self.used[axis] = max(self.used[axis], positions)

    def result(self) -> Counts:
        """The counts so far."""
        return Counts(dict(self.events), self.steps, self.turns, self.elements, self._cycles())

    def _cycles(self) -> int:
        """Steps, or what the slowest of the memories takes that move words meanwhile; then what other memories move.

        Memories with two buffers, and the outermost one, move words while the array works, but for their first and last
        tiles. A memory that exists several times shares its words between all of them.
        """
        meanwhile, besides = float(self.steps), 0.0
        for number, memory in enumerate(self._machine.memories):
            read, write = memory.read or inf, memory.write or inf
            if read == write == inf:
                continue
            out = sum(self.events[f"{memory.name}.{event}"] for event in _OUT)
            come = sum(self.events[f"{memory.name}.{event}"] for event in _IN)
            moving = max(out / read, come / write) / self._copies(memory.name)
            if number and memory.buffers == 1:
                besides += moving
            else:
                meanwhile = max(meanwhile, moving)
                for (where, tensor), words in self.held.items():
                    besides += words / (read if tensor is Tensor.OUTPUT else write) * (where == number)
        return ceil(round(meanwhile + besides, _DIGITS))

    def _copies(self, memory: str) -> int:
        """How often a memory exists among the elements in use."""
        copies = 1
        outside = self._machine.axes_outside(memory)
        for axis, used in zip(self._machine.axes, self.used, strict=True):
            copies *= used if axis in outside else 1
        return copies
