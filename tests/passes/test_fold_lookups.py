"""fold-lookups: which copies of looked-up words go into their reader, and that results stay the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, IndexedOp, IndexedView, Reduce, Step, View
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, plain, random_chains


def test_a_product_looks_up_its_rows() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<9x4xf32>, %i: tensor<3x1x1xi64>, %w: tensor<2x4xf32>) -> tensor<3x2x1xf32> {
          %v = gconv.indexed %x : tensor<9x4xf32> at %i : tensor<3x1x1xi64> <[0, 1], 4 of 9> -> tensor<3x4xf32> loc("e")
          %c = gconv.link %v : tensor<3x4xf32> <N opc 3, C opc 4> "pass" none -> tensor<3x4xf32> loc("e")
          %a = gconv.view %c <[4, 0, 1]> : tensor<3x4xf32> -> tensor<3x1x4xf32> loc("e")
          %b = gconv.view %w <[0, 4, 1]> : tensor<2x4xf32> -> tensor<1x2x4xf32> loc("p")
          %y = gconv.link %a : tensor<3x1x4xf32> by %b : tensor<1x2x4xf32> <M opc 3, N op 2, K ks 4> "mul" add
               {tensor = "y"} -> tensor<3x2x1xf32> loc("p")
          func.return %y : tensor<3x2x1xf32>
        }
        """,
        "fold-lookups",
        """
        CHECK:      [[I:%.*]] = gconv.view %i <[1, 0, 0, 1]> : tensor<3x1x1xi64> -> tensor<3x1x1x1xi64>
        CHECK-NEXT: [[V:%.*]] = gconv.indexed %x {{.*}} at [[I]] {{.*}} <[0, 0, 1], 4 of 9> -> tensor<3x1x4xf32>
        CHECK-NEXT: gconv.link [[V]] {{.*}} <M opc 3, N op 2, K ks 4> "mul" add {tensor = "y"}
        CHECK-SAME: loc(fused["e", "p"])
        CHECK-NEXT: func.return
        """,
        locations=True,
    )


def gathered(step: Step | None = None, per_word: bool = False, readers: int = 1) -> Chain:
    """Rows of a table, or single words of it, copied, transposed and reduced."""
    builder = ChainBuilder((5, 6))
    view = IndexedView.of_terms(View((4, 6), (0, 1)), [(6, 5)])
    index = builder.indices(np.array([3, -1, 3, 0]).reshape(4, 1, 1) * np.ones((1, 6 if per_word else 1, 1), int))
    shown = builder.add(IndexedOp.of(builder.values[0], index, view))
    copy = builder.link(GConv(plain(view.shape), post=() if step is None else (step,)), shown)
    turned = builder.view(copy, View.dense((4, 6)).permute((1, 0)))
    sums = GConv((Dim("C", opc=6), Dim("N", ks=4)), reduce=Reduce.ADD)
    return builder.module([builder.link(sums, turned) for _ in range(readers)])


@pytest.mark.parametrize(
    ("module", "links"),
    [
        (gathered(), 1),
        (gathered(step=Step("neg")), 2),
        (gathered(per_word=True), 2),
        (gathered(readers=2), 3),
    ],
    ids=["rows", "more-than-a-copy", "an-index-for-every-word", "two-readers"],
)
def test_what_goes_into_the_reader(module: Chain, links: int) -> None:
    assert len(links_of(check_pass(module, "fold-lookups"))) == links


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_the_meaning_is_kept(module: Chain) -> None:
    check_pass(module, "fold-views,fold-lookups")


def test_control_flow_is_refused() -> None:
    with pytest.raises(CatenaError, match="fold-lookups rewrites functions of one block"):
        run_passes(parse_module(CONTROL_FLOW), "fold-lookups")
