"""The small network of the notebooks, with seeded weights: two convolutions, a residual, a pooling, a classifier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_network(path: Path, channels: int = 16, size: int = 16) -> Path:
    """Write it as an ONNX file; images have 3 x `size` x `size` words."""
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        values = random.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))
        return numpy_helper.from_array(values.astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["c1"], name="first", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"], name="first_relu"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="second", pads=[1] * 4),
        helper.make_node("Add", ["c2", "r1"], ["sum"], name="residual"),
        helper.make_node("Relu", ["sum"], ["r2"], name="second_relu"),
        helper.make_node("GlobalAveragePool", ["r2"], ["pooled"], name="pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["scores"], name="classifier"),
    ]
    weights = [weight("w1", channels, 3, 3, 3), weight("b1", channels), weight("w2", channels, channels, 3, 3)]
    weights += [weight("b2", channels), weight("w3", channels, 10), weight("b3", 10)]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, size, size])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])
    graph = helper.make_graph(nodes, "small", [image], [scores], weights)
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    return path
