"""merge-dims: what merges, what stays apart, what other readers and concatenations still see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce, Step, View, ViewOp
from passes.merge_dims import MergeDimsPass
from tests.examples import examples
from tests.filechecking import CONTROL_FLOW, check_ir, new_ir_context, parse_module, run_passes
from tests.passes.chains import Chain, ChainBuilder, check_pass, links_of, plain, random_chains


def dims_of(module: Chain) -> list[list[str]]:
    """Every dimension of every link as it prints."""
    return [[text.strip() for text in str(link.nest)[len("#gconv.nest<") : -1].split(",")] for link in links_of(module)]


def test_a_pointwise_convolution_loses_batch_and_joins_rows_and_columns() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<1x3x4x5xf32>, %w: tensor<1x6x1x1xf32>, %b: tensor<1x2x1x1xf32>)
            -> tensor<1x2x4x5xf32> {
          %y = gconv.link %x : tensor<1x3x4x5xf32> by %w : tensor<1x6x1x1xf32> with %b : tensor<1x2x1x1xf32>
            <N, C op 2 ks 3, H opc 4, W opc 5> "mul" add post <add[0]> {tensor = "y"} -> tensor<1x2x4x5xf32> loc("conv")
          func.return %y : tensor<1x2x4x5xf32>
        }
        """,
        "merge-dims",
        """
        CHECK:      func.func @main
        CHECK-NEXT: [[X:%.*]] = gconv.view %x <[20, 1]> : tensor<1x3x4x5xf32> -> tensor<3x20xf32>
        CHECK-NEXT: [[W:%.*]] = gconv.view %w <[1, 0]> : tensor<1x6x1x1xf32> -> tensor<6x1xf32>
        CHECK-NEXT: [[B:%.*]] = gconv.view %b <[1, 0]> : tensor<1x2x1x1xf32> -> tensor<2x1xf32>
        CHECK-NEXT: [[Y:%.*]] = gconv.link [[X]] : tensor<3x20xf32> by [[W]] : tensor<6x1xf32> with [[B]]
        CHECK-SAME: <C op 2 ks 3, HW opc 20> "mul" add post <add[0]> {tensor = "y"} -> tensor<2x20xf32> loc("conv")
        CHECK-NEXT: gconv.view [[Y]] <[40, 20, 5, 1]> : tensor<2x20xf32> -> tensor<1x2x4x5xf32>
        CHECK-NEXT: func.return
        """,
        locations=True,
    )


def summed(*dims: Dim) -> GConv:
    return GConv(dims, reduce=Reduce.ADD)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (GConv(plain((2, 3, 4))), ["d0d1d2 opc 24"]),
        (GConv(plain((2, 3, 4), "g"), "mul"), ["d0d1d2 g 24"]),
        (GConv(plain((2, 3, 4), "ks"), "mul", Reduce.ADD), ["d0d1d2 ks 24"]),
        (GConv((Dim("a", opc=2), Dim("b", ks=3), Dim("c", ks=4)), reduce=Reduce.MAX), ["a opc 2", "bc ks 12"]),
        (GConv((Dim("a", g=2), Dim("b", opc=3), Dim("c", opc=4)), "add"), ["a g 2", "bc opc 12"]),
        # A window stays, whatever stands beside it.
        (summed(Dim("a", opc=2), Dim("b", opc=3), Dim("c", opc=3, ks=2)), ["ab opc 6", "c opc 3 ks 2"]),
        (GConv((Dim("a", opc=2), Dim("b", opc=3), Dim("c", opc=6, pad=1))), ["ab opc 6", "c opc 6 pad 1"]),
        # Crops and strides go into the view, which may keep its rows apart.
        (GConv((Dim("a", opc=2), Dim("b", opc=3), Dim("c", opc=2, pad=-1))), ["ab opc 6", "c opc 2"]),
        (GConv((Dim("a", opc=2), Dim("b", opc=3), Dim("c", opc=2, stride=2, pad=-1))), ["abc opc 12"]),
        (summed(Dim("a", opc=2), Dim("b", opc=3), Dim("c", ks=2, dilation=2)), ["ab opc 6", "c ks 2"]),
        (GConv((Dim("a", opc=2), Dim("b", pad=-2), Dim("c", opc=4))), ["a opc 2", "c opc 4"]),
        # A row that is read only in part separates its neighbours.
        (GConv((Dim("a", opc=2), Dim("b", opc=2), Dim("c", opc=4))), ["a opc 2", "bc opc 8"]),
        # Mixed loops stay.
        (GConv((Dim("a", g=2), Dim("b", g=3, op=2), Dim("c", g=4)), "mul"), ["a g 2", "b g 3 op 2", "c g 4"]),
    ],
)  # fmt: skip
def test_merges_neighbours_of_one_kind(spec: GConv, expected: list[str]) -> None:
    builder = ChainBuilder((2, 3, 4))
    kernel = (
        None
        if spec.main == "pass"
        else builder.constant(np.arange(np.prod(spec.kernel_shape)).reshape(spec.kernel_shape))
    )
    module = builder.module([builder.link(spec, builder.values[0], kernel)])
    assert dims_of(check_pass(module, "merge-dims")) == [expected]


def test_a_transposed_operand_keeps_dimensions_apart() -> None:
    builder = ChainBuilder((4, 3, 2), (2, 3, 4))
    x, y = builder.block.args
    turned = builder.view(x, View.dense((4, 3, 2)).permute((2, 1, 0)))
    as_kernel = builder.link(GConv(plain((2, 3, 4), "g"), "mul"), y, turned)
    as_extra = builder.link(GConv(plain((2, 3, 4)), post=(Step("add", operand=0),)), y, extras=[turned])
    half = builder.view(x, View((2, 3, 4), (1, 8, 2)))
    module = builder.module([as_kernel, as_extra, builder.link(GConv(plain((2, 3, 4))), half)])
    assert dims_of(check_pass(module, "merge-dims")) == [
        ["d0 g 2", "d1 g 3", "d2 g 4"],
        ["d0 opc 2", "d1 opc 3", "d2 opc 4"],
        ["d0 opc 2", "d1d2 opc 12"],
    ]


def test_an_extra_operand_that_repeats_keeps_its_dimension_apart() -> None:
    builder = ChainBuilder((2, 3, 4, 5))
    bias = builder.constant(np.arange(3).reshape(1, 3, 1, 1))
    spec = GConv(plain((2, 3, 4, 5)), post=(Step("add", operand=0),))
    module = builder.module([builder.link(spec, builder.values[0], extras=[bias])])
    assert dims_of(check_pass(module, "merge-dims")) == [["d0 opc 2", "d1 opc 3", "d2d3 opc 20"]]


def test_names_stay_different() -> None:
    builder = ChainBuilder((2, 2, 3, 4, 5))
    spec = GConv(
        (Dim("A", opc=2), Dim("B", opc=2), Dim("AB", ks=3), Dim("C", opc=4, ks=2), Dim("AB2", opc=5)), reduce=Reduce.ADD
    )
    module = builder.module([builder.link(spec, builder.values[0])])
    assert dims_of(check_pass(module, "merge-dims")) == [["AB opc 4", "AB2 ks 3", "C opc 4 ks 2", "AB22 opc 5"]]


def test_a_single_element_keeps_one_dimension() -> None:
    builder = ChainBuilder((1, 1))
    module = builder.module([builder.link(GConv(plain((1, 1)), post=(Step("neg"),)), builder.values[0])])
    assert dims_of(check_pass(module, "merge-dims")) == [["d1"]]


def test_views_between_links_vanish() -> None:
    builder = ChainBuilder((1, 2, 3, 4))
    value = builder.values[0]
    for function in ("neg", "relu"):
        value = builder.link(GConv(plain((1, 2, 3, 4)), post=(Step(function),)), value)
    module = check_pass(builder.module([value]), "merge-dims")
    assert dims_of(module) == [["d1d2d3 opc 24"]] * 2
    assert sum(isinstance(op, ViewOp) for op in module.walk()) == 2  # of the argument and of the result


def test_a_part_stays_a_block_of_its_concatenation() -> None:
    builder = ChainBuilder((2, 3, 4))
    made = builder.link(GConv(plain((2, 3, 4)), post=(Step("neg"),)), builder.values[0])
    joined = builder.concat([made, builder.values[0]], 1)
    read_back = builder.link(GConv(plain((2, 3, 4)), post=(Step("abs"),)), made)
    module = builder.module([joined, read_back])
    # The block of `made` has rows of 12 words, 24 apart: its batch dimension stays, in its reader too.
    assert dims_of(check_pass(module, "merge-dims")) == [["d0 opc 2", "d1d2 opc 12"]] * 2


LOOKED_UP = """
func.func @main(%x: tensor<2x1x3x5xf32> {onnx.name = "x"}, %i: tensor<3x2x5x1x1xi64> {onnx.name = "i"}) -> (tensor<3x2x5x1xf32> {onnx.name = "y"}) {
  %a = gconv.link %x : tensor<2x1x3x5xf32> <d0 opc 2, d1, d2 opc 3, d3 opc 5> "pass" none pre <abs> {tensor = "a"} -> tensor<2x1x3x5xf32> loc("a")
  %t = gconv.view %a <[5, 15, 1, 15]> : tensor<2x1x3x5xf32> -> tensor<3x2x5x1xf32> loc("t")
  %g = gconv.indexed %t : tensor<3x2x5x1xf32> at %i : tensor<3x2x5x1x1xi64> <[0, 5, 1, 1], 10 of 3> -> tensor<3x2x5x1xf32> loc("g")
  %b = gconv.link %g : tensor<3x2x5x1xf32> <d0 opc 3, d1 opc 2, d2 opc 5, d3> "pass" none {tensor = "b"} -> tensor<3x2x5x1xf32> loc("b")
  %c = gconv.link %b : tensor<3x2x5x1xf32> <d0 opc 3, d1 opc 2, d2 opc 5, d3> "pass" none post <neg> {tensor = "c"} -> tensor<3x2x5x1xf32> loc("c")
  %s = gconv.scatter %c : tensor<3x2x5x1xf32> at %i : tensor<3x2x5x1x1xi64> into %t : tensor<3x2x5x1xf32> <[0, 5, 1, 1], 10 of 3> add {tensor = "s"} -> tensor<3x2x5x1xf32> loc("s")
  func.return %s : tensor<3x2x5x1xf32> loc("s")
}
"""  # noqa: E501


def test_what_is_looked_up_keeps_dimensions_apart_where_it_is_not_only_where_it_goes() -> None:
    """It lies transposed in the buffer of a scatter, where rows and columns are one dimension."""
    module = parse_module(LOOKED_UP)
    run_passes(module, "merge-dims")
    names = [[dim.name for dim in link.nest.data] for link in links_of(module)]
    assert names == [["d0", "d2", "d3"], ["d0", "d1", "d2"], ["d0", "d1d2"]]


def test_leaves_mapped_links_alone() -> None:
    check_ir(
        """
        func.func @main(%x: tensor<2x3xf32>) -> tensor<2x3xf32> {
          %y = gconv.link %x : tensor<2x3xf32> <A opc 2, B opc 3> "pass" none {mapping = "m"} -> tensor<2x3xf32>
          func.return %y : tensor<2x3xf32>
        }
        """,
        "merge-dims",
        "CHECK: <A opc 2, B opc 3>",
    )


def test_refuses_too_many_dimensions_and_names_every_link() -> None:
    shape = (2,) * 9
    builder = ChainBuilder(shape)
    turned = builder.view(builder.values[0], View.dense(shape).permute(tuple(reversed(range(9)))))
    module = builder.module([builder.link(GConv(plain(shape), post=(Step(f),)), turned) for f in ("neg", "abs")])
    with pytest.raises(CatenaError) as caught:
        run_passes(module, "merge-dims")
    assert [(d.code, d.expected) for d in caught.value.diagnostics] == [("CAT-U006", "at most 8 dimensions")] * 2
    assert [d.node for d in caught.value.diagnostics] == ["n1", "n2"]
    run_passes(module, "merge-dims{max-rank=9}")


def test_refuses_bad_options_and_control_flow() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        run_passes(parse_module(CONTROL_FLOW), "merge-dims{max-rank=0}")
    with pytest.raises(CatenaError, match="merge-dims rewrites functions of one block"):
        run_passes(parse_module(CONTROL_FLOW), "merge-dims")


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning(module: Chain) -> None:
    ranks = [len(link.nest.data) for link in links_of(module)]
    check_pass(module, "merge-dims")
    assert sum(len(link.nest.data) for link in links_of(module)) <= sum(ranks)
    once = dims_of(module)
    assert dims_of(check_pass(module, "merge-dims")) == once


@settings(derandomize=True, deadline=None, max_examples=examples(60))
@given(random_chains())
def test_keeps_the_meaning_of_fused_chains(module: Chain) -> None:
    check_pass(module, "fold-pad,fuse-elementwise,fuse-pre,merge-dims")


def test_links_that_have_the_loops_of_a_mapping_file_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text('[layers.a]\nloops = "H opc 4,  W opc 5"\n[layers.b]\nloops = "HW opc 20"\n')
    text = "func.func @main(%0: tensor<4x5xf32>) -> tensor<4x5xf32> {\n"
    for index, name in enumerate("abc", 1):
        text += f'%{index} = gconv.link %{index - 1} : tensor<4x5xf32> <H opc 4, W opc 5> "pass" none post <neg> '
        text += f'{{tensor = "{name}"}} -> tensor<4x5xf32>\n'
    text += "func.return %3 : tensor<4x5xf32>\n}"

    def merged(step: MergeDimsPass) -> list[list[str]]:
        module = parse_module(text)
        step.apply(new_ir_context(), module)
        return dims_of(module)

    apart, together = ["H opc 4", "W opc 5"], ["HW opc 20"]
    assert merged(MergeDimsPass(mappings=str(path))) == [apart, together, together]
    assert merged(MergeDimsPass(mappings=str(path), only_named=True)) == [apart, together, apart]
    path.write_text("[layers.a]\nloops = 4\n")
    assert merged(MergeDimsPass(mappings=str(path))) == [together] * 3
    path.write_text("no mapping file")
    assert merged(MergeDimsPass(mappings=str(path))) == [together] * 3
