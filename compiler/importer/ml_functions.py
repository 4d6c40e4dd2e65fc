"""Operators of `ai.onnx.ml` on numbers, in terms of operators of the default domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dialects.onnx.schemas import python_value
from dialects.onnx.values import ValueType

if TYPE_CHECKING:
    import onnx

ML_DOMAIN = "ai.onnx.ml"

ML_BODY_OPSET = 13
"""The opset that the bodies here are written in."""

Attributes = Mapping[str, Any]


def ml_body(node: onnx.NodeProto, types: Sequence[ValueType | None]) -> onnx.GraphProto | None:
    """What a node of `ai.onnx.ml` computes, as a graph of `ML_BODY_OPSET`; None if that is not known here.

    `types` are those of the inputs.
    """
    from onnx import helper

    make = _BODIES.get(node.op_type)
    first = types[0] if types else None
    if make is None or first is None:
        return None
    nodes = make({each.name: python_value(each) for each in node.attribute}, first)
    if nodes is None:
        return None
    inputs = [helper.make_empty_tensor_value_info(name) for name in ("x", "y")[: len(node.input)]]
    return helper.make_graph(nodes, node.op_type, inputs, [helper.make_empty_tensor_value_info("result")])


def is_ml_function(op_type: str) -> bool:
    """Whether some nodes of an operator have a body here."""
    return op_type in _BODIES


def _constant(name: str, value: object, dtype: np.dtype[Any] | type[np.generic]) -> onnx.NodeProto:
    from onnx import helper, numpy_helper

    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value, dtype)))


def _element_type(dtype: np.dtype[Any] | type[np.generic]) -> int:
    from onnx import helper

    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


def _array_feature_extractor(attributes: Attributes, x: ValueType) -> list[onnx.NodeProto]:
    """Columns of the last axis; of a vector a matrix of one row."""
    from onnx import helper

    shape = (1, -1) if len(x.shape) == 1 else (*x.shape[:-1], -1)
    return [
        _constant("flat", [-1], np.int64),
        helper.make_node("Reshape", ["y", "flat"], ["columns"]),
        helper.make_node("Gather", ["x", "columns"], ["taken"], axis=len(x.shape) - 1),
        _constant("shape", shape, np.int64),
        helper.make_node("Reshape", ["taken", "shape"], ["result"]),
    ]


def _binarizer(attributes: Attributes, x: ValueType) -> list[onnx.NodeProto]:
    """1 above the threshold, 0 elsewhere."""
    from onnx import helper

    return [
        _constant("threshold", attributes.get("threshold", 0.0), x.dtype),
        helper.make_node("Greater", ["x", "threshold"], ["above"]),
        helper.make_node("Cast", ["above"], ["result"], to=_element_type(x.dtype)),
    ]


def _label_encoder(attributes: Attributes, x: ValueType) -> list[onnx.NodeProto] | None:
    """A choice for every key, the first key last, so that it counts; None if keys or values are strings."""
    from onnx import helper

    keys, values = _listed(attributes, "keys"), _listed(attributes, "values")
    if keys is None or values is None or len(keys) != len(values):
        return None
    default = attributes.get("default_tensor")
    if default is None:
        default = (
            attributes.get("default_int64", -1) if values.dtype == np.int64 else attributes.get("default_float", -0.0)
        )
    found = "default"
    nodes = [_constant(found, np.reshape(default, ()), values.dtype)]
    for index, (key, value) in reversed(list(enumerate(zip(keys, values, strict=True)))):
        nodes += [_constant(f"key{index}", key, x.dtype), _constant(f"value{index}", value, values.dtype)]
        is_nan = x.dtype.kind == "f" and np.isnan(key)
        test = ("IsNaN", ["x"]) if is_nan else ("Equal", ["x", f"key{index}"])
        nodes.append(helper.make_node(*test, [f"is{index}"]))
        nodes.append(helper.make_node("Where", [f"is{index}", f"value{index}", found], [f"found{index}"]))
        found = f"found{index}"
    return [*nodes, helper.make_node("Identity", [found], ["result"])]


def _listed(attributes: Attributes, name: str) -> np.ndarray[Any, Any] | None:
    """The numbers of an attribute that is there in one of several types."""
    for suffix, dtype in (("_int64s", np.int64), ("_floats", np.float32)):
        if attributes.get(f"{name}{suffix}"):
            return np.array(attributes[f"{name}{suffix}"], dtype)
    tensor = attributes.get(f"{name}_tensor")
    return tensor if isinstance(tensor, np.ndarray) and tensor.dtype.kind in "fiu" else None


_BODIES: Mapping[str, Callable[[Attributes, ValueType], list[onnx.NodeProto] | None]] = {
    "ArrayFeatureExtractor": _array_feature_extractor,
    "Binarizer": _binarizer,
    "LabelEncoder": _label_encoder,
}
