"""map-row-stationary: every link gets a mapping; given ones are expanded and checked; nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from xdsl.dialects.builtin import ModuleOp

import passes.searching.row_stationary
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.schedule import MappingAttr, Objective
from dialects.target import MachineOp
from passes.map_row_stationary import MapRowStationaryPass
from passes.mapping.fit import violations
from passes.mapping.search import best_mapping, search
from passes.verification import verify_module
from tests.examples import examples
from tests.filechecking import check_ir, new_ir_context, parse_module, run_passes
from tests.passes.chains import Chain, links_of, random_chains, run_chain
from tests.passes.mapping.machines import EYERISS, ODD, TINY, machine_like_eyeriss

CONV = '<C op 8 ks 2, H opc 4 ks 3, W opc 4 ks 3> "mul" add'
KINDS = ("tensor<2x6x6xf32>", "tensor<16x3x3xf32>", "tensor<8x4x4xf32>")


def conv(name: str, mapping: str = "", nest: str = CONV) -> str:
    """A link from `%x` and `%w` to `%name`."""
    given = f" {{mapping = {mapping}}}" if mapping else ""
    x, w, y = KINDS
    return f'%{name} = gconv.link %x : {x} by %w : {w} {nest}{given} -> {y} loc("{name}")'


def module_text(*links: str, machine: Machine = EYERISS) -> str:
    x, w, y = KINDS
    body = "\n      ".join(links)
    return f"""{MachineOp.of(machine)!s}
    func.func @main(%x: {x}, %w: {w}) -> {y} {{
      {body}
      func.return %a : {y}
    }}"""


def problems(text: str) -> list[Diagnostic]:
    with pytest.raises(CatenaError) as caught:
        run_passes(parse_module(text), "map-row-stationary")
    return list(caught.value.diagnostics)


NOTATION = "#schedule.row_stationary<m 4, n 1, e 2, p 4, q 1, r 2, t 1>"
EXPANDED = (
    "#schedule.mapping<for C.op 4, store spad [K], for H.opc 2, store glb [O], store glb [I], par C.ks 1 on row, "
    "par H.ks 1 on row, par H.opc 1 on col>"
)
FREE = "#schedule.mapping<store glb [O, I], for C.op 2, store spad [K], for W.opc 3, par H.ks 1 on row>"

OPTIMAL = "#schedule.search<edp in row_stationary, optimal>"


def test_links_get_mappings_and_keep_those_they_have() -> None:
    found = best_mapping_text()
    check_ir(
        module_text(conv("a"), conv("b", NOTATION), conv("c", FREE)),
        "map-row-stationary",
        f"""
        CHECK:      %a = gconv.link %x : {KINDS[0]} by %w : {KINDS[1]} {CONV} {{mapping = {found}, search = {OPTIMAL}}}
        CHECK-SAME: loc("a")
        CHECK-NEXT: %b = gconv.link {{{{.*}}}} {{mapping = {EXPANDED}}} -> {KINDS[2]} loc("b")
        CHECK-NEXT: %c = gconv.link {{{{.*}}}} {{mapping = {FREE}}} -> {KINDS[2]} loc("c")
        CHECK-NEXT: func.return %a
        """,
        locations=True,
    )


def best_mapping_text(objective: Objective = Objective.EDP) -> str:
    (link,) = links_of(parse_module(module_text(conv("a"))))
    return str(MappingAttr(best_mapping(link.spec, (2, 6, 6), EYERISS, objective)))


@pytest.mark.parametrize("objective", Objective)
def test_the_objective_is_an_option(objective: Objective) -> None:
    module = parse_module(module_text(conv("a")))
    run_passes(module, f"map-row-stationary{{objective={objective.value}}}")
    assert str(links_of(module)[0].mapping) == best_mapping_text(objective)


def test_a_second_run_changes_nothing() -> None:
    module = parse_module(module_text(conv("a"), conv("b", NOTATION)))
    run_passes(module, "map-row-stationary")
    once = str(module)
    run_passes(module, "map-row-stationary")
    assert str(module) == once


def test_links_of_equal_loops_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []

    def counting(*arguments: object) -> object:
        searched.append(str(arguments[4]))
        return search(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(passes.searching.row_stationary, "search", counting)
    relu = conv("b", nest=f"{CONV} post <relu>")
    other = conv("c", nest='<C op 8 ks 2, H opc 4 ks 3, W opc 4 ks 3> "max" add')
    module = parse_module(module_text(conv("a"), relu, other))
    run_passes(module, "map-row-stationary")
    assert searched == ["a", "c"]
    mappings = [link.mapping for link in links_of(module)]
    assert mappings[0] == mappings[1]


def test_mappings_that_do_not_fit_are_all_reported() -> None:
    too_wide = (
        "#schedule.mapping<store glb [O, I], store spad [K], par H.ks 1 on row, par W.opc 1 on col, par C.op 1 on col>"
    )
    spilled = "#schedule.mapping<for H.ks 1, store glb [O, I], store spad [K]>"
    found = problems(module_text(conv("a", too_wide), conv("b"), conv("c", spilled), conv("d", "3 : i32")))
    assert [(d.code, d.stage, d.node) for d in found] == [
        ("CAT-F002", "mapped", "a"),
        ("CAT-F002", "mapped", "c"),
        ("CAT-R003", "mapped", "d"),
    ]
    assert [(d.message, d.expected, d.found) for d in found[:2]] == [
        ("columns of the array", "at most 14", "32"),
        ("'for H.ks 1' would spill partial sums to DRAM", "ks loops below the storage of O", "for H.ks 1"),
    ]
    assert found[2].message == "3 : i32 is no mapping"


def test_a_notation_that_does_not_fit_is_refused() -> None:
    (problem,) = problems(module_text(conv("a", NOTATION), machine=machine_like_eyeriss(array={"rows": 5})))
    assert (problem.code, problem.node) == ("CAT-F002", "a")
    assert problem.message == "2 x 1 sets of 3 x 2 elements do not fit the array"
    assert (problem.expected, problem.found) == ("5 x 14 elements", "12")


def test_a_notation_without_loops_to_act_on_is_refused() -> None:
    found = problems(f"""{MachineOp.of(EYERISS)!s}
    func.func @main(%x: tensor<2x6x6xf32>) -> tensor<2x5x5xf32> {{
      %a = gconv.link %x : tensor<2x6x6xf32> <C opc 2, H opc 5 ks 2, W opc 5 ks 2> "pass" max
        {{mapping = {NOTATION}}} -> tensor<2x5x5xf32> loc("pool")
      func.return %a : tensor<2x5x5xf32>
    }}""")
    assert [(d.node, d.message, d.found) for d in found] == [
        ("pool", "m has no loop to act on", "4"),
        ("pool", "p has no loop to act on", "4"),
        ("pool", "r has no loop to act on", "2"),
    ]


def test_a_link_that_no_mapping_fits_is_named_with_what_it_needs() -> None:
    machine = machine_like_eyeriss(name="m", glb={"banks": 1, "bank_words": 64})
    (problem, other) = problems(module_text(conv("a"), conv("b"), machine=machine))
    assert (problem.code, problem.node, problem.message) == (
        "CAT-F001", "a",
        "glb.banks: no row-stationary mapping of this link fits, the buffer is too small for the smallest tiles",
    )  # fmt: skip
    assert (problem.expected, problem.found, other.node) == ("at least 2 banks of 64 words", "1", "b")


def test_without_a_machine_or_a_function_there_is_nothing_to_map_to() -> None:
    with pytest.raises(CatenaError, match=r"no target\.machine") as caught:
        MapRowStationaryPass().apply(new_ir_context(), parse_module("func.func @main() { func.return }"))
    assert [(d.code, d.stage) for d in caught.value.diagnostics] == [("CAT-R003", "mapped")]
    with pytest.raises(CatenaError, match="no function @main"):
        MapRowStationaryPass().apply(new_ir_context(), ModuleOp([MachineOp.of(EYERISS)]))


@pytest.mark.parametrize("machine", [EYERISS, TINY, ODD], ids=lambda machine: machine.name)
@settings(max_examples=examples(25), derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(chain=random_chains(max_ops=5))
def test_chains_mean_the_same_and_every_mapping_is_legal(machine: Machine, chain: Chain) -> None:
    before = run_chain(chain)
    chain.body.block.insert_op_before(MachineOp.of(machine), chain.body.block.first_op)
    untouched = chain.clone()
    run_passes(chain, "map-row-stationary")
    verify_module(chain)
    for found, expected in zip(run_chain(chain), before, strict=True):
        assert found.keys() == expected.keys()
        assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)
    for link in links_of(chain):
        assert isinstance(link.mapping, MappingAttr)
        assert violations(link.spec, link.mapping.data, machine) == []
        del link.properties["mapping"]
        # links whose results are updates in order are not searched
        link.properties.pop("search", None)
    assert str(chain) == str(untouched)


def test_a_mapping_file_reaches_the_mapper(tmp_path: Path) -> None:
    path = tmp_path / "mappings.toml"
    path.write_text(f"[layers]\nb = '{NOTATION}'\n")
    module = parse_module(module_text(conv("a"), conv("b")))
    run_passes(module, f'pin-mappings{{file="{path}"}},map-row-stationary')
    assert [str(link.mapping) for link in links_of(module)] == [best_mapping_text(), EXPANDED]
