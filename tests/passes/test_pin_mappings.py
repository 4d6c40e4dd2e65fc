"""pin-mappings: mappings from a file, by node and by tensor."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.ir import Attribute

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp
from dialects.schedule import MappingAttr, RowStationaryAttr
from dialects.unicode_parser import UnicodeParser
from passes.mapping_file.reading import read_mapping_file
from passes.mapping_file.writing import MappingText
from passes.pin_mappings import PinMappingsPass
from tests.examples import examples
from tests.filechecking import new_ir_context, parse_module

CHAIN = """
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %a = gconv.link %x : tensor<4xf32> <C opc 4> "pass" none post <relu> {tensor = "t/a"} -> tensor<4xf32>
    loc("first")
  %b = gconv.link %a : tensor<4xf32> <C opc 4> "pass" none post <relu> -> tensor<4xf32> loc(fused["second", "third"])
  func.return %b : tensor<4xf32>
}
"""
ROWS = "#schedule.row_stationary<m 1, n 1, e 2, p 1, q 1, r 1, t 1>"
FREE = "#schedule.mapping<for C.opc 2, store glb [I, O]>"


def pinned(path: Path, text: str) -> list[LinkOp]:
    path.write_text(text, encoding="utf-8")
    module = parse_module(CHAIN)
    PinMappingsPass(str(path)).apply(new_ir_context(), module)
    return [op for op in module.walk() if isinstance(op, LinkOp)]


def written(module: ModuleOp) -> str:
    return MappingText(module).render()


def mappings(path: Path) -> dict[str, str]:
    pins = read_mapping_file(path, new_ir_context()).pins
    return {layer: str(pin.written.mapping) for layer, pin in pins.items() if pin.written is not None}


def problems(path: Path, text: str) -> tuple[Diagnostic, ...]:
    with pytest.raises(CatenaError) as caught:
        pinned(path, text)
    return caught.value.diagnostics


@pytest.mark.parametrize("name", ["t/a", "first"])
def test_a_layer_goes_by_tensor_or_node(tmp_path: Path, name: str) -> None:
    first, second = pinned(tmp_path / "m.toml", f"[layers]\n'{name}' = '{ROWS}'\n")
    assert isinstance(first.mapping, RowStationaryAttr)
    assert first.mapping.data.e == 2
    assert second.mapping is None


@pytest.mark.parametrize("name", ["second", "third"])
def test_a_fused_layer_goes_by_any_of_its_nodes(tmp_path: Path, name: str) -> None:
    first, second = pinned(tmp_path / "m.toml", f"[layers]\n{name} = '{FREE}'\n")
    assert first.mapping is None
    assert isinstance(second.mapping, MappingAttr)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    module = parse_module(CHAIN)
    path = tmp_path / "m.toml"
    path.write_text(f"[layers]\nfirst = '{ROWS}'\nthird = '{FREE}'\n")
    PinMappingsPass(str(path)).apply(new_ir_context(), module)
    path.write_text(written(module))
    assert mappings(path) == {"t/a": ROWS, "second": FREE}


def test_layers_of_one_node_have_names_of_their_own(tmp_path: Path) -> None:
    module = parse_module(CHAIN.replace('{tensor = "t/a"} ', "").replace('fused["second", "third"]', '"first"'))
    path = tmp_path / "m.toml"
    path.write_text(f"[layers]\n'first#2' = '{ROWS}'\nfirst = '{FREE}'\n")
    PinMappingsPass(str(path)).apply(new_ir_context(), module)
    path.write_text(written(module))
    assert mappings(path) == {"first": FREE, "first#2": ROWS}


def test_unknown_layers_are_all_reported(tmp_path: Path) -> None:
    found = problems(tmp_path / "m.toml", f"[layers]\nfrist = '{ROWS}'\nother = '{ROWS}'\n")
    assert [problem.code for problem in found] == ["CAT-C003", "CAT-C003"]
    assert "did you mean first" in found[0].hint


def test_a_layer_is_named_once(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "m.toml", f"[layers]\nsecond = '{ROWS}'\nthird = '{ROWS}'\n")
    assert problem.message == "'third' and 'second' are the same layer"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CatenaError, match="cannot read"):
        PinMappingsPass(str(tmp_path / "none.toml")).apply(new_ir_context(), parse_module(CHAIN))


def test_a_tensor_keeps_its_name_from_a_node_of_the_same_name(tmp_path: Path) -> None:
    module = parse_module(
        CHAIN.replace('loc("first")', 'loc("second")')
        .replace('{tensor = "t/a"} ', "")
        .replace("post <relu> -> tensor<4xf32> loc(fused", 'post <relu> {tensor = "second"} -> tensor<4xf32> loc(fused')
    )
    path = tmp_path / "m.toml"
    path.write_text(f"[layers]\nsecond = '{ROWS}'\n'second#2' = '{FREE}'\n")
    PinMappingsPass(str(path)).apply(new_ir_context(), module)
    first, second = (op for op in module.walk() if isinstance(op, LinkOp))
    assert (str(first.mapping), str(second.mapping)) == (FREE, ROWS)
    path.write_text(written(module))
    assert mappings(path) == {"second#2": FREE, "second": ROWS}


def test_names_of_any_characters_are_written_and_read(tmp_path: Path) -> None:
    @settings(max_examples=examples(60), derandomize=True, deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12))
    def check(name: str) -> None:
        module = parse_module(CHAIN)
        link = next(op for op in module.walk() if isinstance(op, LinkOp))
        link.properties["tensor"] = StringAttr(name)
        link.properties["mapping"] = parse_attribute(FREE)
        path = tmp_path / "m.toml"
        path.write_text(written(module), encoding="utf-8", newline="")
        assert mappings(path) == {name: FREE}
        before = str(module)
        del link.properties["mapping"]
        PinMappingsPass(str(path)).apply(new_ir_context(), module)
        assert str(module) == before

    check()


def parse_attribute(text: str) -> Attribute:
    return UnicodeParser(new_ir_context(), text).parse_attribute()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[layers", "the mapping file is not TOML"),
        ("layers = 3", "layers is not a table"),
        ("[layer]\nfirst = 'x'", "unknown key 'layer'"),
        ("[layers]\nfirst = 3", "the mapping of 'first' is not valid: expected text, found int"),
        ("[layers]\nfirst = '3 : i32'", "the mapping of 'first' is not valid: '3 : i32': '>' expected"),
        ("[layers]\nfirst = '#schedule.loop<C.op>'", "the mapping of 'first' is not valid: expected #schedule.mapping"),
        ("[layers]\nfirst = '#schedule.mapping<'", "the mapping of 'first' is not valid: '>' expected"),
        ("format = 2", "the mapping file has another format"),
        ("format = true", "the mapping file has another format"),
        ("format = 1.0", "the mapping file has another format"),
        ("[layers.first]\nmappings = ''", "unknown key 'mappings'"),
        ("[layers.first]\nloops = 3", "loops is not text"),
        ("target = 3", "target is not text"),
        (f"[layers]\nfirst = '{FREE} and {ROWS}'", "the mapping of 'first' is not valid: unexpected text after"),
        ("[layers]\nfirst = '#schedule.mapping<for C.op 0>'", "a tile has 1 to"),
        ("zeros = 3", "zeros is not a table"),
        ("[zeros]\nfirst = 0.5", "the zeros of 'first' are not valid: expected { input = SHARE"),
        ("[zeros]\nfirst = { inputs = 0.5 }", "the zeros of 'first' are not valid: expected { input = SHARE"),
        ("[zeros]\nfirst = { input = 'many' }", "the zeros of 'first' are not valid: a share is a number"),
        ("[zeros]\nfirst = { input = 1.5 }", "the zeros of 'first' are not valid: a share of zeros is from 0 to 1"),
        ("[layers]\nfirst = '#schedule.mapping<store glb [I], store glb [I]>'", "a tensor is stored twice"),
    ],
)
def test_what_is_no_mapping_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "m.toml"
    (problem,) = problems(path, text)
    place = 1 if "unknown key 'layer'" in message else len(text.splitlines())
    assert (problem.code, problem.stage, problem.where) == ("CAT-C003", "mapped", f"{path}, line {place}")
    assert message in problem.message
    assert problem.expected
    assert problem.found
    assert problem.hint


def test_zeros_are_put_on_links_and_written_again(tmp_path: Path) -> None:
    module = parse_module(CHAIN)
    path = tmp_path / "m.toml"
    path.write_text("[zeros]\nfirst = { input = 0.25, output = 1 }\n")
    PinMappingsPass(str(path)).apply(new_ir_context(), module)
    first, second = (op for op in module.walk() if isinstance(op, LinkOp))
    assert str(first.zeros) == "#gconv.zeros<input 0.25, output 1.0>"
    assert (first.mapping, second.zeros) == (None, None)
    assert str(parse_attribute(str(first.zeros))) == str(first.zeros)
    assert written(module).endswith('\n\n[zeros]\n"t/a" = { input = 0.25, output = 1.0 }\n')


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(b"[layers]\n\xff = 3")
    with pytest.raises(CatenaError, match=r"line 2.: the mapping file is not TOML"):
        PinMappingsPass(str(path)).apply(new_ir_context(), parse_module(CHAIN))


@pytest.mark.parametrize(
    "text", [f"format = {'9' * 5000}", f"format = 0x{'F' * 5000}", "\ufeffformat = 1", f"a = {'[' * 5000}"]
)
def test_what_cannot_be_read_is_said_with_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(CatenaError, match=r"line 1.: ") as caught:
        PinMappingsPass(str(tmp_path / "m.toml")).apply(new_ir_context(), parse_module(CHAIN))
    assert len(str(caught.value)) < 500


def test_problems_of_one_file_are_reported_together(tmp_path: Path) -> None:
    found = problems(tmp_path / "m.toml", "other = 1\n[layers]\nfirst = 3\nsecond = '?'\n")
    assert [problem.where.rpartition(" ")[2] for problem in found] == ["1", "3", "4"]
