"""Catena as an `onnx.backend.base.Backend`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compiler.onnx_backend import INTERPRETER, CatenaBackend, Engine, backend_on, engine_named
from compiler.onnx_backend.compile_time import COMPILE_TIME, compile_time_inputs
from dialects.diagnostics import CatenaError

Value = tuple[str, int, Sequence[int | str]]


def model_of(
    nodes: Sequence[onnx.NodeProto], inputs: Sequence[Value], outputs: Sequence[Value], **constants: np.ndarray
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph)


RELU = model_of([helper.make_node("Relu", ["x"], ["y"])], [("x", 1, [2, 3])], [("y", 1, [2, 3])])
X = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)


@pytest.fixture(params=[INTERPRETER, "eyeriss"])
def backend(request: pytest.FixtureRequest) -> type[CatenaBackend]:
    return backend_on(engine_named(request.param))


def test_inputs_come_in_order_by_name_or_alone(backend: type[CatenaBackend]) -> None:
    prepared = backend.prepare(RELU)
    for inputs in ([X], {"x": X}, X):
        np.testing.assert_array_equal(prepared.run(inputs)[0], np.maximum(X, 0))
    np.testing.assert_array_equal(prepared.run([X]).y, np.maximum(X, 0))


def test_outputs_are_in_the_models_order(backend: type[CatenaBackend]) -> None:
    nodes = [helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Abs", ["x"], ["b"])]
    model = model_of(nodes, [("x", 1, [2, 3])], [("b", 1, [2, 3]), ("a", 1, [2, 3])])
    first, second = backend.run_model(model, [X])
    np.testing.assert_array_equal(first, np.abs(X))
    np.testing.assert_array_equal(second, -X)


@pytest.mark.parametrize(
    ("element_type", "dtype"),
    [
        (TensorProto.FLOAT16, np.float16),
        (TensorProto.BFLOAT16, ml_dtypes.bfloat16),
        (TensorProto.DOUBLE, np.float64),
    ],
)
def test_outputs_have_the_declared_types(backend: type[CatenaBackend], element_type: int, dtype: Any) -> None:
    model = model_of(
        [helper.make_node("Relu", ["x"], ["y"])], [("x", element_type, [2, 3])], [("y", element_type, [2, 3])]
    )
    (result,) = backend.run_model(model, [X.astype(dtype)])
    assert result.dtype == dtype
    np.testing.assert_array_equal(result, np.maximum(X, 0).astype(dtype))


def test_a_node_runs_with_and_without_declared_outputs(backend: type[CatenaBackend]) -> None:
    node = helper.make_node("Add", ["a", "a"], ["c"])
    for info in (None, [(np.dtype(np.float32), (2, 3))]):
        (result,) = backend.run_node(node, [X], outputs_info=info, opset_version=13)
        np.testing.assert_array_equal(result, X + X)
        assert result.dtype == np.float32


def test_shapes_are_bound_when_they_are_known(backend: type[CatenaBackend]) -> None:
    model = model_of(
        [helper.make_node("Reshape", ["x", "s"], ["y"])], [("x", 1, [2, 3]), ("s", 7, [2])], [("y", 1, ["a", "b"])]
    )
    prepared = backend.prepare(model)
    for shape in ([3, 2], [1, 6], [3, 2]):
        (result,) = prepared.run([X, np.array(shape)])
        np.testing.assert_array_equal(result, X.reshape(shape))


class Counting:
    """An engine that notes what it is asked to load."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.loaded: list[onnx.ModelProto] = []

    def load(self, model: onnx.ModelProto, shapes: Any) -> Any:
        self.loaded.append(model)
        return self.engine.load(model, shapes)


def test_a_model_is_compiled_once_for_every_value() -> None:
    counting = Counting(engine_named(INTERPRETER))
    backend = backend_on(counting)
    backend.prepare(RELU)
    assert len(counting.loaded) == 1
    model = model_of(
        [helper.make_node("Tile", ["x", "r"], ["y"])], [("x", 1, [2, "n"]), ("r", 7, [2])], [("y", 1, ["a", "b"])]
    )
    prepared = backend.prepare(model)
    assert len(counting.loaded) == 1
    for repeats, width in (((1, 2), 3), ((1, 2), 3), ((2, 1), 3), ((2, 1), 2)):
        (result,) = prepared.run([X[:, :width], np.array(repeats)])
        np.testing.assert_array_equal(result, np.tile(X[:, :width], repeats))
    assert len(counting.loaded) == 4
    # Repeats are bound; what is tiled is not.
    assert all([value.name for value in bound.graph.input] == ["x"] for bound in counting.loaded[1:])


def test_refusals_reach_the_caller(backend: type[CatenaBackend]) -> None:
    unsupported = model_of([helper.make_node("NonZero", ["x"], ["y"])], [("x", 1, [2, 3])], [("y", 7, [2, "n"])])
    with pytest.raises(CatenaError, match="CAT-U"):
        backend.prepare(unsupported)
    with pytest.raises(CatenaError, match="CAT-C005"):
        backend.run_model(RELU, [X, X])
    with pytest.raises(CatenaError, match="CAT-C005"):
        backend.run_model(RELU, {"z": X})
    with pytest.raises(CatenaError, match="CAT-C001"):
        backend.prepare(RELU, "CUDA")


def test_only_the_cpu_is_a_device() -> None:
    assert CatenaBackend.supports_device("CPU")
    assert CatenaBackend.supports_device("CPU:0")
    assert not CatenaBackend.supports_device("CUDA")
    assert not CatenaBackend.supports_device("abacus")


def test_parameters_are_found_through_arithmetic_but_data_never_counts() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["extents"]),
        helper.make_node("Mul", ["extents", "factor"], ["shape"]),
        helper.make_node("ReduceMax", ["x", "axes"], ["largest"]),
        helper.make_node("Cast", ["largest"], ["top"], to=TensorProto.INT64),
        helper.make_node("Add", ["shape", "top"], ["end"]),
        helper.make_node("Expand", ["x", "end"], ["y"]),
        helper.make_node("Pad", ["y", "pads", "fill"], ["z"]),
    ]
    inputs: list[Value] = [("x", 1, [2, 3]), ("factor", 7, [2]), ("axes", 7, [1]), ("pads", 7, [4]), ("fill", 1, [])]
    model = model_of(nodes, inputs, [("z", 1, ["a", "b"])])
    assert compile_time_inputs(model) == ("factor", "axes", "pads")


SHAPES_AXES_PADS_AND_K = {
    "AffineGrid": "size",
    "CenterCropPad": "shape",
    "Col2Im": "image_shape block_shape",
    "ConstantOfShape": "input",
    "CumProd": "axis",
    "CumSum": "axis",
    "DFT": "axis",
    "Expand": "shape",
    "MaxUnpool": "output_shape",
    "Pad": "pads axes",
    "Reshape": "shape",
    "Resize": "sizes",
    "Slice": "axes",
    "Split": "split",
    "Squeeze": "axes",
    "Tile": "repeats",
    "TopK": "K",
    "Trilu": "k",
    "Unsqueeze": "axes",
}


def test_nothing_but_shapes_axes_pads_and_k_is_bound() -> None:
    found: dict[str, list[str]] = {}
    for op_type, index in COMPILE_TIME:
        found.setdefault(op_type, []).append(onnx.defs.get_schema(op_type).inputs[index].name)
    for op_type, names in found.items():
        assert " ".join(names) == ("axes" if op_type.startswith("Reduce") else SHAPES_AXES_PADS_AND_K[op_type])


def test_one_compiled_model_slices_at_all_places() -> None:
    counting = Counting(engine_named(INTERPRETER))
    model = model_of(
        [helper.make_node("Slice", ["x", "s", "e"], ["y"])],
        [("x", 1, [2, 3]), ("s", 7, [2]), ("e", 7, [2])],
        [("y", 1, [1, 2])],
    )
    prepared = backend_on(counting).prepare(model)
    for row, column in ((0, 0), (1, 1), (1, 0)):
        (result,) = prepared.run([X, np.array([row, column]), np.array([row + 1, column + 2])])
        np.testing.assert_array_equal(result, X[row : row + 1, column : column + 2])
    assert len(counting.loaded) == 1


def test_what_a_loop_uses_from_outside_is_found() -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Reshape", ["v", "outer"], ["w"])],
        "body",
        [helper.make_tensor_value_info(*value) for value in (("i", 7, []), ("go", 9, []), ("v", 1, [2]))],
        [helper.make_tensor_value_info("on", 9, []), helper.make_tensor_value_info("w", 1, [2])],
    )
    inputs: list[Value] = [("n", 7, []), ("c", 9, []), ("v0", 1, [2]), ("outer", 7, [1])]
    model = model_of([helper.make_node("Loop", ["n", "c", "v0"], ["y"], body=body)], inputs, [("y", 1, [2])])
    # Trip counts are no shapes.
    assert compile_time_inputs(model) == ("outer",)


def test_parameters_are_found_through_branches() -> None:
    grow = helper.make_graph(
        [helper.make_node("Add", ["size", "size"], ["twice"])],
        "grow",
        [],
        [helper.make_tensor_value_info("twice", 7, [1])],
    )
    keep = helper.make_graph(
        [helper.make_node("Identity", ["size"], ["once"])], "keep", [], [helper.make_tensor_value_info("once", 7, [1])]
    )
    nodes = [
        helper.make_node("If", ["c"], ["extents"], then_branch=grow, else_branch=keep),
        helper.make_node("Expand", ["x", "extents"], ["y"]),
    ]
    model = model_of(nodes, [("c", 9, []), ("x", 1, [1]), ("size", 7, [1])], [("y", 1, ["n"])])
    assert compile_time_inputs(model) == ("c", "size")


def test_parameters_are_found_in_local_functions(backend: type[CatenaBackend]) -> None:
    body = [helper.make_node("Reshape", ["a", "b"], ["c"])]
    fold = helper.make_function("own", "Fold", ["a", "b"], ["c"], body, [helper.make_opsetid("", 20)])
    node = helper.make_node("Fold", ["x", "s"], ["y"], domain="own")
    graph = model_of([node], [("x", 1, [2, 3]), ("s", 7, [2])], [("y", 1, ["a", "b"])]).graph
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, functions=[fold], opset_imports=opsets)
    (result,) = backend.run_model(model, [X, np.array([3, 2])])
    np.testing.assert_array_equal(result, X.reshape(3, 2))
