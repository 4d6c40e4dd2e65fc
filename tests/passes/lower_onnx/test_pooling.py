"""Pools against ONNX Runtime."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.passes.lower_onnx.models import check, links_in, normal, one_node

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


def windows_start_inside(attributes: dict[str, object], shape: tuple[int, ...]) -> bool:
    """Whether rounding up adds no window that starts in the padding: old versions do not say if there is one."""
    kernel, strides = attributes["kernel_shape"], attributes["strides"]
    dilations, pads = attributes.get("dilations", [1] * len(kernel)), attributes.get("pads", [0] * 2 * len(kernel))
    for axis, extent in enumerate(shape[2:]):
        low, high = pads[axis], pads[len(kernel) + axis]
        steps = -(-(extent + low + high - (kernel[axis] - 1) * dilations[axis] - 1) // strides[axis])
        if steps * strides[axis] >= extent + low:
            return False
    return True


@settings(max_examples=60, derandomize=True, deadline=None)
@given(pools(dilated=True), st.booleans(), st.sampled_from((10, 11, 12, 22)))
def test_max_pools(case, ceil_mode, opset):
    attributes, shape = case
    assume(not ceil_mode or (attributes["auto_pad"] == "NOTSET" and windows_start_inside(attributes, shape)))
    inputs = {"x": normal(*shape)}
    check(one_node("MaxPool", inputs, opset=opset, ceil_mode=int(ceil_mode), **attributes), inputs, links=1)


def test_max_pool_of_opset_7():
    inputs = {"x": normal(1, 2, 6, 6)}
    check(one_node("MaxPool", inputs, opset=7, kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1]), inputs, links=1)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.data(), st.booleans(), st.booleans(), st.sampled_from((7, 10, 11, 19, 22)))
def test_average_pools(data, ceil_mode, count_include_pad, opset):
    attributes, shape = data.draw(pools(dilated=opset >= 19))
    assume(not ceil_mode or (attributes["auto_pad"] == "NOTSET" and windows_start_inside(attributes, shape)))
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


@settings(max_examples=60, derandomize=True, deadline=None)
@given(pools(dilated=False), st.sampled_from((1, 2, 3)), st.sampled_from((11, 18)))
def test_lp_pools(case, order, opset):
    attributes, shape = case
    inputs = {"x": normal(*shape)}
    check(one_node("LpPool", inputs, opset=opset, p=order, **attributes), inputs, links=1)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 4, 5), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [("GlobalAveragePool", {}), ("GlobalMaxPool", {}), ("GlobalLpPool", {}), ("GlobalLpPool", {"p": 1})],
)
def test_global_pools(op_type, attributes, shape):
    inputs = {"x": normal(*shape)}
    check(one_node(op_type, inputs, **attributes), inputs, links=1)
