"""basic-pitch, whose outputs all hang on one number, against its graph in float64.

The network scales a spectrum in decibels by its minimum and maximum. For the two sine tones of case 1 the minimum comes
of two convolutions of 256 taps that cancel to 5e-6 of the signal. Roundings of float32 sums move it by 0.016 dB
(standard deviation over orders of the taps) if added one by one, by 0.006 dB if added in groups of twelve, and 0.008 dB
are 1e-4 of the outputs. ONNX Runtime is 0.002 dB off without optimizations and 0.02 dB with them. So the minimum is
compared by itself, and outputs with those that follow from it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.container import read_program
from backends.spatial.emulator import SpatialEmulator
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.importer import import_model
from compiler.sources import ImportOptions
from dialects.gconv.interpreter import Interpreter
from tests.filechecking import run_passes
from tests.float64_models import Float64Model
from tests.reference_models import (
    Feeds,
    reference_cases,
    reference_index,
    reference_shapes,
    reference_source,
    relative_errors,
)

NAME = "basic_pitch"
TOLERANCE = 5e-5
"""Of an output's largest value: half of what other models are allowed."""
LARGEST_SHIFT = 0.065
"""dB: four standard deviations of the minimum where sums are added term by term."""

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.skipif(NAME not in reference_index(), reason="no reference models"),
]

Run = Callable[[Feeds], Feeds]


def only_node(model: onnx.ModelProto, op_type: str) -> onnx.NodeProto:
    """The only node of a type."""
    (node,) = (node for node in model.graph.node if node.op_type == op_type)
    return node


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """The network with its decibels as one more output."""
    source = reference_source(NAME)
    assert isinstance(source, Path)
    model = onnx.load(source)
    decibels = only_node(model, "ReduceMin").input[0]
    model.graph.output.append(onnx.helper.make_tensor_value_info(decibels, onnx.TensorProto.FLOAT, [None, 172, 309]))
    return model


@pytest.fixture(scope="module", params=["emulator", "interpreter"])
def run(request: pytest.FixtureRequest, model: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Run:
    shapes = reference_shapes(NAME)
    if request.param == "interpreter":
        module = import_model(model, input_shapes=shapes)
        run_passes(module, "fold-constants,lower-onnx")
        return Interpreter(module).run
    folder = tmp_path_factory.mktemp(NAME)
    source, output = folder / "model.onnx", folder / "model.cat"
    onnx.save(model, source)
    write_compiled(compile_source(str(source), CompileOptions(importing=ImportOptions(shapes))), output)
    return SpatialEmulator(read_program(output)).run


def check_errors(errors: dict[str, float]) -> None:
    assert all(error <= TOLERANCE for error in errors.values()), errors


@pytest.mark.parametrize("case", [0, 1])
def test_float64_gives_the_stored_outputs(model: onnx.ModelProto, case: int) -> None:
    inputs, stored = list(reference_cases(NAME))[case]
    check_errors(relative_errors(Float64Model(model).run(inputs), stored))


@pytest.mark.parametrize("case", [0, 1])
def test_outputs_follow_from_a_minimum_that_is_right_within_roundings(
    model: onnx.ModelProto, run: Run, case: int
) -> None:
    inputs, stored = list(reference_cases(NAME))[case]
    found = run(inputs)
    node = only_node(model, "ReduceMin")
    least = found[node.input[0]].min(axis=(1, 2))
    exact = Float64Model(model, given=(node.output[0],)).run({**inputs, node.output[0]: least})
    assert np.abs(least - exact[node.input[0]].min(axis=(1, 2))).max() <= LARGEST_SHIFT
    check_errors(relative_errors(found, {name: exact[name] for name in stored}))
