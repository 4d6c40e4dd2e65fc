"""Groups as data: every operand reads the elements that its view shows; what is no sum of steps is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.dialects.builtin import ModuleOp

from dialects.diagnostics import CatenaError
from dialects.gconv import View
from dialects.gconv.interpreter import take_view
from passes.chain_views import source_of
from passes.fusion.from_ir import axes_of, group_of, group_of_links
from passes.fusion.group import AxisIndex, Role
from passes.fusion.grouping import group_links
from passes.fusion.legality import named
from passes.fusion.names import operands_of
from tests.examples import examples
from tests.filechecking import parse_module
from tests.passes.chains import links_of, random_chains
from tests.passes.fusion.random_links import random_links


def seen(view: View, shape: tuple[int, ...]) -> tuple[AxisIndex, ...] | None:
    return axes_of(view, shape)


def elements(axes: tuple[AxisIndex, ...], shape: tuple[int, ...], tensor: np.ndarray) -> np.ndarray:
    """What a window of `shape` reads of a tensor, index by index."""
    result = np.empty(shape, tensor.dtype)
    for index in np.ndindex(shape):
        result[index] = tensor[tuple(axis.offset + sum(step * index[dim] for dim, step in axis.terms) for axis in axes)]
    return result


@settings(max_examples=examples(150), derandomize=True, deadline=None)
@given(random_chains(), st.data())
def test_operands_read_what_their_views_show(module: ModuleOp, data: st.DataObject) -> None:
    links = random_links(data, module)
    if not links:
        return
    links.sort(key=links_of(module).index)
    try:
        group = group_of_links(links)
    except CatenaError:
        return
    for link, known in zip(links, group.links, strict=True):
        assert known.spec == link.spec
        assert group.tensor(known.result).shape == link.spec.output_shape
        for (role, value), operand in zip(operands_of(link), known.operands, strict=True):
            source, tensor = source_of(value), group.tensor(operand.tensor)
            numbers = np.arange(tensor.size).reshape(tensor.shape)
            assert role[0] == operand.role
            np.testing.assert_array_equal(
                elements(operand.axes, operand.shape, numbers), take_view(source.view, numbers)
            )


@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(random_chains(), st.data())
def test_links_and_the_op_of_them_are_the_same_group(module: ModuleOp, data: st.DataObject) -> None:
    links = random_links(data, module)
    if not links:
        return
    links.sort(key=links_of(module).index)
    try:
        group = group_of_links(links)
        op = group_links(links)
    except CatenaError:
        return
    assert group_of(op) == group
    # Rules about names are the same, too: what a mapping may say of either is the same.
    assert named(group) == op.named


def test_forms_of_views() -> None:
    dense = View.dense((4, 6))
    assert seen(dense, (4, 6)) == (AxisIndex(0, ((0, 1),)), AxisIndex(0, ((1, 1),)))
    assert seen(dense.permute((1, 0)), (4, 6)) == (AxisIndex(0, ((1, 1),)), AxisIndex(0, ((0, 1),)))
    assert seen(dense.slice(1, 5, 3, -2), (4, 6)) == (AxisIndex(0, ((0, 1),)), AxisIndex(5, ((1, -2),)))
    assert seen(dense.slice(0, 2, 1).expand((7, 1, 6)), (4, 6)) == (AxisIndex(2), AxisIndex(0, ((2, 1),)))
    heads = View.dense((4, 2, 3))
    assert seen(heads, (4, 6)) == (AxisIndex(0, ((0, 1),)), AxisIndex(0, ((1, 3), (2, 1))))
    assert seen(View.dense((24,)), (4, 6)) is None
    assert seen(View((5,), (1,), 4), (4, 6)) is None  # runs over the end of a row
    assert seen(View((2, 2), (3, 3), 0), (4, 6)) is None  # inside the tensor, beyond the row


ATTENTION = """
func.func @main(%x: tensor<1x6x8xf64> {onnx.name = "x"}, %m: tensor<6xf64> {onnx.name = "m"}) -> tensor<2x6x6x1xf64> {
  %q = gconv.link %x : tensor<1x6x8xf64> <N, S opc 6, D opc 8> "pass" none post <relu> {tensor = "q"}
    -> tensor<1x6x8xf64> loc("q")
  %rows = gconv.view %q <[4, 8, 0, 1]> : tensor<1x6x8xf64> -> tensor<2x6x1x4xf64> loc("split")
  %columns = gconv.view %q <[4, 0, 8, 1]> : tensor<1x6x8xf64> -> tensor<2x1x6x4xf64> loc("split")
  %mask = gconv.view %m <[0, 0, 1, 0]> : tensor<6xf64> -> tensor<1x1x6x1xf64> loc("mask")
  %s = gconv.link %rows : tensor<2x6x1x4xf64> by %columns : tensor<2x1x6x4xf64> with %mask : tensor<1x1x6x1xf64>
    <G g 2, S opc 6, T op 6, D ks 4> "mul" add post <add[0]> {tensor = "s"} -> tensor<2x6x6x1xf64> loc("scores")
  func.return %s : tensor<2x6x6x1xf64>
}
"""


def test_heads_of_attention_lie_on_one_axis() -> None:
    group = group_of_links(links_of(parse_module(ATTENTION)))
    assert [tensor.name for tensor in group.tensors] == ["x", "q", "m", "s"]
    rows, columns, mask = group.head.operands
    split = AxisIndex(0, ((0, 4), (3, 1)))
    assert (rows.role, columns.role, mask.role) == (Role.INPUT, Role.KERNEL, Role.POST)
    assert rows.axes == (AxisIndex(), AxisIndex(0, ((1, 1),)), split)
    assert columns.axes == (AxisIndex(), AxisIndex(0, ((2, 1),)), split)
    assert mask.axes == (AxisIndex(0, ((2, 1),)),)


def test_reshapes_across_axes_are_refused_with_their_link() -> None:
    text = """
func.func @main(%x: tensor<4x6xf64>) -> tensor<24xf64> {
  %flat = gconv.view %x <[1]> : tensor<4x6xf64> -> tensor<24xf64> loc("flatten")
  %a = gconv.link %flat : tensor<24xf64> <C opc 24> "pass" none post <relu> -> tensor<24xf64> loc("act")
  func.return %a : tensor<24xf64>
}
"""
    with pytest.raises(CatenaError, match="operand I is a reshape") as caught:
        group_of_links(links_of(parse_module(text)))
    (problem,) = caught.value.diagnostics
    assert (problem.node, problem.found) == ("act", "[24] of [4, 6]")
