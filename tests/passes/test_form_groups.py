"""form-groups: fuse statements of a mapping file become groups with mappings, and what they cannot say is located."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping, Retention
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import main_function
from passes.form_groups import FormGroupsPass
from passes.fusion.names import chain_names, group_names
from passes.mapping_file.statements import WrittenGroup, read_statements, written_group
from passes.mapping_file.writing import MappingText
from tests.dialects.test_fused_attribute import fused_mappings
from tests.examples import examples
from tests.filechecking import check_ir, new_ir_context, parse_module
from tests.passes.chains import check_pass, random_chains
from tests.passes.fusion.random_links import random_links

CHAIN = """
target.machine @small {name = "small", summary = "", clock_mhz = 1.0, word_bits = 16 : i64,
  limits = {post_steps = 8 : i64, post_operands = 4 : i64}, configuration_us = 0.0, figures = {},
  levels = [{kind = "memory", name = "dram"}, {kind = "memory", name = "glb", words = 4096 : i64},
            {kind = "memory", name = "rf", words = 16 : i64}]}
func.func @main(%x: tensor<2x8x6xf64> {onnx.name = "x"}, %k: tensor<16x3x1xf64> {onnx.name = "k"})
    -> (tensor<4x8x6xf64> {onnx.name = "y"}, tensor<2x8x6xf64> {onnx.name = "z"}) {
  %a = gconv.link %x : tensor<2x8x6xf64> <C opc 2, H opc 8, W opc 6> "pass" none post <relu> {tensor = "a"}
    -> tensor<2x8x6xf64> loc("first")
  %other = gconv.link %a : tensor<2x8x6xf64> <C opc 2, H opc 8, W opc 6> "pass" none post <neg> -> tensor<2x8x6xf64>
    loc("other")
  %kernel = gconv.view %k <[3, 1, 1]> : tensor<16x3x1xf64> -> tensor<8x3x1xf64> loc("second")
  %b = gconv.link %a : tensor<2x8x6xf64> by %kernel : tensor<8x3x1xf64>
    <C op 4 ks 2, H opc 8 ks 3 pad 1, W opc 6> "mul" add -> tensor<4x8x6xf64> loc("second")
  func.return %b, %other : tensor<4x8x6xf64>, tensor<2x8x6xf64>
}
"""
STATEMENT = '''
groups = """
fuse "a", "second" {
    store glb ["k"]
    for H.opc 4        # rows
    store glb [recompute "a", "x"]
    sequential {
        "a": <for W.opc 2>, "second": <for C.op 2, store rf [K]>
    }
}
"""
'''


def formed(path: Path, text: str, chain: str = CHAIN) -> ModuleOp:
    path.write_text(text, encoding="utf-8")
    module = parse_module(chain)
    FormGroupsPass(str(path)).apply(new_ir_context(), module)
    return module


def problems(path: Path, text: str, chain: str = CHAIN) -> list[Diagnostic]:
    with pytest.raises(CatenaError) as caught:
        formed(path, text, chain)
    assert {each.code for each in caught.value.diagnostics} == {"CAT-C003"}
    return list(caught.value.diagnostics)


def test_a_statement_makes_a_group(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(STATEMENT)
    check_ir(
        CHAIN,
        [FormGroupsPass(str(path))],
        """
// CHECK: %b, %a = gconv.fused %x, %k reads ["x", "k"] makes ["a", "second"]
// CHECK-SAME: #schedule.fused<store glb ["k"], for H.opc 4, store glb [anew "a", "x", "second"],
// CHECK-SAME: sequential {"a": <for W.opc 2>, "second": <for C.op 2, store rf [K]>}>
// CHECK-SAME: pinned
// CHECK-NEXT: ^bb0
// CHECK-NEXT:   gconv.link
// CHECK-NEXT:   gconv.view
// CHECK-NEXT:   gconv.link
// CHECK-NEXT:   gconv.yield
// CHECK: %other = gconv.link %a
""",
    )


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    module = formed(tmp_path / "m.toml", STATEMENT)
    text = MappingText(module).render()
    assert '[recompute "a", "x", "second"]' in text
    again = formed(tmp_path / "again.toml", text)
    assert str(again) == str(module)
    assert MappingText(again).render() == text


def test_a_group_names_what_an_earlier_one_makes(tmp_path: Path) -> None:
    third = '%c = gconv.link %b : tensor<4x8x6xf64> <C opc 4, H opc 8, W opc 6> "pass" none post <neg>'
    third += ' -> tensor<4x8x6xf64> loc("third")'
    chain = CHAIN.replace("func.return %b", f"{third}\n  func.return %c")
    text = """groups = '''
fuse "a" { store glb ["x", "a"] }
fuse "second", "third" { store glb ["a", "k", "second", "third"] }
'''"""
    module = formed(tmp_path / "m.toml", text, chain)
    assert [op.read_names for op in module.walk() if isinstance(op, FusedOp)] == [["x"], ["a", "k"]]


@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), min_size=1, max_size=4, unique=True))
def test_names_of_any_characters_are_written_and_read(names: list[str]) -> None:
    text = written_group(names, FusedMapping((), ()))
    assert "'" not in text
    (group,) = read_statements(text)
    assert isinstance(group, WrittenGroup)
    assert [name.text for name in group.links] == names


@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(fused_mappings())
def test_statements_say_what_the_attribute_does(mapping: FusedMapping) -> None:
    mapping = FusedAttr.of(mapping).data
    (group,) = read_statements(written_group(["some", "link"], mapping))
    assert isinstance(group, WrittenGroup)
    assert tuple(node for node, _ in group.loops) == mapping.loops
    found = {each.tensor.text: (each.memory.text, each.level, not each.mark) for each in group.places}
    assert found == {each.tensor: (each.memory, each.level, each.reuse) for each in mapping.retentions}
    assert (group.stages, tuple((name.text, nodes) for name, nodes in group.branches)) == (
        mapping.stages,
        mapping.branches,
    )


def test_groups_of_random_chains_compute_the_same(tmp_path: Path) -> None:
    path, sizes = tmp_path / "m.toml", []

    @settings(max_examples=examples(100), derandomize=True, deadline=None)
    @given(random_chains(), st.data())
    def check(module: ModuleOp, data: st.DataObject) -> None:
        links = random_links(data, module)
        if not links:
            return
        names = group_names(links, chain_names(main_function(module)))
        mapping = FusedMapping((), tuple(Retention(name, "glb", 0) for name in names.values()))
        path.write_text(f"groups = '''\n{written_group([names[link.result] for link in links], mapping)}'''\n")
        try:
            check_pass(module, [FormGroupsPass(str(path))])
        except CatenaError:
            return
        (group,) = (op for op in module.walk() if isinstance(op, FusedOp))
        assert set(group.links) == set(links)
        sizes.append(len(links))

    check()
    assert sum(size > 1 for size in sizes) > examples(100) // 10


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ('fuse "a"', 'fuse "aa"', (3, 6), 'no link is called "aa"'),
        ('fuse "a",', 'fuse "a", "first",', (3, 11), '"first" and "a" are the same link'),
        ('"a", "second" {', '"second", "other" {', (3, 6), "a group has one head"),
        ("for H.opc 4", "for HW.opc 4", (5, 9), 'for HW.opc 4: the head "second" has no dimension HW, it has C, H, W'),
        ("for H.opc 4", "for H.opc 9", (5, 9), 'for H.opc 9: the head "second" has 8 indices of H.opc'),
        ("for H.opc 4", "for H.opc 0", (5, 9), 'for H.opc 0: the head "second" has 8 indices of H.opc'),
        ("for H.opc 4", "for H.opc 4, for H.opc 2", (5, 22), "the loop H.opc is there already"),
        ('store glb ["k"]', 'store l2 ["k"]', (4, 11), "no memory is called l2"),
        ('store glb ["k"]', 'store dram [refetch "k"]', (4, 25), "nothing of it stays on the chip anyway"),
        ('store glb [recompute "a", "x"]', 'store dram ["a", "x"]', (6, 17), '"a" lies between links of the group'),
        ('["k"]', '["second.K"]', (4, 16), '"second.K" is no tensor of the group'),
        ('["k"]', '["k", "x"]', (6, 31), '"x" has a place already'),
        ('recompute "a"', 'refetch "a"', (6, 24), '"a" is made by a link of the group: recompute it'),
        ('"a", "x"]', '"a", recompute "x"]', (6, 41), '"x" is no tensor between links of the group: refetch it'),
        (
            '"a", "x"]',
            '"a", "x", recompute "second"]',
            (6, 46),
            '"second" is what the group makes: sums leave the chip and come back: refetch it',
        ),
        ("sequential {", 'sequential { store glb [refetch "second"]', (7, 37), "within links nothing stays anyway"),
        ('store glb [recompute "a", "x"]', "pipeline {", (7, 5), "cannot read this"),
        ('"a": <', '"x": <', (8, 9), '"x" is no link of the group'),
        ('"a": <', '"second": <>, "second": <', (8, 23), 'the link "second" is there already'),
        ("<for W.opc 2>", "<for W.opc 7>", (8, 9), 'for W.opc 7: the link "a" has 6 indices of W.opc'),
        ("store rf [K]", "store rf [K], store rf [K]", (8, 29), "a tensor is stored twice"),
        ("store rf [K]", "store rf [X]", (8, 62), "cannot read this"),
        ("for H.opc 4", "fro H.opc 4", (5, 5), "cannot read this"),
    ],
)
def test_what_is_wrong_is_located(tmp_path: Path, old: str, new: str, place: tuple[int, int], message: str) -> None:
    assert STATEMENT.count(old) == 1
    path = tmp_path / "m.toml"
    found = problems(path, STATEMENT.replace(old, new))
    expected = f"{path}, line {place[0]}, column {place[1]}"
    assert any(each.where == expected and message in each.message for each in found), found
    assert all(each.hint or each.expected for each in found), found


@pytest.mark.parametrize(
    ("old", "new", "found", "hint"),
    [
        ("for H.opc 4", "for H.opc 99999999999", "'99999999999 ", "expected a number of at most 9 digits"),
        ("for H.opc 4", "for H.foo 4", "'H.foo 4 ", "expected a loop such as H.opc"),
        ('fuse "a"', 'fuse "b" {} fuse "a"', '\'fuse "a", "second" {\'', "begins on a line of its own"),
        ("}", "", "the end", "'}'"),
    ],
)
def test_what_cannot_be_read_says_what_may_stand_there(
    tmp_path: Path, old: str, new: str, found: str, hint: str
) -> None:
    (problem,) = problems(tmp_path / "m.toml", STATEMENT.replace(old, new))
    assert problem.found.startswith(found)
    assert hint in problem.hint


def test_everything_wrong_is_said_at_once(tmp_path: Path) -> None:
    text = STATEMENT.replace("for H.opc 4", "for K.opc 4").replace('["k"]', '["kk"]').replace("rf [K]", "[K]")
    text = text.replace(
        'groups = """', 'groups = """\nfuse "nobody" { sequential { "a" } }\nfuse "a", "other" { for Q.g 1 }\n'
    )
    found = problems(tmp_path / "m.toml", text)
    assert [each.where.partition(", ")[2] for each in found] == [
        "line 3, column 34",
        "line 11, column 58",
        "line 4, column 25",
    ]
    text = (
        STATEMENT.replace("for H.opc 4", "for K.opc 4")
        .replace('["k"]', '["kk"]')
        .replace("store glb [rec", "store ram [rec")
    )
    found = problems(tmp_path / "m.toml", text)
    assert [each.where.partition(", ")[2] for each in found] == [
        "line 6, column 11",
        "line 5, column 9",
        "line 4, column 16",
    ]


def test_the_level_of_what_links_hand_on_is_not_within_them(tmp_path: Path) -> None:
    text = STATEMENT.replace('[recompute "a", "x"]', '["x"]').replace(
        "{\n        ", '{\n        store glb ["a"]\n        '
    )
    (problem,) = problems(tmp_path / "m.toml", text)
    assert problem.message == '"a" lives from one link to another: its place cannot be within links'
    assert problem.where.endswith("line 8, column 20")


def test_without_a_machine_every_tensor_needs_a_place(tmp_path: Path) -> None:
    chain = CHAIN[CHAIN.index("func.func") :]
    (problem,) = problems(tmp_path / "m.toml", STATEMENT, chain)
    assert problem.message == '"second" has no place'
    text = STATEMENT.replace('"a", "x"]', '"a", "x", "second"]')
    assert any(isinstance(op, FusedOp) for op in formed(tmp_path / "m.toml", text, chain).walk())


def test_links_between_those_of_a_group_are_named(tmp_path: Path) -> None:
    chain = CHAIN.replace("%b = gconv.link %a", "%b = gconv.link %other")
    (problem,) = problems(tmp_path / "m.toml", STATEMENT, chain)
    assert problem.message.startswith("a link lies between links of the group")
    assert (problem.node, problem.hint) == ("other", "put it into the group too")
    assert problem.where.endswith("line 3, column 1")


def test_a_link_with_a_mapping_and_one_of_the_host_join_no_group(tmp_path: Path) -> None:
    chain = CHAIN.replace('{tensor = "a"}', '{tensor = "a", mapping = #schedule.mapping<>}')
    (problem,) = problems(tmp_path / "m.toml", STATEMENT, chain)
    assert problem.message == "a link of a group has no mapping of its own"
    assert problem.where.endswith("line 3, column 6")
    chain = CHAIN.replace('{tensor = "a"}', '{tensor = "a", mapping = #schedule.host}')
    (problem,) = problems(tmp_path / "m.toml", STATEMENT, chain)
    assert problem.message == 'the host executes "a"'


def test_a_link_is_in_one_group(tmp_path: Path) -> None:
    text = STATEMENT.replace('groups = """', 'groups = """\nfuse "first" { }')
    (problem,) = problems(tmp_path / "m.toml", text)
    assert problem.message == '"a" is in another group'
    assert problem.where.endswith("line 4, column 6")


def test_operands_that_no_tile_fits_are_refused(tmp_path: Path) -> None:
    chain = CHAIN.replace("<C opc 2, H opc 8, W opc 6>", "<D opc 96>", 1).replace(
        "%a = gconv.link %x : tensor<2x8x6xf64>",
        "%r = gconv.view %x <[1]> : tensor<2x8x6xf64> -> tensor<96xf64>"
        ' loc("flat")\n  %flat = gconv.link %r : tensor<96xf64>',
    )
    chain = chain.replace(
        '{tensor = "a"}\n    -> tensor<2x8x6xf64> loc("first")',
        '{tensor = "a"}\n    -> tensor<96xf64> loc("first")\n'
        '  %a = gconv.view %flat <[48, 6, 1]> : tensor<96xf64> -> tensor<2x8x6xf64> loc("first")',
    )
    (problem,) = problems(tmp_path / "m.toml", STATEMENT, chain)
    assert "reshape" in problem.message
    assert problem.where.endswith("line 3, column 6")
