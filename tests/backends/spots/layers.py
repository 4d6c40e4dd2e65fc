"""Single layers on machines with im2col units: mapped, placed, emitted, read back from bytes and run."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from backends.container import parse_program, program_bytes
from backends.program import Program
from backends.spots import BACKEND
from backends.spots.emit import emit
from backends.spots.emulator import SpotsEmulator
from dialects.encodings.attributes import encoded_type
from dialects.encodings.spots_blocks import SpotsBlocks
from dialects.events import Counts
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import Interpreter
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr, GemmMapping
from dialects.machine_kinds import of_kind, parse_machine
from dialects.weights import ConstantOp
from passes.map_gemm import MapGemmPass
from passes.place_gemm import PlaceGemmPass
from tests.backends.spatial.layers import Layer


def machine(**changes: Any) -> GemmMachine:
    """The SPOTS machine with some tables or values changed; nothing is left out unless asked for."""
    description = tomllib.loads(BACKEND.description().read_text())
    description["im2col"]["skips"] = False
    for key, value in changes.items():
        if isinstance(value, dict):
            description[key].update(value)
        else:
            description[key] = value
    return of_kind(GemmMachine, parse_machine(description), "test")


def compile_chain(module: ModuleOp) -> Program:
    """The program of a chain, as read back from its file."""
    for step in (MapGemmPass(), PlaceGemmPass()):
        step.apply(Context(), module)
        module.verify()
    return parse_program(program_bytes(emit(module, "spots")), "test")


def program_of(
    layer: Layer, target: GemmMachine, mapping: GemmMapping | None = None, height: int | None = None
) -> Program:
    """The program of a layer, with a mapping if one is given; its kernel lies in blocks of a height, if that is."""
    module = layer.module(target)
    for op in module.walk():
        if isinstance(op, LinkOp) and mapping is not None and op.tensor is not None and op.tensor.data == "layer":
            op.properties["mapping"] = GemmAttr(mapping)
        if isinstance(op, ConstantOp) and height is not None and op.array.ndim:
            op.result._type = encoded_type(op.result.type, SpotsBlocks(height))  # pyright: ignore[reportPrivateUsage]
    return compile_chain(module)


def check_layer(
    layer: Layer, target: GemmMachine, mapping: GemmMapping | None = None, height: int | None = None
) -> SpotsEmulator:
    """Compile and run a layer: exact outputs, and the counts that are predicted unless something is left out."""
    inputs = layer.inputs()
    expected = Interpreter(layer.module(target)).run(inputs)
    program = program_of(layer, target, mapping, height)
    emulator = SpotsEmulator(program)
    outputs = emulator.run(inputs)
    literal = SpotsEmulator(program, "elements")
    again = literal.run(inputs)
    assert outputs.keys() == expected.keys() == again.keys()
    for name, counts in emulator.counters.items():
        assert not literal.counters[name].differences(counts), name
    for name, array in expected.items():
        for found in (outputs, again):
            np.testing.assert_array_equal(found[name], array, err_msg=f"{name}: {program.layers[-1].mapping}")
    for entry in program.layers:
        found, predicted = emulator.counters[entry.name], Counts.of(entry.predicted)
        differences = found.differences(predicted)
        if target.im2col.skips:
            saved = {name for name, (count, most) in differences.items() if count < most}
            assert differences.keys() - saved <= {"operation.skipped"}, differences
        else:
            assert not differences, f"{entry.mapping}: (counted, predicted) {differences}"
    return emulator
