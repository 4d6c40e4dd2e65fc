"""ONNX attribute values as MLIR attributes: exact, readable, the same text after every round trip."""

from __future__ import annotations

import math
from io import StringIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, IntegerAttr, StringAttr, i32
from xdsl.ir import Attribute
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError

from dialects.onnx import AttributeKind, from_attribute, to_attribute
from dialects.onnx.attributes import float_text, has_kind, parse_value, print_value
from dialects.unicode_parser import UnicodeParser
from dialects.weights import WeightRef
from tests.examples import examples
from tests.filechecking import new_ir_context

FUZZ = settings(derandomize=True, deadline=None, max_examples=examples(100))
INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT32 = st.floats(width=32)


def text_of(kind: AttributeKind, attribute: Attribute) -> str:
    stream = StringIO()
    print_value(Printer(stream), kind, attribute)
    return stream.getvalue()


def read_back(kind: AttributeKind, text: str) -> Attribute:
    return parse_value(UnicodeParser(new_ir_context(), text), kind)


def assert_round_trip(kind: AttributeKind, value: object) -> None:
    attribute = to_attribute(kind, value)  # pyright: ignore[reportArgumentType]
    assert has_kind(kind, attribute)
    text = text_of(kind, attribute)
    again = read_back(kind, text)
    assert text_of(kind, again) == text
    found = from_attribute(again)
    np.testing.assert_array_equal(np.asarray(found), np.asarray(value))


@FUZZ
@given(INT64)
def test_integers_round_trip(value: int) -> None:
    assert_round_trip(AttributeKind.INT, value)


@FUZZ
@given(st.lists(INT64, max_size=6))
def test_integer_lists_round_trip(values: list[int]) -> None:
    assert_round_trip(AttributeKind.INTS, tuple(values))


@FUZZ
@given(FLOAT32)
def test_floats_round_trip_exactly(value: float) -> None:
    assert_round_trip(AttributeKind.FLOAT, value)


@FUZZ
@given(st.lists(FLOAT32, max_size=6))
def test_float_lists_round_trip(values: list[float]) -> None:
    assert_round_trip(AttributeKind.FLOATS, tuple(values))


@FUZZ
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_strings_round_trip(value: str) -> None:
    assert_round_trip(AttributeKind.STRING, value)
    assert_round_trip(AttributeKind.STRINGS, (value, "plain"))


@pytest.mark.parametrize("dtype", ["float32", "int64", "int8", "uint8", "bool", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (4, 4)])
def test_small_tensors_are_written_out(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.array(np.arange(math.prod(shape)).reshape(shape) % 2, dtype)
    attribute = to_attribute(AttributeKind.TENSOR, array)
    assert isinstance(attribute, DenseIntOrFPElementsAttr)
    again = read_back(AttributeKind.TENSOR, text_of(AttributeKind.TENSOR, attribute))
    found = from_attribute(again)
    assert isinstance(found, np.ndarray)
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


def test_large_tensors_are_references() -> None:
    array = np.arange(17, dtype=np.float32)
    attribute = to_attribute(AttributeKind.TENSOR, array)
    assert isinstance(attribute, WeightRef)
    assert len(text_of(AttributeKind.TENSOR, attribute)) < 100
    assert from_attribute(attribute) is attribute.data.array


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1, "0.1"), (1e-5, "1.0e-05"), (1.0, "1.0"), (-2.5e10, "-2.5e+10"), (math.inf, '"inf"'), (-math.inf, '"-inf"')],
)
def test_floats_print_the_shortest_digits(value: float, text: str) -> None:
    assert float_text(float(np.float32(value))) == text


def test_a_value_of_another_kind_prints_with_its_type() -> None:
    assert text_of(AttributeKind.INT, IntegerAttr(3, i32)) == "3 : i32"
    assert text_of(AttributeKind.FLOAT, StringAttr("x")) == '"x"'


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (AttributeKind.INT, "1.5"),
        (AttributeKind.INT, "true"),
        (AttributeKind.INT, str(2**63)),
        (AttributeKind.INTS, "[1, x]"),
        (AttributeKind.INTS, "1"),
        (AttributeKind.FLOAT, '"infinite"'),
        (AttributeKind.FLOATS, "[1.0, ]"),
        (AttributeKind.TENSOR, "dense<[1, 2]> : tensor<"),
    ],
)
def test_wrong_text_is_a_parse_error(kind: AttributeKind, text: str) -> None:
    with pytest.raises(ParseError):
        read_back(kind, text)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (AttributeKind.INT, "1"),
        (AttributeKind.INTS, (1, "2")),
        (AttributeKind.FLOAT, "x"),
        (AttributeKind.STRINGS, ("x", 1)),
        (AttributeKind.TENSOR, 1),
        (AttributeKind.TENSOR, np.array(["text"])),
    ],
)
def test_a_value_of_another_kind_is_refused(kind: AttributeKind, value: object) -> None:
    with pytest.raises(TypeError):
        to_attribute(kind, value)  # pyright: ignore[reportArgumentType]
