"""Fused groups as text and code: read again, assembled again, no longer for more turns; what cannot be code."""

from __future__ import annotations

from dataclasses import replace

import pytest
from xdsl.context import Context
from xdsl.parser import Parser

from backends.container import parse_program, program_bytes
from backends.generic.emit import emit
from backends.generic.isa import ISA
from dialects.diagnostics import CatenaError
from dialects.gconv import LoopKind
from dialects.schedule import Loop, Mapping, Temporal
from passes.fusion.holds import plan_group
from passes.place_nest import PlaceNestPass
from tests.backends.generic.fused_groups import chain_of, check_group, fuse, with_nests
from tests.backends.generic.group_cases import (
    ALL,
    CASES,
    MACHINE,
    mapped,
)
from tests.backends.generic.layers import machine
from tests.backends.round_trips import assert_listing_assembles, read_again
from tests.filechecking import new_ir_context, print_module
from tests.passes.fusion.groups import Builder, conv_pair, window


def test_unfinished_sums_do_not_leave_for_holds() -> None:
    group, mapping = CASES["rows, halo kept"]()
    target = machine({"glb": {"kind": "memory", "operands": ["I", "K"]}, "acc": {"kind": "memory", "bypass": ALL}})
    nests = with_nests(group, mapping, target)
    around = (Temporal(Loop("C", LoopKind.KS), 1), Temporal(Loop("H", LoopKind.OPC), 1))
    early = tuple((link, Mapping((nest.nodes[0], *around, *nest.nodes[1:]))) for link, nest in nests.branches)
    chain = chain_of(group, target)
    fuse(chain, group, replace(nests, branches=early))
    with pytest.raises(CatenaError, match="before they are finished"):
        PlaceNestPass().apply(Context(), chain.module)


def test_sums_go_on_only_where_some_come_about_and_stay() -> None:
    group, mapping = CASES["reduced channels"]()
    bare = machine({"glb": {"kind": "memory", "operands": ["I", "K"]}, "acc": {"kind": "memory", "bypass": ALL}})
    for level, target, message in (
        (0, bare, "would go on in glb, which takes none"),
        (1, MACHINE, "would leave the chip unfinished between turns"),
        (None, MACHINE, "would leave the chip unfinished between turns"),
    ):
        placed = (replace(each, level=level) if each.tensor == "conv2.out" else each for each in mapping.retentions)
        with pytest.raises(CatenaError) as caught:
            plan_group(group, replace(mapping, retentions=tuple(placed)), target, "placed", "node")
        (problem,) = caught.value.diagnostics
        assert (problem.code, problem.message) == ("CAT-F002", f"for C.ks 3: sums of conv2.out {message}")
        assert problem.hint


def test_more_turns_than_a_sequencer_takes_are_refused() -> None:
    net = Builder()
    net.conv(net.conv(net.external((1, 8), "x"), 1, [window("H", 8)], name="one"), 1, [window("H", 8, 4)], name="two")
    group = net.group()
    check_group(group, mapped(group, "H.opc 2, H.ks 1", 2, two_out=1), MACHINE, modes=("blocks",))
    with pytest.raises(CatenaError, match=r"20 turns are more than a sequencer takes for so few words \(13\)"):
        plan_group(group, mapped(group, "H.opc 1, H.ks 1", 2, two_out=1), MACHINE, "placed", "node")


def test_turns_and_sums_are_text_that_is_read_again() -> None:
    group, mapping = CASES["reduced channels"]()
    chain = chain_of(group, MACHINE)
    fuse(chain, group, with_nests(group, mapping, MACHINE))
    PlaceNestPass().apply(Context(), chain.module)
    text = print_module(chain.module)
    assert "for C.ks 3" in text
    assert "group.run 1 <1, 4, 1, 4 along 0 {0: 0 size 3, 1: 3 size 1}, " in text
    assert print_module(Parser(new_ir_context(), text).parse_module()) == text


def test_code_does_not_grow_with_turns() -> None:
    lengths = [
        len(check_group(g := conv_pair(extent, 1), mapped(g, "H.opc 2", 1), MACHINE, modes=("blocks",)).code[0])
        for extent in (20, 60)
    ]
    assert lengths[0] == lengths[1]


def test_placed_groups_are_text_that_can_be_read_again() -> None:
    group, mapping = CASES["tiles, kept by tensor"]()
    chain = chain_of(group, MACHINE)
    fuse(chain, group, with_nests(group, mapping, MACHINE))
    PlaceNestPass().apply(Context(), chain.module)
    assert emit(read_again(chain.module), "generic").code[0] == emit(chain.module, "generic").code[0]


def test_listings_of_groups_assemble_to_the_same_program() -> None:
    program = check_group(*CASES["products"](), MACHINE, modes=("blocks",))
    assert_listing_assembles(program, ISA)


def test_tensors_that_do_not_fit_are_named() -> None:
    group, mapping = CASES["rows, halo kept"]()
    small = machine({"glb": {"kind": "memory", "words": 300, "bypass": ALL}})
    chain = chain_of(group, small)
    fuse(chain, group, with_nests(group, mapping, small))
    with pytest.raises(CatenaError, match="the tensors of the group do not fit glb") as caught:
        PlaceNestPass().apply(Context(), chain.module)
    (problem,) = caught.value.diagnostics
    assert (problem.expected, problem.found) == ("at most 300 words", "484 words")
    assert "f1 208" in problem.message or "208" in problem.message


def test_nests_take_what_lies_in_holds_from_there() -> None:
    group, mapping = CASES["rows, halo kept"]()
    wrong = with_nests(group, mapping, MACHINE)
    first, second = wrong.branches
    chain = chain_of(group, MACHINE)
    fuse(chain, group, replace(wrong, branches=((first[0], Mapping(())), second)))
    with pytest.raises(CatenaError, match="the nest does not take it from there") as caught:
        PlaceNestPass().apply(Context(), chain.module)
    assert {each.expected for each in caught.value.diagnostics} == {
        f"store glb [{operand}] before all loops" for operand in ALL
    }


def test_files_with_groups_are_read_back() -> None:
    program = check_group(*CASES["products"](), MACHINE, modes=("blocks",))
    again = parse_program(program_bytes(program), "test")
    assert again.groups == program.groups
    assert {layer.group for layer in again.layers} == {again.groups[0].name}
