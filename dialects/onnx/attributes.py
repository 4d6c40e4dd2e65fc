"""ONNX attribute values as MLIR attributes: conversion, and the text form inside `{...}` of an op.

| ONNX kind | stored as | text |
|---|---|---|
| INT, INTS | `i64`, `array<i64>` | `2`, `[1, 2]` |
| FLOAT, FLOATS | `f32`, `array<f32>` | shortest digits that read back exactly; `"inf"`, `"-inf"`, `"nan"` |
| STRING, STRINGS | string, array of strings | `"SAME_UPPER"` |
| TENSOR | `dense<...>` up to `DENSE_LIMIT` elements, else `#weights.ref<...>` | as MLIR prints it |
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    f32,
    i64,
)
from xdsl.ir import Attribute
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import VerifyException

from dialects.element_types import element_type_of, numpy_dtype_of, tensor_type
from dialects.onnx.schemas import AttributeKind, AttributeValue
from dialects.weights import WeightRef

DENSE_LIMIT = 16
"""The most elements a tensor attribute may have to be written in the text itself."""


def to_attribute(kind: AttributeKind, value: AttributeValue) -> Attribute:
    """The MLIR attribute that stores an ONNX attribute value of the given kind.

    Raises `TypeError` if the value is not of that kind, or a tensor of an element type the IR cannot hold, and
    `ValueError` for an integer outside 64 bits.
    """
    match kind, value:
        case AttributeKind.INT, int():
            return IntegerAttr(_int64(value), i64)
        case AttributeKind.INTS, tuple():
            return DenseArrayBase.from_list(i64, [_int64(item) for item in value])
        case AttributeKind.FLOAT, float() | int():
            return FloatAttr(_rounded(value), f32)
        case AttributeKind.FLOATS, tuple():
            return DenseArrayBase.from_list(f32, [_rounded(item) for item in value])
        case AttributeKind.STRING, str():
            return StringAttr(value)
        case AttributeKind.STRINGS, tuple():
            return string_array(value)
        case AttributeKind.TENSOR, np.ndarray():
            return _tensor_attribute(value)
        case _:
            raise TypeError(f"{value!r} is not a value of kind {kind}")


def string_array(texts: tuple[Any, ...] | list[str]) -> ArrayAttr[StringAttr]:
    """An array of string attributes. Raises `TypeError` if an item is not a string."""
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is not a string")
    return ArrayAttr(StringAttr(text) for text in texts)


def _int64(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is not an integer")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit into 64 bits")
    return value


def _rounded(value: Any) -> float:
    if not isinstance(value, float | int):
        raise TypeError(f"{value!r} is not a number")
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def _tensor_attribute(array: np.ndarray[Any, Any]) -> Attribute:
    if array.size > DENSE_LIMIT or array.size == 0:
        element_type_of(array.dtype)
        return WeightRef.of(array)
    kind = tensor_type(element_type_of(array.dtype), array.shape)
    return DenseIntOrFPElementsAttr.from_list(cast(Any, kind), array.reshape(-1).tolist())


def from_attribute(attribute: Attribute) -> AttributeValue:
    """The Python value of an attribute made by `to_attribute`.

    Raises `TypeError` for any other attribute.
    """
    match attribute:
        case IntegerAttr():
            return attribute.value.data
        case FloatAttr():
            return attribute.value.data
        case StringAttr():
            return attribute.data
        case DenseArrayBase():
            return cast("DenseArrayBase[Any]", attribute).get_values()
        case ArrayAttr() if all(isinstance(item, StringAttr) for item in attribute):
            return tuple(cast(StringAttr, item).data for item in attribute)
        case DenseIntOrFPElementsAttr():
            dtype = numpy_dtype_of(attribute.get_element_type())
            return np.array(attribute.get_values(), dtype).reshape(attribute.get_shape())
        case WeightRef():
            return attribute.data.array
        case _:
            raise TypeError(f"{attribute} is not an ONNX attribute value")


def has_kind(kind: AttributeKind, attribute: Attribute) -> bool:
    """Whether an MLIR attribute is how a value of this kind is stored."""
    match kind, attribute:
        case AttributeKind.INT, IntegerAttr(type=value_type):
            return value_type == i64
        case AttributeKind.FLOAT, FloatAttr(type=value_type):
            return value_type == f32
        case AttributeKind.INTS, DenseArrayBase(elt_type=value_type):
            return value_type == i64
        case AttributeKind.FLOATS, DenseArrayBase(elt_type=value_type):
            return value_type == f32
        case (AttributeKind.STRING, StringAttr()) | (AttributeKind.TENSOR, WeightRef()):
            return True
        case AttributeKind.STRINGS, ArrayAttr(data=items):
            return all(isinstance(item, StringAttr) for item in items)
        case AttributeKind.TENSOR, DenseIntOrFPElementsAttr():
            return len(cast("DenseIntOrFPElementsAttr[Any]", attribute)) <= DENSE_LIMIT
        case _:
            return False


def print_value(printer: Printer, kind: AttributeKind | None, attribute: Attribute) -> None:
    """Print an attribute value; one that is not of its kind prints as MLIR prints it, with its type."""
    if kind is None or not has_kind(kind, attribute):
        printer.print_attribute(attribute)
        return
    match kind:
        case AttributeKind.INT:
            printer.print_string(str(from_attribute(attribute)))
        case AttributeKind.FLOAT:
            printer.print_string(float_text(cast(float, from_attribute(attribute))))
        case AttributeKind.INTS | AttributeKind.FLOATS:
            values = cast("tuple[int, ...] | tuple[float, ...]", from_attribute(attribute))
            text: Callable[[float], str] = str if kind is AttributeKind.INTS else float_text
            printer.print_string(f"[{', '.join(text(value) for value in values)}]")
        case _:
            printer.print_attribute(attribute)


def parse_value(parser: Parser, kind: AttributeKind | None) -> Attribute:
    """Parse what `print_value` printed. Raises `ParseError`."""
    position = parser.pos
    try:
        match kind:
            case AttributeKind.INT:
                return to_attribute(kind, parser.parse_integer(allow_boolean=False))
            case AttributeKind.FLOAT:
                return to_attribute(kind, _parse_float(parser))
            case AttributeKind.INTS:
                integers = parser.parse_comma_separated_list(
                    parser.Delimiter.SQUARE, lambda: parser.parse_integer(allow_boolean=False)
                )
                return to_attribute(kind, tuple(integers))
            case AttributeKind.FLOATS:
                numbers = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: _parse_float(parser))
                return to_attribute(kind, tuple(numbers))
            case _:
                return parser.parse_attribute()
    except (ValueError, VerifyException) as error:
        parser.raise_error(str(error), position)


def float_text(value: float) -> str:
    """The shortest text of a 32-bit float that the MLIR lexer reads back to the same value."""
    if not math.isfinite(value):
        return f'"{value}"'
    mantissa, mark, exponent = str(np.float32(value)).partition("e")
    if "." not in mantissa:
        mantissa += ".0"
    return mantissa + mark + exponent


def _parse_float(parser: Parser) -> float:
    text = parser.parse_optional_str_literal()
    if text is None:
        return float(parser.parse_number())
    if text not in ("inf", "-inf", "nan"):
        parser.raise_error(f'expected a number, "inf", "-inf" or "nan", found {text!r}')
    return float(text)
