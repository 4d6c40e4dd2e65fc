"""An `onnx` op seen from outside the IR: as an ONNX node, and what is known of its operands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from xdsl.dialects.builtin import NoneType, TensorType
from xdsl.ir import Attribute, SSAValue

from dialects.element_types import numpy_dtype_of
from dialects.onnx.attributes import from_attribute
from dialects.onnx.schemas import AttributeValue
from dialects.onnx.values import KnownValue, ValueType
from dialects.weights import ConstantOp

if TYPE_CHECKING:
    import onnx

    from dialects.onnx.operations import OnnxOp


def value_type_of(kind: Attribute) -> ValueType | None:
    """NumPy element type and shape of a static tensor type; None for `none`.

    Raises `TypeError` for any other type, or an element type that NumPy does not have.
    """
    match kind:
        case NoneType():
            return None
        case TensorType(element_type=element_type):
            return ValueType(numpy_dtype_of(element_type), kind.get_shape())
        case _:
            raise TypeError(f"{kind} is not a tensor")


def known_value(value: SSAValue) -> KnownValue | None:
    """The type of a value, and its words if a constant whose weight is at hand defines it. Raises `TypeError`."""
    known = value_type_of(value.type)
    if known is None:
        return None
    owner = value.owner
    if isinstance(owner, ConstantOp) and owner.value.data.is_bound:
        return KnownValue(known, owner.array)
    return KnownValue(known)


def onnx_attributes(op: OnnxOp) -> dict[str, AttributeValue]:
    """The ONNX attributes that an op gives, as Python values.

    Raises `TypeError` for a property that is no ONNX attribute value, `CatenaError` (CAT-R004) for a tensor whose
    weight is not at hand.
    """
    return {name: from_attribute(value) for name, value in op.properties.items() if name != "outputs"}


def node_proto(op: OnnxOp) -> onnx.NodeProto:
    """The op as an ONNX node; inputs are named `x0`, `x1` and so on, outputs by the op. Raises as `onnx_attributes`."""
    from onnx import AttributeProto, helper, numpy_helper

    names = [f"x{index}" if not isinstance(kind, NoneType) else "" for index, kind in enumerate(op.operand_types)]
    node = helper.make_node(op.op_type, names, list(op.output_names))
    known = op.schema().attributes
    for name, value in onnx_attributes(op).items():
        kind = known[name].kind
        plain: Any = numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        node.attribute.append(
            helper.make_attribute(
                name, plain, attr_type=None if kind is None else AttributeProto.AttributeType.Value(kind)
            )
        )
    return node
