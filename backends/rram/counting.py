"""Events of layers as they are executed, and the cycles of transfers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from backends.rram.network import Network, Route
from dialects.multicore_machine import EVENTS

Cycles = npt.NDArray[np.int64]


@dataclass
class LayerCounters:
    """What all cores together did for a layer."""

    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
    parts: int = 0
    cores: set[int] = field(default_factory=set[int])
    links: dict[int, int] = field(default_factory=dict[int, int])
    """By link of a mesh, the cycles for which it is taken."""
    computing: dict[int, int] = field(default_factory=dict[int, int])
    """By core, the cycles of main operations, on its crossbars or its vector unit."""

    def add(self, name: str, count: int) -> None:
        """Count an event."""
        self.events[name] += count

    def most(self, name: str, count: int) -> None:
        """Note what an event counts at most."""
        self.events[name] = max(self.events[name], count)

    def compute(self, core: int, cycles: int) -> None:
        """Count cycles in which a core does main operations."""
        self.computing[core] = self.computing.get(core, 0) + cycles

    def operate(self, name: str, count: int) -> None:
        """Count operations of a vector unit."""
        self.events[name] += count
        self.events["operation.vector"] += count


class Way:
    """A route that transfers of a layer take: what goes over it is counted."""

    def __init__(self, network: Network, route: Route, counters: LayerCounters):
        self._network, self._route, self._counters = network, route, counters

    def moved(self, sizes: npt.NDArray[np.int64]) -> Cycles:
        """Count transfers of so many bytes; the cycles for which each takes a link."""
        counters = self._counters
        counters.add("bus.bytes", int(sizes.sum()))
        counters.add("bus.transfers", len(sizes))
        kinds, numbers = np.unique(sizes, return_inverse=True)
        cycles = np.array([self._network.cycles(int(size)) for size in kinds], np.int64)[numbers]
        if self._network.is_mesh:
            for link in self._route.links:
                counters.add("mesh.byte_hops", int(sizes.sum()))
                counters.links[link] = counters.links.get(link, 0) + int(cycles.sum())
            counters.events["mesh.link_cycles"] = max(counters.links.values(), default=0)
        return cycles


class Ways:
    """The routes of a core's transfers with the shared memory, for a layer."""

    def __init__(self, network: Network, core: int, counters: LayerCounters):
        self.load = Way(network, network.route(core, None), counters)
        self.store = Way(network, network.route(core, None, stores=True), counters)
