"""fold-copies: readers that compose, readers that are split, readers that keep the copy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce, Step, View, shape_of
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, plain, random_chains


def copied(builder: ChainBuilder, view: View) -> object:
    value = builder.view(builder.values[0], view)
    return builder.link(GConv(plain(view.shape)), value)


def test_a_depthwise_convolution_reads_shuffled_channels() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<1x6x4x4xf32>, %w: tensor<1x6x3x3xf32>) -> tensor<1x6x4x4xf32> {
          %v = gconv.view %x <[96, 16, 48, 4, 1]> : tensor<1x6x4x4xf32> -> tensor<1x3x2x4x4xf32> loc("shuffle")
          %c = gconv.link %v : tensor<1x3x2x4x4xf32> <N, C opc 3, D opc 2, H opc 4, W opc 4> "pass" none {tensor = "c"}
            -> tensor<1x3x2x4x4xf32> loc("shuffle")
          %r = gconv.view %c <[96, 16, 4, 1]> : tensor<1x3x2x4x4xf32> -> tensor<1x6x4x4xf32> loc("shuffle")
          %y = gconv.link %r : tensor<1x6x4x4xf32> by %w : tensor<1x6x3x3xf32>
            <N, C g 6, H opc 4 ks 3 pad 1, W opc 4 ks 3 pad 1> "mul" add {tensor = "y"}
            -> tensor<1x6x4x4xf32> loc("conv")
          func.return %y : tensor<1x6x4x4xf32>
        }
        """,
        "fold-copies",
        """
        CHECK:      func.func @main
        CHECK-NEXT: [[X:%.*]] = gconv.view %x <[0, 16, 48, 4, 1]> : tensor<1x6x4x4xf32> -> tensor<1x3x2x4x4xf32>
        CHECK-NEXT: [[W:%.*]] = gconv.view %w <[0, 18, 9, 3, 1]> : tensor<1x6x3x3xf32> -> tensor<1x3x2x3x3xf32>
        CHECK-NEXT: [[Y:%.*]] = gconv.link [[X]] {{.*}} by [[W]]
        CHECK-SAME: <N, C g 3, C2 g 2, H opc 4 ks 3 pad 1, W opc 4 ks 3 pad 1> "mul" add {tensor = "y"}
        CHECK-SAME: loc(fused["shuffle", "conv"])
        CHECK-NEXT: gconv.view [[Y]] <[96, 16, 4, 1]> : tensor<1x3x2x4x4xf32> -> tensor<1x6x4x4xf32>
        CHECK-NEXT: func.return
        """,
        locations=True,
    )


def test_a_view_of_the_copy_that_composes_is_read_directly() -> None:
    builder = ChainBuilder((4, 6))
    copy = copied(builder, View.dense((4, 6)).permute((1, 0)))
    part = builder.view(copy, View.dense((6, 4)).slice(0, 2, 3))
    ones = builder.constant(np.ones((6, 4)))
    reads = [
        builder.link(GConv(plain((3, 4)), post=(Step("neg"),)), part),
        builder.link(GConv(plain((6, 4), "g"), "mul"), copy, copy),
        builder.link(GConv(plain((6, 4)), post=(Step("add", operand=0),)), ones, extras=[copy]),
    ]
    assert len(links_of(check_pass(builder.module(reads), "fold-copies"))) == 3


def test_rows_of_copies_go() -> None:
    builder = ChainBuilder((4, 6))
    once = copied(builder, View.dense((4, 6)).permute((1, 0)))
    again = builder.link(GConv(plain((2, 12))), builder.view(once, View.dense((2, 12))))
    flat = builder.view(again, View.dense((24,)))
    module = builder.module([builder.link(GConv((Dim("d", ks=24),), reduce=Reduce.ADD), flat)])
    check_pass(module, "fold-copies")
    assert [[(d.name, d.ks) for d in link.nest.data] for link in links_of(module)] == [[("d", 6), ("d2", 4)]]


@pytest.mark.parametrize("reader", ["window", "crossing", "concat", "result", "kernel"])
def test_a_copy_that_one_reader_needs_stays(reader: str) -> None:
    builder = ChainBuilder((4, 6))
    copy = copied(builder, View.dense((4, 6)).permute((1, 0)))
    row = builder.view(copy, View.dense((24,)))
    results = [builder.link(GConv(plain((6, 4)), post=(Step("neg"),)), copy)]
    match reader:
        case "window":
            results.append(builder.link(GConv((Dim("d", opc=23, ks=2),), reduce=Reduce.ADD), row))
        case "crossing":
            rows = builder.view(copy, View.dense((8, 3)))
            results.append(builder.link(GConv(plain((8, 3)), post=(Step("neg"),)), rows))
        case "concat":
            results.append(builder.concat([copy, results[0]], 0))
        case "result":
            results.append(copy)
        case _:
            results.append(builder.link(GConv(plain((24,), "g"), "mul"), builder.constant(np.ones(24)), row))
    module = builder.module(results)
    count = len(links_of(module))
    assert len(links_of(check_pass(module, "fold-copies"))) == count


def test_a_reader_that_reads_the_copy_twice_is_not_split() -> None:
    builder = ChainBuilder((4, 6))
    copy = copied(builder, View.dense((4, 6)).permute((1, 0)))
    row, word = builder.view(copy, View.dense((24,))), builder.view(copy, View((1,), (1,), 7))
    module = builder.module([builder.link(GConv((Dim("d", opc=24),), "mul"), row, word)])
    assert len(links_of(check_pass(module, "fold-copies"))) == 2


def test_a_reader_of_a_part_that_does_not_compose_is_not_split() -> None:
    builder = ChainBuilder((4, 6))
    copy = copied(builder, View.dense((4, 6)).permute((1, 0)))
    half = builder.view(copy, View((12,), (1,)))
    module = builder.module([builder.link(GConv((Dim("d", ks=12),), reduce=Reduce.ADD), half)])
    assert len(links_of(check_pass(module, "fold-copies"))) == 2


def test_a_change_of_type_is_no_copy() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<4xf32>) -> tensor<4xi32> {
          %c = gconv.link %x : tensor<4xf32> <A opc 4> "pass" none -> tensor<4xi32>
          %y = gconv.link %c : tensor<4xi32> <A opc 4> "pass" none post <neg> -> tensor<4xi32>
          func.return %y : tensor<4xi32>
        }
        """,
        "fold-copies",
        "CHECK-COUNT-2: gconv.link",
    )


def test_refuses_control_flow() -> None:
    with pytest.raises(CatenaError, match="fold-copies rewrites functions of one block"):
        run_passes(parse_module(CONTROL_FLOW), "fold-copies")


@st.composite
def copies_read_otherwise(draw: st.DrawFn) -> Chain:
    """A copy of a transposed tensor, read in dimensions that join the copy's."""
    factors = draw(st.lists(st.integers(2, 3), min_size=2, max_size=5))
    builder = ChainBuilder(tuple(factors))
    order = draw(st.permutations(range(len(factors))))
    copy = copied(builder, View.dense(factors).permute(order))
    shape = shape_of(copy)
    cuts = [0, *sorted(draw(st.sets(st.integers(1, len(shape) - 1)))), len(shape)]
    dims: list[Dim] = []
    for index, (start, end) in enumerate(itertools.pairwise(cuts)):
        extent, first = math.prod(shape[start:end]), shape[start]
        name = f"d{index}"
        choices = [
            Dim(name, opc=extent),
            Dim(name, g=extent),
            Dim(name, ks=extent),
            Dim(name, op=2, ks=extent),
            Dim(name, op=2, opc=extent),
            Dim(name, g=extent, op=2),
            Dim(name, g=first, op=2, ks=extent // first),
            Dim(name, g=first, opc=extent // first),
        ]
        dims.append(draw(st.sampled_from(choices)))
    spec = GConv(tuple(dims), "mul", Reduce.ADD, post=(Step("sub", operand=0),))
    joined = tuple(math.prod(shape[start:end]) for start, end in itertools.pairwise(cuts))
    kernel = builder.constant(np.random.default_rng(1).integers(-2, 3, spec.kernel_shape))
    extra = builder.constant(np.random.default_rng(2).integers(-2, 3, spec.output_shape))
    return builder.module([builder.link(spec, builder.view(copy, View.dense(joined)), kernel, [extra])])


@settings(derandomize=True, deadline=None, max_examples=examples(200))
@given(copies_read_otherwise())
def test_splits_any_plain_dimension(module: Chain) -> None:
    assert len(links_of(check_pass(module, "fold-copies"))) == 1


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning(module: Chain) -> None:
    before = len(links_of(module))
    check_pass(module, "fold-copies")
    assert len(links_of(module)) <= before
