"""Operators that read at computed positions, against ONNX Runtime and ONNX's reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from tests.examples import examples
from tests.passes.lower_onnx.models import check, check_values, integers, normal, one_node

pytest.importorskip("onnxruntime")

MODES = ("linear", "nearest", "cubic")
PADDINGS = ("zeros", "border", "reflection")


def grid_of(*shape: int, seed: int, reach: float) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-reach, reach, shape).astype(np.float32)


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("extents", [(5, 4), (1, 3), (2, 7)])
def test_grid_sample_on_images(mode, padding, corners, extents):
    if padding == "reflection" and corners and 1 in extents:
        pytest.skip("reflection at a single word is undefined in ONNX")
    inputs = {"x": normal(2, 3, *extents), "grid": grid_of(2, 3, 4, 2, seed=1, reach=1.7)}
    model = one_node("GridSample", inputs, opset=20, mode=mode, padding_mode=padding, align_corners=corners)
    check(model, inputs, atol=1e-4)


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_grid_sample_on_volumes(mode, padding, corners):
    inputs = {"x": normal(2, 2, 3, 4, 2), "grid": grid_of(2, 2, 3, 1, 3, seed=2, reach=1.4)}
    model = one_node("GridSample", inputs, opset=20, mode=mode, padding_mode=padding, align_corners=corners)
    check(model, inputs, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", PADDINGS)
def test_grid_sample_on_rows(mode, padding):
    # The reference moves positions to the border before cubic convolution, ONNX Runtime moves the words it reads.
    reach = 1.0 if (mode, padding) == ("cubic", "border") else 1.3
    inputs = {"x": normal(1, 2, 5), "grid": grid_of(1, 6, 1, seed=3, reach=reach)}
    model = one_node("GridSample", inputs, opset=20, mode=mode, padding_mode=padding)
    check_values(model, inputs, {"y0": ReferenceEvaluator(model).run(None, inputs)[0]}, atol=1e-4)


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample_of_opset_16(mode):
    inputs = {"x": normal(1, 2, 5, 4), "grid": grid_of(1, 3, 4, 2, seed=1, reach=1.2)}
    check(one_node("GridSample", inputs, opset=16, mode=mode), inputs, atol=1e-4)


def test_positions_far_outside_read_zeros():
    inputs = {"x": normal(1, 1, 3, 3), "grid": np.array([[[[3e38, 0], [0, -1e30], [0, 0]]]], np.float32)}
    expected = np.array([[[[0, 0, inputs["x"][0, 0, 1, 1]]]]], np.float32)
    check_values(one_node("GridSample", inputs, opset=20), inputs, {"y0": expected})


@pytest.mark.parametrize("corners", [0, 1])
@pytest.mark.parametrize("size", [(2, 3, 4, 5), (1, 1, 2, 7), (2, 1, 3, 2, 4)])
def test_affine_grid(size, corners):
    rank = len(size) - 2
    inputs = {"theta": normal(size[0], rank, rank + 1)}
    model = one_node("AffineGrid", inputs, {"size": integers(*size)}, opset=20, align_corners=corners)
    check(model, inputs, links=1)


@settings(max_examples=examples(40), derandomize=True, deadline=None)
@given(st.data())
def test_deform_conv(data):
    draw = lambda low, high: data.draw(st.integers(low, high))  # noqa: E731
    groups, shared = data.draw(st.sampled_from(((1, 1), (2, 1), (1, 2), (2, 2), (2, 4))))
    channels, filters = 4, 2 * groups
    kernel, strides, dilations = ([draw(1, high) for _ in range(2)] for high in (3, 2, 2))
    pads = [draw(0, 1) for _ in range(4)]
    extents = [draw((k - 1) * d + 1, 6) for k, d in zip(kernel, dilations, strict=True)]
    # The reference divides by extent - 1.
    extents = [max(2, n) for n in extents]
    outputs = [
        (n + pads[a] + pads[2 + a] - (k - 1) * d - 1) // s + 1
        for a, (n, k, d, s) in enumerate(zip(extents, kernel, dilations, strides, strict=True))
    ]
    points = kernel[0] * kernel[1]
    inputs = {
        "x": normal(2, channels, *extents),
        "w": normal(filters, channels // groups, *kernel, seed=1),
        "offset": 1.5 * normal(2, 2 * shared * points, *outputs, seed=2),
        "b": normal(filters, seed=3),
        "mask": normal(2, shared * points, *outputs, seed=4),
    }
    order = ["x", "w", "offset", "b" if draw(0, 1) else "", "mask" if draw(0, 1) else ""]
    inputs = {name: array for name, array in inputs.items() if name in order}
    while not order[-1]:
        order.pop()
    model = one_node(
        "DeformConv",
        inputs,
        opset=22,
        order=order,
        group=groups,
        offset_group=shared,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        pads=pads,
    )
    expected = ReferenceEvaluator(model).run(None, inputs)[0]
    check_values(model, inputs, {"y0": expected.astype(np.float32)}, links=7, atol=1e-4)
