"""The literal engine: turn by turn in the order of time, looking for races, at any pace of the cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from backends.rram.activity import ActivityLog
from backends.rram.chip import Chip, CoreFault, sends
from backends.rram.deadlocks import deadlock
from backends.rram.races import RaceDetector
from backends.rram.streams import Action, Do, Piece, Task
from backends.rram.timing import Simulation, Timeline
from backends.rram.units import unit_of
from backends.spatial.memory import Fault


@dataclass(frozen=True)
class Pace:
    """How irregular cores are: by `seed`, each is up to `spread` times as slow as the fastest, and each action again.

    Who gets the bus of those that ask at the same time is drawn, too.
    """

    seed: int
    spread: float = 8.0


class StepEngine:
    """Runs all cores to the end."""

    def __init__(
        self,
        chip: Chip,
        detector: RaceDetector,
        before: Mapping[tuple[int, int], int],
        pace: Pace | None = None,
        log: ActivityLog | None = None,
    ):
        self._chip, self._detector, self._before, self._log = chip, detector, before, log
        self._units = chip.machine.units
        detector.begin(list(before))
        self._random = None if pace is None else np.random.default_rng(pace.seed)
        self._spread = 1.0 if pace is None else pace.spread
        cores = len(chip.streams)
        self._speeds = np.ones(cores) if self._random is None else self._random.uniform(1, self._spread, cores)

    def run(self) -> Timeline:
        """Execute everything. Raises `CoreFault`: CAT-E004 for a race, CAT-E005 if cores wait for ever."""
        simulation = Simulation(
            self._chip.streams,
            self._effect,
            self._before,
            self._chip.network,
            self._rank,
            self._detector,
            self._log,
            self._units,
        )
        if not simulation.run():
            raise deadlock(simulation.waiting, simulation.latest, self._chip.streams, self._chip.writers)
        return simulation.timeline

    def _rank(self, core: int) -> float:
        return float(core) if self._random is None else float(self._random.random())

    def _slowed(self, core: int, cycles: int) -> int:
        if self._random is None:
            return cycles
        return int(cycles * self._speeds[core] * self._random.uniform(1, self._spread))

    def _effect(self, task: Task, piece: Piece, action: Action, turn: int) -> tuple[int | None, int]:
        turns = range(turn, turn + 1)
        match action.do:
            case Do.WAIT:
                self._chip.counters[task.layer.index].add("sync.wait", 1)
                return None, 0
            case Do.SIGNAL:
                if not sends(action, piece, turns)[0]:
                    return None, 0
                self._check(task, action)
                return int(self._chip.signal(task, action, 1)[0]), 0
            case _:
                self._detector.at(task.core * self._units + unit_of(piece, action, self._units), task, action, turn)
                cost = self._chip.perform(task, piece, action, turns)
                bus = None if cost.bus is None else self._slowed(task.core, int(cost.bus[0]))
                return bus, self._slowed(task.core, int(cost.core[0]))

    def _check(self, task: Task, action: Action) -> None:
        core = action.given[0]
        if core >= len(self._chip.streams):
            raise CoreFault(Fault("CAT-E001", f"a signal to core {core}, which is not there"), task, action.pc)
