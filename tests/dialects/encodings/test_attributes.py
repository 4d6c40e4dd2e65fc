"""Encodings of tensor types: text comes back, what says no encoding is an error at its place."""

from __future__ import annotations

from io import StringIO

import pytest
from xdsl.dialects.builtin import TensorType, f32
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.exceptions import ParseError

from dialects.encodings.attributes import encoded_type, encoding_of
from dialects.encodings.format import Format
from dialects.encodings.levels import Level, LevelKind, Levels
from dialects.encodings.names import format_named, format_text
from dialects.encodings.spots_blocks import SpotsBlocks
from tests.filechecking import new_ir_context

TEXTS = (
    "bitmap",
    "rlc",
    "rlc<run_bits 4, level_bits 8>",
    "csr",
    "csr<position_bits 16, rows 2>",
    "csc<coordinate_bits 32>",
    "spots<height 4>",
    "spots<height 1, rows 3>",
)
LEVELS = (
    "d0 x d1 x d2 : bitmap",
    "d0 : dense, d1 x d2 : compressed(32, 16)",
    "d1 x d2 : bitmap, d0 floordiv 4 : bitmap, d0 mod 4 : dense",
    "d2 : dense, d1 : dense, d0 : run_length(5, 3, 64, 16)",
)


def parsed(text: str) -> TensorType:
    kind = Parser(new_ir_context(), text).parse_attribute()
    assert isinstance(kind, TensorType)
    return kind


@pytest.mark.parametrize("text", [*TEXTS, *(f"levels<{levels}>" for levels in LEVELS)])
def test_types_print_as_they_were_written(text: str) -> None:
    whole = f"tensor<8x4x3xf32, #encodings.{text}>"
    kind, printed = parsed(whole), StringIO()
    Printer(printed).print_attribute(kind)
    assert printed.getvalue() == whole
    assert encoded_type(TensorType(f32, [8, 4, 3]), encoding_of(kind)) == kind
    assert kind != TensorType(f32, [8, 4, 3])


@pytest.mark.parametrize("text", TEXTS)
def test_descriptions_write_formats_as_ir_does(text: str) -> None:
    assert format_text(format_named(text)) == text


def test_defaults_need_not_be_written() -> None:
    assert format_named("csr<position_bits 32>") == format_named("csr")
    kind = parsed("tensor<8x4xf32, #encodings.levels<d0 : dense, d1 : compressed>>")
    assert encoding_of(kind) == Levels((Level((0,), LevelKind.DENSE), Level((1,), LevelKind.COMPRESSED, (32, 16))))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("spots", "height must be given"),
        ("spots<height 0>", "at least one filter"),
        ("csr<position_bits 12>", "8, 16, 32 or 64 bits"),
        ("csr<positions 8>", "'positions'"),
        ("csr<rows 1, rows 2>", "once, found 'rows'"),
        ("rlc<pairs 4>", "holds its pairs"),
        ("levels<>", "at least one level"),
        ("levels<d0 : dense, d0 : bitmap>", "every dimension"),
        ("levels<d0 : sparse>", "expected one of dense, bitmap"),
        ("levels<c0 : dense>", "expected a dimension"),
        ("levels<d0 floordiv 0 : bitmap>", "at least one index"),
        ("levels<d0 : compressed(8)>", "2 parameters"),
    ],
)
def test_what_is_no_encoding_does_not_parse(text: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        parsed(f"tensor<8x4xf32, #encodings.{text}>")


@pytest.mark.parametrize("text", ["spots<height>", "spots height 4", "SPOTS<height 4>", "zip", "spots<height 4", ""])
def test_names_that_are_no_formats_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="format"):
        format_named(text)


def test_an_unknown_encoding_is_none() -> None:
    with pytest.raises(TypeError, match="no encoding"):
        encoding_of(parsed("tensor<8xf32, 4 : i64>"))


@pytest.mark.parametrize("encoding", [SpotsBlocks(2, 2), format_named("csr<rows 5>")], ids=str)
def test_rows_are_a_dimension(encoding: Format) -> None:
    assert "no dimension" in encoding.problem((4, 4))
