"""Machines as a user would describe them, and a small network on each: outputs right, counts as predicted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.container import read_program
from backends.generic import BACKEND
from backends.generic.emulator import MODES, NestEmulator
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.targets import select_target
from dialects.nest_machine import NestMachine
from tests.backends.generic.layers import check_counts
from tests.end_to_end.networks import Graph, inputs_of, reference_outputs

pytest.importorskip("onnxruntime")

MACHINES = Path(__file__).with_name("machines")
TOLERANCE = 2e-6
"""Relative to the largest value of an output."""


def small_network() -> onnx.ModelProto:
    """A strided convolution, pooling, a residual, a matrix product and a softmax."""
    g = Graph(3)
    x = g.input(1, 2, 7, 7)
    y = g.add("Relu", g.conv(x, 2, 4, 3, 3, pads=[1, 1, 1, 1], strides=[2, 2]))
    z = g.add("MaxPool", y, kernel_shape=[2, 2], strides=[1, 1])
    z = g.add("Add", g.conv(z, 4, 4, 3, 3, pads=[1, 1, 1, 1]), z)
    pooled = g.add("Flatten", g.add("GlobalAveragePool", z))
    return g.model("small", [g.add("Softmax", g.add("MatMul", pooled, g.weight(4, 5)))])


def check_machine(target: str, folder: Path, modes: Iterable[str]) -> None:
    """Compile the network for a machine and run its program: outputs as ONNX Runtime's, counts as predicted."""
    model = small_network()
    source, output = folder / "small.onnx", folder / "small.cat"
    onnx.save(model, source)
    write_compiled(compile_source(str(source), CompileOptions(target=target)), output)
    program = read_program(output)
    inputs = inputs_of(model)
    expected = reference_outputs(model, inputs)
    for mode in modes:
        emulator = NestEmulator(program, mode)
        outputs = emulator.run(inputs)
        assert outputs.keys() == expected.keys()
        for name, array in expected.items():
            scale = float(np.abs(array).max())
            np.testing.assert_allclose(outputs[name], array, rtol=0, atol=TOLERANCE * scale, err_msg=f"{mode}: {name}")
        check_counts(program, emulator, mode)


@pytest.mark.parametrize("machine", ["scalar", "vector", "chain", "lanes", "line_buffer"])
def test_a_description_is_all_that_a_machine_takes(machine: str, tmp_path: Path) -> None:
    check_machine(str(MACHINES / f"{machine}.toml"), tmp_path, MODES)


@pytest.mark.parametrize("name", ["generic", *BACKEND.targets()])
def test_the_machines_that_come_with_catena(name: str, tmp_path: Path) -> None:
    machine = select_target(name).machine
    assert (machine.name, bool(machine.summary)) == (name, True)
    assert isinstance(machine, NestMachine)
    assert machine.sources
    check_machine(name, tmp_path, ["blocks"])
