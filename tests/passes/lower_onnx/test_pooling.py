"""Pools against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from dialects.diagnostics import CatenaError
from dialects.gconv.interpreter import Interpreter
from tests.examples import examples
from tests.passes.lower_onnx.models import check, check_values, links_in, lower, model_of, normal, one_node

pytest.importorskip("onnxruntime")


@st.composite
def pools(draw: st.DrawFn, dilated: bool) -> tuple[dict[str, object], tuple[int, ...]]:
    rank = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    attributes: dict[str, object] = {
        "kernel_shape": kernel,
        "strides": [draw(st.integers(1, 3)) for _ in range(rank)],
        "auto_pad": draw(st.sampled_from(("NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"))),
    }
    dilations = [draw(st.integers(1, 2)) if dilated else 1 for _ in range(rank)]
    if attributes["auto_pad"] == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, k - 1)) for k in kernel * 2]
    elif attributes["auto_pad"] != "VALID":
        # ONNX Runtime refuses SAME with dilations, or with strides that skip words.
        dilations = [1] * rank
        attributes["strides"] = [min(s, k) for s, k in zip(attributes["strides"], kernel, strict=True)]
    if dilated:
        attributes["dilations"] = dilations
    spatial = [draw(st.integers((k - 1) * d + 1, 7)) for k, d in zip(kernel, dilations, strict=True)]
    return attributes, (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *spatial)


def may_round_up(attributes: dict[str, object]) -> bool:
    return attributes["auto_pad"] in ("NOTSET", "VALID")


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(pools(dilated=True), st.booleans(), st.sampled_from((10, 11, 12, 22)))
def test_max_pools(case, ceil_mode, opset):
    attributes, shape = case
    assume(not ceil_mode or may_round_up(attributes))
    inputs = {"x": normal(*shape)}
    check(one_node("MaxPool", inputs, opset=opset, ceil_mode=int(ceil_mode), **attributes), inputs, links=1)


def test_max_pool_of_opset_7():
    inputs = {"x": normal(1, 2, 6, 6)}
    check(one_node("MaxPool", inputs, opset=7, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]), inputs, links=1)


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(st.data(), st.booleans(), st.booleans(), st.sampled_from((7, 10, 11, 19, 22)))
def test_average_pools(data, ceil_mode, count_include_pad, opset):
    attributes, shape = data.draw(pools(dilated=opset >= 19))
    assume(not ceil_mode or may_round_up(attributes))
    if opset >= 10:
        attributes["ceil_mode"] = int(ceil_mode)
    inputs = {"x": normal(*shape)}
    model = one_node("AveragePool", inputs, opset=opset, count_include_pad=int(count_include_pad), **attributes)
    check(model, inputs, links=1)


def test_average_pool_without_padding_is_a_scaled_sum():
    inputs = {"x": normal(1, 2, 6, 6)}
    (link,) = links_in(check(one_node("AveragePool", inputs, kernel_shape=[2, 3], strides=[2, 3]), inputs, links=1))
    assert str(link.post) == f"#gconv.steps<affine({1 / 6}, 0.0)>"
    assert not link.extras


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(pools(dilated=False), st.booleans(), st.sampled_from((1, 2, 3)), st.sampled_from((11, 18, 22)))
def test_lp_pools(case, ceil_mode, order, opset):
    attributes, shape = case
    assume(not ceil_mode or may_round_up(attributes))
    if opset >= 18:
        attributes["ceil_mode"] = int(ceil_mode)
    inputs = {"x": normal(*shape)}
    check(one_node("LpPool", inputs, opset=opset, p=order, **attributes), inputs, links=1)


ROUNDING_UP = [(6, 1, 4, 0, 2), (3, 2, 2, 1, 2), (4, 2, 3, 1, 2), (2, 2, 4, 1, 1)]
"""Extent, kernel, stride, pad, and the windows that start before the end padding: one fewer than rounding up gives."""


@pytest.mark.parametrize(("extent", "kernel", "stride", "pad", "windows"), ROUNDING_UP)
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize(
    ("op_type", "opset"),
    [*((op, v) for op in ("MaxPool", "AveragePool") for v in (10, 12, 17, 22)), ("LpPool", 18), ("LpPool", 22)],
)
def test_no_window_starts_in_the_padding_after_the_input(op_type, opset, rank, extent, kernel, stride, pad, windows):
    inputs = {"x": normal(1, 2, *[extent] * rank)}
    sizes = {"kernel_shape": [kernel] * rank, "strides": [stride] * rank, "pads": [pad] * 2 * rank}
    model = one_node(op_type, inputs, opset=opset, ceil_mode=1, **sizes)
    declared = [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim]
    # ONNX's own inference counts the window before opset 22; the importer must put up with that.
    assert declared[2:] == [windows + (opset < 22)] * rank
    (link,) = links_in(check(model, inputs, links=1))
    assert link.result.type.get_shape() == (1, 2, *[windows] * rank)


def test_a_declared_shape_with_windows_in_the_padding_is_accepted_behind_the_pool():
    inputs = {"x": normal(1, 2, 6)}
    pool = helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[1], strides=[4], ceil_mode=1)
    model = model_of(
        [pool, helper.make_node("Relu", ["p"], ["r"]), helper.make_node("Flatten", ["r"], ["y"])], inputs, {}, ["y"]
    )
    check(model, inputs)


@pytest.mark.parametrize(("ceil_mode", "stride", "declared"), [(1, 4, 1), (0, 4, 3), (1, 5, 3)])
def test_other_declared_shapes_of_pools_are_refused(ceil_mode, stride, declared):
    model = one_node("MaxPool", {"x": normal(1, 2, 6)}, kernel_shape=[1], strides=[stride], ceil_mode=ceil_mode)
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = declared
    with pytest.raises(CatenaError, match="declared with another type"):
        lower(model)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [("GlobalAveragePool", {}), ("GlobalMaxPool", {}), ("GlobalLpPool", {}), ("GlobalLpPool", {"p": 1})],
)
def test_global_pools(op_type, attributes, shape):
    inputs = {"x": normal(*shape)}
    check(one_node(op_type, inputs, **attributes), inputs, links=1)


@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(pools(dilated=True), st.booleans(), st.integers(0, 1), st.booleans())
def test_indices_of_max_pools(case, ceil_mode, storage_order, ties):
    attributes, shape = case
    assume(not ceil_mode or may_round_up(attributes))
    x = normal(*shape)
    inputs = {"x": np.round(x) if ties else x}
    attributes["storage_order"] = storage_order
    check(one_node("MaxPool", inputs, outputs=2, ceil_mode=int(ceil_mode), **attributes), inputs, rtol=0, atol=0)


def test_padding_is_never_a_maximum():
    inputs = {"x": np.zeros((1, 1, 3, 3), np.uint8)}
    model = one_node("MaxPool", inputs, outputs=2, kernel_shape=[2, 2], strides=[2, 2], pads=[1, 1, 0, 0])
    expected = {"y0": np.zeros((1, 1, 2, 2), np.uint8), "y1": np.array([0, 1, 3, 4]).reshape(1, 1, 2, 2)}
    check_values(model, inputs, expected, links=4)


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({"kernel_shape": [2]}, (2, 3, 7)),
        ({"kernel_shape": [2, 3], "strides": [2, 3]}, (2, 2, 4, 6)),
        ({"kernel_shape": [3, 3], "strides": [2, 1], "pads": [1, 0, 1, 1]}, (1, 2, 5, 6)),
        ({"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]}, (1, 2, 4, 4, 2)),
    ],
)
def test_max_unpool(attributes, shape):
    x = normal(*shape)
    pool = one_node("MaxPool", {"x": x}, outputs=2, **attributes)
    maxima, places = Interpreter(lower(pool)).run({"x": x}).values()
    inputs = {"m": maxima, "i": places}
    expected = np.where(np.isin(np.arange(x.size), places), x.reshape(-1), 0).reshape(shape).astype(np.float32)
    check_values(one_node("MaxUnpool", inputs, **attributes), inputs, {"y0": expected}, links=0, rtol=0, atol=0)
    check(one_node("MaxUnpool", inputs, **attributes), inputs, links=0, rtol=0, atol=0)


def test_max_unpool_into_a_larger_tensor():
    inputs = {"m": np.array([[[5.0, -np.inf]]], np.float32), "i": np.array([[[1, 2]]])}
    model = one_node("MaxUnpool", inputs, {"s": np.array([1, 1, 6])}, kernel_shape=[2], strides=[2])
    check_values(model, inputs, {"y0": np.array([[[0, 5, -np.inf, 0, 0, 0]]], np.float32)}, links=1)
