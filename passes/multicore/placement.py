"""Which core has room for which part of a matrix."""

from __future__ import annotations

from collections.abc import Iterable

from dialects.multicore_machine import MulticoreMachine
from passes.multicore.matrix import Grid


class Placement:
    """Parts on cores, first fit: a layer's parts on different cores as long as there are any.

    When the chip is full, a new phase begins, in which all crossbars are free again.
    """

    def __init__(self, machine: MulticoreMachine):
        self._machine = machine
        self.phase = 0
        self._used = [0] * machine.cores.count
        self._start = 0

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
        sizes = [part.crossbars for part in grid.parts()]
        found = self._placed(sizes)
        if found is None and any(self._used):
            self._next_phase()
            found = self._placed(sizes)
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

    def crossbar(self, core: int) -> int:
        """Crossbars of a core that are taken."""
        return self._used[core]
