"""fold-views: composition, identities, equal views, dead ops."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from dialects.diagnostics import CatenaError
from dialects.gconv import View, ViewOp
from passes.chain_views import source_of
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, random_chains


def test_composes_views_and_names_both_nodes() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<4x6xf32>) -> tensor<3x2xf32> {
          %t = gconv.view %x <[1, 6]> : tensor<4x6xf32> -> tensor<6x4xf32> loc("transpose")
          %s = gconv.view %t <[8, 1], offset 5> : tensor<6x4xf32> -> tensor<3x2xf32> loc("slice")
          func.return %s : tensor<3x2xf32>
        }
        """,
        "fold-views",
        """
        CHECK:      func.func @main
        CHECK-NEXT: %s = gconv.view %x <[2, 6], offset 7> : tensor<4x6xf32> -> tensor<3x2xf32>
        CHECK-SAME: loc(fused["transpose", "slice"])
        CHECK-NEXT: func.return %s
        """,
        locations=True,
    )


def test_keeps_what_one_stride_cannot_say() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<4x6xf32>) -> tensor<24xf32> {
          %t = gconv.view %x <[1, 6]> : tensor<4x6xf32> -> tensor<6x4xf32>
          %s = gconv.view %t <[1]> : tensor<6x4xf32> -> tensor<24xf32>
          func.return %s : tensor<24xf32>
        }
        """,
        "fold-views",
        """
        CHECK:      gconv.view %x <[1, 6]>
        CHECK-NEXT: gconv.view %t <[1]>
        """,
    )


def test_drops_identities_dead_ops_and_repeats() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<2x3xf32>) -> (tensor<2x3xf32>, tensor<6xf32>, tensor<6xf32>) {
          %flat = gconv.view %x <[1]> : tensor<2x3xf32> -> tensor<6xf32> loc("a")
          %back = gconv.view %flat <[3, 1]> : tensor<6xf32> -> tensor<2x3xf32>
          %again = gconv.view %back <[1]> : tensor<2x3xf32> -> tensor<6xf32> loc("b")
          %unused = gconv.link %back : tensor<2x3xf32> <A opc 2, B opc 3> "pass" none -> tensor<2x3xf32>
          %dead = gconv.view %unused <[1]> : tensor<2x3xf32> -> tensor<6xf32>
          func.return %back, %flat, %again : tensor<2x3xf32>, tensor<6xf32>, tensor<6xf32>
        }
        """,
        "fold-views",
        """
        CHECK:      func.func @main
        CHECK-NEXT: %flat = gconv.view %x <[1]> : tensor<2x3xf32> -> tensor<6xf32> loc(fused["a", "b"])
        CHECK-NEXT: func.return %x, %flat, %flat
        """,
        locations=True,
    )


def test_a_view_that_died_is_no_twin() -> None:
    builder = ChainBuilder((4, 6))
    (x,) = builder.block.args
    first = builder.view(x, View.dense((6, 4)))
    inner = builder.view(first, View((3, 4), (8, 1)))  # composing this kills the first view
    second = builder.view(x, View.dense((6, 4)))
    module = builder.module([inner, second])
    check_pass(module, "fold-views")
    assert [op.base for op in module.walk() if isinstance(op, ViewOp)] == [x, x]


def test_the_stride_of_a_unit_dimension_does_not_tell_views_apart() -> None:
    builder = ChainBuilder((4, 6))
    (x,) = builder.block.args
    module = builder.module([builder.view(x, View((1, 24), (0, 1))), builder.view(x, View((1, 24), (24, 1)))])
    check_pass(module, "fold-views")
    assert sum(isinstance(op, ViewOp) for op in module.walk()) == 1


def test_refuses_control_flow_and_names_every_function() -> None:
    module = parse_module(CONTROL_FLOW)
    with pytest.raises(CatenaError, match="fold-views rewrites functions of one block") as caught:
        run_passes(module, "fold-views")
    assert [(d.code, d.where) for d in caught.value.diagnostics] == [("CAT-R003", "@branches")]


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning(module: Chain) -> None:
    check_pass(module, "fold-views")
    for op in module.walk():
        if isinstance(op, ViewOp):
            source = source_of(op.result)
            assert source.base is op.base
            assert not source.is_base
            assert op.result.first_use is not None
