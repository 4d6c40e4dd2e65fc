"""split-steps: no link has more steps than the machine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, LinkOp, Reduce, Step
from dialects.target import MachineOp
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import BINARY, UNARY, Chain, ChainBuilder, check_pass, links_of
from tests.passes.mapping.machines import machine_like_eyeriss


def for_machine(module: Chain, **limits: int) -> Chain:
    """The module, compiled for a machine with these limits."""
    first = module.body.block.first_op
    assert first is not None
    module.body.block.insert_op_before(MachineOp.of(machine_like_eyeriss(limits=limits)), first)
    return module


def chain(pre: tuple[Step, ...], post: tuple[Step, ...]) -> Chain:
    """Sums over the rows of [4, 6], of whose operands steps read the second argument."""
    builder = ChainBuilder((4, 6), (4, 1))
    x, k = builder.block.args
    operands = sorted({step.operand for step in post if step.operand is not None})
    spec = GConv((Dim("A", opc=4), Dim("B", ks=6)), reduce=Reduce.ADD, pre=pre, post=post)
    return builder.module([builder.link(spec, x, None, [k] * len(operands))])


def test_steps_beyond_the_machine_go_into_links_of_their_own() -> None:
    machine = str(MachineOp.of(machine_like_eyeriss(limits={"pre_steps": 1, "post_steps": 2, "post_operands": 1})))
    check_ir(
        f"""
        {machine}
        func.func @main(%x: tensor<4x6xf32>, %a: tensor<4x1xf32>, %b: tensor<4x1xf32>) -> tensor<4x1xf32> {{
          %y = gconv.link %x : tensor<4x6xf32> with %a, %b : tensor<4x1xf32>, tensor<4x1xf32> <A opc 4, B ks 6>
            "pass" add pre <abs, exp> post <relu, add[0], mul[1], neg> {{tensor = "y"}} -> tensor<4x1xf32> loc("n")
          func.return %y : tensor<4x1xf32>
        }}
        """,
        "split-steps",
        """
        CHECK:      func.func @main
        CHECK-NEXT: [[X:%.*]] = gconv.link %x : tensor<4x6xf32> <d0 opc 4, d1 opc 6> "pass" none pre <abs>
        CHECK-SAME: loc("n")
        CHECK-NEXT: [[S:%.*]] = gconv.link [[X]] : tensor<4x6xf32> with %a : tensor<4x1xf32> <A opc 4, B ks 6>
        CHECK-SAME: "pass" add pre <exp> post <relu, add[0]> -> {{.*}} loc("n")
        CHECK-NEXT: gconv.link [[S]] : tensor<4x1xf32> with %b : tensor<4x1xf32> <d0 opc 4, d1>
        CHECK-SAME: "pass" none post <mul[0], neg> {tensor = "y"} -> {{.*}} loc("n")
        CHECK-NEXT: func.return
        """,
        locations=True,
    )


@pytest.mark.parametrize("limits", [{}, {"post_steps": 0}])
def test_what_fits_or_never_can_stays(limits: dict[str, int]) -> None:
    module = for_machine(chain((), (Step("relu"), Step("add", operand=0))), **limits)
    check_pass(module, "split-steps")
    assert len(links_of(module)) == 1


def test_what_lies_between_has_the_type_that_flows() -> None:
    machine = str(MachineOp.of(machine_like_eyeriss(limits={"post_steps": 2})))
    check_ir(
        f"""
        {machine}
        func.func @main(%x: tensor<4xf32>) -> tensor<4xi32> {{
          %y = gconv.link %x : tensor<4xf32> <A opc 4> "pass" none post <neg, to_int32, abs, relu> -> tensor<4xi32>
          func.return %y : tensor<4xi32>
        }}
        """,
        "split-steps",
        """
        CHECK:      post <neg, to_int32> -> tensor<4xi32>
        CHECK-NEXT: tensor<4xi32> <d0 opc 4> "pass" none post <abs, relu> -> tensor<4xi32>
        """,
    )


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(st.data())
def test_keeps_the_meaning_within_the_limits(data: Any) -> None:
    unary = st.sampled_from(UNARY)
    pre = tuple(data.draw(st.lists(unary, max_size=4)))
    post: list[Step] = []
    operands = 0
    for _ in range(data.draw(st.integers(0, 7))):
        if operands < 6 and data.draw(st.booleans()):
            post.append(Step(data.draw(st.sampled_from(BINARY)), operand=operands))
            operands += 1
        else:
            post.append(data.draw(unary))
    limits = {name: data.draw(st.integers(1, 4)) for name in ("pre_steps", "post_steps", "post_operands")}
    module = for_machine(chain(pre, tuple(post)), **limits)
    check_pass(module, "split-steps")
    links = links_of(module)
    assert all(len(link.spec.pre) <= limits["pre_steps"] for link in links)
    assert all(len(link.spec.post) <= limits["post_steps"] for link in links)
    assert all(len(link.extras) <= limits["post_operands"] for link in links)


def test_keeps_links_with_a_mapping_whole() -> None:
    module = for_machine(chain((), (Step("relu"), Step("neg"))), post_steps=1)
    (link,) = [op for op in module.walk() if isinstance(op, LinkOp)]
    link.properties["mapping"] = link.main
    run_passes(module, "split-steps")
    assert len(links_of(module)) == 1


def test_refuses_control_flow() -> None:
    with pytest.raises(CatenaError, match="split-steps rewrites functions of one block"):
        run_passes(parse_module(CONTROL_FLOW), "split-steps")
