"""Running programs on the emulator."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from backends.api import Emulator, PhysicalEmulator
from backends.container import read_program
from backends.files import replacing
from backends.program import LayerWork, Program, Role, TensorEntry
from backends.registry import find_backend
from compiler.arrays import Array, random_array, require_few
from compiler.descriptions.data import read_physics
from compiler.displaying import Displayed, Part
from compiler.emulating import emulating
from compiler.host_execution import HostRuntime
from compiler.reports.layers import KnownZeros, Layer, Provenance, Report, build_report
from compiler.reports.text import layer_table
from compiler.tables import Table, table
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.dtypes import dtype_named
from dialects.events import Counts
from dialects.machine_kinds import parse_machine

if TYPE_CHECKING:
    from compiler.core_timeline import CoreTimeline


@dataclass(frozen=True)
class Execution(Displayed):
    """What a run gave: the outputs by ONNX tensor name, what the emulator counted, what cores did if that was asked."""

    outputs: Mapping[str, Array]
    report: Report
    timeline: CoreTimeline | None = None

    def output_table(self) -> Table:
        """The outputs: type, shape and range of each."""
        rows = (
            (name, array.dtype, "x".join(map(str, array.shape)) or "scalar", *_range(array))
            for name, array in self.outputs.items()
        )
        return table(("output", "type", "shape", "smallest", "largest"), rows)

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [self.output_table(), layer_table(self.report)]


def _range(array: object) -> tuple[str, str]:
    values = np.asarray(array)
    if values.dtype.kind not in "fiub":
        return "", ""
    return (f"{values.min():.6g}", f"{values.max():.6g}") if values.size else ("", "")


def load_program(path: Path, engine: str | None = None, physics: Path | None = None) -> tuple[Program, Emulator]:
    """Read a program and put it into the emulator of its backend, with one of the backend's engines.

    `physics` is a TOML file that says how devices compute. Raises `CatenaError`: CAT-C002, CAT-P001 to CAT-P004;
    CAT-C001 if the backend is not installed, has no such engine or no physics, CAT-C003 for the file.
    """
    program = read_program(path)
    backend = find_backend(program.metadata.backend)
    if engine is not None and engine not in backend.engines:
        raise CatenaError(
            Diagnostic(
                "CAT-C001",
                f"the emulator of {backend.name} has no engine {engine!r}",
                expected=" or ".join(backend.engines) or "none",
                hint=did_you_mean(engine, backend.engines),
            )
        )
    emulator = backend.load(program, engine)
    if physics is not None:
        if not isinstance(emulator, PhysicalEmulator):
            message = f"the emulator of {backend.name} has no physics"
            raise CatenaError(Diagnostic("CAT-C001", message, hint="compile for crossbars: -t rram"))
        emulator.set_physics(read_physics(physics), str(physics))
    return program, emulator


def run_loaded(
    program: Program, emulator: Emulator, inputs: Mapping[str, Array], *, trace: Path | None = None
) -> Execution:
    """Execute a loaded program.

    `inputs` are arrays by ONNX tensor name; a type that holds fewer values is converted. `trace` is a file that gets
    a line for every instruction. Raises `CatenaError`: CAT-C005 for inputs that do not fit, CAT-E001 to CAT-E003 for
    faults, CAT-C002 if the trace cannot be written.
    """
    host = HostRuntime(program)
    arrays = fitted_inputs(program, inputs, host.inputs)
    if trace is None:
        return Execution(run_program(program, emulator, host, arrays), emulated_report(program, emulator.counters))
    outputs: Mapping[str, Array] = {}
    fault: CatenaError | None = None
    with replacing(trace) as stream:

        def write(line: str) -> None:
            stream.write(f"{line}\n".encode())

        try:
            outputs = run_program(program, emulator, host, arrays, write)
        except CatenaError as error:
            # The trace up to a fault is what the trace was asked for.
            fault = error
    if fault is not None:
        raise fault
    return Execution(outputs, emulated_report(program, emulator.counters))


def run_program(
    program: Program,
    emulator: Emulator,
    host: HostRuntime,
    inputs: Mapping[str, Array],
    trace: Callable[[str], None] | None = None,
) -> Mapping[str, Array]:
    """The outputs of a program on inputs that fit it, its host segments executed by `host`."""
    if not host:
        with emulating():
            return emulator.run(inputs) if trace is None else emulator.run(inputs, trace=trace)
    host.start(inputs)
    on_device = {entry.name: inputs[entry.name] for entry in program_inputs(program)}
    with emulating():
        outputs = emulator.run(on_device, trace=trace, host=host.call)
    return {**outputs, **host.results}


def run_layer(emulator: Emulator, layer: str, given: Mapping[str, Array]) -> Mapping[str, Array]:
    """What a layer, or its group, makes alone. Raises as `Emulator.run_layer`, and CAT-I001 if it fails otherwise."""
    with emulating():
        return emulator.run_layer(layer, given)


def program_inputs(program: Program) -> list[TensorEntry]:
    """The tensors that a program reads, in the order of the model."""
    return [tensor for tensor in program.tensors if tensor.role is Role.INPUT]


def random_inputs(program: Program, seed: int) -> dict[str, Array]:
    """A `random_array` for every input of a program, the same for the same seed.

    Raises `CatenaError` (CAT-C005) if that is too much.
    """
    require_few(sum(math.prod(entry.shape) for entry in program_inputs(program)))
    generator = np.random.default_rng(seed)
    return {
        entry.name: random_array(generator, dtype_named(entry.dtype), entry.shape) for entry in program_inputs(program)
    }


def fitted_inputs(program: Program, inputs: Mapping[str, Array], host_inputs: Sequence[str] = ()) -> dict[str, Array]:
    """The inputs with the types of the tensor table; those that only the host has, `host_inputs`, as they are.

    Raises `CatenaError` (CAT-C005) with every input that is missing, unknown, or of another shape or kind.
    """
    entries = {entry.name: entry for entry in program_inputs(program)}
    problems = [
        Diagnostic("CAT-C005", f"the program has no input {name!r}", hint=did_you_mean(name, entries))
        for name in inputs
        if name not in entries and name not in host_inputs
    ]
    problems += [
        Diagnostic("CAT-C005", f"input {name!r} is missing", hint="the host needs it: give it with -i")
        for name in host_inputs
        if name not in entries and name not in inputs
    ]
    fitted = {name: array for name, array in inputs.items() if name not in entries}
    for name, entry in entries.items():
        expected = f"{entry.dtype} {list(entry.shape)}"
        if name not in inputs:
            problems.append(
                Diagnostic(
                    "CAT-C005", f"input {name!r} is missing", expected=expected, hint="give it with -i, or use --random"
                )
            )
            continue
        array = inputs[name]
        dtype = dtype_named(entry.dtype)
        if array.shape != entry.shape or not np.can_cast(array.dtype, dtype, "same_kind"):
            found = f"{array.dtype} {list(array.shape)}"
            problems.append(Diagnostic("CAT-C005", f"input {name!r} does not fit", expected=expected, found=found))
            continue
        fitted[name] = array.astype(dtype, copy=False)
    if problems:
        raise CatenaError(problems)
    return fitted


def emulated_report(program: Program, counters: Mapping[str, Counts]) -> Report:
    """The report of what an emulator counted."""
    return _report(program, Provenance.EMULATED, counters)


def predicted_report(program: Program) -> Report:
    """The report of what the cost model expects, as noted in the program when it was compiled.

    Raises `CatenaError` (CAT-P003) if that was another version of Catena, which counted other things.
    """
    try:
        counters = {layer.name: Counts.of(layer.predicted) for layer in program.layers if layer.predicted}
        return _report(program, Provenance.PREDICTED, counters)
    except (KeyError, ValueError, TypeError) as error:
        raise CatenaError(
            Diagnostic(
                "CAT-P003",
                f"the program was compiled by a version of Catena that counted other events: {error}",
                hint="compile the model again",
            )
        ) from error


def _report(program: Program, provenance: Provenance, counters: Mapping[str, Counts]) -> Report:
    machine = parse_machine(program.metadata.description, where="the program's target")
    layers = (
        Layer(layer.name, layer.kind, layer.nodes, layer.search, _known_zeros(layer.work)) for layer in program.layers
    )
    return build_report(program.metadata.model, machine, provenance, layers, counters)


def _known_zeros(work: LayerWork | None) -> KnownZeros:
    if work is None or not (work.live or work.zeros):
        return KnownZeros.NONE
    return KnownZeros.MEASURED if work.live else KnownZeros.ESTIMATED
