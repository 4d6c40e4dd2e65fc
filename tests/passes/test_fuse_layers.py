"""fuse-layers: links in a row become groups where less is moved then, and compute what they did."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from xdsl.dialects.builtin import ModuleOp

from dialects.diagnostics import CatenaError
from dialects.fused_attribute import FusedAttr
from dialects.gconv import LinkOp
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import main_function
from dialects.schedule import Objective
from dialects.spatial import LayerOp
from dialects.target import MachineOp, require_nest_machine
from passes.fuse_layers import FuseLayersPass
from passes.fusion.from_ir import group_of, group_of_links
from passes.fusion.level_prices import LevelPrices, Priced
from passes.fusion.model import FusedCosts
from passes.fusion.paths import value_of
from passes.fusion.placed import group_around
from passes.fusion.placed_on_levels import predict_layer
from passes.fusion.runs import longest_group
from passes.fusion.staying import ALONE
from passes.map_nest import MapNestPass
from passes.mapper.effort import USUAL
from passes.merge_dims import MergeDimsPass
from passes.place_nest import PlaceNestPass
from passes.pricing import price
from passes.searching.nests_of_groups import NestsOfGroups
from tests.examples import examples
from tests.filechecking import check_ir, new_ir_context, parse_module
from tests.passes.chains import check_pass, random_chains
from tests.passes.mapping.machines import machine_like_eyeriss

MACHINE = """
target.machine @small {name = "small", summary = "", clock_mhz = 1.0, word_bits = 16 : i64,
  limits = {post_steps = 8 : i64, post_operands = 4 : i64}, configuration_us = 0.0, figures = {},
  levels = [{kind = "memory", name = "dram"}, {kind = "memory", name = "glb", words = %s : i64},
            {kind = "memory", name = "rf", words = 16 : i64}]}
"""
LINKS = """
func.func @main(%x: tensor<2x8x6xf64> {onnx.name = "x"}, %k: tensor<8x3x1xf64> {onnx.name = "k"})
    -> (tensor<4x8x6xf64> {onnx.name = "y"}) {
  %a = gconv.link %x : tensor<2x8x6xf64> <C opc 2, H opc 8, W opc 6> "pass" none post <relu> {tensor = "a"}
    -> tensor<2x8x6xf64> loc("first")
  %b = gconv.link %a : tensor<2x8x6xf64> by %k : tensor<8x3x1xf64>
    <C op 4 ks 2, H opc 8 ks 3 pad 1, W opc 6> "mul" add -> tensor<4x8x6xf64> loc("second")
  func.return %b : tensor<4x8x6xf64>
}
"""


def chain(words: int) -> str:
    return MACHINE % words + LINKS


def fused(text: str) -> list[FusedOp]:
    module = parse_module(text)
    FuseLayersPass().apply(new_ir_context(), module)
    module.verify()
    return [op for op in main_function(module).body.block.ops if isinstance(op, FusedOp)]


def test_links_are_fused_where_less_is_moved() -> None:
    check_ir(
        chain(60),
        [FuseLayersPass()],
        """
// CHECK: %b = gconv.fused %x, %k reads ["x", "k"] makes ["a", "second"]
// CHECK-SAME: #schedule.fused<
// CHECK-SAME: for W.opc
// CHECK-SAME: sequential {store glb [
// CHECK-NEXT: ^bb0
// CHECK-NEXT:   gconv.link
// CHECK-NEXT:   gconv.link
// CHECK-NEXT:   gconv.yield
""",
    )


@pytest.mark.parametrize(("banks", "loop"), [((12, 16), "for H.opc 2"), ((6, 64), "for C.op 2")])
def test_groups_of_an_array_take_as_few_turns_as_there_is_room_for(banks: tuple[int, int], loop: str) -> None:
    array = machine_like_eyeriss(name="m", glb=dict(zip(("banks", "bank_words"), banks, strict=True)))
    (op,) = fused(str(MachineOp.of(array)) + LINKS)
    assert loop in str(op.mapping)


@pytest.mark.parametrize("words", [12, 20, 60, 160, 1000])
def test_a_group_moves_what_its_ends_are_and_fits(words: int) -> None:
    groups = fused(chain(words))
    for op in groups:
        assert isinstance(op.mapping, FusedAttr)
        costs = FusedCosts(group_of(op), op.mapping.data)
        assert costs.capacity("glb") <= words
        # Alone, both links would move the tensor between them.
        assert costs.traffic < 2 * 8 * 6 * 3 + 24 + 4 * 8 * 6
    # In 20 words only one link moves less as a group, by three of its loops; in 160 all of what is between may stay.
    assert [len(op.links) for op in groups] == {12: [], 20: [1], 60: [2]}.get(words, [1, 1])
    assert any('stay "a"' in str(op.mapping) for op in groups) == (words >= 160)


def row(links: int) -> str:
    """So many convolutions of 4 channels in a row."""
    values = ["%x", *(f"%v{place}" for place in range(links))]
    body = "".join(
        f"  {made} = gconv.link {read} : tensor<4x8x8xf64> by %k : tensor<16x3x3xf64>"
        f' <C op 4 ks 4, H opc 8 ks 3 pad 1, W opc 8 ks 3 pad 1> "mul" add -> tensor<4x8x8xf64> loc("l{place}")\n'
        for place, (read, made) in enumerate(pairwise(values))
    )
    return f"""
func.func @main(%x: tensor<4x8x8xf64> {{onnx.name = "x"}}, %k: tensor<16x3x3xf64> {{onnx.name = "k"}})
    -> (tensor<4x8x8xf64> {{onnx.name = "y"}}) {{
{body}  func.return {values[-1]} : tensor<4x8x8xf64>
}}
"""


@pytest.mark.parametrize("links", [4, 6])
def test_a_short_row_is_one_group(links: int) -> None:
    (group,) = fused(MACHINE % 2000 + row(links))
    assert len(group.links) == links


def test_groups_have_no_more_links_than_are_asked_for() -> None:
    module = parse_module(MACHINE % 2000 + row(6))
    FuseLayersPass(longest=2).apply(new_ir_context(), module)
    assert [len(op.links) for op in main_function(module).body.block.ops if isinstance(op, FusedOp)] == [2, 2, 2]


def test_nothing_stays_between_groups_where_it_is_asked_not_to() -> None:
    resident: list[int] = []
    for staying in (None, 0):
        module = parse_module(TWO_BUFFERS % 2000 + row(6))
        FuseLayersPass(longest=1, staying=staying).apply(new_ir_context(), module)
        groups = [op for op in main_function(module).walk() if isinstance(op, FusedOp)]
        assert all(len(op.links) == 1 for op in groups)
        places = [op.mapping.data.retentions for op in groups if isinstance(op.mapping, FusedAttr)]
        resident.append(sum(each.resident for retentions in places for each in retentions))
    assert resident[0] > 0 == resident[1]


def test_groups_may_be_longer_in_shorter_rows() -> None:
    lengths = {count: longest_group(count) for count in (1, 11, 12, 14, 15, 17, 18, 23, 54)}
    assert lengths == {1: 6, 11: 6, 12: 5, 14: 5, 15: 4, 17: 4, 18: 3, 23: 3, 54: 3}


def test_links_with_mappings_are_left_alone() -> None:
    module = parse_module(chain(1000))
    mapped = LINKS.replace('{tensor = "a"}', '{tensor = "a", mapping = #schedule.mapping<store glb [I, K, O]>}')
    groups = fused(MACHINE % 1000 + mapped)
    assert [link.spec.main for op in groups for link in op.links] == ["mul"], "the other one has no mapping"
    assert len(group_of_links([op for op in main_function(module).walk() if isinstance(op, LinkOp)]).links) == 2


ONE = """
func.func @main(%x: tensor<4x12xf64> {onnx.name = "x"}, %k: tensor<32x1xf64> {onnx.name = "k"})
    -> (tensor<8x12xf64> {onnx.name = "y"}) {
  %a = gconv.link %x : tensor<4x12xf64> by %k : tensor<32x1xf64> <C op 8 ks 4, W opc 12> "mul" add
    -> tensor<8x12xf64> loc("only")
  func.return %a : tensor<8x12xf64>
}
"""
TWO_BUFFERS = MACHINE.replace("words = %s : i64", "words = %s : i64, buffers = 2 : i64")


def test_a_link_is_a_group_where_it_moves_less_as_one() -> None:
    """Tiles of a layer alone lie twice in such a memory, what a group holds once."""
    (group,) = fused(TWO_BUFFERS % 90 + ONE)
    assert isinstance(group.mapping, FusedAttr)
    assert len(group.links) == 1
    assert FusedCosts(group_of(group), group.mapping.data).traffic == 4 * 12 + 8 * 4 + 8 * 12


@pytest.mark.parametrize("machine", [MACHINE, TWO_BUFFERS])
def test_others_are_left_alone_with_the_mappings_that_they_were_compared_by(machine: str) -> None:
    module = parse_module(machine % 1000 + ONE)
    FuseLayersPass(objective="traffic").apply(new_ir_context(), module)
    mapped = parse_module(machine % 1000 + ONE)
    MapNestPass(objective="traffic").apply(new_ir_context(), mapped)
    (link,), (expected,) = ([op for op in each.walk() if isinstance(op, LinkOp)] for each in (module, mapped))
    assert link.mapping is not None
    assert (link.mapping, link.search) == (expected.mapping, expected.search)


NO_SIZE = chain(1000).replace("words = 1000 : i64", "buffers = 1 : i64")
NO_KERNELS = chain(1000).replace("words = 1000 : i64", 'words = 1000 : i64, operands = ["I", "O"]')


@pytest.mark.parametrize("text", [LINKS, NO_SIZE, NO_KERNELS])
def test_a_memory_of_some_size_for_inputs_and_kernels_is_needed(text: str) -> None:
    with pytest.raises(CatenaError) as caught:
        fused(text)
    (problem,) = caught.value.diagnostics
    assert problem.code == "CAT-U006"
    assert "a memory of some size for I and K" in problem.message
    assert problem.hint == "take another target, or do without --fuse"


@settings(max_examples=examples(30), derandomize=True, deadline=None)
@given(random_chains())
def test_random_chains_compute_the_same(module: ModuleOp) -> None:
    machine = next(iter(parse_module(MACHINE % 100).body.block.ops)).clone()
    first = module.body.block.first_op
    assert first is not None
    module.body.block.insert_op_before(machine, first)
    check_pass(module, [FuseLayersPass()])


PRICED = (
    (MACHINE % 160)
    .replace(
        "levels =",
        """accesses = [{name = "dram", energy = 50.0, events = {"dram.input.read" = 1.0, "dram.kernel.read" = 1.0,
    "dram.output.update" = 1.0, "dram.output.add" = 1.0, "dram.extra.read" = 1.0}},
    {name = "glb", energy = 3.0, events = {"glb.input.read" = 1.0, "glb.kernel.read" = 1.0, "glb.output.update" = 1.0}},
    {name = "held", energy = 1.0, events = {"glb.input.fill" = 1.0, "glb.output.send" = 1.0, "glb.output.hold" = 1.0}}],
    levels =""",
    )
    .replace('name = "dram"}, {kind', 'name = "dram", read = 2.0, write = 1.0}, {kind')
)


def placed_costs(module: ModuleOp, least: Objective) -> list[tuple[bool, float, int]]:
    """Of every layer of a mapped and placed chain: whether it is in a group, energy, cycles."""
    context = new_ir_context()
    for step in (MergeDimsPass(), MapNestPass(least.value), PlaceNestPass()):
        step.apply(context, module)
    target = require_nest_machine(module, "test")
    found: list[tuple[bool, float, int]] = []
    for layer in (op for op in module.walk() if isinstance(op, LayerOp)):
        cost = price(predict_layer(layer, target, {}), target)
        found.append((group_around(layer) is not None, cost.total_energy, cost.cycles))
    return found


@pytest.mark.parametrize("least", [Objective.ENERGY, Objective.LATENCY, Objective.EDP])
def test_groups_cost_what_was_searched_for_and_no_more_than_links_alone(least: Objective) -> None:
    """What the search compares is what the cost model expects of the placed layers."""
    module = parse_module(PRICED + LINKS)
    alone = placed_costs(module.clone(), least)
    FuseLayersPass(least=least.value, objective=least.value).apply(new_ir_context(), module)
    nests = NestsOfGroups(require_nest_machine(module, "test"), least, USUAL)
    prices = LevelPrices(nests.machine, "glb", nests, lambda _, mapping, __: mapping)
    groups = [op for op in main_function(module).body.block.ops if isinstance(op, FusedOp)]
    expected: list[Priced] = []
    for op in groups:
        assert isinstance(op.mapping, FusedAttr)
        assert len(op.mapping.data.branches) == len(op.links)
        priced = prices.in_place(group_of(op), replace(op.mapping.data, branches=()), ALONE)
        assert priced is not None
        assert priced.mapping == op.mapping.data
        expected.append(priced)
    together = placed_costs(module, least)
    inside = [(energy, cycles) for is_member, energy, cycles in together if is_member]
    assert sum(energy for energy, _ in inside) == pytest.approx(sum(each.energy for each in expected))
    assert sum(cycles for _, cycles in inside) == sum(each.cycles for each in expected)
    totals = [(sum(each[1] for each in layers), sum(each[2] for each in layers)) for layers in (together, alone)]
    mine, others = (value_of(least, *each) for each in totals)
    assert mine <= others
    assert groups or least is Objective.LATENCY


APART = """
func.func @main(%x: tensor<2x4x3xf64> {onnx.name = "x"}, %k: tensor<8x3x1xf64> {onnx.name = "k"},
    %l: tensor<4x3x1xf64> {onnx.name = "l"}) -> (tensor<2x4x3xf64> {onnx.name = "y"}) {
  %a = gconv.link %x : tensor<2x4x3xf64> <C opc 2, H opc 4, W opc 3> "pass" none post <relu> {tensor = "a"}
    -> tensor<2x4x3xf64> loc("first")
  %b = gconv.link %a : tensor<2x4x3xf64> by %k : tensor<8x3x1xf64>
    <C op 4 ks 2, H opc 4 ks 3 pad 1, W opc 3> "mul" add {tensor = "b"} -> tensor<4x4x3xf64> loc("second")
  %c = gconv.link %b : tensor<4x4x3xf64> <C opc 4, H opc 4, W opc 3> "pass" none post <relu>
    {tensor = "c", mapping = #schedule.mapping<for H.opc 1, store glb [I, O], for W.opc 1, store rf [I, O]>}
    -> tensor<4x4x3xf64> loc("third")
  %d = gconv.link %c : tensor<4x4x3xf64> by %l : tensor<4x3x1xf64>
    <C g 2 ks 2, H opc 4 ks 3 pad 1, W opc 3> "mul" add {tensor = "d"} -> tensor<2x4x3xf64> loc("fourth")
  %e = gconv.link %d : tensor<2x4x3xf64> <C opc 2, H opc 4, W opc 3> "pass" none post <relu>
    -> tensor<2x4x3xf64> loc("fifth")
  func.return %e : tensor<2x4x3xf64>
}
"""


@pytest.mark.exhaustive
def test_a_product_is_that_of_all_rows_and_of_what_is_in_none() -> None:
    module = parse_module(PRICED.replace("words = 160", "words = 40") + APART)
    alone = placed_costs(module.clone(), Objective.EDP)
    FuseLayersPass(least="edp", objective="edp").apply(new_ir_context(), module)
    groups = [op for op in main_function(module).body.block.ops if isinstance(op, FusedOp)]
    assert groups
    together = placed_costs(module, Objective.EDP)
    mine, others = (
        math.prod(map(sum, zip(*(each[1:] for each in layers), strict=True))) for layers in (together, alone)
    )
    assert mine < others
