"""What transfers of a layer take of the bus, or of the links of a mesh, by closed forms, and the ways that they go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from dialects.mesh import Mesh, Place
from dialects.multicore_machine import MulticoreMachine

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Way:
    """The links that a transfer takes one after the other, by their places in tables of all links.

    What follows on a link goes over it `hop` cycles later. Before the first link there are `before` cycles, behind the
    last one `after`, in which no link is taken.
    """

    links: tuple[int, ...]
    hop: int = 0
    before: int = 0
    after: int = 0

    @property
    def latency(self) -> int:
        """Cycles besides those of the bytes, if nobody else wants a link."""
        return self.before + self.hop * len(self.links) + self.after


BUS = Way((0,))


@dataclass(frozen=True)
class Moved:
    """Transfers that go the same way: for how many cycles each takes each link of it; 0 if there is nothing to move."""

    way: Way
    cycles: Numbers

    @cached_property
    def alone(self) -> Numbers:
        """Cycles of each if nobody else wants a link."""
        return self.cycles + np.where(self.cycles > 0, self.way.latency, 0) if self.way.latency else self.cycles


class Ways:
    """The ways over a mesh.

    Links between neighbours lie in tables by row and column of the router that they begin at (east and south) or end
    at (west and north); those of cores and ports have a number for each, and all tables one behind the other.
    """

    def __init__(self, mesh: Mesh, hop: int):
        self._mesh, self._hop = mesh, hop
        routers = mesh.rows * mesh.columns
        sizes = [routers] * 6 + [len(mesh.ports)] * 2
        names = ("east", "west", "south", "north", "from cores", "to cores", "from ports", "to ports")
        first = [0, *accumulate(sizes)]
        self._first: dict[str, int] = dict(zip(names, first, strict=False))
        self.count = first[-1]
        """How many links there are."""

    def load(self, core: int) -> Way:
        """From the port of a core to it, which asked first."""
        port = self._mesh.port(core)
        links = self._between("from ports", port, self._mesh.ports[port], "to cores", core, self._mesh.place(core))
        return Way(links, self._hop, before=self._hop * len(links))

    def store(self, core: int) -> Way:
        """From a core to its port, which answers."""
        port = self._mesh.port(core)
        links = self._between("from cores", core, self._mesh.place(core), "to ports", port, self._mesh.ports[port])
        return Way(links, self._hop, after=self._hop * len(links))

    def signal(self, core: int, other: int) -> Way:
        """From a core to another one."""
        places = self._mesh.place(core), self._mesh.place(other)
        return Way(self._between("from cores", core, places[0], "to cores", other, places[1]), self._hop)

    def _between(self, leave: str, source: int, begin: Place, enter: str, sink: int, end: Place) -> tuple[int, ...]:
        """Along the row where it begins, then along the column where it ends."""
        (row, first), (last, column), wide, at = begin, end, self._mesh.columns, self._first
        if first < column:
            along = range(at["east"] + row * wide + first, at["east"] + row * wide + column)
        else:
            along = range(at["west"] + row * wide + first - 1, at["west"] + row * wide + column - 1, -1)
        if row < last:
            across = range(at["south"] + row * wide + column, at["south"] + last * wide + column, wide)
        else:
            across = range(at["north"] + (row - 1) * wide + column, at["north"] + (last - 1) * wide + column, -wide)
        return at[leave] + source, *along, *across, at[enter] + sink


class Traffic:
    """What transfers of a layer take."""

    def __init__(self, machine: MulticoreMachine):
        self._bus = machine.bus
        self._ways = None if machine.bus.mesh is None else Ways(machine.bus.mesh, machine.bus.latency)
        self._known: dict[tuple[int, int, bool], Way] = {}
        self.taken: Numbers = np.zeros(1 if self._ways is None else self._ways.count, np.int64)
        """Cycles for which the bus, or every link of a mesh, is taken."""
        self.bytes = self.transfers = self.byte_hops = 0

    @property
    def link_cycles(self) -> int:
        """Those of the busiest link of a mesh."""
        return 0 if self._ways is None else int(self.taken.max())

    def load(self, core: int, sizes: Numbers, starts: Numbers | None = None) -> Moved:
        """Transfers of so many bytes from the shared memory to a core; those from each start on belong together.

        What belongs together follows one another over the links.
        """
        return self._moved(self._way(core), sizes, starts)

    def store(self, core: int, sizes: Numbers, starts: Numbers | None = None) -> Moved:
        """The same from a core to the shared memory."""
        return self._moved(self._way(core, stores=True), sizes, starts)

    def signal(self, core: int, other: int, count: int) -> Moved:
        """So many signals from a core to another one."""
        return self._moved(self._way(core, other), np.full(count, self._bus.signal_bytes))

    def _way(self, core: int, other: int = -1, *, stores: bool = False) -> Way:
        """From a core to another one or, without one, between it and the shared memory."""
        if self._ways is None:
            return BUS
        key = core, other, stores
        if key not in self._known:
            to_memory = self._ways.store if stores else self._ways.load
            self._known[key] = to_memory(core) if other < 0 else self._ways.signal(core, other)
        return self._known[key]

    def _moved(self, way: Way, sizes: Numbers, starts: Numbers | None = None) -> Moved:
        self.bytes += int(sizes.sum())
        self.transfers += len(sizes)
        cycles = -(-sizes // self._bus.width_bytes)
        if self._ways is None:
            cycles = cycles + self._bus.latency
        else:
            self.byte_hops += len(way.links) * int(sizes.sum())
        self.taken[list(way.links)] += int(cycles.sum())
        return Moved(way, cycles if starts is None else np.add.reduceat(cycles, starts))
