"""A model in float64 by ONNX's reference implementation: what its graph says, but for roundings that do not matter."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

_FLOAT, _DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE


class Float64Model:
    """A model all of whose float32 tensors are float64; `given` tensors are inputs in place of what computes them."""

    def __init__(self, model: onnx.ModelProto, given: tuple[str, ...] = ()):
        wide = onnx.ModelProto()
        wide.CopyFrom(model)
        graph = wide.graph
        kept = [node for node in graph.node if not set(given) & set(node.output)]
        del graph.node[:]
        graph.node.extend(kept)
        graph.input.extend(helper.make_tensor_value_info(name, _FLOAT, None) for name in given)
        for tensor in graph.initializer:
            _widen_tensor(tensor)
        for node in graph.node:
            for attribute in node.attribute:
                _widen_attribute(node, attribute)
        for value in (*graph.input, *graph.output, *graph.value_info):
            _widen_type(value)
        self._names = [value.name for value in graph.output]
        self._evaluator = ReferenceEvaluator(wide)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs by name; inputs in float32 are made float64."""
        feeds = {
            name: array.astype(np.float64) if array.dtype == np.float32 else array for name, array in inputs.items()
        }
        outputs = cast("list[np.ndarray]", self._evaluator.run(None, feeds))
        return dict(zip(self._names, outputs, strict=True))


def _widen_tensor(tensor: TensorProto) -> None:
    if tensor.data_type == _FLOAT:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))


def _widen_attribute(node: onnx.NodeProto, attribute: AttributeProto) -> None:
    if attribute.type == AttributeProto.TENSOR:
        _widen_tensor(attribute.t)
    elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == _FLOAT:
        attribute.i = _DOUBLE


def _widen_type(value: ValueInfoProto) -> None:
    if value.type.tensor_type.elem_type == _FLOAT:
        value.type.tensor_type.elem_type = _DOUBLE
