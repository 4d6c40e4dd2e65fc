"""A small quantized network: a convolution, one of every channel by itself, and a matrix product."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ZERO = 10
"""The zero point of all activations."""


def weights() -> dict[str, np.ndarray]:
    random = np.random.default_rng(7)
    shapes = {"conv": (6, 2, 3, 3), "depthwise": (6, 1, 3, 3), "dense": (6 * 4 * 4, 5)}
    return {name: random.integers(-127, 128, shape).astype(np.int8) for name, shape in shapes.items()}


def bias() -> np.ndarray:
    return np.arange(-300, 300, 100, dtype=np.int32)


def quantized_network() -> onnx.ModelProto:
    """Input `x` (1, 2, 6, 6) and output `y` (1, 5), both int8."""
    constants: dict[str, np.ndarray] = {
        **weights(),
        "bias": bias(),
        "one": np.array(1.0, np.float32),
        "small": np.array(0.005, np.float32),
        "zero": np.array(ZERO, np.int8),
        "none": np.array(0, np.int8),
        "shape": np.array([1, -1], np.int64),
    }
    scales = ["one", "zero"]

    def convolution(x: str, name: str, **attributes: int | list[int]) -> onnx.NodeProto:
        given = [x, *scales, name, "small", "none", *scales, "bias"]
        return helper.make_node("QLinearConv", given, [f"{name}_out"], name=name, **attributes)

    nodes = [
        convolution("x", "conv", pads=[0, 0, 0, 0]),
        convolution("conv_out", "depthwise", pads=[1, 1, 1, 1], group=6),
        helper.make_node("Reshape", ["depthwise_out", "shape"], ["flat"], name="flatten"),
        helper.make_node("QLinearMatMul", ["flat", *scales, "dense", "small", "none", *scales], ["y"], name="product"),
    ]
    graph = helper.make_graph(
        nodes,
        "quantized",
        [helper.make_tensor_value_info("x", TensorProto.INT8, (1, 2, 6, 6))],
        [helper.make_tensor_value_info("y", TensorProto.INT8, (1, 5))],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
