"""Operators that read or write at computed places, from ONNX to a binary to the emulator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings

from backends.container import read_program
from backends.program import Program
from backends.spatial.emulator import MODES, SpatialEmulator
from compiler.compilation import CompileOptions, compile_source, write_compiled
from compiler.modes import Mode
from compiler.verification.layers import verify_program
from dialects.diagnostics import CatenaError
from tests.end_to_end.test_networks import check_counts
from tests.examples import examples
from tests.passes.lower_onnx.models import integers, model_of, normal, one_node
from tests.passes.lower_onnx.moving import MAKERS, Moving, moving_nodes

onnxruntime = pytest.importorskip("onnxruntime")

TINY = {"glb.banks": "4", "glb.bank_words": "8", "array.rows": "2", "array.cols": "3", "pe.kernel_words": "16"}
"""A machine on which the smallest tensors are loaded and stored in many tiles."""


def compiled(
    model: onnx.ModelProto, folder: Path, settings: dict[str, str] | None = None, mode: Mode = Mode.CHAIN
) -> Program:
    """The program of a model, which is all that the emulator gets."""
    onnx.save(model, folder / "model.onnx")
    options = CompileOptions(settings=settings or {}, mode=mode)
    write_compiled(compile_source(str(folder / "model.onnx"), options), folder / "model.cat")
    return read_program(folder / "model.cat")


def expected_of(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in model.graph.output]
    return dict(zip(names, session.run(names, inputs), strict=True))


def check_program(program: Program, inputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Both engines compute exactly what is expected, and count what the cost model predicts."""
    for mode in MODES:
        emulator = SpatialEmulator(program, mode)
        found = emulator.run(inputs)
        for name, array in expected.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array, err_msg=f"{mode}: {name}")
        check_counts(program, emulator)


@pytest.mark.parametrize("op_type", MAKERS)
def test_random_nodes_on_a_tiny_machine(op_type: str, tmp_path: Path) -> None:
    @settings(max_examples=examples(20), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(moving_nodes(op_type))
    def same_as_onnx_runtime(case: Moving) -> None:
        check_program(compiled(case.model, tmp_path, TINY), case.inputs, expected_of(case.model, case.inputs))

    same_as_onnx_runtime()


@pytest.mark.parametrize("op_type", MAKERS)
def test_random_nodes_on_the_chip_and_on_its_host(op_type: str, tmp_path: Path) -> None:
    @settings(max_examples=examples(10), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
    @given(moving_nodes(op_type))
    def same_as_onnx_runtime(case: Moving) -> None:
        expected = expected_of(case.model, case.inputs)
        for mode in Mode:
            check_program(compiled(case.model, tmp_path, mode=mode), case.inputs, expected)

    same_as_onnx_runtime()


@pytest.mark.parametrize("index", [5, -6])
@pytest.mark.parametrize("op_type", ["Gather", "ScatterElements"])
def test_an_index_out_of_range_is_a_fault(op_type: str, index: int, tmp_path: Path) -> None:
    inputs = {"x": normal(5), "i": integers(0, index, 1)}
    if op_type == "ScatterElements":
        inputs["u"] = normal(3)
    program = compiled(one_node(op_type, inputs), tmp_path)
    for mode in MODES:
        with pytest.raises(CatenaError) as caught:
            SpatialEmulator(program, mode).run(inputs)
        (diagnostic,) = caught.value.diagnostics
        assert (diagnostic.code, diagnostic.message) == ("CAT-E001", "an index is out of range")
        assert (diagnostic.expected, diagnostic.found, diagnostic.node) == ("-5 to 4", str(index), "node")


def test_repeated_places_are_added_to_in_order_on_every_tile(tmp_path: Path) -> None:
    updates = (np.random.default_rng(0).standard_normal(200) * 10.0 ** np.arange(200) % 7).astype(np.float32)
    places = np.random.default_rng(1).integers(0, 3, 200)
    inputs = {"x": normal(3), "i": places, "u": updates}
    expected = inputs["x"].copy()
    for place, update in zip(places, updates, strict=True):
        expected[place] += update
    program = compiled(one_node("ScatterElements", inputs, opset=18, reduction="add"), tmp_path, TINY)
    check_program(program, inputs, {"y0": expected})


def test_an_embedding_is_read_by_the_product_itself(tmp_path: Path) -> None:
    """Counts of what a one-hot product would cost: none of the table but the rows that are named."""
    table, weights = normal(1000, 64), normal(64, 8, seed=1)
    inputs = {"i": integers(5, 999, 0, 5)}
    nodes = [
        onnx.helper.make_node("Gather", ["t", "i"], ["e"], "embedding"),
        onnx.helper.make_node("MatMul", ["e", "w"], ["y"], "product"),
    ]
    model = model_of(nodes, inputs, {"t": table, "w": weights}, ["y"])
    program = compiled(model, tmp_path)
    (layer,) = program.layers
    emulator = SpatialEmulator(program)
    found = emulator.run(inputs)["y"]
    np.testing.assert_allclose(found, table[inputs["i"]] @ weights, rtol=1e-5, atol=1e-5)
    check_counts(program, emulator)
    events = emulator.counters[layer.name].events
    assert (events["dram.input.read"], events["dram.index.read"]) == (4 * 64, 4)


def test_layers_that_update_are_verified_one_by_one(tmp_path: Path) -> None:
    inputs = {"x": normal(4, 3), "i": np.array([[2], [0], [2]]), "u": normal(3, 3, seed=1)}
    nodes = [
        onnx.helper.make_node("Relu", ["x"], ["r"], "relu"),
        onnx.helper.make_node("ScatterND", ["r", "i", "u"], ["s"], "scatter", reduction="add"),
        onnx.helper.make_node("Exp", ["s"], ["y"], "exp"),
    ]
    model = model_of(nodes, inputs, {}, ["y", "r"], 18)
    program = compiled(model, tmp_path)
    verification = verify_program(program, SpatialEmulator(program), tmp_path / "model.onnx", inputs)
    assert verification.is_equal
    assert sum(each.error is not None for each in verification.layers) >= 2
