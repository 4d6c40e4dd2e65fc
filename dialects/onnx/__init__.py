"""The `onnx` dialect, generated from `onnx.defs`: every operator of the default domain in every version.

The newest version of an operator is `onnx.Conv`, older ones are `onnx.Conv_v1` and so on, by the opset that
introduced them.
"""

from dialects.onnx.attributes import DENSE_LIMIT, from_attribute, to_attribute
from dialects.onnx.operations import ONNX, NoValueOp, OnnxDialect, OnnxOp, operation_class
from dialects.onnx.schemas import (
    Arity,
    AttributeKind,
    AttributeSchema,
    AttributeValue,
    OperatorSchema,
    Parameter,
    operator_schema,
    python_value,
)
from dialects.onnx.values import KnownValue, ValueType

__all__ = [
    "DENSE_LIMIT",
    "ONNX",
    "Arity",
    "AttributeKind",
    "AttributeSchema",
    "AttributeValue",
    "KnownValue",
    "NoValueOp",
    "OnnxDialect",
    "OnnxOp",
    "OperatorSchema",
    "Parameter",
    "ValueType",
    "from_attribute",
    "operation_class",
    "operator_schema",
    "python_value",
    "to_attribute",
]
