"""Which core has room for which part of a matrix."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dialects.mesh import Mesh
from dialects.multicore_machine import MulticoreMachine
from passes.multicore.matrix import Grid, Part


class Placement:
    """Parts on cores, first fit: a layer's parts on different cores as long as there are any.

    When the chip is full, a new phase begins, in which all crossbars are free again. On a mesh, parts of a ring, which
    follow one another, get cores that are near to each other, and the first one is near the memory.
    """

    def __init__(self, machine: MulticoreMachine):
        self._machine = machine
        self.phase = 0
        self._used = [0] * machine.cores.count
        self._start = 0
        self.last, self._begun = 0, False
        """On a mesh, the core that got a part last, and whether any did."""

    @staticmethod
    def fits(grids: Iterable[Grid], machine: MulticoreMachine) -> bool:
        """Whether all parts have a place in one phase."""
        placement = Placement(machine)
        for grid in grids:
            placement.cores(grid)
            if placement.phase:
                return False
        return True

    def cores(self, grid: Grid) -> tuple[tuple[int, ...], int]:
        """The core of every part of a layer, and the phase in which the first of them is programmed.

        A layer that does not fit the crossbars that are left begins a phase; one larger than the chip takes several.
        """
        parts = grid.parts()
        sizes = [part.crossbars for part in parts]
        found = self._together(parts, sizes)
        if found is None and any(self._used):
            self._next_phase()
            found = self._together(parts, sizes)
        begun = self.phase
        if found is not None:
            return found, begun
        cores: list[int] = []
        for size in sizes:
            core = self._placed([size], taken=set(cores[-(len(cores) % self._machine.cores.count) :] if cores else ()))
            if core is None:
                self._next_phase()
                core = self._placed([size])
            assert core is not None
            cores += core
        return tuple(cores), begun

    def _together(self, parts: Sequence[Part], sizes: list[int]) -> tuple[int, ...] | None:
        mesh = self._machine.bus.mesh
        return self._placed(sizes) if mesh is None else self._placed_on(mesh, parts)

    def _next_phase(self) -> None:
        self.phase += 1
        self._used = [0] * self._machine.cores.count
        self._start = 0

    def _placed(self, sizes: list[int], taken: set[int] | None = None) -> tuple[int, ...] | None:
        """A core for each size, none twice; None, and nothing is taken, if there is no room."""
        count, room = self._machine.cores.count, self._machine.cores.crossbars
        chosen: list[int] = []
        busy = set(taken or ())
        # Cores that have nothing yet come first: layers then share none, and can run side by side.
        order = sorted(range(count), key=lambda core: (self._used[core], (core - self._start) % count))
        for size in sizes:
            core = next((c for c in order if c not in busy and self._used[c] + size <= room), None)
            if core is None:
                return None
            chosen.append(core)
            busy.add(core)
        for core, size in zip(chosen, sizes, strict=True):
            self._used[core] += size
        return tuple(chosen)

    def _placed_on(self, mesh: Mesh, parts: Sequence[Part]) -> tuple[int, ...] | None:
        """The same on a mesh, ring by ring; each begins near the memory and what was placed last, which it follows."""
        count, room = self._machine.cores.count, self._machine.cores.crossbars
        used, chosen = np.array(self._used), np.full(len(parts), -1)
        to_memory = np.array([mesh.links_to_memory(core) for core in range(count)])
        rows, columns = np.divmod(np.arange(count), mesh.columns)
        free = np.ones(count, np.bool_)
        for ring in dict.fromkeys(part.ring for part in parts):
            for number in ring:
                size = parts[number].crossbars
                fits = np.flatnonzero(free & (used + size <= room))
                if not len(fits):
                    return None
                away = np.abs(rows[fits] - rows[self.last]) + np.abs(columns[fits] - columns[self.last])
                near = to_memory[fits] + (away if self._begun else 0)
                first = number == ring[0]
                self.last = int(fits[np.lexsort((fits, near, near if first else away, used[fits]))[0]])
                self._begun = True
                chosen[number] = self.last
                free[self.last] = False
        for number, core in enumerate(chosen.tolist()):
            self._used[core] += parts[number].crossbars
        return tuple(chosen.tolist())

    def crossbar(self, core: int) -> int:
        """Crossbars of a core that are taken."""
        return self._used[core]
