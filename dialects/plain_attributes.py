"""Plain data as attributes, and back."""

from __future__ import annotations

from typing import Any, cast

from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FloatAttr, IntegerAttr, StringAttr, f64, i1, i64
from xdsl.ir import Attribute


def to_attribute(value: object) -> Attribute:
    """Plain data (str, bool, int, float, list, dict) as an attribute."""
    match value:
        case str():
            return StringAttr(value)
        case bool():
            return IntegerAttr(int(value), i1)
        case int():
            return IntegerAttr(value, i64)
        case float():
            return FloatAttr(value, f64)
        case list():
            return ArrayAttr([to_attribute(item) for item in cast("list[object]", value)])
        case dict():
            return to_dictionary(cast("dict[str, object]", value))
        case _:
            raise TypeError(f"{type(value).__name__} has no attribute form")


def to_dictionary(value: dict[str, Any]) -> DictionaryAttr:
    """A table of plain data as an attribute."""
    return DictionaryAttr({key: to_attribute(item) for key, item in value.items()})


def from_attribute(attribute: Attribute) -> object:
    """The plain data that `to_attribute` made; other attributes become their text."""
    match attribute:
        case StringAttr():
            return attribute.data
        case IntegerAttr():
            return bool(attribute.value.data) if attribute.type == i1 else attribute.value.data
        case FloatAttr():
            return attribute.value.data
        case ArrayAttr():
            return [from_attribute(item) for item in attribute]
        case DictionaryAttr():
            return {key: from_attribute(item) for key, item in attribute.data.items()}
        case _:
            return str(attribute)
