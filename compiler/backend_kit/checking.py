"""What is asked of a backend for one model: that it compiles, computes, counts, prints and repeats itself as it should.

The reference is the interpreter of the chain, which defines what links compute, on the same chain that was compiled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from backends.api import Emulator
from backends.container import parse_program, program_bytes
from backends.disassembly import disassemble, image_digest
from backends.listing import assemble_program
from backends.program import Program, Role
from compiler.arrays import Array
from compiler.backend_kit.models import SmallModel
from compiler.compilation import CompileOptions, compile_model
from compiler.driver import SilentObserver, StageRun
from compiler.targets import Target
from dialects.array_machine import Machine
from dialects.dtypes import dtype_named
from dialects.events import Counts
from dialects.gconv.interpreter import Interpreter
from dialects.gemm_machine import GemmMachine

REFERENCE_STAGE = "fused"
CYCLES = 0.05
"""How far predicted cycles may be from counted ones, where arbitration decides; all other counts are equal."""
ROUNDINGS = 4
"""How many last places of the largest value floats may differ by: sums of floats are rounded once, in any order."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be: `check` is what was looked at."""

    check: str
    message: str


class _Reference(SilentObserver):
    """Keeps a copy of the chain as the target's own stages get it."""

    def __init__(self) -> None:
        self.chain: ModuleOp | None = None

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        if run.stage == REFERENCE_STAGE:
            self.chain = module.clone()


def check_model(small: SmallModel, target: Target, *, every_engine: bool = True) -> Iterator[Finding]:
    """Everything that is wrong with what a target makes of a model, on every engine or only on the usual one.

    Raises `CatenaError` if it cannot be compiled or the emulator stops.
    """
    reference = _Reference()
    compiled = compile_model(small.model, target, CompileOptions(), (reference,))
    assert compiled.program is not None
    assert reference.chain is not None
    data = program_bytes(compiled.program)
    program = parse_program(data, small.model.graph.name)
    expected = Interpreter(reference.chain).run(small.inputs)
    engines = target.backend.engines or (None,)
    for engine in engines if every_engine else engines[:1]:
        where = "" if engine is None else f"engine {engine}: "
        emulator = target.backend.load(program, engine)
        given = _inputs(program, small.inputs)
        outputs = emulator.run(given)
        for name, array in expected.items():
            difference = _difference(outputs.get(name), array)
            if difference:
                yield Finding("outputs", f"{where}{name}: {difference}")
        yield from (Finding("counts", where + text) for text in _miscounted(program, emulator, target))
        yield from (Finding("single layers", where + text) for text in _layers(program, emulator, given, outputs))
    yield from _texts(program, data, target)


def _inputs(program: Program, given: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs in the types of the tensor table, which may hold more than the model's."""
    entries = [entry for entry in program.tensors if entry.role is Role.INPUT]
    return {entry.name: given[entry.onnx or entry.name].astype(dtype_named(entry.dtype)) for entry in entries}


def _difference(found: Array | None, expected: Array) -> str:
    """How a tensor differs from what it should be, "" if it does not."""
    if found is None:
        return "is missing"
    if found.shape != expected.shape:
        return f"has shape {list(found.shape)}, not {list(expected.shape)}"
    if expected.dtype.kind in "iub":
        wrong = found != expected
    else:
        largest = float(np.max(np.abs(expected), initial=0.0))
        wrong = ~(np.abs(found - expected) <= ROUNDINGS * np.spacing(np.float32(largest)))
    if not wrong.any():
        return ""
    index = tuple(int(each[0]) for each in np.nonzero(np.atleast_1d(wrong)))
    first = tuple(np.atleast_1d(array)[index] for array in (found, expected))
    return (
        f"{int(wrong.sum())} of {expected.size} elements differ, the first at {list(index)}: {first[0]}, not {first[1]}"
    )


def _miscounted(program: Program, emulator: Emulator, target: Target) -> Iterator[str]:
    """Layers whose counts are not those that the cost model expected, where these do not depend on the data."""
    if depends_on_data(target):
        return
    for entry in program.layers:
        counted = emulator.counters.get(entry.name)
        if not isinstance(counted, Counts):
            yield f"layer {entry.name!r} has not been counted"
        elif entry.predicted:
            for event, (one, other) in Counts.of(entry.predicted).differences(counted).items():
                if event != "cycles" or abs(one - other) > CYCLES * max(one, other):
                    yield f"layer {entry.name!r}: {event} is {other}, predicted were {one}"


def depends_on_data(target: Target) -> bool:
    """Whether zeros save the machine words or operations, so that counts are expected, not known."""
    machine = target.machine
    if isinstance(machine, Machine):
        return machine.dram.compression is not None or machine.energy.gating is not None
    return isinstance(machine, GemmMachine)


def _layers(
    program: Program, emulator: Emulator, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> Iterator[str]:
    """Where layers that are run one by one, each on what others made, make something else than the program does."""
    tensors = dict(inputs)
    table = {entry.name: entry for entry in program.tensors}
    writers = Counter(name for entry in program.layers for name in entry.outputs)
    for entry in program.layers:
        for name in entry.outputs:
            if writers[name] > 1 and name not in tensors:  # the layer writes a part of it, into whatever is there
                tensors[name] = np.zeros(table[name].shape, dtype_named(table[name].dtype))
        wanted = (*entry.inputs, *(name for name in entry.outputs if name in tensors))
        given = {name: tensors[name] for name in wanted if table[name].role is not Role.CONSTANT}
        tensors |= emulator.run_layer(entry.name, given)
    for name, array in tensors.items():
        other = outputs.get(table[name].onnx or name)
        if other is not None and not np.array_equal(array, other, equal_nan=array.dtype.kind == "f"):
            yield f"{table[name].onnx or name} is another tensor than in a run of the whole program"


def _texts(program: Program, data: bytes, target: Target) -> Iterator[Finding]:
    """Whether a program is the same when it is read and written, and when it is disassembled and assembled."""
    if program_bytes(program) != data:
        yield Finding("bytes", "the program is another one once it was read and written")
    isa = target.backend.isa()
    images = {
        image_digest(words): memoryview(words.tobytes()) for words in (each.array() for each in program.constants)
    }
    again = assemble_program(disassemble(program, isa), lambda _: isa, images.__getitem__, "listing")
    if program_bytes(again) != data:
        yield Finding("assembly", "the listing of the program assembles to another one")
