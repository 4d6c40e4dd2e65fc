"""fold-pad: padding and cropping links into their readers, and when that would change values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce, Step, View
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, random_chains


def padded(low: int, high: int, reader: GConv, value: float | None = 0.0, extent: int = 6) -> Chain:
    """A link that pads [2, extent] along W, read by `reader`."""
    builder = ChainBuilder((2, extent))
    pad = GConv((Dim("C", opc=2), Dim("W", opc=extent + low + high, pad=low)), pad_value=value)
    return builder.module([builder.link(reader, builder.link(pad, builder.values[0]))])


def window(opc: int, ks: int, pad: int = 0, reduce: Reduce = Reduce.ADD, **more: object) -> GConv:
    return GConv((Dim("C", opc=2), Dim("W", opc=opc, ks=ks, pad=pad)), reduce=reduce, **more)


def test_an_asymmetric_padding_goes_into_a_strided_convolution() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<1x4x6xf32>, %w: tensor<1x8x3xf32>) -> tensor<1x2x4xf32> {
          %p = gconv.link %x : tensor<1x4x6xf32> <N, C opc 4, W opc 9 pad 1> "pass" none pad <0.0>
            -> tensor<1x4x9xf32> loc("pad")
          %y = gconv.link %p : tensor<1x4x9xf32> by %w : tensor<1x8x3xf32> <N, C op 2 ks 4, W opc 4 ks 3 stride 2 pad 1>
            "mul" add post <relu> {tensor = "y"} -> tensor<1x2x4xf32> loc("conv")
          func.return %y : tensor<1x2x4xf32>
        }
        """,
        "fold-pad",
        """
        CHECK:      func.func @main
        CHECK-NEXT: gconv.link %x : tensor<1x4x6xf32> by %w : tensor<1x8x3xf32>
        CHECK-SAME: <N, C op 2 ks 4, W opc 4 ks 3 stride 2 pad 2> "mul" add post <relu> {tensor = "y"}
        CHECK-SAME: loc(fused["pad", "conv"])
        CHECK-NEXT: func.return
        """,
        locations=True,
    )


def test_a_padding_of_zero_becomes_the_padding_value_of_a_maximum() -> None:
    module = check_pass(padded(1, 1, window(6, 3, reduce=Reduce.MAX)), "fold-pad")
    (link,) = links_of(module)
    assert (link.spec.dims[1].pad, link.spec.pad_value) == (1, 0.0)


def test_a_maximum_that_pads_with_minus_infinity_itself_keeps_a_padding_of_zero_apart() -> None:
    module = check_pass(padded(1, 1, window(8, 3, pad=1, reduce=Reduce.MAX)), "fold-pad")
    assert len(links_of(module)) == 2
    module = check_pass(padded(1, 1, window(8, 3, pad=1, reduce=Reduce.MAX), value=-math.inf), "fold-pad")
    assert len(links_of(module)) == 1


def test_the_padding_went_through_pre() -> None:
    square = check_pass(padded(1, 1, window(8, 3, pad=1, pre=(Step("square"),))), "fold-pad")
    assert len(links_of(square)) == 1  # 0 stays 0
    exp = check_pass(padded(1, 1, window(8, 3, pad=1, pre=(Step("exp"),))), "fold-pad", 1e-12)
    assert len(links_of(exp)) == 2  # 1 is not the padding of the sum
    alone = check_pass(padded(1, 1, window(6, 3, pre=(Step("exp"),))), "fold-pad", 1e-12)
    assert [link.spec.pad_value for link in links_of(alone)] == [1.0]


def test_a_crop_is_a_negative_padding_unless_the_reader_pads_there() -> None:
    module = check_pass(padded(-2, 0, window(2, 3)), "fold-pad")
    assert [link.spec.dims[1].pad for link in links_of(module)] == [-2]
    assert len(links_of(check_pass(padded(-2, 0, window(3, 3, pad=1)), "fold-pad"))) == 2
    assert len(links_of(check_pass(padded(0, -2, window(4, 3)), "fold-pad"))) == 2


def test_rows_of_paddings_collapse() -> None:
    builder = ChainBuilder((2, 6))
    value = builder.values[0]
    for extent, low in ((7, 1), (9, 2), (8, -1)):
        value = builder.link(GConv((Dim("C", opc=2), Dim("W", opc=extent, pad=low)), pad_value=0.0), value)
    module = check_pass(builder.module([builder.link(window(6, 3), value)]), "fold-pad")
    assert [link.spec.dims[1].pad for link in links_of(module)] == [2]


def test_all_readers_or_none() -> None:
    def build(second: GConv) -> Chain:
        builder = ChainBuilder((2, 6))
        pad = GConv((Dim("C", opc=2), Dim("W", opc=8, pad=1)), pad_value=0.0)
        made = builder.link(pad, builder.values[0])
        return builder.module([builder.link(spec, made) for spec in (window(6, 3), second)])

    assert len(links_of(check_pass(build(window(5, 4)), "fold-pad"))) == 2
    assert len(links_of(check_pass(build(window(8, 3, pad=1, reduce=Reduce.MAX)), "fold-pad"))) == 3


def test_stays_before_results_views_kernels_and_grouped_dimensions() -> None:
    builder = ChainBuilder((2, 6))
    pad = GConv((Dim("C", opc=2), Dim("W", opc=8, pad=1)), pad_value=0.0)
    result = builder.link(pad, builder.values[0])
    viewed = builder.view(builder.link(pad, builder.values[0]), View.dense((16,)))
    read_view = builder.link(GConv((Dim("W", ks=16),), reduce=Reduce.ADD), viewed)
    grouped = GConv((Dim("C", opc=2), Dim("W", g=2, ks=4)), reduce=Reduce.ADD)
    read_groups = builder.link(grouped, builder.link(pad, builder.values[0]))
    made, ones = builder.link(pad, builder.values[0]), builder.constant(np.ones((2, 8)))
    as_kernel = builder.link(GConv((Dim("C", g=2), Dim("W", g=8)), "mul"), ones, made)
    module = builder.module([result, read_view, read_groups, as_kernel])
    count = len(links_of(module))
    assert len(links_of(check_pass(module, "fold-pad"))) == count


def test_a_padding_before_a_transposed_convolution() -> None:
    spec = GConv((Dim("C", opc=2), Dim("W", opc=14, ks=3, pad=1, up=2)), reduce=Reduce.ADD)
    module = check_pass(padded(1, 1, spec), "fold-pad")
    assert [link.spec.dims[1].pad for link in links_of(module)] == [3]


def test_refuses_control_flow() -> None:
    with pytest.raises(CatenaError, match="fold-pad rewrites functions of one block"):
        run_passes(parse_module(CONTROL_FLOW), "fold-pad")


@settings(derandomize=True, deadline=None, max_examples=examples(200))
@given(
    st.tuples(*[st.integers(-2, 2)] * 2),
    st.builds(
        Dim,
        st.just("W"),
        opc=st.integers(1, 6),
        ks=st.integers(1, 3),
        stride=st.integers(1, 2),
        dilation=st.integers(1, 2),
        pad=st.integers(-2, 3),
        up=st.integers(1, 2),
    ),
    st.sampled_from((Reduce.ADD, Reduce.MUL)),
    st.sampled_from((0.0, 1.0, None)),
    st.sampled_from(((), (Step("neg"),), (Step("exp"),))),
)
def test_keeps_the_meaning_of_any_window(
    pad: tuple[int, int], dim: Dim, reduce: Reduce, value: float | None, pre: tuple[Step, ...]
) -> None:
    check_pass(padded(*pad, GConv((Dim("C", opc=2), dim), reduce=reduce, pre=pre), value), "fold-pad", 1e-12)


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning(module: Chain) -> None:
    check_pass(module, "fold-pad")
