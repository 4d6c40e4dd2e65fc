"""Region pooling against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from tests.passes.lower_onnx.models import check, lower, normal, one_node

pytest.importorskip("onnxruntime")


def corners(regions: int, height: int, width: int, seed: int, step: float) -> np.ndarray:
    """Corners x1 y1 x2 y2 on a grid of `step`, some outside the image and some the wrong way round."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, width + 3, (regions, 2))
    y = rng.uniform(-3, height + 3, (regions, 2))
    return (np.stack([x, y], 2).reshape(regions, 4) / step).round() * step


@settings(max_examples=60, derandomize=True, deadline=None)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 4), st.data())
def test_max_roi_pool(images, height, width, rows, columns, data):
    scale = data.draw(st.sampled_from((1.0, 0.5, 0.0625)))
    seed = data.draw(st.integers(0, 99))
    rois = corners(6, height, width, seed, 0.5)
    # A grid of halves, so that many corners are halves after scaling, of both signs.
    numbers = np.arange(6)[:, np.newaxis] % images
    inputs = {
        "x": normal(images, 2, height, width, seed=seed),
        "rois": np.hstack([numbers, rois / scale]).astype(np.float32),
    }
    model = one_node("MaxRoiPool", inputs, pooled_shape=[rows, columns], spatial_scale=scale)
    check(model, inputs, links=16 + 2 * (images > 1), rtol=0, atol=0)


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
