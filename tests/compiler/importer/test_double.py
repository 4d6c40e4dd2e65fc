"""float64 becomes float32, and whoever has such a model is told."""

from __future__ import annotations

import pytest
from onnx import TensorProto, helper

from compiler.importer import import_model


def test_values_of_float64_are_named(caplog: pytest.LogCaptureFixture) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], to=TensorProto.DOUBLE, name="widen"),
        helper.make_node("Add", ["a", "y"], ["z"], name="add"),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.INT64, [2]),
        helper.make_tensor_value_info("y", TensorProto.DOUBLE, [2]),
    ]
    outputs = [helper.make_tensor_value_info("z", TensorProto.DOUBLE, [2])]
    graph = helper.make_graph(nodes, "double", inputs, outputs)
    import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    (record,) = caplog.records
    assert record.getMessage().endswith("float32, with 24 instead of 53 bits: input 'y' and 1 more")


def test_constants_that_are_folded_keep_float64(caplog: pytest.LogCaptureFixture) -> None:
    third = helper.make_tensor("third", TensorProto.DOUBLE, [1], [1 / 3])
    nodes = [
        helper.make_node("Cast", ["third"], ["narrow"], to=TensorProto.FLOAT, name="narrow"),
        helper.make_node("Add", ["x", "narrow"], ["z"], name="add"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "folded", [value("x", TensorProto.FLOAT, [2])], [value("z", TensorProto.FLOAT, [2])], [third]
    )
    import_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert caplog.records == []
