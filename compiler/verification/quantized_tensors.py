"""Which tensors of a quantized model stand for real numbers on a grid, and what the last place of each is worth."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

import numpy as np

from compiler.arrays import Array

if TYPE_CHECKING:
    import onnx

_SCALE_OF_RESULT = {
    "QuantizeLinear": 1,
    "QLinearConv": 6,
    "QLinearMatMul": 6,
    "QGemm": 7,
    "QLinearAdd": 6,
    "QLinearAveragePool": 3,
    "QLinearConcat": 0,
    "QLinearGlobalAveragePool": 3,
    "QLinearLeakyRelu": 3,
    "QLinearMul": 6,
    "QLinearSigmoid": 3,
    "QLinearSoftmax": 3,
    "QLinearWhere": 7,
}
"""Operators whose result is rounded to integers, and which of their inputs is its scale (QGemm may do without)."""
ROUNDING = frozenset((*_SCALE_OF_RESULT, "DynamicQuantizeLinear"))
_QUANTIZED = ROUNDING | {"DequantizeLinear", "ConvInteger", "MatMulInteger"}
_SUMS = frozenset(("ConvInteger", "MatMulInteger"))
_MOVING = frozenset(
    (
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "MaxPool",
        "Relu",
        "Reshape",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    )
)
"""Operators whose results have no other values than their first operand, or zero: they keep its grid."""
_WIDEST = 2
"""Bytes of the widest type that quantized tensors are rounded to; wider integers are sums."""


class QuantizedTensors:
    """A model's tensors by name.

    `integers` are those that were rounded to integers, or moved since. `steps` are the distances of neighbouring values
    of float tensors that were dequantized, or moved since, to be broadcast with the tensor. `behind` is, for every
    tensor computed from such ones, the largest step of the last ones before it. `values` are the tensors as the
    reference computed them, for scales that are no constants.
    """

    def __init__(self, model: onnx.ModelProto, values: Mapping[str, Array]):
        from onnx import numpy_helper

        nodes = model.graph.node
        self.is_quantized = any(node.op_type in _QUANTIZED for node in nodes)
        self.integers: set[str] = set()
        self.steps: dict[str, Array] = {}
        self.behind: dict[str, float] = {}
        self._producers = {name: node for node in nodes for name in node.output}
        self._values: dict[str, Array] = {}
        self._fixed: set[str] = set()
        if not self.is_quantized:
            return
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self._values = {**constants, **values}
        self._fixed = set(constants)
        for node in nodes:
            self._read(node)

    @property
    def is_wide(self) -> bool:
        """Whether some tensors were rounded to integers of 16 bits."""
        return any(name in self._values and self._values[name].dtype.itemsize == 2 for name in self.integers)

    def rounds_between(self, tensor: str, inputs: Set[str]) -> bool:
        """Whether what makes a tensor of some others rounds to integers on the way."""
        waiting, seen = [tensor], set(inputs)
        while waiting:
            name = waiting.pop()
            node = None if name in seen else self._producers.get(name)
            seen.add(name)
            if node is not None and node.op_type in ROUNDING:
                return True
            waiting += [] if node is None else list(node.input)
        return False

    def _read(self, node: onnx.NodeProto) -> None:
        operands = [name for name in node.input if name and name not in self._fixed]
        if not operands:
            self._fixed.update(node.output)
        elif (place := _SCALE_OF_RESULT.get(node.op_type, len(node.input))) < len(node.input):
            self._round(node.output[0], self._values.get(node.input[place]))
        elif node.op_type == "DynamicQuantizeLinear":
            result, scale, zero_point = node.output
            self._round(result, self._values.get(scale))
            self.integers.add(zero_point)
        elif node.op_type == "DequantizeLinear":
            self._dequantize(node)
        else:
            self._compute(node, operands)

    def _round(self, name: str, scale: Array | None) -> None:
        self.integers.add(name)
        if scale is not None:
            self.behind[name] = float(np.max(np.abs(scale)))

    def _dequantize(self, node: onnx.NodeProto) -> None:
        source, name = node.input[0], node.output[0]
        integers, scale = self._values.get(source), self._values.get(node.input[1])
        if integers is None or scale is None:
            return
        if source not in self.integers and integers.dtype.itemsize > _WIDEST:
            # Sums that were not rounded: exact, whatever they are multiplied by.
            self._inherit(node, [source])
            return
        if scale.size > 1:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
            scale = scale.reshape([-1 if index == axis % integers.ndim else 1 for index in range(integers.ndim)])
        self.steps[name] = np.abs(scale.astype(np.float64))
        self.behind[name] = float(np.max(self.steps[name]))

    def _compute(self, node: onnx.NodeProto, operands: list[str]) -> None:
        self._inherit(node, operands)
        first = operands[0]
        if first in self.integers and node.op_type not in _SUMS:
            self.integers.update(name for name in node.output if self._type(name) == self._type(first))
        step = self.steps.get(first)
        moves = node.op_type in _MOVING or (node.op_type == "Concat" and self._have_one_step(operands))
        if moves and step is not None and step.size == 1:
            floats = (name for name in node.output if self._type(name) == self._type(first))
            self.steps.update((name, step.reshape(())) for name in floats)

    def _inherit(self, node: onnx.NodeProto, operands: list[str]) -> None:
        found = [self.behind[name] for name in operands if name in self.behind]
        if found:
            self.behind.update((name, max(found)) for name in node.output)

    def _have_one_step(self, names: list[str]) -> bool:
        steps = [self.steps[name] for name in names if name in self.steps]
        return len(steps) == len(names) and all(step.size == 1 and step.item() == steps[0].item() for step in steps)

    def _type(self, name: str) -> np.dtype[np.generic] | None:
        found = self._values.get(name)
        return None if found is None else found.dtype
