"""Emulators of machines that run layers: load a program, run it on inputs, count; and that of the spatial machine."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from backends.api import Accessed, Seen
from backends.effects import Effect, Observer, Shown
from backends.fields import Array
from backends.isa import Instruction, Isa
from backends.program import DebugEntry, Program
from backends.segments import HostCall
from backends.spatial.blank import ConstantRead, ConstantReads
from backends.spatial.blocks import BlockEngine
from backends.spatial.core import LayerSequencer, SegmentRun
from backends.spatial.defects import DEFECTS, as_fault
from backends.spatial.dram import dram_of
from backends.spatial.elements import ElementEngine
from backends.spatial.group_isa import Group
from backends.spatial.groups import GroupSequencer
from backends.spatial.isa import ISA, Layer
from backends.spatial.machine import EngineFactory, SpatialCore
from backends.spatial.memory import Buffer, Fault, MemoryBank
from backends.spatial.running import ProgramEmulator, raw_words
from backends.spatial.watched import WatchedMemory
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.machine_kinds import parse_machine, spatial_machine

MODES: dict[str, EngineFactory] = {"blocks": BlockEngine, "elements": ElementEngine}
"""How passes are executed: whole blocks at a time, or element by element and word by word."""


class LayerEmulator(ProgramEmulator):
    """A machine of one core with a program loaded.

    Raises `CatenaError`: CAT-P004 for a program of another instruction set, CAT-P001 for code that does not decode, is
    not for one core or runs layers that the program does not list.
    """

    def __init__(self, program: Program, isa: Isa):
        super().__init__(program, isa)
        self._code = self._decoded()
        self._held: dict[str, dict[str, int]] = {}

    @abstractmethod
    def new_core(self, dram: MemoryBank, segment: SegmentRun | None) -> LayerSequencer[Any]:
        """What executes instructions, with empty memories on chip."""

    def _decoded(self) -> list[Instruction]:
        """The instructions of the only core; every layer that they count for is one that the program lists."""
        if len(self.program.code) != 1:
            found = f"code for {len(self.program.code)}"
            raise CatenaError(Diagnostic("CAT-P001", "the machine has one core", found=found))
        code = list(self._isa.decode(self.program.code[0], "code.0"))
        for address, instruction in enumerate(code):
            if isinstance(instruction, Group) and instruction.index >= len(self.program.groups):
                message = "the code has a group that the program does not list"
                raise CatenaError(Diagnostic("CAT-P001", message, where=f"instruction {address}"))
            if isinstance(instruction, Layer) and instruction.index >= len(self._layers):
                raise CatenaError(
                    Diagnostic(
                        "CAT-P001",
                        "the code has a layer that the program does not list",
                        where=f"instruction {address}",
                        expected=f"{len(self._layers)} layers",
                        found=f"layer {instruction.index}",
                    )
                )
        return code

    @property
    def held(self) -> Mapping[str, Mapping[str, int]]:
        """By group and memory, the words in which the last run had elements of tensors."""
        return self._held

    def _execute(
        self,
        tensors: Mapping[str, Array],
        wanted: Sequence[str],
        trace: Callable[[str], None] | None,
        only: str | None = None,
        host: HostCall | None = None,
        accessed: Accessed | None = None,
        seen: Seen | None = None,
        observer: Observer | None = None,
    ) -> dict[str, Array]:
        dram = dram_of(self.program, self.dram_words)
        for name, array in tensors.items():
            self._write(dram, self._tensors[name], array)
        memory = dram
        if accessed is not None:
            memory = WatchedMemory(dram, lambda words, writes: accessed(0, core.pc, words, writes))
        segment = None if host is None else functools.partial(self._run_segment, memory, host)
        core = self.new_core(memory, segment)
        core.observer = None if observer is None else self._observed(observer, dram, only)
        code = self._code if only is None else self._code_of(only)
        try:
            # Passes multiply small matrices: threads would wait for each other longer than they compute.
            # Overflow and invalid operations follow IEEE 754 silently.
            with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
                core.run(code, self._watch(trace, core) if seen is None else self._steps(seen, core, only, wanted))
            self._note_counts(core)
        except (Fault, *DEFECTS) as error:
            if core.observer is not None:
                core.show_stop(self._layers.index(only or self._layer_at(core.pc) or self._layers[0]))
            raise CatenaError(self._diagnostic(as_fault(error), core.pc, only)) from error
        return {name: self._read(dram, self._tensors[name]) for name in wanted}

    def _note_counts(self, core: LayerSequencer[Any]) -> None:
        self._counters = {self._layers[index]: counts for index, counts in core.counts.items()}
        if isinstance(core, GroupSequencer):
            groups = [group.name for group in self.program.groups]
            self._held = {groups[index]: words for index, words in core.occupancy.items()}

    def _run_segment(self, dram: MemoryBank, host: HostCall, index: int) -> tuple[int, int]:
        """Let the runtime execute a segment; the words that it read from DRAM and wrote there."""
        layer = self.program.layers[index]
        given = [self._read(dram, self._tensors[name]) for name in layer.inputs]
        made = host(layer.name, given)
        for name, array in zip(layer.outputs, made, strict=True):
            self._write(dram, self._tensors[name], array.reshape(self._tensors[name].shape))
        return sum(array.size for array in given), sum(array.size for array in made)

    def _code_of(self, layer: str) -> list[Instruction]:
        """The instructions of one layer, and a halt."""
        found: list[Instruction] = []
        for entry in self._entries(layer):
            found += self._code[entry.start : entry.end]
        return [*found, self._code[-1]]

    def _entries(self, layer: str) -> list[DebugEntry]:
        together = next((group.layers for group in self.program.groups if layer in group.layers), (layer,))
        return [entry for entry in self.program.debug if entry.layer in together]

    def _addresses(self, layer: str) -> list[int]:
        """Where the instructions of a layer stand in the program."""
        return [pc for entry in self._entries(layer) for pc in range(entry.start, entry.end)]

    def step_layer(self, layer: str, tensors: Mapping[str, Array], seen: Seen) -> None:
        """Execute a layer alone and show the memories after every instruction: those on chip, and its results."""
        entry = next(each for each in self.program.layers if each.name == layer)
        group = next((each for each in self.program.groups if each.name == entry.group), None)
        self._execute(tensors, entry.outputs if group is None else group.outputs, None, layer, seen=seen)

    def observe_layer(self, layer: str, tensors: Mapping[str, Array], observer: Observer) -> None:
        """Execute a layer alone, or those of its group, and show what every instruction does to their words."""
        self._execute(tensors, (), None, layer, observer=observer)

    def observe_run(self, inputs: Mapping[str, Array], observer: Observer, *, host: HostCall | None = None) -> None:
        """Run the program, and show what every instruction does to the words of its layer. Raises as `run`."""
        self._execute(inputs, (), None, host=host, observer=observer)

    def _observed(self, observer: Observer, dram: MemoryBank, only: str | None) -> Observer:
        """An observer of the core that may run a layer alone: addresses are those of the program, results are words."""
        last = len(self._code) - 1
        addresses = list(range(last + 1)) if only is None else [*self._addresses(only), last]
        outputs = [self._tensors[entry.outputs[0]] for entry in self.program.layers]

        def observe(effect: Effect) -> None:
            values = effect.values
            if effect.shown is Shown.RESULT:
                values = raw_words(dram, outputs[effect.layer])
            # Where it runs past a layer's end it is behind the last instruction.
            address = addresses[effect.address] if effect.address <= len(addresses) - 1 else last + 1
            observer(replace(effect, address=address, values=values))

        return observe

    def reader_of(self, words: Array, layers: Sequence[str]) -> tuple[int, int, int] | None:
        """Which instruction of some layers reads constants first: their code is executed on zeros up to there."""
        memory = ConstantReads(dram_of(self.program, self.dram_words), words)
        for layer in layers:
            core = self.new_core(memory, None)
            # Where code stops on zeros, it has not read them before.
            with suppress(Fault), threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
                try:
                    core.run(self._code_of(layer))
                except ConstantRead as found:
                    return 0, self._addresses(layer)[core.pc], found.first
        return None

    def memories(self, core: LayerSequencer[Any]) -> dict[str, Array]:
        """Copies of what the memories on chip hold, by name."""
        return {}

    def _steps(
        self, seen: Seen, core: LayerSequencer[Any], only: str | None, wanted: Sequence[str]
    ) -> Callable[[int, Instruction], None]:
        """What `seen` is told before the next instruction is executed."""
        addresses = self._addresses(only or "")
        before: list[int] = []

        def watch(pc: int, instruction: Instruction) -> None:
            if before:
                results = {name: raw_words(core.dram, self._tensors[name]).copy() for name in wanted}
                seen(addresses[before[-1]], {**self.memories(core), **results})
            before[:] = [pc]

        return watch

    def _watch(
        self, trace: Callable[[str], None] | None, core: LayerSequencer[Any]
    ) -> Callable[[int, Instruction], None] | None:
        if trace is None:
            return None

        def watch(pc: int, instruction: Instruction) -> None:
            trace(f"{pc:6d}  {self._isa.format(instruction):40s}  ; {core.position()}")

        return watch

    def _layer_at(self, pc: int) -> str:
        """Whose code an address of the program is in, if any layer's."""
        return next((entry.layer for entry in self.program.debug if entry.start <= pc < entry.end), "")

    def _diagnostic(self, fault: Fault, pc: int, only: str | None) -> Diagnostic:
        if only is not None:
            pc += min((entry.start for entry in self._entries(only)), default=0)
        layer = self._layer_at(pc)
        nodes = next((entry.nodes for entry in self.program.layers if entry.name == layer), ())
        return Diagnostic(
            fault.code,
            fault.message,
            stage="emulation",
            node=" + ".join(nodes),
            where=f"instruction {pc}" + (f", layer {layer}" if layer else ""),
            expected=fault.expected,
            found=fault.found,
            hint=fault.hint,
        )


class SpatialEmulator(LayerEmulator):
    """A spatial machine with a program loaded.

    `mode` is a key of `MODES`. Raises `CatenaError` as any emulator, and CAT-C003 for a description that is not valid.
    """

    def __init__(self, program: Program, mode: str = "blocks"):
        super().__init__(program, ISA)
        described = parse_machine(program.metadata.description, where="program metadata")
        self.machine: Machine = spatial_machine(described, "emulation", where="program metadata")
        self._engine = MODES[mode]

    @property
    def dram_words(self) -> int:
        """Words of the off-chip memory."""
        return self.machine.dram.words

    def new_core(self, dram: MemoryBank, segment: SegmentRun | None) -> SpatialCore:
        """What executes instructions, with an empty buffer."""
        return SpatialCore(self.machine, dram, Buffer("the buffer", self.machine.glb.words), self._engine, segment)

    def memories(self, core: LayerSequencer[Any]) -> dict[str, Array]:
        """Copies of the words in the buffer, by their type."""
        return core.glb.words() if isinstance(core, SpatialCore) else {}
