"""IR text: positions, locations, weights beside it, hostile text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.ir_text import parse_module, print_module, read_module, write_module
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.weights import ConstantOp
from tests.examples import examples

CONSTANT = f'%w = weights.constant <"{"0" * 64}"> : tensor<2xf32> loc("w")'
TEXT = f"builtin.module {{\n  func.func @main() {{\n    {CONSTANT}\n    func.return\n  }}\n}}\n"


def failure(text: str) -> Diagnostic:
    with pytest.raises(CatenaError) as caught:
        parse_module(text, "file.mlir")
    return caught.value.diagnostics[0]


def test_text_round_trips_with_locations() -> None:
    text = print_module(parse_module(TEXT).module)
    assert 'loc("w")' in text
    assert print_module(parse_module(text).module) == text


def test_names_that_are_not_ascii_round_trip() -> None:
    text = print_module(parse_module(TEXT.replace('loc("w")', 'loc("caf\\C3\\A9")')).module)
    assert print_module(parse_module(text).module) == text


def test_every_op_knows_where_it_stands() -> None:
    parsed = parse_module(TEXT, "file.mlir")
    places = {op.name: parsed.positions[op] for op in parsed.module.walk()}
    assert places["builtin.module"] == "file.mlir:1:1"
    assert places["weights.constant"] == "file.mlir:3:5"


def test_a_syntax_error_has_line_and_column() -> None:
    problem = failure(TEXT.replace("tensor<2xf32>", "tensor<2xf32"))
    assert (problem.code, problem.where.split(":")[1]) == ("CAT-R001", "3")


def test_an_unknown_op_is_an_error_with_a_place() -> None:
    problem = failure(TEXT.replace("weights.constant", "weights.konstant"))
    assert problem.code == "CAT-R001"
    assert "weights.konstant" in problem.message
    assert problem.where.startswith("file.mlir:3:")


def test_a_broken_attribute_has_a_place() -> None:
    link = '%y = gconv.link %x : tensor<1xf32> <N ks 0> "pass" none -> tensor<1xf32>'
    problem = failure(f"builtin.module {{ func.func @f(%x: tensor<1xf32>) {{\n {link}\n func.return }} }}")
    assert problem.code == "CAT-R002"
    assert problem.where.startswith("file.mlir:2:")


def test_deep_nesting_is_refused() -> None:
    assert failure("builtin.module { " * 5000).code == "CAT-R001"


@settings(derandomize=True, deadline=None, max_examples=examples(150))
@given(st.data())
def test_damaged_text_never_escapes_as_another_exception(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(TEXT)))
    end = data.draw(st.integers(start, min(len(TEXT), start + 12)))
    noise = data.draw(st.text('<>{}[]()%@#!"=:,.-0123abcloc\n ', max_size=8))
    found: set[str] = set()
    try:
        parse_module(TEXT[:start] + noise + TEXT[end:])
    except CatenaError as error:
        found = {each.code for each in error.diagnostics}
    assert found <= {"CAT-R001", "CAT-R002"}


def test_an_unclosed_string_is_refused_at_once() -> None:
    assert failure(f'builtin.module {{ %w = weights.constant <"{"0" * 64}\n').code == "CAT-R001"


def test_weights_stand_beside_the_file(tmp_path: Path) -> None:
    module = parse_module(TEXT).module
    (constant,) = (op for op in module.walk() if isinstance(op, ConstantOp))
    fresh = ConstantOp.of(np.array([1.0, 2.0], np.float32))
    constant.properties["value"] = fresh.value
    write_module(module, tmp_path / "x.mlir")
    assert len(list((tmp_path / "weights").glob("*.safetensors"))) == 1
    read = read_module(str(tmp_path / "x.mlir")).module
    (again,) = (op for op in read.walk() if isinstance(op, ConstantOp))
    assert again.array.tolist() == [1.0, 2.0]
    assert print_module(read) == (tmp_path / "x.mlir").read_text()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b""])
def test_files_that_are_no_ir_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.mlir").write_bytes(content)
    with pytest.raises(CatenaError) as caught:
        read_module(str(tmp_path / "x.mlir"))
    assert caught.value.diagnostics[0].code in ("CAT-C002", "CAT-R001")
