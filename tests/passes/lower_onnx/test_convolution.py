"""Conv and ConvTranspose against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dialects.gconv import ViewOp
from tests.examples import examples
from tests.passes.lower_onnx.models import check, links_in, lower, normal, one_node

pytest.importorskip("onnxruntime")

AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[dict[str, object], tuple[int, ...], tuple[int, ...]]:
    """Attributes, input shape, weight shape."""
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) for _ in range(rank)]
    attributes: dict[str, object] = {
        "group": groups,
        "kernel_shape": kernel,
        "strides": [draw(st.integers(1, 3)) for _ in range(rank)],
        "dilations": dilations,
        "auto_pad": draw(st.sampled_from(AUTO_PADS)),
    }
    if attributes["auto_pad"] == "NOTSET":
        attributes["pads"] = [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    elif attributes["auto_pad"] != "VALID":
        attributes["dilations"] = dilations = [1] * rank  # ONNX Runtime refuses SAME with dilations
    spatial = [draw(st.integers((k - 1) * d + 1, 7)) for k, d in zip(kernel, dilations, strict=True)]
    inputs, outputs = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return attributes, (draw(st.integers(1, 2)), groups * inputs, *spatial), (groups * outputs, inputs, *kernel)


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(convolutions(), st.booleans(), st.booleans(), st.sampled_from((10, 11, 22)))
def test_convolutions(case, constant_weights, with_bias, opset):
    attributes, shape, weight_shape = case
    operands = {"w": normal(*weight_shape, seed=1)} | ({"b": normal(weight_shape[0], seed=2)} if with_bias else {})
    inputs = {"x": normal(*shape)}
    constants = operands if constant_weights else {}
    inputs |= {} if constant_weights else operands
    check(one_node("Conv", inputs, constants, opset=opset, **attributes), inputs, links=1)


@pytest.mark.parametrize(
    ("kernel", "pads", "strides"),
    [([1, 1], [0] * 4, (1, 1)), ([1, 1], [1, 0, 0, 0], (2, 1)), ([2, 1], [0] * 4, (2, 1))],
)
def test_strided_points_read_a_strided_view(kernel, pads, strides):
    inputs, constants = {"x": normal(1, 3, 7, 6)}, {"w": normal(4, 3, *kernel)}
    model = one_node("Conv", inputs, constants, kernel_shape=kernel, strides=[2, 2], pads=pads)
    (link,) = links_in(check(model, inputs, links=1))
    assert isinstance(link.input.owner, ViewOp)
    assert tuple(dim.stride for dim in link.spec.dims[2:]) == strides


def test_depthwise_is_grouped_and_high_padding_follows_from_the_result():
    inputs = {"x": normal(2, 6, 5, 5)}
    model = one_node("Conv", inputs, {"w": normal(6, 1, 3, 3), "b": normal(6)}, group=6, pads=[1, 0, 2, 1])
    (link,) = links_in(check(model, inputs, links=1))
    assert " ".join(str(link.nest).split()) == "#gconv.nest<N opc 2, C g 6, H opc 6 ks 3 pad 1, W opc 4 ks 3>"
    assert link.tensor is not None
    assert link.tensor.data == "y0"


@st.composite
def transposed_convolutions(draw: st.DrawFn) -> tuple[dict[str, object], tuple[int, ...], tuple[int, ...]]:
    rank = draw(st.integers(1, 3))
    groups = draw(st.sampled_from((1, 1, 2)))
    kernel = [draw(st.integers(1, 3)) for _ in range(rank)]
    strides = [draw(st.integers(1, 3)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) for _ in range(rank)]
    attributes: dict[str, object] = {
        "group": groups,
        "kernel_shape": kernel,
        "strides": strides,
        "dilations": dilations,
        "auto_pad": draw(st.sampled_from(AUTO_PADS)),
        "output_padding": [draw(st.integers(0, s - 1)) for s in strides],
    }
    spatial = [draw(st.integers(2, 4)) for _ in range(rank)]
    if str(attributes["auto_pad"]).startswith("SAME"):
        attributes["output_padding"] = [0] * rank  # shape inference and ONNX Runtime disagree on SAME with it
    if attributes["auto_pad"] == "NOTSET":
        # Cropping no more than the kernel adds leaves a result.
        attributes["pads"] = [draw(st.integers(0, min(1, k - 1))) for k in kernel] * 2
        attributes["pads"][rank] = 0
        if draw(st.booleans()):
            del attributes["pads"]
            attributes["output_shape"] = [
                (n - 1) * s + (k - 1) * d + 1 + o - draw(st.integers(0, 2))
                for n, s, k, d, o in zip(spatial, strides, kernel, dilations, attributes["output_padding"], strict=True)
            ]
            # Shape inference gives up on results smaller than the input.
            assume(all(m >= n for m, n in zip(attributes["output_shape"], spatial, strict=True)))
    inputs, outputs = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return attributes, (draw(st.integers(1, 2)), groups * inputs, *spatial), (groups * inputs, outputs, *kernel)


@settings(max_examples=examples(80), derandomize=True, deadline=None)
@given(transposed_convolutions(), st.booleans(), st.booleans(), st.sampled_from((10, 11, 22)))
def test_transposed_convolutions(case, constant_weights, with_bias, opset):
    attributes, shape, weight_shape = case
    channels = attributes["group"] * weight_shape[1]
    operands = {"w": normal(*weight_shape, seed=1)} | ({"b": normal(channels, seed=2)} if with_bias else {})
    inputs = {"x": normal(*shape)}
    constants = operands if constant_weights else {}
    inputs |= {} if constant_weights else operands
    check(one_node("ConvTranspose", inputs, constants, opset=opset, **attributes), inputs, links=1)


def test_run_time_weights_of_a_transposed_convolution_are_read_backwards():
    inputs = {"x": normal(1, 2, 3), "w": normal(2, 1, 3)}
    (link,) = links_in(lower(one_node("ConvTranspose", inputs, strides=[2])))
    view = link.kernel.owner
    assert isinstance(view, ViewOp)
    assert view.view.strides[-1] == -1
    assert not np.isnan(link.spec.padding)
