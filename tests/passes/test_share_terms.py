"""share-terms: terms that two links compute are computed once, where that costs less than a layer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce, Step, View
from dialects.target import MachineOp
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, random_chains
from tests.passes.mapping.machines import machine_like_eyeriss

SOFTMAX = """
func.func @main(%x: tensor<4x6xf32>) -> tensor<4x6xf32> {
  %m = gconv.link %x : tensor<4x6xf32> <A opc 4, B ks 6> "pass" max -> tensor<4x1xf32> loc("s")
  %r = gconv.view %m <[1, 0]> : tensor<4x1xf32> -> tensor<4x6xf32> loc("s")
  %s = gconv.link %x : tensor<4x6xf32> by %r : tensor<4x6xf32> <A g 4, B ks 6> "sub" add mid <exp>
    post <reciprocal> -> tensor<4x1xf32> loc("s")
  %y = gconv.link %x : tensor<4x6xf32> by %r : tensor<4x6xf32> with %s : tensor<4x1xf32>
    <A g 4, B g 6> "sub" none post <exp, mul[0]> {tensor = "y"} -> tensor<4x6xf32> loc("s")
  func.return %y : tensor<4x6xf32>
}
"""


def normalized(
    mid: tuple[Step, ...],
    after: tuple[Step, ...],
    function: str = "sub",
    second: str | None = None,
    reader: bool = False,
) -> Chain:
    """y = after(second(x, max x), sum of mid(function(x, max x))) along the rows of [4, 6]; perhaps a copy of max x."""
    builder = ChainBuilder((4, 6))
    (x,) = builder.block.args
    largest = builder.link(GConv((Dim("A", opc=4), Dim("B", ks=6)), reduce=Reduce.MAX), x)
    wide = builder.view(largest, View((4, 6), (1, 0)))
    dims = (Dim("A", g=4), Dim("B", ks=6))
    total = builder.link(GConv(dims, function, Reduce.ADD, mid=mid), x, wide)
    spec = GConv((Dim("A", g=4), Dim("B", g=6)), second or function, post=after)
    results = [builder.link(spec, x, wide, [total])]
    if reader:
        results.append(builder.link(GConv((Dim("A", opc=4), Dim("B"))), largest))
    return builder.module(results)


def test_a_softmax_becomes_four_links_that_broadcast_reductions_makes_two() -> None:
    check_ir(
        SOFTMAX,
        "share-terms{words=48}",
        """
        CHECK:      func.func @main
        CHECK-NEXT: [[M:%.*]] = gconv.link %x {{.*}} <A opc 4, B ks 6> "pass" max -> tensor<4x1xf32>
        CHECK-NEXT: [[R:%.*]] = gconv.view [[M]] <[1, 0]>
        CHECK-NEXT: [[E:%.*]] = gconv.link %x {{.*}} by [[R]] {{.*}} <A g 4, B g 6> "sub" none post <exp>
        CHECK-NEXT: [[S:%.*]] = gconv.link [[E]] {{.*}} <A opc 4, B ks 6> "pass" add post <reciprocal>
        CHECK-NEXT: gconv.link [[E]] {{.*}} with [[S]] {{.*}} <A opc 4, B opc 6> "pass" none post <mul[0]>
        CHECK-SAME: {tensor = "y"}
        CHECK-NEXT: func.return
        """,
    )
    check_ir(
        SOFTMAX,
        "share-terms{words=48},broadcast-reductions",
        """
        CHECK:      func.func @main
        CHECK-NEXT: [[E:%.*]] = gconv.link %x {{.*}} with %x {{.*}} B op 6 ks 6> "pass" max post <rsub[0], exp>
        CHECK-NEXT: gconv.link [[E]] {{.*}} with [[E]] {{.*}} B op 6 ks 6> "pass" add post <reciprocal, mul[0]>
        CHECK-NEXT: func.return
        """,
    )


def test_a_softmax_of_more_words_than_a_layer_costs_stays() -> None:
    check_ir(SOFTMAX, "share-terms{words=47}", "CHECK-COUNT-3: gconv.link\nCHECK-NOT: gconv.link")
    check_ir(SOFTMAX, "share-terms", "CHECK-COUNT-3: gconv.link\nCHECK-NOT: gconv.link")


@pytest.mark.parametrize(("microseconds", "links"), [(0.19, 3), (0.2, 4)])
def test_the_machine_says_what_a_layer_costs(microseconds: float, links: int) -> None:
    """48 words more take 40 cycles of a link that moves 1.2 words in each: 0.2 us."""
    module = normalized((Step("exp"),), (Step("exp"), Step("mul", operand=0)))
    machine = MachineOp.of(machine_like_eyeriss(configuration_us=microseconds))
    module.body.block.insert_op_before(machine, module.body.block.first_op)  # pyright: ignore[reportArgumentType]
    check_pass(module, "share-terms", 1e-12)
    assert len(links_of(module)) == links


@pytest.mark.parametrize(
    ("limits", "links"),
    [({"post_steps": 2}, 4), ({"post_steps": 1}, 3), ({"post_operands": 1}, 4), ({"post_operands": 0}, 3)],
)
def test_the_machine_must_have_the_steps(limits: dict[str, int], links: int) -> None:
    module = normalized((Step("exp"),), (Step("exp"), Step("mul", operand=0)))
    machine = MachineOp.of(machine_like_eyeriss(limits=limits))
    module.body.block.insert_op_before(machine, module.body.block.first_op)  # pyright: ignore[reportArgumentType]
    check_pass(module, "share-terms", 1e-12)
    assert len(links_of(module)) == links
    check_pass(module, "broadcast-reductions", 1e-12)
    assert len(links_of(module)) == (2 if links == 4 else 3)


@pytest.mark.parametrize(
    ("mid", "after", "shared", "rest"),
    [
        # log-softmax: the sum is of another function of what the reader starts with
        (("exp",), (Step("sub", operand=0),), (), ("exp",)),
        (("abs", "square"), (Step("abs"), Step("mul", operand=0), Step("neg")), ("abs",), ("square",)),
        ((), (Step("mul", operand=0),), (), ()),
    ],
)
def test_shares_what_both_begin_with(
    mid: tuple[str, ...], after: tuple[Step, ...], shared: tuple[str, ...], rest: tuple[str, ...]
) -> None:
    module = check_pass(normalized(tuple(map(Step, mid)), after), "share-terms{words=48}", 1e-12)
    _, terms, total, _ = links_of(module)
    assert [step.function for step in terms.spec.post] == list(shared)
    assert [step.function for step in total.spec.mid] == list(rest)
    check_pass(module, "broadcast-reductions", 1e-12)
    assert len(links_of(module)) == 2


@pytest.mark.parametrize(
    "module",
    [
        normalized((Step("exp"),), (Step("exp"), Step("neg"), Step("mul", operand=0))),
        normalized((Step("exp"),), (Step("exp"), Step("mul", operand=0)), reader=True),
        normalized((Step("exp"),), (Step("exp"), Step("mul", operand=0)), second="add"),
        normalized((Step("exp"),), (Step("exp"), Step("keep", operand=0))),
    ],
    ids=["sum comes later", "maximum has other readers", "other function", "no swapped form"],
)
def test_leaves_what_broadcast_reductions_could_not_take(module: Chain) -> None:
    before = len(links_of(module))
    check_pass(module, "share-terms{words=1000}", 1e-12)
    assert len(links_of(module)) == before


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning(module: Chain) -> None:
    check_pass(module, "share-terms{words=100000}", 1e-12)


def test_refuses_bad_options_and_control_flow() -> None:
    module = parse_module(CONTROL_FLOW)
    with pytest.raises(ValueError, match="must not be negative"):
        run_passes(module, "share-terms{words=-1}")
    with pytest.raises(CatenaError, match="share-terms rewrites functions of one block"):
        run_passes(module, "share-terms")
