"""The counts of a layer while it runs, and the time that they take."""

from __future__ import annotations

from dialects.events import EVENTS, Counts
from dialects.gemm_machine import GemmMachine

_LINK = (
    *("dram.input.read", "dram.kernel.read", "dram.kernel.bitmap", "dram.index.read"),
    *("dram.extra.read", "dram.output.read", "dram.output.write"),
)


class GemmCounters:
    """Events of one layer by name, cycles of array and im2col units, and the words at both ends of the layer.

    `first` are the words of the first tile of every tensor that came, `last` the results of the last tile that left.
    """

    def __init__(self, machine: GemmMachine):
        self._machine = machine
        self.events = dict.fromkeys(EVENTS, 0)
        self.array = self.patches = self.filling = self.passes = self.peak = 0
        self.first: dict[str, int] = {}
        self.last = 0

    def add(self, name: str, count: int) -> None:
        """Count an event."""
        self.events[name] += count

    def fetched(self, tensor: str, words: int) -> None:
        """Note a tile that came."""
        self.first.setdefault(tensor, words)

    def result(self) -> Counts:
        """The counts so far: array and im2col units work at the same time, and so does the link but at both ends."""
        busy = max(self.array, self.patches) + self.filling
        link = self._machine.dram.cycles(sum(self.events[event] for event in _LINK))
        ends = self._machine.dram.cycles(sum(self.first.values()) + self.last)
        cycles = max(busy, link) + ends if self.passes else None
        return Counts(dict(self.events), busy, self.passes, self.peak, cycles)
