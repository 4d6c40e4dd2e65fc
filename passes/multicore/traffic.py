"""What transfers of a layer take of the bus, or of the links of a mesh, by closed forms."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dialects.mesh import Mesh, Place
from dialects.multicore_machine import MulticoreMachine

Numbers = npt.NDArray[np.int64]


@dataclass
class Loads:
    """Cycles for which links of a mesh are taken.

    Those between neighbours lie in tables by row and column of the router that they begin at (east and south) or end
    at (west and north); those of cores and ports have a number for each.
    """

    mesh: Mesh
    between: dict[str, Numbers] = field(default_factory=dict[str, Numbers])
    attached: dict[str, Numbers] = field(default_factory=dict[str, Numbers])

    def __post_init__(self) -> None:
        for name in ("east", "west", "south", "north"):
            self.between[name] = np.zeros((self.mesh.rows, self.mesh.columns), np.int64)
        for name in ("from cores", "to cores"):
            self.attached[name] = np.zeros(self.mesh.rows * self.mesh.columns, np.int64)
        for name in ("from ports", "to ports"):
            self.attached[name] = np.zeros(len(self.mesh.ports), np.int64)

    def load(self, core: int, cycles: int) -> None:
        """From the port of a core to it."""
        port = self.mesh.port(core)
        self.attached["from ports"][port] += cycles
        self.attached["to cores"][core] += cycles
        self._cross(self.mesh.ports[port], self.mesh.place(core), cycles)

    def store(self, core: int, cycles: int) -> None:
        """From a core to its port."""
        port = self.mesh.port(core)
        self.attached["from cores"][core] += cycles
        self.attached["to ports"][port] += cycles
        self._cross(self.mesh.place(core), self.mesh.ports[port], cycles)

    def signal(self, core: int, other: int, cycles: int) -> None:
        """From a core to another one."""
        self.attached["from cores"][core] += cycles
        self.attached["to cores"][other] += cycles
        self._cross(self.mesh.place(core), self.mesh.place(other), cycles)

    def _cross(self, begin: Place, end: Place, cycles: int) -> None:
        """Along the row where it begins, then along the column where it ends."""
        (row, first), (last, column) = begin, end
        name, low, high = ("east", first, column) if first < column else ("west", column, first)
        self.between[name][row, low:high] += cycles
        name, low, high = ("south", row, last) if row < last else ("north", last, row)
        self.between[name][low:high, column] += cycles

    @property
    def taken(self) -> Numbers:
        """Cycles of every link."""
        return np.concatenate([table.reshape(-1) for table in (*self.between.values(), *self.attached.values())])


class Traffic:
    """What transfers of a layer take; each kind of transfer gives its cycles if nobody else has the way."""

    def __init__(self, machine: MulticoreMachine):
        self._machine, self._bus = machine, machine.bus
        self._taken = 0
        self._loads = None if machine.bus.mesh is None else Loads(machine.bus.mesh)
        self.bytes = self.transfers = self.byte_hops = 0

    @property
    def taken(self) -> Numbers:
        """Cycles for which the bus, or every link of a mesh, is taken."""
        return np.array([self._taken]) if self._loads is None else self._loads.taken

    @property
    def link_cycles(self) -> int:
        """Those of the busiest link of a mesh."""
        return 0 if self._loads is None else int(self._loads.taken.max())

    def load(self, core: int, sizes: Numbers, starts: Numbers | None = None) -> Numbers:
        """Transfers of so many bytes from the shared memory to a core; cycles of each, or of those from each start on.

        Those that belong together follow one another over the links.
        """
        cycles = self._moved(sizes)
        if self._loads is not None:
            self._loads.load(core, int(cycles.sum()))
        return self._with_memory(core, sizes, cycles, starts)

    def store(self, core: int, sizes: Numbers, starts: Numbers | None = None) -> Numbers:
        """The same from a core to the shared memory."""
        cycles = self._moved(sizes)
        if self._loads is not None:
            self._loads.store(core, int(cycles.sum()))
        return self._with_memory(core, sizes, cycles, starts)

    def signal(self, core: int, other: int, count: int) -> Numbers:
        """So many signals from a core to another one."""
        cycles = self._moved(np.full(count, self._bus.signal_bytes))
        if self._loads is None:
            return cycles
        self._loads.signal(core, other, int(cycles.sum()))
        links = self._loads.mesh.links_between(core, other)
        self.byte_hops += links * count * self._bus.signal_bytes
        return cycles + links * self._bus.latency

    def _moved(self, sizes: Numbers) -> Numbers:
        """Cycles for which each transfer takes the bus or a link."""
        self.bytes += int(sizes.sum())
        self.transfers += len(sizes)
        cycles = -(-sizes // self._bus.width_bytes)
        if self._loads is None:
            cycles = cycles + self._bus.latency
            self._taken += int(cycles.sum())
        return cycles

    def _with_memory(self, core: int, sizes: Numbers, cycles: Numbers, starts: Numbers | None) -> Numbers:
        """Over a mesh a core asks first, or is answered, over as many links; nothing is sent for no bytes."""
        together = cycles if starts is None else np.add.reduceat(cycles, starts)
        if self._loads is None:
            return together
        links = self._loads.mesh.links_to_memory(core)
        self.byte_hops += links * int(sizes.sum())
        return together + np.where(together > 0, 2 * links * self._bus.latency, 0)
