"""Small ONNX models with seeded constants, and inputs for them, as the cases of the kit are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from compiler.arrays import Array

OPSET = 21
"""The first version in which QuantizeLinear makes 16-bit integers."""
_IR_VERSION = 10


@dataclass(frozen=True)
class SmallModel:
    """A model and an array for each of its inputs."""

    model: onnx.ModelProto
    inputs: Mapping[str, Array]


class ModelBuilder:
    """Puts nodes behind one another; every tensor is called by the name that `node` gives back."""

    def __init__(self, name: str, seed: int):
        self._name = name
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._inputs: dict[str, Array] = {}

    def values(self, dtype: np.dtype[Any], shape: Sequence[int]) -> Array:
        """Numbers that a type holds, none of them 0: floats in eighths, so that sums of them are exact."""
        low, high = (1, 9) if dtype.kind == "u" else (-8, 9)
        drawn = self._random.integers(low, high, tuple(shape))
        drawn[drawn == 0] = 3
        return drawn.astype(dtype) if dtype.kind in "iu" else (drawn / 8).astype(dtype)

    def input(self, dtype: np.dtype[Any], shape: Sequence[int]) -> str:
        """An input of the model."""
        name = f"x{len(self._inputs)}"
        self._inputs[name] = self.values(dtype, shape)
        return name

    def constant(self, array: Array) -> str:
        """A constant."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def weights(self, dtype: np.dtype[Any], shape: Sequence[int]) -> str:
        """A constant of drawn numbers."""
        return self.constant(self.values(dtype, shape))

    def integers(self, *numbers: int) -> str:
        """A constant of numbers that say how: axes, sizes, k."""
        return self.constant(np.array(numbers, np.int64))

    def node(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """A node; the name of its first output."""
        number = len(self._nodes)
        names = [f"t{number}_{output}" for output in range(outputs)]
        self._nodes.append(helper.make_node(op_type, list(inputs), names, f"{op_type}_{number}", **attributes))
        return names[0]

    def finished(self, *outputs: str) -> SmallModel:
        """The model with these outputs."""
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in self._inputs.items()
        ]
        results = [onnx.ValueInfoProto(name=name) for name in outputs]
        graph = helper.make_graph(self._nodes, self._name, inputs, results, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
        return SmallModel(onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True), self._inputs)
