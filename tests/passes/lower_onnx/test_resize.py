"""Resize and Upsample against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from dialects.diagnostics import CatenaError
from passes.lower_onnx.interpolation import Resampling
from tests.passes.lower_onnx.models import check, check_values, integers, links_in, lower, normal, one_node

pytest.importorskip("onnxruntime")

TRANSFORMATIONS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "half_pixel_symmetric")
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SCALES = ((2.0, 3.0), (0.5, 0.6), (1.5, 0.75), (1.0, 2.5))


def resize_model(x: np.ndarray, scales=None, sizes=None, roi=None, opset: int = 19, **attributes):
    constants = {}
    order = ["x", "", "", ""]
    for place, (name, values, dtype) in enumerate(
        (("roi", roi, np.float32), ("scales", scales, np.float32), ("sizes", sizes, np.int64)), 1
    ):
        if values is not None:
            constants[name] = np.array(values, dtype)
            order[place] = name
    while not order[-1]:
        order.pop()
    return one_node("Resize", {"x": x}, constants, opset=opset, order=order, **attributes)


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("scales", SCALES)
def test_interpolation(transformation, mode, scales):
    x = normal(1, 2, 5, 4)
    model = resize_model(x, (1, 1, *scales), mode=mode, coordinate_transformation_mode=transformation)
    check(model, {"x": x}, links=2 - scales.count(1.0), atol=1e-4)


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("nearest", NEAREST)
@pytest.mark.parametrize("scales", SCALES)
def test_nearest(transformation, nearest, scales):
    x = normal(1, 2, 6, 4)
    model = resize_model(
        x, (1, 1, *scales), mode="nearest", coordinate_transformation_mode=transformation, nearest_mode=nearest
    )
    check(model, {"x": x}, rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("sizes", [(7, 3), (1, 1), (10, 8)])
def test_sizes(mode, sizes):
    x = normal(1, 2, 5, 4)
    check(resize_model(x, sizes=(1, 2, *sizes), mode=mode), {"x": x}, atol=1e-4)


@pytest.mark.parametrize("coefficient", [-0.5, -0.75])
@pytest.mark.parametrize("outside", [0, 1])
def test_cubic_options(coefficient, outside):
    x = normal(1, 1, 4, 4)
    model = resize_model(x, (1, 1, 1.7, 0.7), mode="cubic", cubic_coeff_a=coefficient, exclude_outside=outside)
    check(model, {"x": x}, links=2, atol=1e-4)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_antialias(mode):
    x = normal(1, 1, 8, 9)
    model = resize_model(x, (1, 1, 0.4, 0.6), mode=mode, antialias=1)
    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    check_values(model, {"x": x}, {"y0": expected}, links=2, atol=1e-4)


@pytest.mark.parametrize("value", [0.0, 7.0])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_crop_and_resize(value, mode):
    x = normal(1, 1, 5, 5)
    model = resize_model(
        x,
        sizes=(1, 1, 4, 6),
        roi=(0, 0, 0.3, -0.2, 1, 1, 0.8, 1.3),
        mode=mode,
        coordinate_transformation_mode="tf_crop_and_resize",
        extrapolation_value=value,
    )
    check(model, {"x": x}, atol=1e-4)


def test_axes_and_aspect_ratio():
    x = normal(1, 2, 6, 4)
    check(resize_model(x, scales=(0.5,), axes=[2], mode="linear", opset=18), {"x": x}, links=1)
    for policy in ("not_larger", "not_smaller"):
        model = resize_model(x, sizes=(9, 9), axes=[2, 3], mode="linear", keep_aspect_ratio_policy=policy)
        check(model, {"x": x}, links=2)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("scales", [(2.0, 2.0), (3.0, 2.0), (1.0, 2.0)])
@pytest.mark.parametrize("opset", [7, 9, 10])
def test_old_versions(mode, scales, opset):
    x = normal(1, 2, 3, 4)
    values = np.array((1, 1, *scales), np.float32)
    if opset == 7:
        model = one_node("Upsample", {"x": x}, opset=7, mode=mode, scales=list(map(float, values)))
    else:
        model = one_node("Resize" if opset == 10 else "Upsample", {"x": x}, {"s": values}, opset=opset, mode=mode)
    check(model, {"x": x}, links=1 if mode == "nearest" else 2 - scales.count(1.0))


@pytest.mark.parametrize("scales", [(0.5, 0.5), (0.5, 1.0), (0.34, 0.7)])
def test_shrinking_with_opset_10(scales):
    x = normal(1, 1, 6, 4)
    model = one_node("Resize", {"x": x}, {"s": np.array((1, 1, *scales), np.float32)}, opset=10, mode="nearest")
    check(model, {"x": x})


def test_even_repeats_are_one_link_without_arithmetic():
    x = normal(1, 3, 4, 5)
    (link,) = links_in(check(resize_model(x, (1, 1, 2, 3), mode="nearest"), {"x": x}, links=1))
    assert str(link.nest) == "#gconv.nest<N, C opc 3, H g 4 op 2, W g 5 op 3>"
    assert link.main.data == "pass"


def test_nearest_keeps_integers():
    x = np.arange(12, dtype=np.int32).reshape(1, 1, 3, 4)
    check(resize_model(x, (1, 1, 2, 2), mode="nearest"), {"x": x}, links=1)


def test_interpolated_integers_are_refused():
    x = np.arange(12, dtype=np.int32).reshape(1, 1, 3, 4)
    with pytest.raises(CatenaError, match="found:    int32"):
        lower(resize_model(x, (1, 1, 2, 2), mode="linear"))


def test_sizes_computed_at_run_time_are_refused():
    x = normal(1, 1, 3, 4)
    model = one_node("Resize", {"x": x, "n": integers(1, 1, 6, 8)}, order=["x", "", "", "n"])
    with pytest.raises(CatenaError):
        lower(model)


@pytest.mark.parametrize("mode", ["linear", "cubic", "nearest"])
@pytest.mark.parametrize("scale", [0.3, 0.5, 1.7, 3.0])
def test_weights_of_an_output_word_sum_to_one(mode, scale):
    matrix = Resampling(10, int(10 * scale), scale, mode).matrix()
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
