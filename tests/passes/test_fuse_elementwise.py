"""fuse-elementwise: rules F1 and F2, what may not be fused, the limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from xdsl.ir import SSAValue

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce, Step, View, shape_of
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, plain, random_chains

CONV = """
  %c = gconv.link %x : tensor<1x3x4x4xf32> by %w : tensor<1x6x3x3xf32>
    <N, C op 2 ks 3, H opc 4 ks 3 pad 1, W opc 4 ks 3 pad 1> "mul" add {tensor = "c"} -> tensor<1x2x4x4xf32> loc("conv")
"""
ARGUMENTS = "%x: tensor<1x3x4x4xf32>, %w: tensor<1x6x3x3xf32>, %k: tensor<1x2x1x1xf32>, %r: tensor<1x2x4x4xf32>"


def in_main(body: str, result: str = "tensor<1x2x4x4xf32>") -> str:
    return f"func.func @main({ARGUMENTS}) -> {result} {{ {CONV} {body} func.return %y : {result} }}"


def test_absorbs_bias_activation_and_names_the_last_tensor() -> None:
    check_ir(
        in_main("""
          %b = gconv.link %c : tensor<1x2x4x4xf32> by %k : tensor<1x2x1x1xf32>
            <N, C g 2, H opc 4, W opc 4> "add" none {tensor = "b"} -> tensor<1x2x4x4xf32> loc("bias")
          %y = gconv.link %b : tensor<1x2x4x4xf32> <N, C opc 2, H opc 4, W opc 4> "pass" none
            post <relu> {tensor = "y"} -> tensor<1x2x4x4xf32> loc("relu")
        """),
        "fuse-elementwise",
        """
        CHECK:      func.func @main
        CHECK-NEXT: %y = gconv.link %x : tensor<1x3x4x4xf32> by %w : tensor<1x6x3x3xf32> with %k : tensor<1x2x1x1xf32>
        CHECK-SAME: <N, C op 2 ks 3, H opc 4 ks 3 pad 1, W opc 4 ks 3 pad 1> "mul" add post <add[0], relu>
        CHECK-SAME: {tensor = "y"} -> tensor<1x2x4x4xf32> loc(fused["conv", "bias", "relu"])
        CHECK-NEXT: func.return %y
        """,
        locations=True,
    )


def test_reviews_operands_of_a_link_in_another_shape() -> None:
    check_ir(
        in_main(
            """
          %f = gconv.view %c <[16, 1]> : tensor<1x2x4x4xf32> -> tensor<2x16xf32> loc("flatten")
          %kf = gconv.view %k <[1, 0]> : tensor<1x2x1x1xf32> -> tensor<2x1xf32>
          %y = gconv.link %f : tensor<2x16xf32> by %kf : tensor<2x1xf32>
            <A g 2, B opc 16> "add" none {tensor = "y"} -> tensor<2x16xf32> loc("bias")
        """,
            "tensor<2x16xf32>",
        ),
        "fuse-elementwise,fold-views",
        """
        CHECK:      func.func @main
        CHECK-NEXT: [[C:%.*]] = gconv.link %x {{.*}} with %k : tensor<1x2x1x1xf32> {{.*}} post <add[0]> {tensor = "y"}
        CHECK-SAME: loc(fused["conv", "flatten", "bias"])
        CHECK-NEXT: gconv.view [[C]] <[16, 1]> : tensor<1x2x4x4xf32> -> tensor<2x16xf32>
        """,
        locations=True,
    )


def test_a_residual_addition_goes_into_the_later_link_and_takes_its_place() -> None:
    check_ir(
        in_main("""
          %d = gconv.link %r : tensor<1x2x4x4xf32> <N, C opc 2, H opc 4, W opc 4> "pass" none
            post <exp> -> tensor<1x2x4x4xf32> loc("exp")
          %y = gconv.link %c : tensor<1x2x4x4xf32> by %d : tensor<1x2x4x4xf32>
            <N, C g 2, H g 4, W g 4> "sub" none -> tensor<1x2x4x4xf32> loc("sub")
        """),
        "fuse-elementwise",
        """
        CHECK:      [[C:%.*]] = gconv.link %x
        CHECK-NEXT: gconv.link %r : tensor<1x2x4x4xf32> with [[C]] : tensor<1x2x4x4xf32> {{.*}} post <exp, rsub[0]>
        CHECK-NEXT: func.return
        """,
    )


def test_the_link_moves_down_to_an_operand_that_is_made_later() -> None:
    # Multiplication by the mean: the conv must move below the pooling that makes the other operand.
    check_ir(
        in_main("""
          %g = gconv.link %r : tensor<1x2x4x4xf32> <N, C opc 2, H ks 4, W ks 4> "pass" add -> tensor<1x2x1x1xf32>
          %y = gconv.link %c : tensor<1x2x4x4xf32> by %g : tensor<1x2x1x1xf32>
            <N, C g 2, H opc 4, W opc 4> "mul" none -> tensor<1x2x4x4xf32>
        """),
        "fuse-elementwise",
        """
        CHECK:      [[G:%.*]] = gconv.link %r
        CHECK-NEXT: gconv.link %x {{.*}} with [[G]] : tensor<1x2x1x1xf32> {{.*}} post <mul[0]>
        CHECK-NEXT: func.return
        """,
    )


@pytest.mark.parametrize(
    ("options", "post"),
    [
        ("", "post <add[0], mul[1], relu>"),
        ("{residual=false}", '"mul" add {tensor = "c"}'),
        ("{max-steps=1}", "post <add[0]>"),
        ("{max-operands=1}", "post <add[0]>"),
        ("{max-operands=0}", '"mul" add {tensor = "c"}'),
    ],
)
def test_options_limit_what_is_fused(options: str, post: str) -> None:
    check_ir(
        in_main("""
          %b = gconv.link %c : tensor<1x2x4x4xf32> by %k : tensor<1x2x1x1xf32>
            <N, C g 2, H opc 4, W opc 4> "add" none -> tensor<1x2x4x4xf32>
          %y = gconv.link %b : tensor<1x2x4x4xf32> by %r : tensor<1x2x4x4xf32>
            <N, C g 2, H g 4, W g 4> "mul" none post <relu> -> tensor<1x2x4x4xf32>
        """),
        f"fuse-elementwise{options}",
        f"CHECK: gconv.link %x {{{{.*}}}} {post}",
    )


def test_constants_can_be_kept_apart() -> None:
    builder = ChainBuilder((2, 3))
    relu = builder.link(GConv(plain((2, 3)), post=(Step("relu"),)), builder.values[0])
    words = builder.constant(np.arange(6).reshape(2, 3))
    added = builder.link(GConv(plain((2, 3), "g"), main="add"), relu, words)
    module = check_pass(builder.module([added]), "fuse-elementwise{constants=false}")
    assert len(links_of(module)) == 2


def test_does_not_fuse_across_other_readers_reductions_paddings_or_copies() -> None:
    builder = ChainBuilder((2, 3, 4))
    (x,) = builder.block.args

    def double() -> SSAValue:
        return builder.link(GConv(plain((2, 3, 4)), post=(Step("affine", (2.0, 0.0)),)), x)

    shared = double()
    results = [shared, builder.link(GConv(plain((2, 3, 4)), post=(Step("neg"),)), shared)]
    padded = GConv((Dim("a", opc=2), Dim("b", opc=3), Dim("c", opc=5, pad=1)), post=(Step("neg"),))
    results.append(builder.link(padded, double()))
    reduced = GConv((Dim("a", opc=2), Dim("b", opc=3), Dim("c", ks=4)), reduce=Reduce.ADD)
    results.append(builder.link(reduced, double()))
    turned = builder.view(double(), View.dense((2, 3, 4)).permute((2, 1, 0)))
    results.append(builder.link(GConv(plain((4, 3, 2)), post=(Step("neg"),)), turned))
    # The other operand, transposed, cannot be viewed in the producer's merged shape.
    flat = builder.link(GConv(plain((24,)), post=(Step("neg"),)), builder.view(x, View.dense((24,))))
    other = builder.view(x, View((2, 4, 3), (12, 1, 4)))
    spread = builder.view(flat, View.dense((2, 4, 3)))
    results.append(builder.link(GConv(plain((2, 4, 3), "g"), main="add"), spread, other))
    module = builder.module(results)
    count = len(links_of(module))
    check_pass(module, "fuse-elementwise")
    assert len(links_of(module)) == count


def test_a_cast_stands_for_the_rounding_of_a_change_of_type() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<4xf32>) -> tensor<4xi32> {
          %i = gconv.link %x : tensor<4xf32> <A opc 4> "pass" none -> tensor<4xi32>
          %y = gconv.link %i : tensor<4xi32> <A opc 4> "pass" none post <neg> -> tensor<4xi32>
          func.return %y : tensor<4xi32>
        }
        """,
        "fuse-elementwise",
        """
        CHECK: gconv.link %x : tensor<4xf32> <A opc 4> "pass" none post <to_int32, neg> -> tensor<4xi32>
        CHECK-NOT: gconv.link
        """,
    )


def test_a_requantized_product_takes_what_follows_in_the_types_it_was_in() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<1x8xi8>, %w: tensor<4x8xi8>) -> tensor<4x1xf32> {
          %q = gconv.link %x : tensor<1x8xi8> by %w : tensor<4x8xi8> <A op 4, B ks 8> "mul" add acc i32
               post <to_float32, affine(0.5, 0.0), round, clip(-128.0, 127.0)> -> tensor<4x1xi8>
          %y = gconv.link %q : tensor<4x1xi8> <A opc 4, B> "pass" none acc f32 post <affine(0.25, 0.0)>
               -> tensor<4x1xf32>
          func.return %y : tensor<4x1xf32>
        }
        """,
        "fuse-elementwise",
        """
        CHECK: "mul" add acc i32
        CHECK-SAME: clip(-128.0, 127.0), to_int8, to_float32, affine(0.25, 0.0)> -> tensor<4x1xf32>
        CHECK-NOT: gconv.link
        """,
    )


def test_a_narrow_type_is_only_stored() -> None:
    text = """
        func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
          %i = gconv.link %x : tensor<4xf32> <A opc 4> "pass" none -> tensor<4xi4>
          %y = gconv.link %i : tensor<4xi4> <A opc 4> "pass" none acc f32 -> tensor<4xf32>
          func.return %y : tensor<4xf32>
        }
        """
    check_ir(text, "fuse-elementwise", "CHECK: -> tensor<4xi4>\nCHECK: acc f32")


def test_a_cast_after_a_link_goes_into_it() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<4xf32>) -> tensor<4xi32> {
          %i = gconv.link %x : tensor<4xf32> <A opc 4> "pass" none post <neg> -> tensor<4xf32>
          %y = gconv.link %i : tensor<4xf32> <A opc 4> "pass" none post <floor> -> tensor<4xi32>
          func.return %y : tensor<4xi32>
        }
        """,
        "fuse-elementwise",
        'CHECK: gconv.link %x : tensor<4xf32> <A opc 4> "pass" none post <neg, floor> -> tensor<4xi32>',
    )


def test_leaves_mapped_links_alone() -> None:
    text = in_main("""
      %y = gconv.link %c : tensor<1x2x4x4xf32> <N, C opc 2, H opc 4, W opc 4> "pass" none
        post <relu> {mapping = "mine"} -> tensor<1x2x4x4xf32>
    """)
    check_ir(text, "fuse-elementwise", "CHECK-COUNT-2: gconv.link")


def test_swaps_the_function_when_the_kernel_is_the_producer() -> None:
    for function, expected in {"add": "add", "div": "rdiv", "rpow": "pow", "lt": "gt", "ge": "le"}.items():
        builder = ChainBuilder((2, 3), (2, 3))
        x, y = builder.block.args
        made = builder.link(GConv(plain((2, 3)), post=(Step("abs"),)), y)
        module = builder.module([builder.link(GConv(plain((2, 3), "g"), main=function), x, made)])
        check_pass(module, "fuse-elementwise", 1e-12)
        (link,) = links_of(module)
        assert [step.function for step in link.spec.post] == ["abs", expected]


def test_pre_steps_of_the_other_operand_keep_links_apart() -> None:
    builder = ChainBuilder((2, 3), (2, 3))
    x, y = builder.block.args
    made = builder.link(GConv(plain((2, 3)), post=(Step("abs"),)), y)
    spec = GConv(plain((2, 3), "g"), main="sub", pre=(Step("neg"),))
    assert len(links_of(check_pass(builder.module([builder.link(spec, x, made)]), "fuse-elementwise"))) == 2


def test_an_input_that_repeats_over_parallel_kernels_becomes_an_operand() -> None:
    builder = ChainBuilder((1, 3), (8, 3))
    x, y = builder.block.args
    made = builder.link(GConv(plain((8, 3)), post=(Step("abs"),)), y)
    spec = GConv((Dim("A", op=8), Dim("B", g=3)), "sub")
    (link,) = links_of(check_pass(builder.module([builder.link(spec, x, made)]), "fuse-elementwise"))
    assert [step.function for step in link.spec.post] == ["abs", "rsub"]
    assert shape_of(link.extras[0]) == (1, 3)


def test_a_crop_or_stride_of_the_other_operand_becomes_its_view() -> None:
    builder = ChainBuilder((3, 8), (3, 4))
    x, y = builder.block.args
    made = builder.link(GConv(plain((3, 4)), post=(Step("abs"),)), y)
    for dim in (Dim("B", g=1, op=1, opc=4, pad=-3), Dim("B", opc=4, stride=2, pad=-1)):
        spec = GConv((Dim("A", g=3), dim), "add")
        row = builder.link(spec, x, builder.constant(np.arange(3).reshape(3, 1)))
        made = builder.link(GConv(plain((3, 4), "g"), "sub"), row, made)
    # Both crops take two links each to reach the one result.
    assert len(links_of(check_pass(builder.module([made]), "fuse-elementwise"))) == 3


@pytest.mark.parametrize("function", ["mod", "prelu", "keep"])
def test_functions_without_a_swapped_form_stay(function: str) -> None:
    builder = ChainBuilder((2, 3), (2, 3))
    x, y = builder.block.args
    made = builder.link(GConv(plain((2, 3)), post=(Step("abs"),)), y)
    module = builder.module([builder.link(GConv(plain((2, 3), "g"), main=function), x, made)])
    check_pass(module, "fuse-elementwise")
    assert len(links_of(module)) == 2


def test_refuses_bad_options_and_control_flow() -> None:
    module = parse_module(CONTROL_FLOW)
    with pytest.raises(ValueError, match="must not be negative"):
        run_passes(module, "fuse-elementwise{max-steps=-1}")
    with pytest.raises(CatenaError, match="fuse-elementwise rewrites functions of one block"):
        run_passes(module, "fuse-elementwise")


def joined_parts(builder: ChainBuilder, axis: int = 1) -> SSAValue:
    """Links of [2, 3] and [2, 4], side by side (axis 1) or flattened and end to end (axis 0)."""
    shapes = ((2, 3), (2, 4))
    made = [
        builder.link(GConv(plain(shape), post=(Step("abs"),)), value)
        for shape, value in zip(shapes, builder.block.args, strict=True)
    ]
    if axis == 0:
        made = [builder.view(value, View.dense((value.type.get_shape()[1] * 2,))) for value in made]
    return builder.concat(made, axis)


def test_goes_through_a_concatenation_into_every_part() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<2x3xf32>, %z: tensor<2x4xf32>, %r: tensor<2x7xf32>) -> tensor<2x7xf32> {
          %a = gconv.link %x : tensor<2x3xf32> <M opc 2, N opc 3> "pass" none post <exp> -> tensor<2x3xf32> loc("a")
          %b = gconv.link %z : tensor<2x4xf32> <M opc 2, N opc 4> "pass" none post <log> -> tensor<2x4xf32> loc("b")
          %j = gconv.concat %a, %b axis 1 {tensor = "j"} : tensor<2x3xf32>, tensor<2x4xf32> -> tensor<2x7xf32> loc("j")
          %y = gconv.link %j : tensor<2x7xf32> by %r : tensor<2x7xf32> <M g 2, N g 7> "sub" none post <relu>
            {tensor = "y"} -> tensor<2x7xf32> loc("y")
          func.return %y : tensor<2x7xf32>
        }
        """,
        "fuse-elementwise",
        """
        CHECK:      func.func @main
        CHECK-NEXT: [[R:%.*]] = gconv.view %r <[7, 1]> : tensor<2x7xf32> -> tensor<2x3xf32> loc(fused["a", "y"])
        CHECK-NEXT: [[A:%.*]] = gconv.link %x {{.*}} with [[R]] {{.*}} post <exp, sub[0], relu>
        CHECK-SAME: loc(fused["a", "y"])
        CHECK-NEXT: [[S:%.*]] = gconv.view %r <[7, 1], offset 3> : tensor<2x7xf32> -> tensor<2x4xf32>
        CHECK-NEXT: [[B:%.*]] = gconv.link %z {{.*}} with [[S]] {{.*}} post <log, sub[0], relu>
        CHECK-SAME: loc(fused["b", "y"])
        CHECK-NEXT: gconv.concat [[A]], [[B]] axis 1 {tensor = "y"} {{.*}} loc(fused["j", "y"])
        CHECK-NEXT: func.return
        """,
        locations=True,
    )


@pytest.mark.parametrize("axis", [0, 1])
def test_goes_through_concatenations_of_reshaped_and_joined_parts(axis: int) -> None:
    builder = ChainBuilder((2, 3), (2, 4))
    joined = joined_parts(builder, axis)
    for function in ("square", "neg"):
        x = builder.link(GConv(plain((2, 3)), post=(Step(function),)), builder.values[0])
        part = x if axis == 1 else builder.view(x, View.dense((6,)))
        joined = builder.concat([joined, part], axis)
    size = 26 if axis == 0 else 13
    shape = (size,) if axis == 0 else (2, size)
    words = builder.constant(np.arange(size).reshape((size,) if axis == 0 else (1, size)))
    dims = (Dim("N", g=size),) if axis == 0 else (Dim("M", opc=2), Dim("N", g=size))
    module = builder.module([builder.link(GConv(dims, "sub"), joined, words)])
    check_pass(module, "fuse-elementwise")
    assert [link.spec.post[-1].function for link in links_of(module)] == ["sub"] * 4
    assert shape == tuple(module.body.block.first_op.function_type.outputs.data[0].get_shape())


def test_goes_into_all_parts_or_none() -> None:
    builder = ChainBuilder((2, 3), (2, 4))
    joined = joined_parts(builder)
    with_argument = builder.concat([joined, builder.values[0]], 1)
    relu = builder.link(GConv(plain((2, 10)), post=(Step("relu"),)), with_argument)
    module = builder.module([relu])
    check_pass(module, "fuse-elementwise")
    assert len(links_of(module)) == 3
    builder = ChainBuilder((2, 3), (2, 4))
    joined = joined_parts(builder)
    module = builder.module([builder.link(GConv(plain((2, 7)), post=(Step("relu"),)), joined), joined])
    check_pass(module, "fuse-elementwise")
    assert len(links_of(module)) == 3


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning(module: Chain) -> None:
    before = len(links_of(module))
    check_pass(module, "fuse-elementwise")
    assert len(links_of(module)) <= before
