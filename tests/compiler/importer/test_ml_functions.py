"""Operators of `ai.onnx.ml` on numbers, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from compiler.importer import import_model
from dialects.diagnostics import CatenaError
from tests.passes.lower_onnx.models import check

X = np.array([[1, -2, 3.5], [0.5, 7, -1]], np.float32)


def ml_model(
    op_type: str, x: np.ndarray, output: int, columns: np.ndarray | None = None, **attributes: object
) -> onnx.ModelProto:
    names = ["x"] if columns is None else ["x", "y"]
    node = helper.make_node(op_type, names, ["out"], "node", domain="ai.onnx.ml", **attributes)
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_tensor_value_info("out", output, None)],
        [] if columns is None else [numpy_helper.from_array(columns, "y")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 4)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("threshold", [None, 0.5, 3.5])
def test_binarizer(threshold: float | None) -> None:
    attributes = {} if threshold is None else {"threshold": threshold}
    check(ml_model("Binarizer", X, onnx.TensorProto.FLOAT, **attributes), {"x": X})


@pytest.mark.parametrize("x", [X, X[0], np.stack([X, X + 1])])
def test_array_feature_extractor(x: np.ndarray) -> None:
    check(ml_model("ArrayFeatureExtractor", x, onnx.TensorProto.FLOAT, np.array([[2, 0]])), {"x": x})


def test_label_encoder_of_integers() -> None:
    x = np.array([[1, 5, 9], [5, 2, 1]])
    model = ml_model("LabelEncoder", x, onnx.TensorProto.FLOAT, keys_int64s=[1, 5, 2], values_floats=[0.5, 2.5, -1.0])
    check(model, {"x": x})
    model = ml_model(
        "LabelEncoder", x, onnx.TensorProto.INT64, keys_int64s=[1, 5], values_int64s=[7, 8], default_int64=3
    )
    check(model, {"x": x})


def test_label_encoder_of_floats() -> None:
    x = np.array([1, np.nan, 3.5, 4], np.float32)
    attributes = {"keys_floats": [1.0, np.nan, 3.5], "values_floats": [2.0, 3.0, 4.0], "default_float": -9.0}
    check(ml_model("LabelEncoder", x, onnx.TensorProto.FLOAT, **attributes), {"x": x})


def test_labels_that_are_strings_are_refused() -> None:
    model = ml_model("LabelEncoder", X, onnx.TensorProto.STRING, keys_floats=[1.0], values_strings=["one"])
    with pytest.raises(CatenaError) as caught:
        import_model(model)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.node) == ("CAT-U003", "node")


def test_a_model_without_operators_of_the_default_domain() -> None:
    model = ml_model("Binarizer", X, onnx.TensorProto.FLOAT)
    del model.opset_import[0]
    import_model(model)
