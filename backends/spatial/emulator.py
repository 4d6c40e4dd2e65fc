"""Emulators of machines that run layers: load a program, run it on inputs, count; and that of the spatial machine."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from backends.container import require_isa
from backends.fields import Array
from backends.isa import Instruction, Isa
from backends.program import DebugEntry, Program, Role, TensorEntry
from backends.segments import HostCall
from backends.spatial.blocks import BlockEngine
from backends.spatial.core import LayerSequencer, SegmentRun
from backends.spatial.dram import dram_of
from backends.spatial.elements import ElementEngine
from backends.spatial.group_isa import Group
from backends.spatial.groups import GroupSequencer
from backends.spatial.isa import ISA, Layer
from backends.spatial.machine import EngineFactory, SpatialCore
from backends.spatial.memory import Buffer, Fault, MemoryBank
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import dtype_named
from dialects.events import Counts
from dialects.machine_kinds import parse_machine, spatial_machine

MODES: dict[str, EngineFactory] = {"blocks": BlockEngine, "elements": ElementEngine}
"""How passes are executed: whole blocks at a time, or element by element and word by word."""


class LayerEmulator(ABC):
    """A machine with a program loaded; every run starts with empty memories.

    Raises `CatenaError`: CAT-P004 for a program of another instruction set, CAT-P001 for code that does not decode, is
    not for one core or runs layers that the program does not list.
    """

    def __init__(self, program: Program, isa: Isa):
        require_isa(program, isa)
        self.program = program
        self._isa = isa
        self._layers = [entry.name for entry in program.layers]
        self._code = self._decoded()
        self._counters: dict[str, Counts] = {}
        self._held: dict[str, dict[str, int]] = {}
        self._tensors = {entry.name: entry for entry in program.tensors}

    @property
    @abstractmethod
    def dram_words(self) -> int:
        """Words of the off-chip memory."""

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
    def counters(self) -> Mapping[str, Counts]:
        """What the last run counted, by layer name, in program order."""
        return self._counters

    @property
    def held(self) -> Mapping[str, Mapping[str, int]]:
        """By group and memory, the words in which the last run had elements of tensors."""
        return self._held

    def run(
        self,
        inputs: Mapping[str, Array],
        *,
        trace: Callable[[str], None] | None = None,
        host: HostCall | None = None,
    ) -> dict[str, Array]:
        """The outputs by name, given every input by name with the shape of the tensor table.

        `host` executes host segments.

        Raises `CatenaError`: CAT-C005 for inputs that do not fit, CAT-F003 if the machine's memory cannot hold the
        program's tensors, CAT-P001 if its constants are of another machine, CAT-E001 to CAT-E003 for faults.
        """
        self._check_tensors(inputs, self._named(Role.INPUT), self._named(Role.INPUT))
        outputs = self._execute(inputs, self._named(Role.OUTPUT), trace, host=host)
        return {self._tensors[name].onnx or name: array for name, array in outputs.items()}

    def run_layer(self, layer: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of one layer, run alone with the given tensors in memory; those of a group run together.

        This is how a layer is verified with a reference's inputs. A layer that writes part of a tensor needs that
        tensor too, for the rest of it. Raises as `run`, and `KeyError` for an unknown layer.
        """
        entry = next((entry for entry in self.program.layers if entry.name == layer), None)
        if entry is None:
            raise KeyError(layer)
        group = next((group for group in self.program.groups if group.name == entry.group), None)
        inputs, outputs = (entry.inputs, entry.outputs) if group is None else (group.inputs, group.outputs)
        read = [name for name in inputs if self._tensors[name].role is not Role.CONSTANT]
        self._check_tensors(tensors, read, [*read, *outputs])
        return self._execute(tensors, outputs, None, layer)

    def _named(self, role: Role) -> list[str]:
        return [entry.name for entry in self.program.tensors if entry.role is role]

    def _execute(
        self,
        tensors: Mapping[str, Array],
        wanted: Sequence[str],
        trace: Callable[[str], None] | None,
        only: str | None = None,
        host: HostCall | None = None,
    ) -> dict[str, Array]:
        dram = dram_of(self.program, self.dram_words)
        for name, array in tensors.items():
            self._write(dram, self._tensors[name], array)
        segment = None if host is None else functools.partial(self._run_segment, dram, host)
        core = self.new_core(dram, segment)
        code = self._code if only is None else self._code_of(only)
        try:
            # Passes multiply small matrices: threads would wait for each other longer than they compute.
            # Overflow and invalid operations follow IEEE 754 silently.
            with threadpool_limits(limits=1, user_api="blas"), np.errstate(all="ignore"):
                core.run(code, None if trace is None else self._watch(trace, core))
        except Fault as fault:
            raise CatenaError(self._diagnostic(fault, core.pc, only)) from fault
        self._counters = {self._layers[index]: counts for index, counts in core.counts.items()}
        if isinstance(core, GroupSequencer):
            groups = [group.name for group in self.program.groups]
            self._held = {groups[index]: words for index, words in core.occupancy.items()}
        return {name: self._read(dram, self._tensors[name]) for name in wanted}

    def _run_segment(self, dram: MemoryBank, host: HostCall, index: int) -> tuple[int, int]:
        """Let the runtime execute a segment; the words that it read from DRAM and wrote there."""
        layer = self.program.layers[index]
        given = [self._read(dram, self._tensors[name]) for name in layer.inputs]
        made = host(layer.name, given)
        for name, array in zip(layer.outputs, made, strict=True):
            self._write(dram, self._tensors[name], array.reshape(self._tensors[name].shape))
        return sum(array.size for array in given), sum(array.size for array in made)

    def _check_tensors(self, given: Mapping[str, Array], needed: Sequence[str], known: Sequence[str]) -> None:
        problems: list[Diagnostic] = []
        for name in needed:
            if name not in given:
                expected = f"shape {list(self._tensors[name].shape)}"
                problems.append(Diagnostic("CAT-C005", f"input {name!r} is missing", expected=expected))
        for name, array in given.items():
            if name not in known:
                hint = f"inputs: {', '.join(known)}"
                problems.append(Diagnostic("CAT-C005", f"there is no input {name!r}", hint=hint))
            elif array.shape != self._tensors[name].shape:
                shapes = f"shape {list(self._tensors[name].shape)}", f"shape {list(array.shape)}"
                problems.append(Diagnostic("CAT-C005", f"input {name!r} does not fit", "", "", "", *shapes))
        if problems:
            raise CatenaError(problems)

    def _write(self, dram: MemoryBank, entry: TensorEntry, array: Array) -> None:
        if not entry.words:
            return
        try:
            dram.window(entry.address, entry.shape, entry.strides)[...] = array
        except Fault as fault:
            raise CatenaError(_tensor_problem(fault, entry)) from fault

    def _read(self, dram: MemoryBank, entry: TensorEntry) -> Array:
        if not entry.words:
            return np.zeros(entry.shape, dtype_named(entry.dtype))
        try:
            words = dram.read(entry.address, entry.shape, entry.strides)
        except Fault as fault:
            raise CatenaError(_tensor_problem(fault, entry)) from fault
        return np.array(words).astype(dtype_named(entry.dtype))

    def _code_of(self, layer: str) -> list[Instruction]:
        """The instructions of one layer, and a halt."""
        found: list[Instruction] = []
        for entry in self._entries(layer):
            found += self._code[entry.start : entry.end]
        return [*found, self._code[-1]]

    def _entries(self, layer: str) -> list[DebugEntry]:
        together = next((group.layers for group in self.program.groups if layer in group.layers), (layer,))
        return [entry for entry in self.program.debug if entry.layer in together]

    def _watch(self, trace: Callable[[str], None], core: LayerSequencer[Any]) -> Callable[[int, Instruction], None]:
        def watch(pc: int, instruction: Instruction) -> None:
            trace(f"{pc:6d}  {self._isa.format(instruction):40s}  ; {core.position()}")

        return watch

    def _diagnostic(self, fault: Fault, pc: int, only: str | None) -> Diagnostic:
        if only is not None:
            pc += min((entry.start for entry in self._entries(only)), default=0)
        layer = next((e.layer for e in self.program.debug if e.start <= pc < e.end), "")
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


def _tensor_problem(fault: Fault, entry: TensorEntry) -> Diagnostic:
    return Diagnostic(
        fault.code,
        f"tensor {entry.name!r}: {fault.message}",
        stage="emulation",
        node=entry.onnx,
        expected=fault.expected,
        found=fault.found,
    )
