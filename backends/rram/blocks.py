"""The fast engine: every core runs as many turns at a time as waits allow, and time is simulated afterwards.

Nothing that is computed depends on time, unless cores race; whether they may is what `prove-order` and the engine
`steps` look for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from backends.effects import Told
from backends.rram.chip import Chip, CoreFault, Cost, awaited, sends
from backends.rram.deadlocks import Waiting, deadlock
from backends.rram.streams import Action, Do, Piece, Task
from backends.spatial.memory import Fault


@dataclass
class _Position:
    """How far a core is."""

    task: int = 0
    piece: int = 0
    turn: int = 0


@dataclass
class Recorded:
    """What every action costs in every turn, to be replayed in time."""

    costs: dict[tuple[int, int], list[Cost]] = field(default_factory=dict[tuple[int, int], list[Cost]])

    def add(self, core: int, pc: int, cost: Cost) -> None:
        """Note the cost of some more turns."""
        self.costs.setdefault((core, pc), []).append(cost)

    def of(self, core: int, action: Action) -> tuple[list[int] | None, list[int]]:
        """Cycles of the bus and of the core, turn by turn."""
        found = self.costs[core, action.pc]
        bus = None if found[0].bus is None else np.concatenate([np.asarray(each.bus) for each in found]).tolist()
        return bus, np.concatenate([each.core for each in found]).tolist()


class BlockEngine:
    """Runs all cores to the end."""

    def __init__(self, chip: Chip, before: Mapping[tuple[int, int], int]):
        self._chip = chip
        self._positions = [_Position() for _ in chip.streams]
        self._registers = dict(before)
        self.recorded = Recorded()
        self.now = (0, 0)
        """Core and address of the instruction at work."""

    def run(self) -> None:
        """Execute everything. Raises `CoreFault`, with CAT-E005 if cores wait for ever."""
        cores = [core for core, stream in enumerate(self._chip.streams) if stream]
        moved = True
        while moved:
            moved = False
            for core in cores:
                while self._advance(core):
                    moved = True
        self._check_ended(cores)

    def _advance(self, core: int) -> bool:
        """Run one core for some turns; whether it got any further."""
        at, stream = self._positions[core], self._chip.streams[core]
        if at.task == len(stream):
            return False
        task = stream[at.task]
        if at.piece == len(task.pieces):
            at.task, at.piece, at.turn = at.task + 1, 0, 0
            return True
        piece = task.pieces[at.piece]
        turns = self._ready(task, piece, at.turn)
        if not turns:
            return False
        for action in piece.actions:
            self._perform(task, piece, action, turns)
        at.turn = turns.stop
        if at.turn == piece.turns:
            at.piece, at.turn = at.piece + 1, 0
        return True

    def _ready(self, task: Task, piece: Piece, start: int) -> range:
        """The turns from `start` on that no wait holds up."""
        end = min(piece.turns, start + self._chip.most_turns(task))
        for action in piece.actions:
            if action.do is Do.WAIT:
                held = awaited(action, range(start, end)) > self._registers.get((task.core, action.given[0]), 0)
                end = start + int(held.argmax()) if held.any() else end
        return range(start, end)

    def _perform(self, task: Task, piece: Piece, action: Action, turns: range) -> None:
        if not self._chip.is_observed:
            self._execute(task, piece, action, turns)
            return
        before = dict(self._registers)
        self._execute(task, piece, action, turns)
        self._chip.show_done(task, action, turns, self._told(task, action, before))

    def _told(self, task: Task, action: Action, before: Mapping[tuple[int, int], int]) -> dict[str, Told] | None:
        """What a token did: the registers that changed, and what its own one holds, with whether that changed."""
        if action.do not in (Do.WAIT, Do.SIGNAL):
            return None
        own = (task.core, action.given[0]) if action.do is Do.WAIT else action.given[:2]
        now = {own: 0} | self._registers
        changed = {register for register, value in now.items() if before.get(register, 0) != value}
        return {_named(each): (now[each], int(each in changed)) for each in sorted({own, *changed})}

    def _execute(self, task: Task, piece: Piece, action: Action, turns: range) -> None:
        match action.do:
            case Do.WAIT:
                self._chip.counters[task.layer.index].add("sync.wait", len(turns))
            case Do.SIGNAL:
                self._signal(task, piece, action, turns)
            case _:
                self.now = task.core, action.pc
                self.recorded.add(task.core, action.pc, self._chip.perform(task, piece, action, turns))

    def _signal(self, task: Task, piece: Piece, action: Action, turns: range) -> None:
        core, register, base, _ = action.given
        sent = sends(action, piece, turns)
        if core >= len(self._chip.streams):
            raise CoreFault(Fault("CAT-E001", f"a signal to core {core}, which is not there"), task, action.pc)
        cycles = np.zeros(len(turns), np.int64)
        if sent.any():
            last = turns.start + int(np.flatnonzero(sent)[-1])
            before = self._registers.get((core, register), 0)
            if base + last + 1 < before:
                found = f"{base + last + 1} after {before}"
                fault = Fault("CAT-E003", f"register {register} of core {core} would fall", found=found)
                raise CoreFault(fault, task, action.pc)
            self._registers[core, register] = base + last + 1
            cycles[sent] = self._chip.signal(task, action, int(sent.sum()))
        self.recorded.add(task.core, action.pc, Cost(cycles, np.zeros(len(turns), np.int64)))

    def _check_ended(self, cores: Sequence[int]) -> None:
        waiting: list[Waiting] = []
        for core in cores:
            at, stream = self._positions[core], self._chip.streams[core]
            if at.task < len(stream):
                task = stream[at.task]
                waiting.append(Waiting(task, task.pieces[at.piece], at.turn))
        if waiting:
            raise deadlock(waiting, self._registers, self._chip.streams, self._chip.writers)


def _named(register: tuple[int, int]) -> str:
    core, number = register
    return f"register {number} of core {core}"
