"""Opsets: the version each op gets, old ones converted with the same results, too new ones refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import defs
from onnx.reference import ReferenceEvaluator

from compiler.importer import import_model
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.locations import node_names
from tests.onnx_models import exported_model, onnx_model, onnx_node, onnx_ops

NEWEST = defs.onnx_opset_version()


def opset_problem(model: onnx.ModelProto) -> Diagnostic:
    with pytest.raises(CatenaError) as caught:
        import_model(model)
    (problem,) = caught.value.diagnostics
    return problem


@pytest.mark.parametrize("opset", range(7, NEWEST + 1))
def test_every_opset_from_seven_on_selects_its_own_versions(opset: int) -> None:
    nodes = [onnx_node("Conv", "x w", "a"), onnx_node("MaxPool", "a", "b", kernel_shape=[2, 2])]
    weights = {"w": np.ones((4, 3, 3, 3), np.float32)}
    for op in onnx_ops(import_model(onnx_model(nodes, {"x": [1, 3, 8, 8]}, "b", weights, opset=opset))):
        assert op.since_version == defs.get_schema(op.op_type, opset, "").since_version


@pytest.mark.parametrize("opset", [NEWEST + 1, 0, -1])
def test_opsets_that_do_not_exist(opset: int) -> None:
    problem = opset_problem(onnx_model([onnx_node("Relu", "x", "y")], {"x": [2]}, "y", opset=opset))
    assert (problem.code, problem.found) == ("CAT-U005", str(opset))


def test_two_opsets_at_once() -> None:
    model = onnx_model([onnx_node("Relu", "x", "y")], {"x": [2]}, "y")
    model.opset_import.add(domain="ai.onnx", version=12)
    problem = opset_problem(model)
    assert (problem.code, problem.found) == ("CAT-M001", "12, 13")


def test_no_opset_at_all() -> None:
    model = onnx_model([onnx_node("Relu", "x", "y")], {"x": [2]}, "y")
    del model.opset_import[:]
    assert opset_problem(model).code == "CAT-M001"
    model.ir_version = 2
    assert onnx_ops(import_model(model))[0].op_type == "Relu"


def channels(count: int) -> np.ndarray:
    return np.arange(1, count + 1, dtype=np.float32)


def result_of(model: onnx.ModelProto, opset: int, x: np.ndarray, batch: int | None = None) -> np.ndarray:
    module = import_model(model, batch=batch)
    module.verify()
    (found,) = ReferenceEvaluator(exported_model(module, opset)).run(None, {"t0": x})
    return found


@pytest.mark.parametrize("opset", [1, 5, 6])
@pytest.mark.parametrize(("axis", "shape"), [(1, (3,)), (1, (3, 4)), (-3, (3,)), (2, (4,)), (0, (2, 3)), (3, (5,))])
def test_broadcasting_at_an_axis(opset: int, axis: int, shape: tuple[int, ...]) -> None:
    weight = channels(int(np.prod(shape))).reshape(shape)
    node = onnx_node("Sub", "x w", "y", "minus", broadcast=1, axis=axis)
    x = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)
    model = onnx_model([node], {"x": ["N", 3, 4, 5]}, "y", {"w": weight}, opset=opset)
    start = axis + 4 if axis < 0 else axis
    expected = x - weight.reshape(*shape, *[1] * (4 - start - len(shape)))
    np.testing.assert_array_equal(result_of(model, 7, x, batch=2), expected)


@pytest.mark.parametrize("slopes", [1, 3])
def test_slopes_of_prelu_are_those_of_channels(slopes: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    model = onnx_model([onnx_node("PRelu", "x w", "y")], {"x": [2, 3, 3]}, "y", {"w": channels(slopes)}, opset=6)
    expected = np.where(x < 0, x * channels(slopes)[:, None], x)
    np.testing.assert_array_equal(result_of(model, 7, x), expected)


def test_an_old_network_keeps_its_names_and_results() -> None:
    nodes = [
        onnx_node("Conv", "x k", "a", "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        onnx_node("Add", "a b", "s", "bias", broadcast=1, axis=1),
        onnx_node("Relu", "s", "r", "relu"),
        onnx_node("Dropout", "r", "d", "drop", is_test=1),
        onnx_node("MaxPool", "d", "y", "pool", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    constants = {"k": np.random.default_rng(1).random((4, 3, 3, 3), np.float32), "b": -9 * channels(4)}
    model = onnx_model(nodes, {"x": [1, 3, 8, 8]}, "y", constants, opset=6)
    x = np.random.default_rng(2).random((1, 3, 8, 8), np.float32)
    module = import_model(model)
    assert [node_names(op.location) for op in onnx_ops(module)] == [("conv",), ("bias",), ("relu",), ("pool",)]
    modern = [
        nodes[0],
        onnx_node("Add", "a b", "s"),
        nodes[2],
        onnx_node("MaxPool", "r", "y", kernel_shape=[2, 2], strides=[2, 2]),
    ]
    aligned = constants | {"b": constants["b"].reshape(4, 1, 1)}
    reference = onnx_model(modern, {"x": [1, 3, 8, 8]}, "y", aligned, opset=7)
    (expected,) = ReferenceEvaluator(reference).run(None, {"x": x})
    np.testing.assert_array_equal(result_of(model, 7, x), expected)


def test_what_the_converter_cannot_do_is_refused() -> None:
    problem = opset_problem(onnx_model([onnx_node("Cast", "x", "y", to="INT32")], {"x": [2]}, "y", opset=5))
    assert problem.code == "CAT-U005"
    assert problem.message.startswith("opset 5 cannot be converted to opset 7: No Adapter")


def test_the_converter_sees_only_nodes_that_matter() -> None:
    nodes = [
        onnx_node("Neg", "r", "y", name=""),
        onnx_node("TopK", "x", "unused", k=1),
        onnx_node("Relu", "x", "r", name=""),
    ]
    module = import_model(onnx_model(nodes, {"x": [3]}, "y", opset=6))
    assert [node_names(op.location) for op in onnx_ops(module)] == [("Relu_2",), ("Neg_0",)]


def test_broadcasting_of_unknown_rank_is_refused() -> None:
    upsample = onnx_node("Upsample", "x", "a", width_scale=2.0, height_scale=2.0)
    nodes = [upsample, onnx_node("Add", "a b", "y", "plus", broadcast=1, axis=1)]
    model = onnx_model(nodes, {"x": [1, 3, 4, 4]}, "y", {"b": channels(3)}, opset=6)
    problem = opset_problem(model)
    assert (problem.code, problem.node) == ("CAT-U005", "plus")
