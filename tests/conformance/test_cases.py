"""Which cases count, and what the runner makes of backends that fail in every way."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from compiler.conformance import exclusions
from compiler.conformance.cases import exclusion_of


def model_of(*nodes: onnx.NodeProto, inputs: str = "x", kind: onnx.TypeProto | None = None) -> onnx.ModelProto:
    kind = kind or helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    values = [helper.make_value_info(name, kind) for name in inputs]
    return helper.make_model(helper.make_graph(nodes, "g", values, [helper.make_value_info("y", kind)]))


def branch(node: onnx.NodeProto) -> onnx.GraphProto:
    return helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("b", TensorProto.FLOAT, [2])])


def test_operators_are_excluded_wherever_they_are() -> None:
    random = helper.make_node("RandomUniformLike", ["x"], ["b"])
    assert exclusion_of(model_of(helper.make_node("Relu", ["x"], ["y"]))) == ""
    assert exclusion_of(model_of(random)) == exclusions.RANDOM
    taken = helper.make_node("If", ["x"], ["y"], then_branch=branch(random), else_branch=branch(random))
    assert exclusion_of(model_of(taken)) == exclusions.RANDOM


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (helper.make_tensor_type_proto(TensorProto.STRING, [2]), exclusions.STRINGS),
        (helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2])), exclusions.SEQUENCES),
        (helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2])), exclusions.SEQUENCES),
        (helper.make_tensor_type_proto(TensorProto.FLOAT8E4M3FN, [2]), ""),
    ],
)
def test_types_are_excluded(kind: onnx.TypeProto, reason: str) -> None:
    assert exclusion_of(model_of(helper.make_node("Identity", ["x"], ["y"]), kind=kind)) == reason


def test_training_mode_excludes_an_operator_of_inference() -> None:
    dropout = model_of(helper.make_node("Dropout", ["x", "r", "t"], ["y"]), inputs="xrt")
    assert exclusion_of(dropout, [[np.ones(2), np.float32(0.5), np.bool_(True)]]) == exclusions.TRAINING
    assert exclusion_of(dropout, [[np.ones(2), np.float32(0.5), np.bool_(False)]]) == ""
    inputs = ["x", "s", "b", "m", "v"]
    assert exclusion_of(model_of(helper.make_node("BatchNormalization", inputs, ["y"]))) == ""
    trained = helper.make_node("BatchNormalization", inputs, ["y"], training_mode=1)
    assert exclusion_of(model_of(trained)) == exclusions.TRAINING
