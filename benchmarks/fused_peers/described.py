"""A problem as ONNX and memories as ZigZag and Stream describe them: what the searches of both share."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto, helper

BYTE = 8
WIDE = 1 << 16
"""Bits a cycle of ports that are never in the way."""
PORT = 8
"""Bits a cycle across the chip's border."""
TENSOR = "{}_made"
"""Names of tensors: to Stream a tensor with the name of a node is "x not in tuple"."""


def network(input_shape: list[int], layers: list[dict[str, Any]]) -> onnx.ModelProto:
    """The layers as ONNX nodes on 8-bit tensors."""
    shapes = {"input": [1, *input_shape]}
    nodes: list[Any] = []
    kernels: list[Any] = []
    for layer in layers:
        read = shapes[layer["inputs"][0]]
        name, reads = layer["name"], [TENSOR.format(each) for each in layer["inputs"]]
        shapes[name] = [1, *layer["shape"]]
        if not layer["window"]:
            nodes.append(helper.make_node("Add", reads, [TENSOR.format(name)], name=name))
            continue
        groups = layer["channels"] if layer["depthwise"] else 1
        kernel = [layer["channels"], read[1] // groups, layer["window"], layer["window"]]
        count = kernel[0] * kernel[1] * kernel[2] * kernel[3]
        weight = f"{name}_weight"
        kernels.append(helper.make_tensor(weight, TensorProto.INT8, kernel, bytes(count), raw=True))
        attributes = {
            "kernel_shape": kernel[2:],
            "pads": [layer["pad"]] * 4,
            "strides": [layer["stride"]] * 2,
            "group": groups,
        }
        nodes.append(helper.make_node("Conv", [reads[0], weight], [TENSOR.format(name)], name=name, **attributes))
    values = {
        name: helper.make_tensor_value_info(TENSOR.format(name), TensorProto.INT8, shape)
        for name, shape in shapes.items()
    }
    last = layers[-1]["name"]
    between = [value for name, value in values.items() if name not in ("input", last)]
    graph = helper.make_graph(nodes, "problem", [values["input"]], [values[last]], kernels, value_info=between)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def memory(size: int, bandwidth: int) -> dict[str, Any]:
    """A memory of so many bits for all operands, whose one port moves up to `bandwidth` bits a cycle."""
    ends = ("fh", "tl", "fl", "th")
    allocation = [f"{operand}, {end}" for operand in ("I1", "I2") for end in ends[:2]] + [f"O, {end}" for end in ends]
    port = {"name": "rw_port_1", "type": "read_write", "bandwidth_min": BYTE, "bandwidth_max": bandwidth}
    return {
        "size": size,
        "r_cost": 1,
        "w_cost": 1,
        "area": 0,
        "latency": 1,
        "operands": ["I1", "I2", "O"],
        "ports": [{**port, "allocation": allocation}],
        "served_dimensions": ["D1", "D2"],
    }
