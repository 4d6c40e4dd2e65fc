"""fuse-pre: rule F3, paddings, and when it would cost more than it saves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce, Step, View, ViewOp
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, plain, random_chains

POOL = (Dim("A", opc=4, ks=3, pad=1), Dim("B", opc=4))


def unary_before(spec: GConv, *functions: str, reads: int = 1) -> Chain:
    """Links that apply functions to [4, 4], then `reads` links of `spec`."""
    builder = ChainBuilder((4, 4))
    value = builder.values[0]
    for function in functions:
        value = builder.link(GConv(plain((4, 4)), mid=(Step(function),)), value)
    return builder.module([builder.link(spec, value) for _ in range(reads)])


def test_goes_before_a_padded_window_and_leaves_the_padding_as_it_is() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
          %e = gconv.link %x : tensor<4x4xf32> <A opc 4, B opc 4> "pass" none post <exp> -> tensor<4x4xf32> loc("exp")
          %y = gconv.link %e : tensor<4x4xf32> <A opc 4 ks 3 pad 1, B opc 4> "pass" add pre <neg> post <relu>
            {tensor = "y"} -> tensor<4x4xf32> loc("pool")
          func.return %y : tensor<4x4xf32>
        }
        """,
        "fuse-pre",
        """
        CHECK:      func.func @main
        CHECK-NEXT: gconv.link %x : tensor<4x4xf32> <A opc 4 ks 3 pad 1, B opc 4> "pass" add pre <exp, neg> post <relu>
        CHECK-SAME: {tensor = "y"} -> tensor<4x4xf32> loc(fused["exp", "pool"])
        CHECK-NEXT: func.return
        """,
        locations=True,
    )
    # exp(padding) would be 1: the sums at the borders must not see it.
    module = check_pass(unary_before(GConv(POOL, reduce=Reduce.ADD), "exp"), "fuse-pre", 1e-12)
    assert [link.spec.pre for link in links_of(module)] == [(Step("exp"),)]


def test_reads_the_input_through_the_views_between() -> None:
    builder = ChainBuilder((4, 6))
    (x,) = builder.block.args
    turned = builder.view(x, View.dense((4, 6)).permute((1, 0)))
    relu = builder.link(GConv(plain((6, 4)), pre=(Step("relu"),)), turned)
    part = builder.view(relu, View.dense((6, 4)).slice(0, 1, 3))
    module = builder.module([builder.link(GConv((Dim("a", ks=3), Dim("b", opc=4)), reduce=Reduce.MAX), part)])
    check_pass(module, "fuse-pre")
    (link,) = links_of(module)
    (view,) = [op for op in module.walk() if isinstance(op, ViewOp)]
    assert link.spec.pre == (Step("relu"),)
    assert (view.base, view.view) == (x, View((3, 4), (1, 6), 1))


@pytest.mark.parametrize(
    ("dim", "view"),
    [
        (Dim("a", opc=3, pad=-2), View((3, 4), (4, 1), 8)),
        (Dim("a", opc=3, stride=2, pad=-1), View((3, 4), (8, 1), 4)),
        (Dim("a", opc=3, pad=1), None),
        (Dim("a", opc=6, pad=-1), None),
    ],
)
def test_crops_and_strides_become_the_view(dim: Dim, view: View | None) -> None:
    builder = ChainBuilder((6, 4))
    cropped = builder.link(GConv((dim, Dim("b", opc=4)), pre=(Step("square"),)), builder.values[0])
    total = GConv((Dim("a", ks=dim.opc), Dim("b", opc=4)), reduce=Reduce.ADD)
    module = check_pass(builder.module([builder.link(total, cropped)]), "fuse-pre")
    views = [op.view for op in module.walk() if isinstance(op, ViewOp)]
    assert (len(links_of(module)), views) == ((2, []) if view is None else (1, [view]))


def test_a_row_of_links_collapses() -> None:
    module = check_pass(unary_before(GConv(POOL, reduce=Reduce.ADD), "relu", "neg", "square"), "fuse-pre")
    assert [[s.function for s in link.spec.pre] for link in links_of(module)] == [["relu", "neg", "square"]]


@pytest.mark.parametrize(
    ("function", "word_cost", "fused"),
    # 16 words, 48 trips: 32 evaluations more, 32 words saved.
    [("neg", 1, True), ("neg", 0, False), ("exp", 7, False), ("exp", 8, True)],
)
def test_weighs_evaluations_against_words(function: str, word_cost: int, fused: bool) -> None:
    module = unary_before(GConv(POOL, reduce=Reduce.ADD), function)
    check_pass(module, f"fuse-pre{{word-cost={word_cost}}}", 1e-12)
    assert (len(links_of(module)) == 1) == fused


def test_leaves_links_with_several_readers_kernels_or_other_types() -> None:
    several = unary_before(GConv(POOL, reduce=Reduce.ADD), "relu", reads=2)
    assert len(links_of(check_pass(several, "fuse-pre"))) == 3
    builder = ChainBuilder((4, 4))
    scaled = builder.link(GConv(plain((4, 4), "g"), main="mul"), builder.values[0], builder.constant(np.ones((4, 4))))
    module = builder.module([builder.link(GConv(POOL, reduce=Reduce.ADD), scaled)])
    assert len(links_of(check_pass(module, "fuse-pre"))) == 2
    check_ir(
        """
        func.func @main(%x: tensor<4xf32>) -> tensor<1xi32> {
          %i = gconv.link %x : tensor<4xf32> <A opc 4> "pass" none -> tensor<4xi32>
          %y = gconv.link %i : tensor<4xi32> <A ks 4> "pass" add -> tensor<1xi32>
          func.return %y : tensor<1xi32>
        }
        """,
        "fuse-pre",
        "CHECK-COUNT-2: gconv.link",
    )


def test_does_not_touch_a_kernel() -> None:
    builder = ChainBuilder((4, 4), (4, 4))
    x, k = builder.block.args
    kernel = builder.link(GConv(plain((4, 4)), post=(Step("relu"),)), k)
    module = builder.module([builder.link(GConv(plain((4, 4), "g"), main="mul"), x, kernel)])
    assert len(links_of(check_pass(module, "fuse-pre"))) == 2


def test_refuses_bad_options_and_control_flow() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        run_passes(parse_module(CONTROL_FLOW), "fuse-pre{word-cost=-1}")
    with pytest.raises(CatenaError, match="fuse-pre rewrites functions of one block"):
        run_passes(parse_module(CONTROL_FLOW), "fuse-pre")


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning(module: Chain) -> None:
    before = len(links_of(module))
    check_pass(module, "fuse-pre")
    assert len(links_of(module)) <= before
