"""What a small model may make at compile time: constants have limits, one by one and together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from compiler.importer import import_model
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.weights import ConstantOp
from passes.constant_evaluation.budget import ROOM
from tests.onnx_models import onnx_model, onnx_node


def refusal(model: onnx.ModelProto) -> Diagnostic:
    with pytest.raises(CatenaError) as caught:
        import_model(model)
    (problem,) = caught.value.diagnostics
    return problem


HUGE = [
    ("ConstantOfShape", "n", {"n": np.array([2**40, 2**10], np.int64)}, f"{2**50} elements"),
    ("Range", "a b c", {"a": np.int64(0), "b": np.int64(2**41), "c": np.int64(2)}, f"{2**40} elements"),
]


@pytest.mark.parametrize(("op_type", "inputs", "constants", "found"), HUGE, ids=[each[0] for each in HUGE])
def test_a_constant_that_is_too_large(op_type: str, inputs: str, constants: Mapping[str, Any], found: str) -> None:
    """The node of the model is named, not one of the body by which ONNX defines it."""
    nodes = [onnx_node(op_type, inputs, "r", "made"), onnx_node("Cast", "r", "f", to=1), onnx_node("Mul", "f x", "y")]
    problem = refusal(onnx_model(nodes, {"x": [1]}, "y", constants))
    assert (problem.code, problem.node, problem.found) == ("CAT-U002", "made", found)
    assert problem.message == f"the result of {op_type} is too large to be computed at compile time"


RESULTS = [
    ("Expand", "x s", {"s": np.array([2**20, 2**13], np.int64)}, [1], "CAT-U002", f"{2**33} elements"),
    ("Resize", "x - s", {"s": np.array([1, 1, 1e6, 1e6], np.float32)}, [1, 1, 8, 8], "CAT-U002", "64000000000000 el"),
    ("Pad", "x p", {"p": np.array([-3, 0, -3, 0], np.int64)}, [4, 4], "CAT-M003", "float32[-2, 4]"),
]


@pytest.mark.parametrize(
    ("op_type", "inputs", "constants", "shape", "code", "found"), RESULTS, ids=[each[0] for each in RESULTS]
)
def test_a_result_of_an_impossible_size(
    op_type: str, inputs: str, constants: Mapping[str, Any], shape: Sequence[int], code: str, found: str
) -> None:
    problem = refusal(onnx_model([onnx_node(op_type, inputs, "y", "made")], {"x": shape}, "y", constants))
    assert (problem.code, problem.node) == (code, "made")
    assert found in problem.found


def many(count: int, words: int) -> onnx.ModelProto:
    """`count` constants of `words` words each, all of which are added to the input."""
    nodes = [onnx_node("ConstantOfShape", "n", f"c{i}", value=[np.float32(i)]) for i in range(count)]
    for node in nodes:
        node.attribute[0].CopyFrom(helper.make_attribute("value", numpy_helper.from_array(np.ones(1, np.float32))))
    sums = [onnx_node("Add", f"{'x' if i == 0 else f's{i - 1}'} c{i}", f"s{i}") for i in range(count)]
    return onnx_model([*nodes, *sums], {"x": [1]}, f"s{count - 1}", {"n": np.array([words], np.int64)})


def test_many_constants_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passes.constant_evaluation.budget.ROOM", 4000)
    import_model(many(10, 100))
    problem = refusal(many(11, 100))
    assert (problem.code, problem.node) == ("CAT-U002", "make c10")
    assert problem.found == "400 bytes more"


def test_what_the_model_holds_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Views of it take none; what has no room is computed at run time, if it can be."""
    monkeypatch.setattr("passes.constant_evaluation.budget.ROOM", 0)
    weights = np.arange(1000, dtype=np.float32).reshape(10, 100)
    nodes = [onnx_node("Transpose", "w", "t"), onnx_node("Neg", "t", "n"), onnx_node("MatMul", "x n", "y")]
    assert "onnx.Neg" not in str(import_model(onnx_model(nodes, {"x": [1, 100]}, "y", {"w": weights})))
    nodes[1:2] = [onnx_node("Neg", "t", "m"), onnx_node("Abs", "m", "n", "twice")]
    text = str(import_model(onnx_model(nodes, {"x": [1, 100]}, "y", {"w": weights})))
    assert ("onnx.Neg" in text, "onnx.Abs" in text) == (False, True)


def test_what_a_loop_collects_is_not_put_together_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compiler.importer.inlining.FOLD_LIMIT", 8)
    monkeypatch.setattr("passes.constant_evaluation.FOLD_LIMIT", 8)
    body = onnx.parser.parse_graph(
        "body (int64 i, bool c) => (bool go, float[4] e) { go = Identity(c) e = Identity(w) }"
    )
    nodes = [
        onnx_node("ConstantOfShape", "four", "w"),
        onnx_node("Loop", "trips -", "all", body=body),
        onnx_node("Add", "all x", "y"),
    ]
    for trips, names in ((2, 1), (3, 2)):
        constants = {"trips": np.int64(trips), "four": np.array([4], np.int64)}
        module = import_model(onnx_model(nodes, {"x": [1]}, "y", constants, opset=17))
        words = [op.array.size for op in module.walk() if isinstance(op, ConstantOp)]
        assert max(words) <= 8, names
        assert ("onnx.Concat" in str(module)) == (trips > 2)


def test_sparse_tensors_share_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passes.constant_evaluation.budget.ROOM", 4000)
    model = onnx_model([onnx_node("Add", "x a", "s"), onnx_node("Add", "s b", "y")], {"x": [1]}, "y")
    for name in ("a", "b"):
        values = numpy_helper.from_array(np.ones(1, np.float32), name)
        indices = numpy_helper.from_array(np.array([3], np.int64), f"{name} (indices)")
        model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [600]))
    problem = refusal(model)
    assert problem.code == "CAT-U002"
    assert problem.message == "the words of sparse tensor 'b' take too much room"


def test_the_trips_of_a_loop_are_counted_before_it_is_unrolled(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("a copy of the body was made")

    monkeypatch.setattr("compiler.importer.building.ModuleBuilder.inline", never)
    body = onnx.parser.parse_graph(
        "body (int64 i, bool c, float[1] v) => (bool go, float[1] w) { go = Identity(c) w = Add(v, v) }"
    )
    model = onnx_model(
        [onnx_node("Loop", "trips - x", "y", "loop", body=body)], {"x": [1]}, "y", {"trips": np.int64(10**9)}, opset=17
    )
    problem = refusal(model)
    assert (problem.code, problem.node, problem.found) == ("CAT-U004", "loop", "2000000000 or more")


def test_the_room_is_out_of_reach_of_ordinary_models() -> None:
    assert ROOM >= 256 << 20
