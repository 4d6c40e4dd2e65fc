"""copy-concat: which parts and results need a copy, and a run in buffers that shows nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from dialects.diagnostics import CatenaError
from dialects.gconv import ConcatOp, Dim, GConv, Reduce, Step, View, shape_of
from dialects.gconv.interpreter import argument_names, main_function
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, assert_close, check_pass, links_of, plain, random_chains, run_chain
from tests.passes.placement import run_in_place

PIPELINE = "fold-views,evaluate-constants,fold-pad,fuse-elementwise,fold-weights,fuse-pre,merge-dims,copy-concat"


def check_places(module: Chain, passes: str = "copy-concat", relative: float = 0.0) -> int:
    """Run passes, then the chain in buffers; returns how many links only copy."""
    check_pass(module, passes, relative)
    expected, _ = run_chain(module)
    function = main_function(module)
    generator = np.random.default_rng(7)
    inputs = [generator.integers(-3, 4, shape_of(arg)).astype(np.float64) for arg in function.args]
    assert len(argument_names(function)) == len(inputs)
    for found, value in zip(run_in_place(module, inputs), expected.values(), strict=True):
        assert_close(found, value, 1e-12)
    return sum(link.spec == GConv(link.nest.data) for link in links_of(module))


def made(builder: ChainBuilder, function: str = "neg", index: int = 0) -> object:
    """A link's result in the shape of an argument."""
    value = builder.values[index]
    return builder.link(GConv(plain(shape_of(value)), post=(Step(function),)), value)


def test_links_that_feed_one_concatenation_write_it_in_place() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<2x3xf32>) -> tensor<2x7xf32> {
          %a = gconv.link %x : tensor<2x3xf32> <M opc 2, N opc 3> "pass" none post <neg> -> tensor<2x3xf32> loc("a")
          %b = gconv.link %x : tensor<2x3xf32> <M opc 2, N opc 3> "pass" none post <exp> -> tensor<2x3xf32> loc("b")
          %p = gconv.view %x <[3, 1], offset 1> : tensor<2x3xf32> -> tensor<2x1xf32> loc("slice")
          %y = gconv.concat %a, %p, %b axis 1 {tensor = "y"}
            : tensor<2x3xf32>, tensor<2x1xf32>, tensor<2x3xf32> -> tensor<2x7xf32> loc("join")
          func.return %y : tensor<2x7xf32>
        }
        """,
        "copy-concat",
        """
        CHECK:      [[A:%.*]] = gconv.link %x {{.*}} post <neg>
        CHECK-NEXT: [[B:%.*]] = gconv.link %x {{.*}} post <exp>
        CHECK-NEXT: [[V:%.*]] = gconv.view %x <[3], offset 1> : tensor<2x3xf32> -> tensor<2xf32> 
        CHECK-SAME: loc(fused["slice", "join"])
        CHECK-NEXT: [[C:%.*]] = gconv.link [[V]] : tensor<2xf32> <d0 opc 2> "pass" none -> tensor<2xf32>
        CHECK-SAME: loc(fused["slice", "join"])
        CHECK-NEXT: [[P:%.*]] = gconv.view [[C]] <[1, 1]> : tensor<2xf32> -> tensor<2x1xf32>
        CHECK-NEXT: gconv.concat [[A]], [[P]], [[B]] axis 1 {tensor = "y"}
        CHECK-NEXT: func.return
        """,
        locations=True,
    )


def test_arguments_constants_and_repeated_parts_are_copied() -> None:
    builder = ChainBuilder((2, 3))
    part, words = made(builder), builder.constant(np.arange(6).reshape(2, 3))
    module = builder.module([builder.concat([part, builder.values[0], words, part], 0)])
    assert check_places(module) == 3


def test_a_part_of_two_concatenations_is_copied_once() -> None:
    builder = ChainBuilder((2, 3))
    part = made(builder)
    one = builder.concat([part, made(builder, "abs")], 0)
    two = builder.concat([made(builder, "relu"), part], 1)
    assert check_places(builder.module([one, two])) == 1


def test_a_reshaped_part_is_in_place_where_its_block_allows() -> None:
    for axis, copies in ((0, 0), (1, 1)):
        builder = ChainBuilder((2, 3, 4))
        part = builder.view(made(builder), View.dense((2, 12)))
        # Along axis 1 the block has rows of 12 words, 24 apart: 24 words in a row do not fit.
        row = builder.view(builder.values[0], View.dense((24,)))
        flat = builder.link(GConv((Dim("d", opc=24),), post=(Step("relu"),)), row)
        other = builder.view(flat, View.dense((2, 12)))
        assert check_places(builder.module([builder.concat([part, other], axis)])) == copies


def test_a_transposed_part_is_written_in_place() -> None:
    builder = ChainBuilder((2, 3, 4))
    turned = builder.view(made(builder), View.dense((2, 3, 4)).permute((2, 0, 1)))
    other = builder.view(made(builder, "abs"), View.dense((2, 3, 4)).permute((2, 0, 1)))
    # A reversed or partial view is not all of the link's result in any order.
    reversed_part = builder.view(made(builder, "relu"), View((4, 2, 3), (1, 12, -4), 8))
    module = builder.module([builder.concat([turned, other, reversed_part], 1)])
    assert check_places(module, "merge-dims,copy-concat") == 1


def test_a_reader_whose_view_does_not_fit_the_block_forces_a_copy() -> None:
    builder = ChainBuilder((2, 3, 4))
    parts = [made(builder), made(builder, "abs")]
    joined = builder.concat(parts, 1)
    flat = builder.view(parts[0], View.dense((24,)))
    by_rows = builder.view(parts[1], View.dense((2, 12)))
    reads = [
        builder.link(GConv((Dim("d", ks=24),), reduce=Reduce.ADD), flat),
        builder.link(GConv((Dim("d", opc=2), Dim("e", ks=12)), reduce=Reduce.ADD), by_rows),
    ]
    assert check_places(builder.module([joined, *reads])) == 1


def test_nested_concatenations_grow_in_place() -> None:
    builder = ChainBuilder((1, 2, 3))
    joined = made(builder)
    results = []
    for function in ("abs", "relu", "square"):
        joined = builder.concat([joined, made(builder, function)], 1)
        results.append(builder.link(GConv(plain(shape_of(joined)), reduce=Reduce.NONE, post=(Step("neg"),)), joined))
    assert check_places(builder.module(results)) == 0


def test_a_concatenation_that_repeats_an_earlier_ones_parts_begins_with_it() -> None:
    builder = ChainBuilder((1, 2, 3))
    parts = [made(builder, function) for function in ("abs", "relu", "square", "neg")]
    results = [
        builder.link(GConv(plain(shape_of(joined)), post=(Step("neg"),)), joined)
        for count in (2, 3, 4, 4)
        for joined in [builder.concat(parts[:count], 1)]
    ]
    module = builder.module(results)
    assert check_places(module) == 0
    assert [len(op.parts) for op in module.walk() if isinstance(op, ConcatOp)] == [2, 2, 2]


def test_a_concatenation_of_one_part_is_the_part() -> None:
    builder = ChainBuilder((2, 3))
    module = builder.module([builder.concat([made(builder)], 1)])
    assert check_places(module) == 0
    assert not any(isinstance(op, ConcatOp) for op in module.walk())


def test_results_get_buffers_of_their_own() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<2x3xf32>) -> (tensor<6xf32> {onnx.name = "p"}, tensor<2x3xf32> {onnx.name = "q"},
            tensor<3x2xf32> {onnx.name = "r"}, tensor<2x3xf32> {onnx.name = "s"}) {
          %a = gconv.link %x : tensor<2x3xf32> <M opc 2, N opc 3> "pass" none post <neg> {tensor = "q"}
            -> tensor<2x3xf32> loc("a")
          %p = gconv.view %a <[1]> : tensor<2x3xf32> -> tensor<6xf32> loc("flatten")
          %r = gconv.view %a <[1, 3]> : tensor<2x3xf32> -> tensor<3x2xf32> loc("turn")
          func.return %p, %a, %r, %x : tensor<6xf32>, tensor<2x3xf32>, tensor<3x2xf32>, tensor<2x3xf32>
        }
        """,
        "copy-concat",
        """
        CHECK:     [[A:%.*]] = gconv.link %x {{.*}} post <neg> {tensor = "q"}
        CHECK:     [[P:%.*]] = gconv.view [[A]] <[1]> {{.*}} loc(fused["flatten", "a"])
        CHECK:     gconv.link {{.*}} <d0d1 opc 6> "pass" none {tensor = "q"} {{.*}} loc("a")
        CHECK:     gconv.link {{.*}} <d0 opc 3, d1 opc 2> "pass" none {tensor = "r"} {{.*}} loc("turn")
        CHECK:     gconv.link {{.*}} <d0d1 opc 6> "pass" none {tensor = "s"} {{.*}} loc("s")
        CHECK:     func.return [[P]], %{{.*}}, %{{.*}}, %{{.*}} :
        """,
        locations=True,
    )


def test_results_that_repeat_or_lie_in_a_concatenation() -> None:
    builder = ChainBuilder((2, 3))
    part = made(builder)
    joined = builder.concat([part, made(builder, "abs")], 0)
    words = builder.constant(np.arange(3))
    assert check_places(builder.module([part, joined, joined, words])) == 3


def test_scalars() -> None:
    builder = ChainBuilder((2, 3))
    total = builder.link(GConv(plain((2, 3), "ks"), reduce=Reduce.ADD), builder.values[0])
    scalar = builder.view(total, View.dense(()))
    assert check_places(builder.module([scalar, scalar])) == 1


def test_a_view_that_no_stride_can_say_is_of_a_copy() -> None:
    builder = ChainBuilder((4, 6))
    turned = builder.view(builder.values[0], View.dense((4, 6)).permute((1, 0)))
    flat = [builder.view(turned, View.dense((24,))) for _ in range(2)]
    pairs = builder.view(turned, View.dense((12, 2)))
    results = [builder.link(GConv(plain(shape_of(v)), post=(Step("neg"),)), v) for v in (*flat, pairs)]
    assert check_places(builder.module(results)) == 1


def test_merged_links_still_fit_their_blocks() -> None:
    builder = ChainBuilder((2, 3, 2, 2))
    parts = [made(builder), made(builder, "abs")]
    joined = builder.concat(parts, 1)
    read_back = builder.link(GConv(plain((2, 3, 2, 2)), post=(Step("relu"),)), parts[0])
    assert check_places(builder.module([joined, read_back]), "merge-dims,copy-concat") == 0


def test_refuses_control_flow() -> None:
    with pytest.raises(CatenaError, match="copy-concat rewrites functions of one block"):
        run_passes(parse_module(CONTROL_FLOW), "copy-concat")


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning_in_place(module: Chain) -> None:
    check_places(module)
    count = len(links_of(module))
    assert len(links_of(check_pass(module, "copy-concat"))) == count


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning_of_the_whole_pipeline_in_place(module: Chain) -> None:
    check_places(module, PIPELINE, 1e-12)


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_merging_dimensions_costs_no_copies(module: Chain) -> None:
    """But for results in another order: merged dimensions cannot be written in it, and are copied into it."""
    merged = parse_module_again(module)
    check_pass(module, "copy-concat")
    check_pass(merged, "merge-dims,copy-concat")
    turned = sum(isinstance(op, ConcatOp) and len(op.parts) == 1 for op in module.walk())
    assert 0 <= len(links_of(merged)) - len(links_of(module)) <= turned


def parse_module_again(module: Chain) -> Chain:
    copy = Chain([])
    for op in module.ops:
        copy.body.block.add_op(op.clone())
    return copy


def turned(builder: ChainBuilder, made: object, *after: object) -> Chain:
    """A module that returns a copy of a transposed result of [2, 3], flattened; and what comes `after`."""
    view = builder.view(made, View.dense((2, 3)).permute((1, 0)))  # pyright: ignore[reportArgumentType]
    copied = builder.link(GConv(plain((3, 2))), view)
    return builder.module([builder.view(copied, View.dense((6,))), *after])  # pyright: ignore[reportArgumentType]


def test_a_result_is_written_in_the_order_that_a_copy_would_give_it() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<2x3xf32>) -> tensor<6xf32> {
          %a = gconv.link %x : tensor<2x3xf32> <M opc 2, N opc 3> "pass" none post <exp> -> tensor<2x3xf32> loc("a")
          %t = gconv.view %a <[1, 3]> : tensor<2x3xf32> -> tensor<3x2xf32> loc("t")
          %c = gconv.link %t : tensor<3x2xf32> <N opc 3, M opc 2> "pass" none {tensor = "c"} -> tensor<3x2xf32> loc("c")
          %y = gconv.view %c <[1]> : tensor<3x2xf32> -> tensor<6xf32> loc("y")
          func.return %y : tensor<6xf32>
        }
        """,
        "copy-concat",
        """
        CHECK:      func.func @main
        CHECK-NEXT: [[A:%.*]] = gconv.link %x {{.*}} post <exp> -> tensor<2x3xf32> loc("a")
        CHECK-NEXT: [[T:%.*]] = gconv.view [[A]] <[1, 3]>
        CHECK-NEXT: [[C:%.*]] = gconv.concat [[T]] axis 0 {tensor = "c"} : tensor<3x2xf32> -> tensor<3x2xf32> loc({{.*}}
        CHECK-NEXT: [[Y:%.*]] = gconv.view [[C]] <[1]>
        CHECK-NEXT: func.return [[Y]]
        """,
        locations=True,
    )


def test_others_read_a_result_that_was_written_in_another_order() -> None:
    builder = ChainBuilder((2, 3))
    a = made(builder)
    total = builder.link(GConv((Dim("M", opc=2), Dim("N", ks=3)), reduce=Reduce.ADD), a)
    assert check_places(turned(builder, a, total)) == 0


def test_a_transposed_copy_that_goes_into_a_concatenation_is_written_there() -> None:
    builder = ChainBuilder((2, 3))
    a, b = made(builder), made(builder, "abs")
    view = builder.view(a, View.dense((2, 3)).permute((1, 0)))
    flat = builder.view(builder.link(GConv(plain((3, 2))), view), View.dense((6, 1)))
    joined = builder.concat([flat, builder.view(b, View.dense((6, 1)))], 1)
    assert check_places(builder.module([joined])) == 0


@pytest.mark.parametrize("returned", [False, True])
def test_a_transposed_copy_stays_where_its_source_cannot_move(returned: bool) -> None:
    """Arguments and results lie where they are."""
    builder = ChainBuilder((2, 3))
    a = made(builder) if returned else builder.block.args[0]
    module = turned(builder, a, a) if returned else turned(builder, a)
    assert check_places(module) == 1
    assert not [op for op in module.walk() if isinstance(op, ConcatOp)]


def test_a_transposed_copy_stays_where_others_read_what_it_would_tear_apart() -> None:
    builder = ChainBuilder((2, 3))
    a = made(builder)
    flat = builder.link(GConv(plain((6,)), post=(Step("abs"),)), builder.view(a, View.dense((6,))))
    module = turned(builder, a, flat)
    assert check_places(module) == 1
    assert not [op for op in module.walk() if isinstance(op, ConcatOp)]
