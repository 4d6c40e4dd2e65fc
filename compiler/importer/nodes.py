"""A node with its attributes as Python values, narrow floats widened where they name or hold an element type."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compiler.importer.graph import NamedNode
from compiler.importer.loading import STAGE
from compiler.importer.tensors import read_sparse_tensor, read_tensor
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.onnx import AttributeValue, python_value
from passes.constant_evaluation import ConstantBudget

if TYPE_CHECKING:
    import onnx

_ELEMENT_TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype", "output_datatype", "stash_type"})


@dataclass(frozen=True)
class ReadNode:
    """A node whose message and attribute values agree."""

    name: str
    proto: onnx.NodeProto
    attributes: dict[str, AttributeValue]

    def with_values(self, values: dict[str, AttributeValue]) -> ReadNode:
        """The node with other values for some of its attributes, integers and tensors only."""
        from onnx import NodeProto, numpy_helper

        if not values:
            return self
        copy = NodeProto()
        copy.CopyFrom(self.proto)
        for attribute in copy.attribute:
            value = values.get(attribute.name)
            if isinstance(value, np.ndarray):
                attribute.t.CopyFrom(numpy_helper.from_array(value))
            elif isinstance(value, int):
                attribute.i = value
        return ReadNode(self.name, copy, self.attributes | values)


def read_node(node: NamedNode, folder: Path | None, budget: ConstantBudget) -> ReadNode:
    """A node with float16 and bfloat16 replaced by float32 in its attributes; a sparse constant becomes dense, if the
    budget has room.

    Raises `CatenaError`: CAT-M001 for a damaged attribute, CAT-M004 for external data, CAT-U002 for an attribute
    the IR cannot hold.
    """
    from onnx import AttributeProto, TensorProto

    wide: dict[int, int] = {TensorProto.FLOAT16: TensorProto.FLOAT, TensorProto.BFLOAT16: TensorProto.FLOAT}
    attributes: dict[str, AttributeValue] = {}
    changed: dict[str, AttributeValue] = {}
    for attribute in node.proto.attribute:
        where = f"{node.name}.{attribute.name}"
        if attribute.type == AttributeProto.TENSOR:
            array = read_tensor(where, attribute.t, folder)
            attributes[attribute.name] = array
            if attribute.t.data_type in wide:
                changed[attribute.name] = array
        elif attribute.type == AttributeProto.SPARSE_TENSOR:
            attributes["value"] = read_sparse_tensor(where, attribute.sparse_tensor, folder, budget)
        else:
            value = _plain_value(node.name, attribute)
            attributes[attribute.name] = value
            if attribute.name in _ELEMENT_TYPE_ATTRIBUTES and value in wide:
                changed[attribute.name] = wide[attribute.i]
    return ReadNode(node.name, node.proto, attributes).with_values(changed)


def _plain_value(node: str, attribute: onnx.AttributeProto) -> AttributeValue:
    try:
        value = python_value(attribute)
    except UnicodeDecodeError as error:
        message = f"attribute {attribute.name!r} is not UTF-8 text: {error}"
        raise CatenaError(Diagnostic("CAT-M001", message, stage=STAGE, node=node)) from error
    if value is None:
        message = f"attribute {attribute.name!r} holds a type or graph, which the IR cannot represent"
        raise CatenaError(Diagnostic("CAT-U002", message, stage=STAGE, node=node))
    return value


def double_narrowed(node: ReadNode) -> ReadNode:
    """The node with float64 replaced by float32 in its attributes."""
    from onnx import TensorProto

    changed: dict[str, AttributeValue] = {}
    for name, value in node.attributes.items():
        if isinstance(value, np.ndarray):
            if value.dtype == np.float64:
                changed[name] = value.astype(np.float32)
        elif name in _ELEMENT_TYPE_ATTRIBUTES and value == TensorProto.DOUBLE:
            changed[name] = int(TensorProto.FLOAT)
    return node.with_values(changed)
