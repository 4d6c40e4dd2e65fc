"""Fixed point: the scales of a QDQ model rounded up to powers of two, so that requantization is a shift.

ONNX Runtime's quantizer chooses scales from ranges. Rounding them up keeps every range: a scale grows by a factor
below two, so at most one bit of the sixteen is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from compiler.arrays import Array
from compiler.quantization.preparation import STAGE
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    import onnx

WEIGHT_SUFFIX = "_quantized"
"""What the quantizer adds to the name of a weight for that of its integers."""


def with_fixed_point(model: onnx.ModelProto, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """The QDQ model with powers of two for scales; `weights` are the float weights it was made of, by name.

    Weights are quantized again from the floats. The scale of a bias stays the product of the scales of what is
    multiplied, which can only have grown, so that its 32-bit integers get smaller. Raises `CatenaError` (CAT-Q001) if
    a scale is not a constant.
    """
    return _Rounding(model, weights).result()


def power_of_two(scale: Array) -> Array:
    """The smallest powers of two that are not below these positive scales."""
    mantissa, exponent = np.frexp(scale)
    return np.ldexp(np.ones_like(scale), np.where(mantissa == 0.5, exponent - 1, exponent))


class _Rounding:
    def __init__(self, model: onnx.ModelProto, weights: Mapping[str, Array]):
        from onnx import ModelProto

        self._model = ModelProto()
        self._model.CopyFrom(model)
        self._weights = weights
        self._tensors = {tensor.name: tensor for tensor in self._model.graph.initializer}
        self._dequantizers = {
            node.output[0]: node for node in self._model.graph.node if node.op_type == "DequantizeLinear"
        }

    def result(self) -> onnx.ModelProto:
        constants = [node for node in self._dequantizers.values() if node.input[0] in self._tensors]
        biases = [node for node in constants if self._constant(node.input[0]).dtype == np.int32]
        of_biases = {node.input[1] for node in biases}
        pairs = (node for node in self._model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear"))
        for name in dict.fromkeys(node.input[1] for node in pairs):
            if name not in of_biases:
                self._set(name, power_of_two(self._constant(name)))
        for node in constants:
            if node.input[1] not in of_biases:
                self._quantize_weight(node)
        for node in biases:
            self._quantize_bias(node)
        return self._model

    def _quantize_weight(self, node: onnx.NodeProto) -> None:
        name = node.input[0]
        values = self._weights[name.removesuffix(WEIGHT_SUFFIX)]
        integers = np.rint(values / self._along_axis(node, values.ndim))
        limits = np.iinfo(self._constant(name).dtype)
        self._set(name, np.clip(integers, limits.min, limits.max).astype(limits.dtype))

    def _quantize_bias(self, node: onnx.NodeProto) -> None:
        integers, before = self._constant(node.input[0]), self._constant(node.input[1])
        after = np.broadcast_to(self._bias_scale(node), before.shape).astype(before.dtype)
        self._set(node.input[0], np.rint(integers * (before.astype(np.float64) / after)).astype(np.int32))
        self._set(node.input[1], after)

    def _bias_scale(self, node: onnx.NodeProto) -> Array:
        """The product of the scales of the two operands whose product the bias is added to."""
        user = next(each for each in self._model.graph.node if node.output[0] in each.input)
        left, right = (self._constant(self._dequantizers[name].input[1]) for name in user.input[:2])
        return left * right

    def _along_axis(self, node: onnx.NodeProto, rank: int) -> Array:
        """The scale of a weight, to be broadcast with it."""
        scale = self._constant(node.input[1])
        axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
        return scale.reshape([-1 if index == axis % rank else 1 for index in range(rank)]) if scale.size > 1 else scale

    def _constant(self, name: str) -> Array:
        from onnx import numpy_helper

        if name not in self._tensors:
            raise CatenaError(Diagnostic("CAT-Q001", f"the scale {name!r} is not a constant", stage=STAGE))
        return numpy_helper.to_array(self._tensors[name])

    def _set(self, name: str, values: Array) -> None:
        from onnx import numpy_helper

        self._tensors[name].CopyFrom(numpy_helper.from_array(values, name))
