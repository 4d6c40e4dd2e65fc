"""Small ONNX files for tests of the driver and the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def small_cnn(batch: int | str = 1) -> onnx.ModelProto:
    """image [batch, 2, 6, 6] -> conv1 (3 x 3, 4 filters) -> relu1 -> pool1 -> flatten1 -> scores [batch, 3]."""
    random = np.random.default_rng(7)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["a"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu1"),
        helper.make_node("MaxPool", ["b"], ["c"], name="pool1", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["c"], ["d"], name="flatten1"),
        helper.make_node("Gemm", ["d", "w2", "b2"], ["scores"], name="dense1"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 2, 6, 6])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, 3])],
        [weight("w1", 4, 2, 3, 3), weight("b1", 4), weight("w2", 36, 3), weight("b2", 3)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def wide_convolution() -> onnx.ModelProto:
    """x [1, 8, 32, 32] -> conv1 (1 x 1, 64 filters, a bias) -> y."""
    weights = [
        numpy_helper.from_array(np.ones((64, 8, 1, 1), np.float32), "w"),
        numpy_helper.from_array(np.ones(64, np.float32), "b"),
    ]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv1")],
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64, 32, 32])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def small_norms() -> onnx.ModelProto:
    """x [2, 8] -> norm1 (LayerNormalization) -> soft1 (Softmax) -> y: operators that several links compute."""
    random = np.random.default_rng(8)
    nodes = [
        helper.make_node("LayerNormalization", ["x", "scale", "bias"], ["n"], name="norm1"),
        helper.make_node("Softmax", ["n"], ["y"], name="soft1"),
    ]
    stored = [numpy_helper.from_array(random.standard_normal(8).astype(np.float32), name) for name in ("scale", "bias")]
    ports = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 8])] for name in "xy"]
    graph = helper.make_graph(nodes, "norms", *ports, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def unsupported_model() -> onnx.ModelProto:
    """Two nodes of an operator that nothing lowers (Bernoulli), and one that adds their results."""
    nodes = [
        helper.make_node("Bernoulli", ["x"], ["p"], name="noise1"),
        helper.make_node("Bernoulli", ["y"], ["q"], name="noise2"),
        helper.make_node("Add", ["p", "q"], ["r"], name="add1"),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in "xy"]
    results = [helper.make_tensor_value_info("r", TensorProto.FLOAT, [2, 2])]
    graph = helper.make_graph(nodes, "unsupported", ports, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save_model(model: onnx.ModelProto, path: Path) -> Path:
    """Write a model and give back its path."""
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path
