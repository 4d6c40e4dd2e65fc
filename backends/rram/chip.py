"""The chip that executes streams: what every action does to memories and counts, for one turn or many at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backends.effects import NO_WORDS, NOTHING, Effect, Effects, Observer, Shown, Told
from backends.rram.counting import Cycles, LayerCounters, Way, Ways
from backends.rram.crossbar.settings import Settings
from backends.rram.isa import Made, What
from backends.rram.network import Network
from backends.rram.products import MatrixPart
from backends.rram.shown import ShownPart, ShownTile
from backends.rram.streams import Action, Do, Piece, Task
from backends.rram.tiles import VectorTile
from backends.spatial.defects import DEFECTS, as_fault
from backends.spatial.memory import Fault, MemoryBank
from dialects.multicore_machine import MulticoreMachine

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cost:
    """Cycles of an action, turn by turn: of the bus, None if it takes none, and then of the core itself."""

    bus: Cycles | None
    core: Cycles


class CoreFault(Exception):
    """A fault of an instruction of a core."""

    def __init__(self, fault: Fault, task: Task, pc: int):
        super().__init__(fault.message)
        self.fault, self.task, self.pc = fault, task, pc


class Chip:
    """Cores with their crossbars, and the shared memories."""

    def __init__(
        self,
        machine: MulticoreMachine,
        streams: Sequence[Sequence[Task]],
        dram: MemoryBank,
        sums: MemoryBank,
        physics: Settings | None = None,
        writers: Mapping[tuple[int, int], int] | None = None,
        observer: Observer | None = None,
    ):
        """`observer` is told what every action does; crossbars compute as they should then."""
        self._observer = observer
        self._now = (0, 0)
        """Core and address of the instruction at work."""
        self.machine, self.streams, self._physics = machine, streams, physics
        self.network = Network(machine)
        self.writers = writers or {}
        """By core and register, the core that signals to it."""
        self.dram, self.sums = dram, sums
        self.counters: dict[int, LayerCounters] = {}
        self._parts: dict[int, MatrixPart] = {}
        self._tiles: dict[int, VectorTile] = {}
        self._holders: dict[tuple[int, int], Task] = {}
        """Which task's weights a crossbar of a core holds."""
        for stream in streams:
            for task in stream:
                self._add(task)

    def _add(self, task: Task) -> None:
        counters = self.counters.setdefault(task.layer.index, LayerCounters())
        counters.parts += 1
        counters.cores.add(task.core)
        ways = Ways(self.network, task.core, counters)
        if self._observer is not None:
            effects = Effects(self._observer, task.layer.index, lambda: self._now)
            if task.is_matrix:
                self._parts[id(task)] = ShownPart(task, self.machine, self.dram, self.sums, counters, ways, effects)
            else:
                self._tiles[id(task)] = ShownTile(task.layer, self.machine, self.dram, counters, ways, effects)
        elif task.is_matrix:
            self._parts[id(task)] = MatrixPart(task, self.machine, self.dram, self.sums, counters, ways, self._physics)
        else:
            self._tiles[id(task)] = VectorTile(task.layer, self.machine, self.dram, counters, ways)

    def program_residents(self) -> None:
        """Write the weights that are there before the program starts. Raises `CoreFault`."""
        for stream in self.streams:
            for task in stream:
                for piece in task.pieces:
                    for action in piece.actions:
                        if action.do is Do.PROGRAM and action.given[2]:
                            self._guarded(task, piece, action, range(1))

    @property
    def is_observed(self) -> bool:
        """Whether anybody looks at what actions do."""
        return self._observer is not None

    def show_done(self, task: Task, action: Action, turns: range, told: Mapping[str, Told] | None) -> None:
        """Say that an action was done in some turns, and what a token did."""
        if self._observer is not None:
            said = None if told is None else lambda: told
            done = (turns.start, turns.stop)
            number, core = task.layer.index, task.core
            self._observer(Effect(number, core, action.pc, Shown.DONE, NO_WORDS, NOTHING, done, told=said))

    def part(self, task: Task) -> MatrixPart:
        """The part of a matrix that a task is about."""
        return self._parts[id(task)]

    def buffer_peaks(self) -> dict[int, int]:
        """By core, the most bytes that its buffer held."""
        found: dict[int, int] = {}
        for stream in self.streams:
            for task in stream:
                at_work = self._parts[id(task)] if task.is_matrix else self._tiles[id(task)]
                found[task.core] = max(found.get(task.core, 0), at_work.buffer.peak)
        return found

    def most_turns(self, task: Task) -> int:
        """Turns that may be executed at a time."""
        return self._parts[id(task)].most_turns if task.is_matrix else 1

    def perform(self, task: Task, piece: Piece, action: Action, turns: range) -> Cost:
        """Do an action for some turns; what it costs in each of them. Raises `CoreFault`."""
        if piece.is_run and (action.do is Do.PROGRAM or action.given is What.FIXED):
            message = "what is done once for all vectors stands in a run"
            raise CoreFault(Fault("CAT-E003", message), task, action.pc)
        if action.do is Do.PROGRAM and action.given[2]:
            return Cost(None, np.zeros(1, np.int64))
        return self._guarded(task, piece, action, turns)

    def _guarded(self, task: Task, piece: Piece, action: Action, turns: range) -> Cost:
        self._now = task.core, action.pc
        try:
            execute = self._on_crossbars if task.is_matrix else self._on_vectors
            return execute(task, piece, action, turns)
        except (Fault, *DEFECTS) as error:
            raise CoreFault(as_fault(error), task, action.pc) from error

    def signal(self, task: Task, action: Action, sends: int) -> Cycles:
        """Count signals; the cycles for which each takes the bus, or a link."""
        counters = self.counters[task.layer.index]
        counters.add("sync.signal", sends)
        size = self.machine.bus.signal_bytes
        counters.add("bus.signal.bytes", sends * size)
        return Way(self.network, self.network.route_of(task.core, action), counters).moved(np.full(sends, size))

    def _on_crossbars(self, task: Task, piece: Piece, action: Action, turns: range) -> Cost:
        part = self._parts[id(task)]
        if action.do is Do.PROGRAM:
            return self._program(task, *action.given)
        none = np.zeros(len(turns), np.int64)
        of_part = part.turns(piece.start, turns) if piece.is_run else np.zeros(1, np.int64)
        if action.do is Do.LOAD and action.given is What.FIXED:
            return Cost(part.load_extras(What.FIXED, part.positions.of_turns(of_part)[:1]), none)
        vectors, sizes = part.positions.of_turns(of_part), part.positions.sizes(of_part)

        def by_turn(cycles: Cycles) -> Cycles:
            return np.add.reduceat(cycles, np.cumsum(sizes) - sizes)

        match action.do:
            case Do.LOAD if action.given is What.INPUT:
                return Cost(by_turn(part.load_input(vectors)), none)
            case Do.LOAD if action.given is What.KERNEL:
                raise Fault("CAT-E003", "a part's kernel is programmed, not loaded")
            case Do.LOAD:
                return Cost(by_turn(part.load_extras(action.given, vectors)), none)
            case Do.MULTIPLY:
                self._check_holders(task, part)
                self.counters[task.layer.index].compute(task.core, len(turns) * self.machine.crossbar.mvm_cycles)
                return Cost(None, self.machine.crossbar.mvm_cycles + by_turn(part.multiply()))
            case Do.FETCH:
                return Cost(by_turn(part.fetch(vectors)), sizes * part.adding)
            case Do.ACTIVATE:
                return Cost(None, by_turn(part.activate(vectors)))
            case Do.STORE:
                return Cost(by_turn(part.store(action.given, vectors)), none)
            case _:
                raise Fault("CAT-E003", f"a part of a matrix cannot {action.do.value}")

    def _program(self, task: Task, crossbars: range, shift: int, resident: bool) -> Cost:
        part = self._parts[id(task)]
        bus, writing = part.program(crossbars, shift, resident=resident)
        for crossbar in crossbars:
            if resident and (task.core, crossbar) in self._holders:
                raise Fault("CAT-E003", f"two parts are resident in crossbar {crossbar}")
            self._holders[task.core, crossbar] = task
        return Cost(None if resident else bus, np.array([writing]))

    def _check_holders(self, task: Task, part: MatrixPart) -> None:
        for crossbar in part.crossbars:
            if self._holders[task.core, crossbar] is not task:
                raise Fault("CAT-E003", f"crossbar {crossbar} holds the weights of another layer by now")

    def _on_vectors(self, task: Task, piece: Piece, action: Action, turns: range) -> Cost:
        tile = self._tiles[id(task)]
        assert len(turns) == 1
        assert piece.boxes is not None
        none = np.zeros(1, np.int64)
        if action is next(each for each in piece.actions if each.do not in (Do.WAIT, Do.SIGNAL)):
            tile.begin(piece.boxes[turns.start])
        match action.do:
            case Do.LOAD:
                loads = {What.INPUT: tile.load_input, What.KERNEL: tile.load_kernel, What.EXTRAS: tile.load_extras}
                if action.given not in loads:
                    raise Fault("CAT-E003", "vector units load all operands of a turn at once")
                return Cost(loads[action.given](), none)
            case Do.COMPUTE:
                cycles = tile.compute()
                self.counters[task.layer.index].compute(task.core, int(cycles.sum()))
                return Cost(None, cycles)
            case Do.ACTIVATE:
                return Cost(None, tile.activate())
            case Do.STORE if action.given is Made.OUTPUT:
                return Cost(tile.store(), none)
            case _:
                raise Fault("CAT-E003", f"vector units cannot {action.do.value}")


def awaited(action: Action, turns: range) -> Ints:
    """What a `wait` waits for in some turns."""
    return action.given[1].of(turns)


def sends(action: Action, piece: Piece, turns: range) -> npt.NDArray[np.bool_]:
    """In which of some turns a `signal` sends."""
    done = np.arange(turns.start + 1, turns.stop + 1)
    return (done % action.given[3] == 0) | (done == piece.turns)
