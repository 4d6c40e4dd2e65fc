"""The emulator of cores with crossbars, with the machine description that a program carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from backends.activity import Activity, Occupancy
from backends.api import Accessed
from backends.effects import NO_WORDS, NOTHING, Effect, Observer, Shown
from backends.fields import Array
from backends.program import HELD, Program, TensorEntry
from backends.rram.activity import ActivityLog
from backends.rram.blocks import BlockEngine
from backends.rram.chip import Chip, CoreFault
from backends.rram.counting import LayerCounters
from backends.rram.crossbar.settings import Settings, settings_for
from backends.rram.deadlocks import deadlock
from backends.rram.holds import HOLDS, SharedHolds
from backends.rram.isa import ISA
from backends.rram.origins import read_too_early
from backends.rram.pairs import PairFault
from backends.rram.races import RaceDetector
from backends.rram.readers import reader_of
from backends.rram.registers import foreign_signal, missing_register
from backends.rram.steps import Pace, StepEngine
from backends.rram.streams import Action, Do, Piece, StreamReader, Task
from backends.rram.timing import Simulation, Timeline
from backends.segments import HostCall
from backends.spatial.defects import DEFECTS, as_fault
from backends.spatial.dram import dram_of
from backends.spatial.memory import Fault, MemoryBank, UnwrittenFault
from backends.spatial.running import ProgramEmulator, raw_words
from backends.spatial.watched import WatchedMemory
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import dtype_named
from dialects.events import Counts
from dialects.machine_kinds import of_kind, parse_machine
from dialects.multicore_machine import MulticoreMachine

SUMS = "the memory of partial sums"
REGISTER_BYTES = 4
Registers = dict[tuple[int, int], int]


class MulticoreEmulator(ProgramEmulator):
    """Cores with a program loaded: `mode` is a key of `backends.rram.ENGINES`.

    The engine `steps` executes turn by turn in the order of time, and looks for races; `pace` makes cores faster and
    slower. Raises `CatenaError` as any emulator, and CAT-C003 for a description that is not valid.
    """

    def __init__(self, program: Program, mode: str = "blocks", pace: Pace | None = None):
        super().__init__(program, ISA)
        described = parse_machine(program.metadata.description, where="program metadata")
        self.machine = of_kind(MulticoreMachine, described, "emulation", "program metadata")
        self._mode, self._pace = mode, pace
        self._physics: Settings | None = None
        self.timeline = Timeline()
        self._log: ActivityLog | None = None
        self._writers: dict[tuple[int, int], int] = {}
        """By core and register, the core that signals to it."""
        self.registers = 0
        """Sequence registers of all cores that a run wrote."""
        self.buffers: dict[int, int] = {}
        """By core, the most bytes that its buffer held at a time in a run."""
        self.shared_words = 0
        """Words of the shared memory in which the last run had anything but constants."""
        if len(program.code) != self.machine.cores.count:
            cores = f"code for {self.machine.cores.count} cores", f"code for {len(program.code)}"
            raise CatenaError(Diagnostic("CAT-P001", "the code is for another number of cores", "", "", "", *cores))
        self._code = [list(ISA.decode(code, f"code.{core}")) for core, code in enumerate(program.code)]

    def set_physics(self, description: Mapping[str, Any], where: str) -> None:
        """Make products as converters, cells and wires of such `Settings` do; the machine has the crossbars' shape.

        Raises `CatenaError` (CAT-C003) for settings that are not valid, or that the machine has.
        """
        self._physics = settings_for(self.machine, description, where)

    def record_activity(self) -> None:
        """Note from now on what cores do when."""
        self._log = ActivityLog()

    @property
    def activity(self) -> list[Activity]:
        """What cores did in the last run, if that was noted."""
        return [] if self._log is None else list(self._log.activities(self._layers))

    @property
    def occupancy(self) -> Occupancy:
        """How busy cores and the bus were in the last run."""
        timeline, machine = self.timeline, self.machine
        return Occupancy(
            timeline.end,
            machine.cores.count,
            sum(cycles > 0 for cycles in timeline.working),
            sum(timeline.working),
            sum(timeline.waiting),
            timeline.bus,
            self.registers * REGISTER_BYTES,
            max(self.buffers.values(), default=0),
            self.shared_words,
            {} if machine.bus.mesh is None else timeline.links,
        )

    def reader_of(self, words: Array, layers: Sequence[str]) -> tuple[int, int, int] | None:
        """Which instruction of some layers reads constants of the shared memory first."""
        dram = dram_of(self.program, self.dram_words)
        numbers = [self._layers.index(name) for name in layers]
        with np.errstate(all="ignore"):
            return reader_of(words, numbers, self.machine, self.streams(dram), (dram, self._blank_sums()))

    def observe_layer(self, layer: str, tensors: Mapping[str, Array], observer: Observer) -> None:
        """Execute a layer alone, or those of its group, and show what every instruction does to their words."""
        self._execute(tensors, (), None, layer, observer=observer)

    def observe_run(self, inputs: Mapping[str, Array], observer: Observer, *, host: HostCall | None = None) -> None:
        """Run the program, and show what every instruction does to the words of its layer. Raises as `run`."""
        self._execute(inputs, (), None, host=host, observer=observer)

    def _observed(self, observer: Observer, dram: MemoryBank) -> Observer:
        """An observer of cores that shows the words of results."""
        outputs = [self._tensors[entry.outputs[0]] for entry in self.program.layers]

        def observe(effect: Effect) -> None:
            is_result = effect.shown is Shown.RESULT
            observer(replace(effect, values=raw_words(dram, outputs[effect.layer])) if is_result else effect)

        return observe

    def _blank_sums(self) -> MemoryBank:
        return MemoryBank.blank(SUMS, self.machine.shared.sum_words, np.dtype(np.int32))

    @property
    def dram_words(self) -> int:
        """Words of the shared memory."""
        return self.machine.shared.words

    def streams(self, dram: MemoryBank, observer: Observer | None = None) -> list[list[Task]]:
        """The tasks of every core, as its code says. Raises `CatenaError` for code that no core can execute."""
        found: list[list[Task]] = []
        for core, code in enumerate(self._code):
            reader = StreamReader(core, dram)
            reader.observer = observer
            try:
                reader.run(code)
            except (Fault, *DEFECTS) as error:
                reader.show_stop(0)
                raise CatenaError(self._diagnostic(as_fault(error), core, reader.pc)) from error
            for task in reader.tasks:
                if task.layer.index >= len(self._layers):
                    limits = f"{len(self._layers)} layers", f"layer {task.layer.index}"
                    message = "the code has a layer that the program does not list"
                    raise CatenaError(Diagnostic("CAT-P001", message, "", "", f"core {core}", *limits))
            found.append(reader.tasks)
            self._writers |= {(core, register): writer for register, writer in reader.writers.items()}
        for check in (missing_register(found, self.machine.cores.registers), foreign_signal(found, self._writers)):
            if check is not None:
                if observer is not None:
                    number, core = check.task.layer.index, check.task.core
                    observer(Effect(number, core, check.pc, Shown.STOP, NO_WORDS, NOTHING))
                raise CatenaError(self._diagnostic(check.fault, check.task.core, check.pc))
        return found

    def _execute(
        self,
        tensors: Mapping[str, Array],
        wanted: Sequence[str],
        trace: Callable[[str], None] | None,
        only: str | None = None,
        host: HostCall | None = None,
        accessed: Accessed | None = None,
        observer: Observer | None = None,
    ) -> dict[str, Array]:
        dram = dram_of(self.program, self.dram_words)
        held = {name: array for name, array in tensors.items() if self._tensors[name].memory == HELD}
        for name in tensors.keys() - held.keys():
            self._write(dram, self._tensors[name], tensors[name])
        shown = None if observer is None else self._observed(observer, dram)
        streams = self.streams(dram, shown)
        before: Registers = {}
        if only is not None:
            chosen = self._together(only)
            before = registers_before(streams, min(chosen))
            streams = [[task for task in stream if task.layer.index in chosen] for stream in streams]
        if trace is not None:
            self._trace(streams, trace)
        self._log = None if self._log is None else ActivityLog()
        self.registers = len(_written(streams))
        try:
            holds = SharedHolds(streams, self._end(dram), self.machine.shared.words)
        except Fault as fault:
            raise CatenaError(self._diagnostic(fault, 0, 0)) from fault
        if only is not None:
            holds.remember({self._tensors[name].address: _flat(self._tensors[name], held[name]) for name in held})
        sums = self._blank_sums()
        try:
            with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
                chip, self.timeline = self._run_streams(streams, dram, sums, before, holds, accessed, shown)
        except CoreFault as fault:
            if shown is not None:
                shown(Effect(fault.task.layer.index, fault.task.core, fault.pc, Shown.STOP, NO_WORDS, NOTHING))
            found = fault.fault
            if isinstance(found, UnwrittenFault):
                found = read_too_early(found, fault.task, self.machine, streams, (dram, sums))
            raise CatenaError(self._diagnostic(found, fault.task.core, fault.pc)) from fault
        self._counters = self._counts(chip)
        self.buffers = chip.buffer_peaks()
        self.shared_words = _written_words(dram) + holds.used
        return {name: self._result(self._tensors[name], dram, holds) for name in wanted}

    def _result(self, entry: TensorEntry, dram: MemoryBank, holds: SharedHolds) -> Array:
        """A tensor as it is in the memory or, of one that lies in a hold, as it was made."""
        made = holds.made(entry.address) if entry.memory == HELD else None
        if made is None:
            return self._read(dram, entry)
        return _strided(made, entry).astype(dtype_named(entry.dtype))

    def _together(self, layer: str) -> set[int]:
        """The numbers of the layers that run with one: those of its group."""
        group = next((group for group in self.program.groups if layer in group.layers), None)
        return {self._layers.index(name) for name in (group.layers if group is not None else (layer,))}

    def _run_streams(
        self,
        streams: list[list[Task]],
        dram: MemoryBank,
        sums: MemoryBank,
        before: Registers,
        holds: SharedHolds,
        accessed: Accessed | None,
        observer: Observer | None,
    ) -> tuple[Chip, Timeline]:
        if accessed is not None:
            dram = WatchedMemory(dram, lambda words, writes: accessed(*engine.now, words, writes))
        elif self._mode == "steps":
            ended = {dram.name: self._end(dram), sums.name: sums.capacity, HOLDS: holds.end}
            detector = RaceDetector(len(streams) * self.machine.units, ended)
            holds.watch(detector.seen(HOLDS))
            watched = WatchedMemory(dram, detector.seen(dram.name)), WatchedMemory(sums, detector.seen(sums.name))
            chip = Chip(self.machine, streams, *watched, self._physics, self._writers, observer)
            chip.program_residents()
            return chip, StepEngine(chip, detector, before, self._pace, self._log).run()
        chip = Chip(self.machine, streams, dram, sums, self._physics, self._writers, observer)
        engine = BlockEngine(chip, before)
        chip.program_residents()
        engine.run()
        costs = {
            (task.core, action.pc): engine.recorded.of(task.core, action)
            for stream in streams
            for task in stream
            for piece in task.pieces
            for action in piece.actions
            if action.do is not Do.WAIT
        }

        def effect(task: Task, piece: Piece, action: Action, turn: int) -> tuple[int | None, int]:
            if action.do is Do.WAIT:
                return None, 0
            bus, own = costs[task.core, action.pc]
            return None if bus is None else bus[turn], own[turn]

        simulation = Simulation(streams, effect, before, chip.network, log=self._log, units=self.machine.units)
        if not simulation.run():
            raise deadlock(simulation.waiting, simulation.latest, streams, self._writers)
        return chip, simulation.timeline

    @staticmethod
    def _end(dram: MemoryBank) -> int:
        return max((segment.end for segment in dram.segments), default=0)

    def _counts(self, chip: Chip) -> dict[str, Counts]:
        """Counts by layer; cycles are those by which a layer puts off the end of the program."""
        ends: dict[int, int] = {}
        for (core, number), (_, end) in self.timeline.tasks.items():
            index = chip.streams[core][number].layer.index
            ends[index] = max(ends.get(index, 0), end)
        found: dict[str, Counts] = {}
        reached = 0
        for index in sorted(chip.counters):
            end = ends.get(index, reached)
            found[self._layers[index]] = _counted(chip.counters[index], max(end - reached, 0))
            reached = max(reached, end)
        return found

    def _trace(self, streams: Sequence[Sequence[Task]], trace: Callable[[str], None]) -> None:
        """A line for every instruction of every core, with the turns that it is executed in."""
        for core, code in enumerate(self._code):
            turns = {a.pc: piece.turns for task in streams[core] for piece in task.pieces for a in piece.actions}
            for pc, instruction in enumerate(code):
                times = f"{turns[pc]} turns" if pc in turns else ""
                trace(f"{core:4d} {pc:6d}  {ISA.format(instruction):60s}  ; {times}".rstrip("; "))

    def _diagnostic(self, fault: Fault, core: int, pc: int) -> Diagnostic:
        layer = self._layer_at(core, pc)
        nodes = self._nodes(layer)
        if isinstance(fault, PairFault) and fault.other is not None:
            task, at = fault.other
            others = self._nodes(self._layer_at(task.core, at))
            nodes = tuple(dict.fromkeys((*others, *nodes) if fault.came_first else (*nodes, *others)))
        return Diagnostic(
            fault.code,
            fault.message,
            stage="emulation",
            node=" + ".join(nodes),
            where=f"core {core}, instruction {pc}" + (f", layer {layer}" if layer else ""),
            expected=fault.expected,
            found=fault.found,
            hint=fault.hint,
        )

    def _layer_at(self, core: int, pc: int) -> str:
        return next((e.layer for e in self.program.debug if e.core == core and e.start <= pc < e.end), "")

    def _nodes(self, layer: str) -> tuple[str, ...]:
        return next((entry.nodes for entry in self.program.layers if entry.name == layer), ())


def _counted(counters: LayerCounters, cycles: int) -> Counts:
    computing = max(counters.computing.values(), default=0)
    return Counts(dict(counters.events), computing, counters.parts, len(counters.cores), cycles)


def _strided(words: Array, entry: TensorEntry) -> Array:
    """A tensor as a view of its words."""
    steps = [stride * words.itemsize for stride in entry.strides]
    return np.ndarray(entry.shape, words.dtype, words, 0, steps)


def _flat(entry: TensorEntry, array: Array) -> Array:
    """The words of a tensor, in the order of their addresses."""
    words = np.zeros(entry.words, dtype_named(entry.word_type))
    _strided(words, entry)[...] = array
    return words


def _written_words(dram: MemoryBank) -> int:
    """Words of a memory that something was ever written to."""
    return sum(int(np.count_nonzero(each.valid)) for each in dram.segments if each.valid is not None)


def _written(streams: Sequence[Sequence[Task]]) -> set[tuple[int, int]]:
    """The registers that signals go to."""
    actions = (a for stream in streams for task in stream for piece in task.pieces for a in piece.actions)
    return {action.given[:2] for action in actions if action.do is Do.SIGNAL}


def registers_before(streams: Sequence[Sequence[Task]], index: int) -> Registers:
    """What registers hold when all layers before this one are done."""
    found: Registers = {}
    for stream in streams:
        for task in stream:
            if task.layer.index >= index:
                continue
            for piece in task.pieces:
                for action in piece.actions:
                    if action.do is Do.SIGNAL:
                        core, register, base, _ = action.given
                        found[core, register] = max(found.get((core, register), 0), base + piece.turns)
    return found
