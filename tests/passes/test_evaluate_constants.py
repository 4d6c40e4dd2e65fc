"""evaluate-constants: what is computed at compile time, the limit, words that are not at hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from dialects.diagnostics import CatenaError
from dialects.gconv import ConcatOp, Dim, GConv, Reduce, Step, View
from dialects.weights import Blob, ConstantOp
from passes.chain_views import is_constant
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, plain, random_chains

A, B = np.arange(6, dtype=np.float32).reshape(2, 3), np.full((2, 1), 10, np.float32)


def scaled_constant() -> str:
    return f"""
        func.func @main(%x: tensor<2x4xf32>) -> tensor<2x4xf32> {{
          %a = weights.constant <"{Blob(A).digest}"> : tensor<2x3xf32> loc("a")
          %b = weights.constant <"{Blob(B).digest}"> : tensor<2x1xf32> loc("b")
          %s = gconv.link %a : tensor<2x3xf32> by %b : tensor<2x1xf32> <M g 2, N opc 3> "mul" none post <neg>
            -> tensor<2x3xf32> loc("scale")
          %c = gconv.concat %s, %b axis 1 : tensor<2x3xf32>, tensor<2x1xf32> -> tensor<2x4xf32> loc("join")
          %y = gconv.link %x : tensor<2x4xf32> by %c : tensor<2x4xf32> <M g 2, N g 4> "add" none
            -> tensor<2x4xf32> loc("add")
          func.return %y : tensor<2x4xf32>
        }}
    """


def test_computes_links_and_concatenations() -> None:
    joined = np.concatenate([-A * B, B], axis=1)
    check_ir(
        scaled_constant(),
        "evaluate-constants",
        f"""
        CHECK:      func.func @main
        CHECK-NEXT: [[C:%.*]] = weights.constant <"{Blob(joined).digest}"> : tensor<2x4xf32>
        CHECK-SAME: loc(fused["a", "b", "scale", "join"])
        CHECK-NEXT: gconv.link %x : tensor<2x4xf32> by [[C]]
        CHECK-NEXT: func.return
        """,
        weights=[A, B],
        locations=True,
    )


def test_leaves_more_trips_than_the_limit() -> None:
    check_ir(
        scaled_constant(),
        "evaluate-constants{max-trips=5}",
        'CHECK: gconv.link {{.*}} "mul" none post <neg>\nCHECK: gconv.concat',
        weights=[A, B],
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (GConv((Dim("N", g=2), Dim("C", op=50))), 100),
        (GConv((Dim("N", g=2), Dim("C", opc=2, stride=50, pad=50)), reduce=Reduce.ADD), 102),
    ],
    ids=["repeated", "padded"],
)
def test_leaves_more_words_than_the_limit(spec: GConv, words: int) -> None:
    """Neither takes more than four trips."""
    for limit, left in ((words, 0), (words - 1, 1)):
        builder = ChainBuilder((1,))
        made = builder.link(spec, builder.constant(np.ones((2, 1), np.float32)))
        module = builder.module([made])
        run_passes(module, f"evaluate-constants{{max-trips={limit}}}")
        assert len(links_of(module)) == left


def test_made_constants_share_a_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left to the target is counted neither for those before nor for those after."""
    monkeypatch.setattr("passes.constant_evaluation.budget.ROOM", 4000)
    builder = ChainBuilder((1,))
    one = builder.constant(np.ones((1,), np.float32))
    extents = [200, 100, 50]
    made = [builder.link(GConv((Dim("C", op=extent),)), one) for extent in extents]
    module = builder.module(made)
    run_passes(module, "evaluate-constants")
    assert [link.spec.output_shape for link in links_of(module)] == [(100,)]


def test_names_every_weight_that_is_not_at_hand() -> None:
    with pytest.raises(CatenaError) as caught:
        run_passes(parse_module(scaled_constant()), "evaluate-constants")
    assert [(d.code, d.node) for d in caught.value.diagnostics] == [("CAT-R004", "a"), ("CAT-R004", "b")]


def test_needs_no_weights_when_there_is_nothing_to_compute() -> None:
    text = scaled_constant().replace("gconv.link %a", "gconv.link %z").replace("%x:", "%z: tensor<2x3xf32>, %x:")
    check_ir(text, "evaluate-constants", "CHECK: gconv.link %z")


def test_reads_constants_through_views() -> None:
    builder = ChainBuilder((3, 2))
    turned = builder.view(builder.constant(A), View.dense((2, 3)).permute((1, 0)))
    link = builder.link(GConv(plain((3, 2)), post=(Step("square"), Step("sub", operand=0))), turned, extras=[turned])
    module = check_pass(builder.module([link]), "evaluate-constants")
    (constant,) = [op for op in module.walk() if isinstance(op, ConstantOp)]
    np.testing.assert_array_equal(constant.array, (A * A - A).T)


def test_refuses_bad_options_and_control_flow() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        run_passes(parse_module(CONTROL_FLOW), "evaluate-constants{max-trips=-1}")
    with pytest.raises(CatenaError, match="evaluate-constants rewrites functions of one block"):
        run_passes(parse_module(CONTROL_FLOW), "evaluate-constants")


@settings(derandomize=True, deadline=None, max_examples=examples(50))
@given(random_chains())
def test_keeps_the_meaning(module: Chain) -> None:
    check_pass(module, "evaluate-constants")
    assert not any(all(map(is_constant, op.operands)) for op in links_of(module))
    assert not any(all(map(is_constant, op.operands)) for op in module.walk() if isinstance(op, ConcatOp))
