"""Small networks from ONNX to a binary to the emulator: outputs as ONNX Runtime's, counts as predicted."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest

from backends.container import read_program
from backends.program import Program
from backends.spatial.emulator import MODES, SpatialEmulator
from compiler.compilation import CompileOptions, compile_model, compile_source, write_compiled
from compiler.targets import select_target
from dialects.events import Counts
from dialects.gconv.interpreter import Interpreter
from tests.end_to_end.networks import NETWORKS, inputs_of, reference_outputs

pytest.importorskip("onnxruntime")

TOLERANCE = 2e-6
"""Relative to the largest value of an output."""

SMALL = {"glb.banks": "4", "glb.bank_words": "64", "array.rows": "4", "array.cols": "3", "pe.kernel_words": "16"}
"""A machine on which even small networks run in many passes."""


@cache
def compiled(name: str, *, small: bool = False) -> tuple[onnx.ModelProto, Program]:
    """A network and its program, which is all that the emulator gets, from a file; all tests of it use the same."""
    model = NETWORKS[name]()
    with TemporaryDirectory() as folder:
        source, output = Path(folder) / f"{name}.onnx", Path(folder) / f"{name}.cat"
        onnx.save(model, source)
        write_compiled(compile_source(str(source), CompileOptions(settings=SMALL if small else {})), output)
        source.unlink()
        return model, read_program(output)


def check_outputs(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """The same tensors, of the same types and shapes, with values as near as f32 arithmetic allows."""
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        scale = float(np.abs(array.astype(np.float64)).max(initial=0.0))
        np.testing.assert_allclose(
            found[name].astype(np.float64), array.astype(np.float64), rtol=0, atol=TOLERANCE * scale, err_msg=name
        )


def check_counts(program: Program, emulator: SpatialEmulator) -> None:
    """Every layer counted what the cost model predicts."""
    assert [layer.name for layer in program.layers] == list(emulator.counters)
    for layer in program.layers:
        differences = emulator.counters[layer.name].differences(Counts.of(layer.predicted))
        assert not differences, f"{layer.name}: {layer.mapping}: (counted, predicted) {differences}"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_computes_and_counts_what_it_should(name: str) -> None:
    model, program = compiled(name)
    inputs = inputs_of(model)
    emulator = SpatialEmulator(program)
    check_outputs(emulator.run(inputs), reference_outputs(model, inputs))
    check_counts(program, emulator)


@pytest.mark.parametrize("name", NETWORKS)
def test_on_a_small_machine_too(name: str) -> None:
    model, program = compiled(name, small=True)
    inputs = inputs_of(model)
    expected = reference_outputs(model, inputs)
    for mode in MODES:
        emulator = SpatialEmulator(program, mode)
        check_outputs(emulator.run(inputs), expected)
        check_counts(program, emulator)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_interpreter_all_engines_and_machines_agree_to_the_bit(name: str) -> None:
    model, program = compiled(name)
    inputs = inputs_of(model)
    expected = SpatialEmulator(program).run(inputs)
    _, small = compiled(name, small=True)
    chain = compile_model(model, select_target("eyeriss"), CompileOptions(stop="mapped")).module
    found = [Interpreter(chain).run(inputs), *(SpatialEmulator(small, mode).run(inputs) for mode in MODES)]
    for outputs in found:
        for tensor, array in expected.items():
            np.testing.assert_array_equal(outputs[tensor].astype(array.dtype), array, err_msg=tensor)
