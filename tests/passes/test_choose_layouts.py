"""choose-layouts: tensors between links lie as their writes and reads want them, and only where there are bursts."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError
from dialects.gconv import ConcatOp, Dim, GConv, LinkOp
from dialects.schedule import Mapping, MappingAttr
from dialects.target import MachineOp
from tests.examples import examples
from tests.filechecking import check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, random_chains
from tests.passes.mapping.machines import machine_like_eyeriss
from tests.passes.test_copy_concat import check_places

CHARGED = machine_like_eyeriss(dram={"burst_words": 4, "charge_bursts": True}, glb={"banks": 6, "bank_words": 16})
COUNTED = machine_like_eyeriss(dram={"burst_words": 4}, glb={"banks": 6, "bank_words": 16})
WITHOUT_BURSTS = [machine_like_eyeriss(dram={"burst_words": words, "charge_bursts": bool(words)}) for words in (0, 1)]
ROWS = "#schedule.mapping<for H.opc 1, store glb [O, I]>"
"""A row of all channels at a time."""


def two_links(machine: Machine) -> str:
    """A copy of [4, 6, 2], and a copy of the copy, both a row of all channels at a time."""
    kind = "tensor<4x6x2xf32>"
    nest = f'<C opc 4, H opc 6, W opc 2> "pass" none {{mapping = {ROWS}}} -> {kind}'
    return f"""
    {MachineOp.of(machine)!s}
    func.func @main(%x: {kind}) -> {kind} {{
      %a = gconv.link %x : {kind} {nest} loc("a")
      %y = gconv.link %a : {kind} {nest} loc("y")
      func.return %y : {kind}
    }}
    """


@pytest.mark.parametrize("machine", [CHARGED, COUNTED], ids=["charged", "counted"])
def test_a_tensor_lies_as_its_tiles_are_written_and_read(machine: Machine) -> None:
    check_ir(
        two_links(machine),
        "choose-layouts",
        """
        CHECK:      func.func @main
        CHECK-NEXT: [[A:%.*]] = gconv.link %x {{.*}} loc("a")
        CHECK-NEXT: [[T:%.*]] = gconv.view [[A]] <[2, 12, 1]> : tensor<4x6x2xf32> -> tensor<6x4x2xf32> loc("a")
        CHECK-NEXT: [[L:%.*]] = gconv.concat [[T]] axis 0 : tensor<6x4x2xf32> -> tensor<6x4x2xf32> loc("a")
        CHECK-NEXT: [[B:%.*]] = gconv.view [[L]] <[2, 8, 1]> : tensor<6x4x2xf32> -> tensor<4x6x2xf32> loc("a")
        CHECK-NEXT: gconv.link [[B]]
        CHECK-NEXT: func.return
        """,
        locations=True,
    )


@pytest.mark.parametrize("machine", WITHOUT_BURSTS, ids=["none", "of-a-word"])
def test_nothing_happens_without_bursts(machine: Machine) -> None:
    unchanged = "CHECK: gconv.link\nCHECK-NEXT: gconv.link\nCHECK-NEXT: func.return"
    check_ir(two_links(machine), "choose-layouts", unchanged)


def test_a_tensor_whose_bursts_are_full_stays() -> None:
    """Rows of 48 words that are written and read whole."""
    text = two_links(CHARGED).replace("for H.opc 1, store glb [O, I]", "store glb [O, I]")
    check_ir(text, "choose-layouts", "CHECK: gconv.link\nCHECK-NEXT: gconv.link\nCHECK-NEXT: func.return")


def test_a_view_without_strides_in_an_order_forbids_it() -> None:
    """The second link reads channels and rows as one dimension: no order parts them."""
    text = two_links(CHARGED).replace(
        f'%y = gconv.link %a : tensor<4x6x2xf32> <C opc 4, H opc 6, W opc 2> "pass" none {{mapping = {ROWS}}}'
        " -> tensor<4x6x2xf32>",
        """%v = gconv.view %a <[2, 1]> : tensor<4x6x2xf32> -> tensor<24x2xf32> loc("y")
      %z = gconv.link %v : tensor<24x2xf32> <H opc 24, W opc 2> "pass" none
        {mapping = #schedule.mapping<for H.opc 1, store glb [O, I]>} -> tensor<24x2xf32>  loc("y")
      %y = gconv.view %z <[12, 2, 1]> : tensor<24x2xf32> -> tensor<4x6x2xf32>""",
    )
    unchanged = (
        "CHECK: gconv.link\nCHECK-NEXT: gconv.view\nCHECK-NEXT: gconv.link\nCHECK-NEXT: gconv.view\nCHECK-NEXT: func"
    )
    check_ir(text, "choose-layouts", unchanged)


def test_a_concatenation_is_one_tensor() -> None:
    builder = ChainBuilder((4, 6, 2), (3, 6, 2))
    copies = [GConv((Dim("C", opc=c), Dim("H", opc=6), Dim("W", opc=2))) for c in (4, 3, 7)]
    parts = [builder.link(copy, x) for copy, x in zip(copies, builder.block.args, strict=False)]
    joined = builder.concat(parts, 0)
    module = for_machine(builder.module([builder.link(copies[2], joined)]))
    for link in module.walk():
        if isinstance(link, LinkOp):
            link.properties["mapping"] = MappingAttr(rows_at_a_time())
    check_places(module, "choose-layouts")
    outer = [op for op in module.walk() if isinstance(op, ConcatOp) and len(op.parts) == 1]
    assert [op.result.type.get_shape() for op in outer] == [(6, 7, 2)]


def rows_at_a_time() -> Mapping:
    module = parse_module(two_links(CHARGED))
    link = next(op for op in module.walk() if isinstance(op, LinkOp))
    assert isinstance(link.mapping, MappingAttr)
    return link.mapping.data


def for_machine(module: Chain) -> Chain:
    """The module, compiled for a machine that charges bursts."""
    first = module.body.block.first_op
    assert first is not None
    module.body.block.insert_op_before(MachineOp.of(CHARGED), first)
    return module


@settings(derandomize=True, deadline=None, max_examples=examples(40), suppress_health_check=list(HealthCheck))
@given(random_chains(max_ops=5))
def test_keeps_the_meaning_and_what_is_in_place(module: Chain) -> None:
    run_passes(for_machine(module), "fold-views,merge-dims,copy-concat,map-row-stationary")
    check_places(module, "choose-layouts")


def test_needs_a_machine() -> None:
    text = two_links(CHARGED)
    with pytest.raises(CatenaError, match=r"no target\.machine"):
        run_passes(parse_module(text[text.index("func.func") :]), "choose-layouts")
