"""Region pooling against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator

from dialects.diagnostics import CatenaError
from tests.examples import examples
from tests.passes.lower_onnx.models import check, check_values, lower, normal, one_node

pytest.importorskip("onnxruntime")


def corners(regions: int, height: int, width: int, seed: int, step: float) -> np.ndarray:
    """Corners x1 y1 x2 y2 on a grid of `step`, some outside the image and some the wrong way round."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, width + 3, (regions, 2))
    y = rng.uniform(-3, height + 3, (regions, 2))
    return (np.stack([x, y], 2).reshape(regions, 4) / step).round() * step


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.data())
def test_max_roi_pool(images, height, width, rows, columns, data):
    scale = data.draw(st.sampled_from((1.0, 0.5, 0.0625)))
    seed = data.draw(st.integers(0, 99))
    rois = corners(6, height, width, seed, 0.25)
    # A grid of quarters, so that many corners are halves after scaling, of both signs.
    numbers = np.arange(6)[:, np.newaxis] % images
    inputs = {
        "x": normal(images, 2, height, width, seed=seed),
        "rois": np.hstack([numbers, rois / scale]).astype(np.float32),
    }
    model = one_node("MaxRoiPool", inputs, pooled_shape=[rows, columns], spatial_scale=scale)
    check(model, inputs, links=16 + 3 * (images > 1), rtol=0, atol=0)


def test_bins_without_words_are_zero():
    inputs = {"x": normal(1, 1, 4, 4) - 9, "rois": np.array([[0, 6, 6, 9, 9], [0, 0, 0, 1, 1]], np.float32)}
    check(one_node("MaxRoiPool", inputs, pooled_shape=[2, 2]), inputs, rtol=0, atol=0)


def test_infinite_words_do_not_leak_out_of_their_bin():
    x = normal(2, 1, 4, 4)
    x[0, 0, 0, 0], x[1, 0, 3, 3] = np.inf, -np.inf
    inputs = {"x": x, "rois": np.array([[1, 0, 0, 2, 2], [0, 1, 1, 3, 3]], np.float32)}
    check(one_node("MaxRoiPool", inputs, pooled_shape=[2, 2]), inputs, rtol=0, atol=0)


def test_only_images_are_pooled():
    inputs = {"x": normal(1, 2, 5, 5, 5), "rois": np.zeros((1, 5), np.float32)}
    with pytest.raises(CatenaError, match="not supported like this"):
        lower(one_node("MaxRoiPool", inputs, pooled_shape=[2, 2, 2]))


def aligned(seed: int, images: int, height: int, width: int, scale: float, regions: int = 5) -> dict[str, np.ndarray]:
    rois = corners(regions, height, width, seed, 0.37) / scale
    numbers = np.arange(regions) % images
    return {"x": normal(images, 2, height, width, seed=seed), "rois": rois.astype(np.float32), "numbers": numbers}


@settings(max_examples=examples(80), derandomize=True, deadline=None)
@given(st.integers(1, 2), st.integers(1, 7), st.integers(1, 7), st.integers(1, 3), st.integers(1, 3), st.data())
def test_roi_align(images, height, width, rows, columns, data):
    scale = data.draw(st.sampled_from((1.0, 0.25)))
    ratio, mode = data.draw(st.integers(0, 3)), data.draw(st.sampled_from(("avg", "max")))
    inputs = aligned(data.draw(st.integers(0, 99)), images, height, width, scale)
    if ratio == 0:
        # ONNX Runtime refuses regions the wrong way round then.
        inputs["rois"] = np.sort(inputs["rois"].reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    attributes = {"output_height": rows, "output_width": columns, "sampling_ratio": ratio, "spatial_scale": scale}
    # The reference computes version 10 as if it were 16.
    opset = data.draw(st.sampled_from((10, 16))) if mode == "avg" else 16
    if opset >= 16:
        attributes["coordinate_transformation_mode"] = data.draw(st.sampled_from(("half_pixel", "output_half_pixel")))
    constant = data.draw(st.booleans()) or (ratio == 0 and mode == "max")
    constants = {"rois": inputs.pop("rois")} if constant else {}
    order = ["x", "rois", "numbers"]
    model = one_node("RoiAlign", inputs, constants, opset=opset, order=order, mode=mode, **attributes)
    if mode == "avg":
        check(model, inputs, atol=1e-4)
    else:
        # ONNX Runtime warns that its maximum is wrong.
        check_values(model, inputs, {"y0": ReferenceEvaluator(model).run(None, inputs)[0]}, atol=1e-4)


@pytest.mark.parametrize("constant", [True, False])
def test_regions_far_larger_than_the_image_have_few_samples_near_it(constant):
    inputs = aligned(0, 1, 4, 5, 1.0)
    inputs["rois"] = np.sort(inputs["rois"].reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    inputs["rois"][0] = -300, -40, 500, 70
    inputs["rois"][1] = -9000, 2, -8000, 3
    inputs["rois"][2] = 1, 2, 1, 2
    constants = {"rois": inputs.pop("rois")} if constant else {}
    model = one_node(
        "RoiAlign", inputs, constants, opset=16, order=["x", "rois", "numbers"], output_height=3, output_width=2
    )
    check(model, inputs, atol=1e-4)


def test_the_largest_of_as_many_samples_as_a_region_needs_has_constant_regions():
    inputs = aligned(0, 1, 4, 5, 1.0)
    with pytest.raises(CatenaError, match="rois computed at run time"):
        lower(one_node("RoiAlign", inputs, opset=16, mode="max"))
