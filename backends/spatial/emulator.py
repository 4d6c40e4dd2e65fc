"""The emulator of the spatial machine: loads a program, runs it on inputs, counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
from threadpoolctl import threadpool_limits  # pyright: ignore[reportMissingTypeStubs]

from backends.container import require_isa
from backends.fields import Array
from backends.program import DebugEntry, Program, Role, TensorEntry
from backends.spatial.blocks import BlockEngine
from backends.spatial.elements import ElementEngine
from backends.spatial.isa import ISA, Executable
from backends.spatial.machine import EngineFactory, SpatialCore
from backends.spatial.memory import Fault, MemoryBank, Segment
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.events import Counts
from dialects.target import Machine, parse_machine

WORD_TYPES = {"f32": np.dtype(np.float32)}
"""The arithmetic a machine can have, as the type that the emulator computes in."""

MODES: dict[str, EngineFactory] = {"blocks": BlockEngine, "elements": ElementEngine}
"""How passes are executed: whole blocks at a time, or element by element and word by word."""

_MEMORY = "dram"


class SpatialEmulator:
    """A spatial machine with a program loaded; every run starts with empty memories.

    `mode` is a key of `MODES`. Raises `CatenaError` for programs of another instruction set (CAT-P004) or with
    constants that the machine's memory cannot hold (CAT-F003).
    """

    def __init__(self, program: Program, mode: str = "blocks"):
        require_isa(program, ISA)
        self.program = program
        self.machine: Machine = parse_machine(program.metadata.description, where="program metadata")
        self._dtype = WORD_TYPES[self.machine.arithmetic]
        self._code = cast("Sequence[Executable]", list(ISA.decode(program.code[0], "code.0")))
        self._engine = MODES[mode]
        self._counters: dict[str, Counts] = {}
        self._tensors = {entry.name: entry for entry in program.tensors}

    @property
    def counters(self) -> Mapping[str, Counts]:
        """What the last run counted, by layer name, in program order."""
        return self._counters

    def run(self, inputs: Mapping[str, Array], *, trace: Callable[[str], None] | None = None) -> dict[str, Array]:
        """The outputs by name, given every input by name with the shape of the tensor table.

        Raises `CatenaError`: CAT-C005 for inputs that do not fit, CAT-E001 to CAT-E003 for faults.
        """
        return self._execute(inputs, {}, self._named(Role.OUTPUT), trace)

    def run_layer(self, layer: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of one layer, run alone with the given tensors in memory.

        This is how a layer is verified with a reference's inputs. Raises as `run`, and `KeyError` for an unknown layer.
        """
        entry = next((entry for entry in self.program.layers if entry.name == layer), None)
        if entry is None:
            raise KeyError(layer)
        return self._execute({}, tensors, entry.outputs, None, layer)

    def _named(self, role: Role) -> list[str]:
        return [entry.name for entry in self.program.tensors if entry.role is role]

    def _execute(
        self,
        inputs: Mapping[str, Array],
        tensors: Mapping[str, Array],
        wanted: Sequence[str],
        trace: Callable[[str], None] | None,
        only: str | None = None,
    ) -> dict[str, Array]:
        dram = self._dram()
        if only is None:
            self._check_inputs(inputs)
        for name, array in {**inputs, **tensors}.items():
            entry = self._tensors[name]
            target = dram.window(entry.address, entry.shape, entry.strides)
            target[...] = array.reshape(entry.shape)
        glb = MemoryBank.blank("the buffer", self.machine.glb.words, self._dtype)
        core = SpatialCore(self.machine, dram, glb, self._engine)
        code = self._code if only is None else self._code_of(only)
        try:
            # Passes multiply small matrices: threads would wait for each other longer than they compute.
            with threadpool_limits(limits=1, user_api="blas"):
                core.run(code, None if trace is None else self._watch(trace, core))
        except Fault as fault:
            raise CatenaError(self._diagnostic(fault, core.pc, only)) from fault
        names = [layer.name for layer in self.program.layers]
        self._counters = {names[index]: counts for index, counts in core.counts.items()}
        return {name: self._read(dram, self._tensors[name]) for name in wanted}

    def _dram(self) -> MemoryBank:
        """The off-chip memory: constants mapped from the file, then as many words as tensors need."""
        segments: list[Segment] = []
        end = 0
        for image in self.program.constants:
            words = image.array()
            if image.memory != _MEMORY or words.dtype != self._dtype:
                raise CatenaError(
                    Diagnostic("CAT-P001", "constants are not of this machine", found=f"{image.memory}, {image.word}")
                )
            segments.append(Segment(words, image.base, None))
            end = max(end, image.base + len(words))
        last = max((t.address + t.words for t in self.program.tensors), default=end)
        if max(last, end) > self.machine.dram.words:
            raise CatenaError(
                Diagnostic(
                    "CAT-F003",
                    "the program needs more off-chip memory than the machine has",
                    expected=f"{self.machine.dram.words} words",
                    found=f"{max(last, end)} words",
                )
            )
        size = max(0, last - end)
        segments.append(Segment(np.zeros(size, self._dtype), end, np.zeros(size, np.bool_)))
        return MemoryBank("DRAM", self.machine.dram.words, segments)

    def _check_inputs(self, inputs: Mapping[str, Array]) -> None:
        problems: list[Diagnostic] = []
        names = self._named(Role.INPUT)
        for name in names:
            shape = list(self._tensors[name].shape)
            if name not in inputs:
                problems.append(Diagnostic("CAT-C005", f"input {name!r} is missing", expected=f"shape {shape}"))
            elif list(inputs[name].shape) != shape:
                found = f"shape {list(inputs[name].shape)}"
                problems.append(
                    Diagnostic("CAT-C005", f"input {name!r} does not fit", "", "", "", f"shape {shape}", found)
                )
        for name in inputs:
            if name not in names:
                problems.append(
                    Diagnostic("CAT-C005", f"the program has no input {name!r}", hint=f"inputs: {', '.join(names)}")
                )
        if problems:
            raise CatenaError(problems)

    def _read(self, dram: MemoryBank, entry: TensorEntry) -> Array:
        return np.array(dram.read(entry.address, entry.shape, entry.strides)).astype(entry.dtype)

    def _code_of(self, layer: str) -> list[Executable]:
        """The instructions of one layer, and a halt."""
        found: list[Executable] = []
        for entry in self._entries(layer):
            found += self._code[entry.start : entry.end]
        return [*found, self._code[-1]]

    def _entries(self, layer: str) -> list[DebugEntry]:
        return [entry for entry in self.program.debug if entry.layer == layer]

    def _watch(self, trace: Callable[[str], None], core: SpatialCore) -> Callable[[int, Executable], None]:
        def watch(pc: int, instruction: Executable) -> None:
            trace(f"{pc:6d}  {ISA.format(instruction):40s}  ; {core.position()}")

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
        )
