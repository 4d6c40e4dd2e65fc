"""Mapping files: one statement a line, everything that is wrong at its line, and never anything but a `CatenaError`."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp

from compiler.targets import select_target
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp
from passes.mapping_file.positions import Position, positions
from passes.pin_mappings import PinMappingsPass
from tests.examples import examples
from tests.filechecking import new_ir_context, parse_module

CHAIN = """
func.func @main(%x: tensor<8x12x12xf32>, %k: tensor<64x3x3xf32>) -> tensor<8x10x10xf32> {
  %a = gconv.link %x : tensor<8x12x12xf32> by %k : tensor<64x3x3xf32>
    <C op 8 ks 8, H opc 10 ks 3, W opc 10 ks 3> "mul" add {tensor = "a"} -> tensor<8x10x10xf32> loc("conv")
  func.return %a : tensor<8x10x10xf32>
}
"""
LOOPS = "C op 8 ks 8, H opc 10 ks 3, W opc 10 ks 3"
HEAD = f'format = 1\ntarget = "TARGET"\n\n[layers.a]\nloops = "{LOOPS}"\nmapping = """\n'
ARRAY = (
    "store glb [O]",
    "for C.ks 4",
    "store glb [I]",
    "for C.op 4",
    "store spad [K]",
    "par H.ks 1 on row",
    "par H.opc 1 on col",
)
LEVELS = ("store glb [I, K, O]", "for C.op 4", "par C.op 1 on col", "par C.ks 1 on row", "store rf [K, O]")
MAPPINGS = {"eyeriss": ARRAY, "generic": LEVELS}


def module_for(target: str) -> ModuleOp:
    module = parse_module(CHAIN)
    first = module.body.block.first_op
    assert first is not None
    module.body.block.insert_op_before(select_target(target, {}).machine_op.clone(), first)
    return module


def file_text(target: str, statements: tuple[str, ...]) -> str:
    return HEAD.replace("TARGET", target) + "\n".join([*statements, '"""', ""])


def pinned(path: Path, text: str, target: str) -> LinkOp:
    path.write_text(text, encoding="utf-8", newline="")
    module = module_for(target)
    PinMappingsPass(str(path)).apply(new_ir_context(), module)
    return next(op for op in module.walk() if isinstance(op, LinkOp))


def problems(path: Path, text: str, target: str) -> list[Diagnostic]:
    with pytest.raises(CatenaError) as caught:
        pinned(path, text, target)
    return list(caught.value.diagnostics)


def lines(found: list[Diagnostic]) -> list[int]:
    return [int(each.where.rpartition("line ")[2]) for each in found]


@pytest.mark.parametrize("target", MAPPINGS)
def test_statements_become_the_mapping(target: str, tmp_path: Path) -> None:
    statements = MAPPINGS[target]
    remarked = tuple(f"  {each},  # {number}" for number, each in enumerate(statements))
    for text in (file_text(target, statements), file_text(target, (*remarked, "", "# the end"))):
        link = pinned(tmp_path / "m.toml", text, target)
        assert str(link.mapping) == f"#schedule.mapping<{', '.join(statements)}>"


@pytest.mark.parametrize(
    ("target", "change", "line", "message", "more"),
    [
        ("eyeriss", ("store glb [O]", "store gbl [O]"), 7, "tensor O cannot stay in this memory", "glb"),
        ("eyeriss", ("for C.op 4", "for D.op 4"), 10, "names a loop the link does not have", "C.op"),
        ("eyeriss", ("par H.opc 1 on col", "par H.opc 1 on cow"), 13, "names an axis", "row or col"),
        ("eyeriss", ("par H.opc 1 on col", "par H.opc 1 on col\npar W.opc 1 on col"), 14, "columns of the array", "14"),
        ("eyeriss", ("for C.ks 4\n", "for C.ks 5\n"), 6, "input words in a processing element", "12"),
        ("generic", ("store rf [K, O]", "store fr [K, O]"), 11, "no such memory", "rf"),
        ("generic", ("par C.op 1 on col", "par H.opc 1 on col\npar W.opc 1 on col"), 10, "positions along col", "16"),
        ("generic", ("for C.op 4", "for C.op 4\nstore rf [I]"), 10, "lays words of rf", ""),
    ],
)
def test_what_does_not_fit_is_found_at_its_statement(
    target: str, change: tuple[str, str], line: int, message: str, more: str, tmp_path: Path
) -> None:
    text = file_text(target, MAPPINGS[target])
    assert text.count(change[0]) == 1
    found = problems(tmp_path / "m.toml", text.replace(*change), target)
    chosen = [each for each in found if message in each.message]
    assert chosen, found
    assert lines(chosen)[0] == line
    assert chosen[0].node == "conv"
    assert more in chosen[0].expected


def test_statements_that_are_wrong_in_different_ways_are_reported_together(tmp_path: Path) -> None:
    statements = ("store rf [O]", "for D.op 4", "par C.op 1 on col", "store glb [O]", "store fr [K]")
    found = problems(tmp_path / "m.toml", file_text("generic", statements), "generic")
    assert [(line, each.message.rpartition("' ")[2]) for line, each in zip(lines(found), found, strict=True)] == [
        (8, "names a loop the link does not have"),
        (11, "'store fr [K]': no such memory"),
        (9, "lays words of rf over several of them"),
        (10, "stands inside an axis that glb is not part of"),
        (10, "brings O outwards again"),
    ]


def test_statements_that_cannot_be_read_hide_none_of_the_others(tmp_path: Path) -> None:
    statements = ("store glb [I, K, O]", "for C.op x", "for D.op 4", "store fr [K]", "stoer rf [O]")
    found = problems(tmp_path / "m.toml", file_text("generic", statements), "generic")
    assert sorted(lines(found)) == [8, 9, 10, 11]
    assert {each.code for each in found} == {"CAT-C003", "CAT-F002"}


def test_a_tile_of_too_many_digits(tmp_path: Path) -> None:
    (found,) = problems(tmp_path / "m.toml", file_text("generic", (f"for C.ks {'9' * 5000}",)), "generic")
    assert found.message.endswith("'for C.ks...': a number has too many digits")
    assert lines([found]) == [7]


@pytest.mark.parametrize("tile", ["\uff14", "\u0664", "\u00bd", "4\uff14"])
def test_digits_of_tiles_are_those_of_ascii(tile: str, tmp_path: Path) -> None:
    (found,) = problems(tmp_path / "m.toml", file_text("generic", (f"for C.ks {tile}",)), "generic")
    assert found.message.endswith(f"Unexpected character: {tile[-1]}")
    assert lines([found]) == [7]


@pytest.mark.parametrize(
    ("added", "line", "found", "hint"),
    [
        ('[Layers."y"]', 3, "Layers", "did you mean layers?"),
        ('[[LAYERS]]\nloops = ""', 3, "LAYERS", "did you mean layers?"),
        ('\n[layer.a]\nloops = ""\n[layer.b]', 4, "layer", "did you mean layers?"),
        ('zeroes.a.input = 0.5', 3, "zeroes", "did you mean zeros?"),
        ('[colours]\nred = 1', 3, "colours", "known: format, target, mode, groups, layers, zeros"),
    ],
)  # fmt: skip
def test_a_table_that_no_mapping_file_has(added: str, line: int, found: str, hint: str, tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "m.toml", f'format = 1\ntarget = "generic"\n{added}\n', "generic")
    assert (problem.code, problem.message) == ("CAT-C003", f"unknown key '{found}'")
    assert problem.where == f"{tmp_path / 'm.toml'}, line {line}"
    assert (problem.expected, problem.found, problem.hint) == ("a key of a mapping file", found, hint)


def test_only_line_feeds_end_lines(tmp_path: Path) -> None:
    statements = ("store glb [I, K, O]  # one\u2028line", "for C.op 0")
    (problem,) = problems(tmp_path / "m.toml", file_text("generic", statements), "generic")
    assert lines([problem]) == [8]


@pytest.mark.parametrize("tile", ["4", "?"])
def test_a_mapping_cannot_skip_a_memory(tile: str, tmp_path: Path) -> None:
    statements = ("store glb [I, O]", f"for C.op {tile}", "for H.opc 1", "for W.opc 1", "for C.op 1", "store rf [K, O]")
    (problem,) = problems(tmp_path / "m.toml", file_text("generic", statements), "generic")
    assert problem.message == "K goes past glb, where it has to stay"
    assert problem.code == "CAT-F002"
    assert lines([problem]) == [6]


def test_by_how_much_a_memory_is_too_small_is_said(tmp_path: Path) -> None:
    whole = ("store glb [I, K, O]", "store rf [I, K, O]")
    (problem,) = problems(tmp_path / "m.toml", file_text("generic", whole), "generic")
    assert problem.expected == "at most 256"
    assert problem.hint == f"{int(problem.found) - 256} too many"
    assert lines([problem]) == [8]


def test_another_target_and_other_loops_are_refused_together(tmp_path: Path) -> None:
    text = file_text("eyeriss", ARRAY).replace("H opc 10", "H opc 9") + "\n[layers.b]\n"
    found = problems(tmp_path / "m.toml", text, "generic")
    assert sorted(lines(found)) == [2, 5, 16]
    target, loops = (next(each for each in found if word in each.message) for word in ("target", "loops"))
    assert (target.expected, target.found) == ("generic", "eyeriss")
    assert (loops.expected, loops.found) == ("H opc 10 ks 3", "H opc 9 ks 3")


def test_a_layer_without_a_mapping_is_left_to_the_search(tmp_path: Path) -> None:
    text = f'[layers.a]\nloops = "{LOOPS}"\n'
    assert pinned(tmp_path / "m.toml", text, "eyeriss").mapping is None


def test_the_host_is_a_mapping(tmp_path: Path) -> None:
    assert str(pinned(tmp_path / "m.toml", '[layers.a]\nmapping = "host"\n', "eyeriss").mapping) == "#schedule.host"


def test_lines_of_keys_are_found() -> None:
    text = 'a = 1\n[ b . \'c.d\' ]\n# [x]\ne.f = \'\'\'\n[g]\nh = 1\'\'\'\n["i]\\""]\nj = """k = 1"""\nl = 2\n'
    assert positions(text) == {
        ("a",): Position(1, 1),
        ("b", "c.d"): Position(2, 2),
        ("b", "c.d", "e", "f"): Position(4, 5),
        ('i]"',): Position(7, 7),
        ('i]"', "j"): Position(8, 8),
        ('i]"', "l"): Position(9, 9),
    }


@pytest.mark.parametrize("target", MAPPINGS)
def test_a_changed_file_is_used_or_refused(target: str, tmp_path: Path) -> None:
    text = file_text(target, MAPPINGS[target])
    words = (
        "store",
        "for",
        "par",
        "C.op",
        "H.ks",
        "row",
        "glb",
        "rf",
        "0",
        "-1",
        "9999999999",
        "...",
        "[",
        '"""',
        "=",
        "#",
        "?",
    )

    @settings(max_examples=examples(120), derandomize=True, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        changed = text
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(changed)))
            length = data.draw(st.integers(0, 12))
            new = data.draw(st.sampled_from(words) | st.text(st.characters(exclude_categories=["Cs"]), max_size=3))
            changed = changed[:start] + new + changed[start + length :]
        found: tuple[Diagnostic, ...] = ()
        try:
            link = pinned(tmp_path / "m.toml", changed, target)
            assert link.mapping is None or str(link.mapping).startswith("#schedule.")
        except CatenaError as error:
            found = error.diagnostics
        for each in found:
            assert each.code in ("CAT-C003", "CAT-F002", "CAT-R003")
            assert each.where.startswith(str(tmp_path))

    check()


@pytest.mark.parametrize("again", ["for C.op 4", "for C.op 5"])
def test_a_second_cut_that_cuts_nothing_is_refused(again: str, tmp_path: Path) -> None:
    statements = tuple(f"{each}\n{again}" if each == "for C.op 4" else each for each in MAPPINGS["eyeriss"])
    assert statements != MAPPINGS["eyeriss"]
    problem, *_ = problems(tmp_path / "m.toml", file_text("eyeriss", statements), "eyeriss")
    assert (problem.code, problem.expected) == ("CAT-C003", "at most 3")
    assert problem.message == f"'{again}' cuts nothing: the tile around it is no larger"
    assert problem.where.endswith("line 11")


def test_a_tile_is_no_larger_than_its_loop(tmp_path: Path) -> None:
    statements = tuple(each.replace("for C.op 4", "for C.op 400") for each in MAPPINGS["eyeriss"])
    problem, *_ = problems(tmp_path / "m.toml", file_text("eyeriss", statements), "eyeriss")
    assert (problem.code, problem.found) == ("CAT-C003", "400")
    assert problem.message == "'for C.op 400': the tile is larger than its loop"
    assert problem.where.endswith("line 10")
    assert problem.expected.startswith("at most ")
