"""Normalisations and softmax against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from dialects.diagnostics import CatenaError
from tests.passes.lower_onnx.models import check, check_values, links_in, lower, normal, one_node

pytest.importorskip("onnxruntime")


def statistics(channels: int) -> dict[str, np.ndarray]:
    """Scale, bias, mean and variance."""
    names = ("scale", "bias", "mean", "variance")
    values = {name: normal(channels, seed=index) for index, name in enumerate(names)}
    return values | {"variance": np.abs(values["variance"]) + np.float32(0.1)}


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5), (1, 3, 2, 3, 4)])
@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("constant", [True, False])
def test_batch_normalization(shape, opset, constant):
    inputs, others = {"x": normal(*shape)}, statistics(3)
    feeds = inputs if constant else inputs | others
    model = one_node("BatchNormalization", feeds, others if constant else {}, opset=opset, epsilon=1e-3)
    check(model, feeds, links=1 if constant else 2)


def test_batch_normalization_of_constants_is_a_product_and_a_sum_per_channel():
    inputs = {"x": normal(2, 3, 4, 4)}
    (link,) = links_in(lower(one_node("BatchNormalization", inputs, statistics(3))))
    assert str(link.nest) == "#gconv.nest<N opc 2, C g 3, H opc 4, W opc 4>"
    assert (link.main.data, str(link.post)) == ("mul", "#gconv.steps<add[0]>")


def test_training_is_refused():
    inputs = {"x": normal(2, 3, 4)}
    with pytest.raises(CatenaError, match="training_mode = 1"):
        lower(one_node("BatchNormalization", inputs, statistics(3), outputs=3, training_mode=1))


@pytest.mark.parametrize("shape", [(2, 3, 7), (2, 3, 4, 5), (1, 3, 2, 3, 4)])
def test_instance_normalization(shape):
    inputs = {"x": normal(*shape)}
    check(one_node("InstanceNormalization", inputs, {"s": normal(3), "b": normal(3)}, epsilon=1e-2), inputs, links=3)


@pytest.mark.parametrize("axis", [-1, 1, 2, 0])
@pytest.mark.parametrize("with_bias", [True, False])
def test_layer_normalization(axis, with_bias):
    inputs = {"x": normal(2, 3, 4)}
    shape = (2, 3, 4)[axis:]
    constants = {"s": normal(*shape)} | ({"b": normal(*shape, seed=3)} if with_bias else {})
    check(one_node("LayerNormalization", inputs, constants, outputs=3, axis=axis), inputs, links=3)


def test_group_normalization():
    inputs = {"x": normal(2, 6, 3, 4)}
    constants = {"s": normal(6), "b": normal(6, seed=1)}
    check(one_node("GroupNormalization", inputs, constants, opset=21, num_groups=2), inputs, links=3)


@pytest.mark.parametrize("axis", [-1, 1])
def test_root_mean_square_normalization(axis):
    inputs = {"x": normal(2, 3, 4)}
    model = one_node("RMSNormalization", inputs, {"s": normal(*(2, 3, 4)[axis:])}, opset=23, axis=axis)
    check(model, inputs, links=2)


@pytest.mark.parametrize("axes", [[0, 2, 3], [1], [-1, -2]])
def test_mean_variance_normalization(axes):
    inputs = {"x": normal(2, 3, 4, 5)}
    check(one_node("MeanVarianceNormalization", inputs, opset=13, axes=axes), inputs, links=3)


@pytest.mark.parametrize("order", [1, 2])
def test_lp_normalization_keeps_vectors_of_zeros(order):
    inputs = {"x": normal(3, 4)}
    inputs["x"][1] = 0
    check(one_node("LpNormalization", inputs, p=order, axis=1), inputs, links=2)


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("channels", [2, 7])
def test_local_response_normalization(size, channels):
    inputs = {"x": 10 * normal(2, channels, 3, 3)}
    model = one_node("LRN", inputs, size=size, alpha=0.01, beta=0.6, bias=2.0)
    (window, _) = links_in(check(model, inputs, links=2))
    assert (window.spec.dims[1].ks, window.spec.dims[1].pad) == (size, (size - 1) // 2)


def test_local_response_of_an_even_window_reaches_further_up():
    x = normal(1, 5, 1, 2)
    # Channels c - 1 to c + 2, as the ONNX text says; ONNX Runtime takes odd sizes only.
    sums = sum(np.pad(x**2, ((0, 0), (1, 2), (0, 0), (0, 0)))[:, start : start + 5] for start in range(4))
    expected = x / (1 + 0.1 / 4 * sums) ** 0.75
    check_values(one_node("LRN", {"x": x}, size=4, alpha=0.1), {"x": x}, {"y0": expected}, links=2)


@pytest.mark.parametrize(("op_type", "links"), [("Softmax", 3), ("LogSoftmax", 3), ("Hardmax", 4)])
@pytest.mark.parametrize(
    ("opset", "axis"), [(opset, axis) for opset in (7, 11, 13) for axis in (None, 0, 1)] + [(11, -1), (13, -1)]
)
def test_softmax_family(op_type, links, opset, axis):
    inputs = {"x": 5 * normal(2, 3, 4)}
    attributes = {} if axis is None else {"axis": axis}
    check(one_node(op_type, inputs, opset=opset, **attributes), inputs, links=links)


def test_softmax_of_large_values_does_not_overflow():
    inputs = {"x": np.array([[1e4, 1e4 - 1, -1e4]], np.float32)}
    check(one_node("Softmax", inputs), inputs)
