"""What emulators of all machines do with the tensors of a program: take inputs, give outputs, run a layer alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from backends.api import Accessed
from backends.container import require_isa
from backends.fields import Array
from backends.isa import Isa
from backends.program import HELD, GroupEntry, Program, Role, TensorEntry
from backends.segments import HostCall
from backends.spatial.memory import Fault, MemoryBank
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import dtype_named
from dialects.events import Counts


class ProgramEmulator(ABC):
    """A machine with a program loaded; every run starts with empty memories.

    Raises `CatenaError` CAT-P004 for a program of another instruction set.
    """

    def __init__(self, program: Program, isa: Isa):
        require_isa(program, isa)
        self.program = program
        self._isa = isa
        self._layers = [entry.name for entry in program.layers]
        self._counters: dict[str, Counts] = {}
        self._tensors = {entry.name: entry for entry in program.tensors}

    @property
    @abstractmethod
    def dram_words(self) -> int:
        """Words of the off-chip memory."""

    @abstractmethod
    def _execute(
        self,
        tensors: Mapping[str, Array],
        wanted: Sequence[str],
        trace: Callable[[str], None] | None,
        only: str | None = None,
        host: HostCall | None = None,
        accessed: Accessed | None = None,
    ) -> dict[str, Array]:
        """Run the program, or one layer of it, with these tensors in memory; the tensors that are wanted.

        `accessed` is told which words off chip are read and written.
        """

    @property
    def counters(self) -> Mapping[str, Counts]:
        """What the last run counted, by layer name, in program order."""
        return self._counters

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
        return self._run(inputs, trace, host, None)

    def watch_run(
        self, inputs: Mapping[str, Array], accessed: Accessed, *, host: HostCall | None = None
    ) -> dict[str, Array]:
        """Run the program, and tell which words of the off-chip memory instructions read and write. Raises as `run`."""
        return self._run(inputs, None, host, accessed)

    def _run(
        self,
        inputs: Mapping[str, Array],
        trace: Callable[[str], None] | None,
        host: HostCall | None,
        accessed: Accessed | None,
    ) -> dict[str, Array]:
        self._check_tensors(inputs, self._named(Role.INPUT), self._named(Role.INPUT))
        outputs = self._execute(inputs, self._named(Role.OUTPUT), trace, host=host, accessed=accessed)
        return {self._tensors[name].onnx or name: array for name, array in outputs.items()}

    def run_layer(self, layer: str, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of one layer, run alone with the given tensors in memory; those of a group run together.

        This is how a layer is verified with a reference's inputs. A layer that writes part of a tensor needs that
        tensor too, for the rest of it. What lies in holds of a group may be given, too: then each of its layers reads
        that in the place of what others made; what they made is among the outputs. Raises as `run`, and `KeyError` for
        an unknown layer.
        """
        entry = next((entry for entry in self.program.layers if entry.name == layer), None)
        if entry is None:
            raise KeyError(layer)
        group = next((group for group in self.program.groups if group.name == entry.group), None)
        inputs, outputs = (entry.inputs, entry.outputs) if group is None else (group.inputs, group.outputs)
        read = [name for name in inputs if self._tensors[name].role is not Role.CONSTANT]
        inner = [] if group is None else self._handed_on(group)
        self._check_tensors(tensors, read, [*read, *outputs, *inner])
        return self._execute(tensors, [*outputs, *inner], None, layer)

    def _handed_on(self, group: GroupEntry) -> list[str]:
        """The tensors between layers of a group that lie in holds which emulators can look into."""
        layers = (entry for entry in self.program.layers if entry.name in group.layers)
        return [name for entry in layers for name in entry.outputs if self._tensors[name].memory == HELD]

    def _named(self, role: Role) -> list[str]:
        return [entry.name for entry in self.program.tensors if entry.role is role]

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


def raw_words(dram: MemoryBank, entry: TensorEntry) -> Array:
    """The words of a tensor as they are, whether anything has written them or not."""
    segment = next(each for each in dram.segments if each.base <= entry.address < each.end or not entry.words)
    return segment.words[entry.address - segment.base :][: entry.words]


def _tensor_problem(fault: Fault, entry: TensorEntry) -> Diagnostic:
    return Diagnostic(
        fault.code,
        f"tensor {entry.name!r}: {fault.message}",
        stage="emulation",
        expected=fault.expected,
        found=fault.found,
    )
