"""Events of layers as they are executed, and the cycles of transfers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dialects.multicore_machine import EVENTS, MulticoreMachine

Cycles = npt.NDArray[np.int64]


@dataclass
class LayerCounters:
    """What all cores together did for a layer."""

    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
    parts: int = 0
    cores: set[int] = field(default_factory=set[int])

    def add(self, name: str, count: int) -> None:
        """Count an event."""
        self.events[name] += count

    def operate(self, name: str, count: int) -> None:
        """Count operations of a vector unit."""
        self.events[name] += count
        self.events["operation.vector"] += count


def transferred(machine: MulticoreMachine, counters: LayerCounters, sizes: npt.NDArray[np.int64]) -> Cycles:
    """Count transfers of so many bytes; the cycles that each takes of the bus."""
    counters.add("bus.bytes", int(sizes.sum()))
    counters.add("bus.transfers", len(sizes))
    whole = np.ceil(sizes / machine.bus.width_bytes).astype(np.int64)
    return whole + machine.bus.latency
