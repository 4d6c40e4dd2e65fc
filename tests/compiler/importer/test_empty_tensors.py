"""Tensors without elements: known at compile time, wherever they come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from backends.container import write_program
from compiler.compilation import compile_source
from compiler.execution import load_program, run_loaded
from compiler.importer import import_model
from tests.onnx_models import onnx_model, onnx_node, onnx_ops, returned_arrays


def test_nodes_whose_results_have_no_elements_are_constants() -> None:
    nodes = [
        onnx_node("Slice", "x a b", "s"),
        onnx_node("Relu", "s", "r"),
        onnx_node("RandomNormalLike", "r", "n"),
    ]
    module = import_model(onnx_model(nodes, {"x": [2, 3]}, "r n", {"a": np.array([5]), "b": np.array([9])}))
    assert onnx_ops(module) == []
    assert [array.shape for array in returned_arrays(module)] == [(0, 3), (0, 3)]


def test_empty_parts_of_a_node() -> None:
    nodes = [onnx_node("Split", "x n", "a b"), onnx_node("Concat", "b a", "y", axis=0)]
    module = import_model(onnx_model(nodes, {"x": [2, 3]}, "y", {"n": np.array([2, 0])}))
    assert [op.op_type for op in onnx_ops(module)] == ["Split", "Concat"]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("ReduceSum", 0.0),
        ("ReduceProd", 1.0),
        ("ReduceMax", -np.inf),
        ("ReduceMin", np.inf),
        ("ReduceL1", 0.0),
        ("ReduceL2", 0.0),
        ("ReduceSumSquare", 0.0),
        ("ReduceLogSum", -np.inf),
        ("ReduceLogSumExp", -np.inf),
    ],
)
def test_reductions_of_nothing(operator: str, expected: float) -> None:
    node = onnx_node(operator, "x axes", "y", keepdims=0)
    module = import_model(onnx_model([node], {"x": [2, 0, 3]}, "y", {"axes": np.array([1])}, opset=20))
    (found,) = returned_arrays(module)
    np.testing.assert_array_equal(found, np.full((2, 3), expected, np.float32))


def test_programs_of_tensors_without_elements(tmp_path: Path) -> None:
    nodes = [onnx_node("Slice", "x a b", "s"), onnx_node("Relu", "x", "y")]
    model = onnx_model(nodes, {"x": [2, 3], "e": [0, 2]}, "s y e", {"a": np.array([5]), "b": np.array([9])})
    onnx.save(model, str(tmp_path / "model.onnx"))
    compiled = compile_source(str(tmp_path / "model.onnx"))
    assert compiled.program is not None
    write_program(compiled.program, tmp_path / "model.cat")
    program, emulator = load_program(tmp_path / "model.cat")
    x = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
    outputs = run_loaded(program, emulator, {"x": x, "e": np.zeros((0, 2), np.float32)}).outputs
    np.testing.assert_array_equal(outputs["y"], np.maximum(x, 0))
    assert (outputs["s"].shape, outputs["e"].shape) == ((0, 3), (0, 2))
