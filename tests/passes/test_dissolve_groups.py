"""dissolve-groups: groups that cost more than their links alone are taken apart, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import assume, given, settings
from xdsl.dialects.builtin import ModuleOp, UnitAttr

from dialects.diagnostics import CatenaError
from dialects.fused_attribute import FusedAttr
from dialects.gconv import LinkOp
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import main_function
from dialects.target import MachineOp
from passes.dissolve_groups import DissolveGroupsPass
from passes.fuse_layers import FuseLayersPass
from passes.fusion.grouping import groups_of
from passes.map_nest import MapNestPass
from passes.map_row_stationary import MapRowStationaryPass
from passes.merge_dims import MergeDimsPass
from passes.place_nest import PlaceNestPass
from tests.examples import examples
from tests.filechecking import check_ir, new_ir_context, parse_module
from tests.passes.chains import check_pass, random_chains
from tests.passes.mapping.machines import machine_like_eyeriss
from tests.passes.test_fuse_layers import LINKS, MACHINE

OFF_CHIP, HELD = "dram.input.read", "glb.output.hold"
"""Events of which groups have less, and of which only groups have any."""


SMALL = """
func.func @main(%x: tensor<2x1x6x5xf64> {onnx.name = "x"})
    -> (tensor<60x1xf64> {onnx.name = "y"}, tensor<1x60xf64> {onnx.name = "z"}) {
  %a = gconv.link %x : tensor<2x1x6x5xf64> <A opc 2, B, C opc 6, D opc 5> "pass" none pre <relu> {tensor = "a"}
    -> tensor<2x1x6x5xf64>
  %b = gconv.link %a : tensor<2x1x6x5xf64> <A opc 2, B, C opc 6, D opc 5> "pass" none pre <relu> {tensor = "b"}
    -> tensor<2x1x6x5xf64>
  %v = gconv.view %b <[1]> : tensor<2x1x6x5xf64> -> tensor<60xf64>
  %c = gconv.link %v : tensor<60xf64> <A opc 60> "pass" none pre <relu> {tensor = "c"} -> tensor<60xf64>
  %d = gconv.link %c : tensor<60xf64> <A opc 60> "pass" none pre <relu> {tensor = "d"} -> tensor<60xf64>
  %e = gconv.link %d : tensor<60xf64> <A opc 60> "pass" none pre <relu, relu> {tensor = "e"} -> tensor<60xf64>
  %z = gconv.view %d <[60, 1]> : tensor<60xf64> -> tensor<1x60xf64>
  %y = gconv.view %e <[1, 1]> : tensor<60xf64> -> tensor<60x1xf64>
  func.return %y, %z : tensor<60x1xf64>, tensor<1x60xf64>
}
"""


def machine(words: int, dear: str, other: float = 1.0) -> str:
    """A machine on which one event costs a thousand times as much as reading an input word, if that costs anything."""
    events = f"""{{"{dear}" = 1000.0, "rf.input.read" = {other}}}"""
    charged = f"""accesses = [{{name = "all", energy = 1.0, events = {events}}}], levels ="""
    return (MACHINE % words).replace("levels =", charged)


def passes(objective: str = "energy") -> list[FuseLayersPass | MapNestPass | DissolveGroupsPass]:
    return [FuseLayersPass(), MapNestPass(), DissolveGroupsPass(objective)]  # pyright: ignore[reportArgumentType]


def test_groups_that_cost_more_are_taken_apart() -> None:
    check_ir(
        machine(160, HELD) + LINKS,
        passes(),
        """
// CHECK-NOT: gconv.fused
// CHECK: gconv.link {{.*}}mapping = #schedule.mapping<
// CHECK: gconv.link {{.*}}mapping = #schedule.mapping<
""",
    )


@pytest.mark.parametrize("objective", ["energy", "traffic"])
def test_groups_that_cost_less_stay_as_they_are(objective: str) -> None:
    module = parse_module(machine(160, OFF_CHIP) + LINKS)
    context = new_ir_context()
    *fusing, last = passes(objective)
    for step in fusing:
        step.apply(context, module)
    before = str(module)
    last.apply(context, module)
    assert str(module) == before
    assert any(isinstance(op, FusedOp) for op in module.walk())


def test_nests_of_groups_are_found_where_nothing_in_them_costs() -> None:
    module = parse_module(machine(100, HELD, other=0.0) + SMALL)
    for step in passes():
        step.apply(new_ir_context(), module)
    assert not any(isinstance(op, FusedOp) for op in module.walk())


@pytest.mark.parametrize(
    ("objective", "stays"), [("energy", True), ("traffic", True), ("latency", False), ("edp", True)]
)
def test_on_arrays_too(objective: Literal["energy", "latency", "edp", "traffic"], *, stays: bool) -> None:
    array = str(MachineOp.of(machine_like_eyeriss(name="m", glb={"banks": 5, "bank_words": 64})))
    module, apart = parse_module(array + LINKS), parse_module(array + LINKS)
    for step in (FuseLayersPass(), MapRowStationaryPass(objective=objective)):
        step.apply(new_ir_context(), module)
    before = str(module)
    assert any(isinstance(op, FusedOp) for op in module.walk())
    DissolveGroupsPass(objective).apply(new_ir_context(), module)
    for step in (MergeDimsPass(), MapRowStationaryPass(objective=objective)):
        step.apply(new_ir_context(), apart)
    nests = [[op.mapping for op in each.walk() if isinstance(op, LinkOp)] for each in (module, apart)]
    assert str(module) == before if stays else nests[0] == nests[1]


@pytest.mark.parametrize(("dram", "stays"), [(2.0, False), (200.0, True)])
def test_by_product_energy_that_is_saved_may_take_time(dram: float, *, stays: bool) -> None:
    energy = {"dram": dram, "glb": 6.0, "array": 2.0, "spad": 1.0, "operation": 1.0}
    array = machine_like_eyeriss(name="m", glb={"banks": 6, "bank_words": 64}, energy=energy)
    module = parse_module(str(MachineOp.of(array)) + LINKS)
    for step in (FuseLayersPass(), MapRowStationaryPass()):
        step.apply(new_ir_context(), module)
    before = str(module)
    DissolveGroupsPass(product=True).apply(new_ir_context(), module)
    assert (str(module) == before) is stays
    assert any(isinstance(op, FusedOp) for op in module.walk()) is stays


@pytest.mark.parametrize("asked_for", [(), (0,), (1,), (0, 1)])
def test_groups_that_are_asked_for_stay_beside_others_that_do_not(asked_for: tuple[int, ...]) -> None:
    module = parse_module(machine(160, HELD) + LINKS)
    *fusing, last = passes()
    for step in fusing:
        step.apply(new_ir_context(), module)
    groups = groups_of(main_function(module))
    assert len(groups) == 2
    for group in groups:
        assert isinstance(group.mapping, FusedAttr)
        goes = (replace(each, resident=False) for each in group.mapping.data.retentions)
        group.properties["mapping"] = FusedAttr.of(replace(group.mapping.data, retentions=tuple(goes)))
    for place in asked_for:
        groups[place].properties["pinned"] = UnitAttr()
    last.apply(new_ir_context(), module)
    left = groups_of(main_function(module))
    assert left == [groups[place] for place in asked_for]
    assert sum(op.mapping is not None for op in module.walk() if isinstance(op, LinkOp)) == 2 - len(left)


def test_a_machine_is_needed() -> None:
    with pytest.raises(CatenaError):
        DissolveGroupsPass().apply(new_ir_context(), parse_module(LINKS))


@settings(max_examples=examples(6), derandomize=True, deadline=None)
@given(random_chains())
def test_random_chains_compute_the_same(module: ModuleOp) -> None:
    target = next(iter(parse_module(machine(100, HELD)).body.block.ops)).clone()
    first = module.body.block.first_op
    assert first is not None
    module.body.block.insert_op_before(target, first)
    assume(_can_be_placed(module.clone()))
    check_pass(module, passes())


def _can_be_placed(module: ModuleOp) -> bool:
    """Whether a chain is one that the pass sees: others get copies before."""
    try:
        for step in (MapNestPass(), PlaceNestPass()):
            step.apply(new_ir_context(), module)
    except CatenaError:
        return False
    return True
