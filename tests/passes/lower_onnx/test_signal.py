"""Fourier transforms, Col2Im, Det, n-grams and bits against ONNX Runtime or ONNX's reference evaluator."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from dialects.diagnostics import CatenaError
from tests.passes.lower_onnx.models import check, check_values, integers, links_in, lower, normal, one_node

pytest.importorskip("onnxruntime")


def check_with_reference(model: onnx.ModelProto, feeds: dict[str, np.ndarray], links: int | None = None) -> None:
    """Compare with ONNX's reference evaluator, where ONNX Runtime has no kernel."""
    check_values(model, feeds, {"y0": np.asarray(ReferenceEvaluator(model).run(None, feeds)[0])}, links, atol=1e-4)


def scalar(value: int) -> np.ndarray:
    return np.array(value, np.int64)


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize(("parts", "inverse", "onesided"), [(1, 0, 0), (2, 0, 0), (2, 1, 0), (1, 0, 1), (2, 1, 1)])
@pytest.mark.parametrize("length", [None, 4, 5, 9])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_fourier_transform(opset, parts, inverse, onesided, length, axis):
    feeds = {"x": normal(3, 6, 4, parts)}
    constants = {} if length is None else {"length": scalar(length)}
    attributes = {"axis": axis} if opset < 20 else {}
    constants |= {"axis": scalar(axis - 4)} if opset >= 20 else {}
    order = ["x", "length" if length else "", *(["axis"] if opset >= 20 else [])]
    while not order[-1]:
        order.pop()
    model = one_node(
        "DFT", feeds, constants, opset=opset, order=order, inverse=inverse, onesided=onesided, **attributes
    )
    signal = feeds["x"][..., 0] + (1j * feeds["x"][..., 1] if parts == 2 else 0)
    if inverse and onesided:
        found = np.fft.irfft(signal, length, axis)[..., np.newaxis]
    else:
        transform = np.fft.ifft if inverse else np.fft.rfft if onesided else np.fft.fft
        result = transform(signal.real if onesided else signal, length, axis)
        found = np.stack([result.real, result.imag], -1)
    check_values(model, feeds, {"y0": found.astype(np.float32)}, 1, atol=1e-4)


@pytest.mark.parametrize("window", [None, "constant", "computed"])
@pytest.mark.parametrize(("parts", "onesided"), [(1, 1), (1, 0), (2, 0), (1, None)])
@pytest.mark.parametrize(("step", "frame"), [(3, 8), (5, 5), (20, 20)])
def test_short_time_transform(window, parts, onesided, step, frame):
    feeds = {"x": normal(2, 20, parts)}
    constants = {"step": scalar(step)}
    weights = {"w": normal(frame, seed=1)} if window else {}
    feeds |= weights if window == "computed" else {}
    constants |= weights if window == "constant" else {"frame": scalar(frame)}
    order = ["x", "step", "w" if window else "", "frame" if window != "constant" else ""]
    while not order[-1]:
        order.pop()
    attributes = {} if onesided is None else {"onesided": onesided}
    model = one_node("STFT", feeds, constants, opset=17, order=order, **attributes)
    if onesided is None:
        # ONNX's inference forgets the default.
        del model.graph.output[0].type.tensor_type.shape.dim[:]
        shape = (2, (20 - frame) // step + 1, frame // 2 + 1, 2)
        model.graph.output[0].type.tensor_type.shape.dim.extend(
            onnx.TensorShapeProto.Dimension(dim_value=n) for n in shape
        )
    signal = feeds["x"][..., 0] + (1j * feeds["x"][..., 1] if parts == 2 else 0)
    frames = np.stack([signal[:, at : at + frame] for at in range(0, 21 - frame, step)], 1)
    result = np.fft.fft(frames * (weights["w"] if window else 1))
    result = result if onesided == 0 else result[..., : frame // 2 + 1]
    wanted = np.stack([result.real, result.imag], -1).astype(np.float32)
    check_values(model, feeds, {"y0": wanted}, 2 if window == "computed" else 1, atol=1e-4)


@pytest.mark.parametrize(
    ("image", "block", "attributes"),
    [
        ((5, 5), (1, 5), {}),
        ((5, 7), (2, 3), {}),
        ((6, 7), (3, 3), {"strides": [2, 3]}),
        ((5, 6), (3, 2), {"pads": [1, 0, 2, 1]}),
        ((8, 9), (2, 3), {"dilations": [3, 2], "pads": [0, 1, 1, 0], "strides": [2, 1]}),
        ((3, 4, 5), (2, 2, 3), {"strides": [1, 2, 1]}),
        ((6, 6), (2, 2), {"strides": [3, 4]}),
    ],
)
def test_column_to_image(image, block, attributes):
    rank = len(image)
    strides, dilations = (attributes.get(name, [1] * rank) for name in ("strides", "dilations"))
    pads = attributes.get("pads", [0] * 2 * rank)
    counts = [
        (image[a] + pads[a] + pads[rank + a] - dilations[a] * (block[a] - 1) - 1) // strides[a] + 1 for a in range(rank)
    ]
    feeds = {"x": normal(2, 3 * int(np.prod(block)), int(np.prod(counts)))}
    constants = {"image": integers(*image), "block": integers(*block)}
    check(one_node("Col2Im", feeds, constants, opset=18, **attributes), feeds, links=2)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 2, 2), (3, 3), (2, 1, 4, 4), (6, 6), (2, 8, 8)])
def test_determinant(shape):
    feeds = {"x": normal(*shape)}
    rows = shape[-1]
    links = 1 if rows == 1 else 2 + 3 * (rows - 2)
    check(one_node("Det", feeds, opset=11), feeds, links=links, rtol=1e-3, atol=1e-3)


def test_determinants_of_large_matrices_are_refused():
    with pytest.raises(CatenaError, match="9 rows"):
        lower(one_node("Det", {"x": normal(9, 9)}, opset=11))


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("shape", [(12,), (2, 6), (2, 1)])
@pytest.mark.parametrize(("shortest", "longest", "skips"), [(1, 1, 0), (1, 3, 0), (2, 2, 5), (1, 3, 2)])
def test_ngrams(mode, shape, shortest, longest, skips):
    random = np.random.default_rng(0)
    feeds = {"x": random.integers(1, 5, shape).astype(np.int32)}
    model = one_node(
        "TfIdfVectorizer",
        feeds,
        opset=9,
        mode=mode,
        min_gram_length=shortest,
        max_gram_length=longest,
        max_skip_count=skips,
        ngram_counts=[0, 3, 9],
        ngram_indexes=[4, 1, 0, 2, 6, 5, 3, 7],
        pool_int64s=[1, 2, 4, 1, 2, 2, 3, 4, 4, 1, 2, 3, 2, 2, 1],
        weights=[0.5, 2.0, 1.0, 0.25, 3.0, 1.5, 0.75, 0.1],
    )
    check(model, feeds)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int32, np.uint64])
@pytest.mark.parametrize("op_type", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
def test_bits_of_two_integers(kind, op_type):
    random = np.random.default_rng(0)
    feeds = {
        "a": random.integers(0, 120, (3, 1, 4)).astype(kind),
        "b": random.integers(-100, 100, (5, 1)).astype(kind),
    }
    check(one_node(op_type, feeds, opset=18), feeds, links=1)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64])
def test_bits_inverted(kind):
    feeds = {"a": np.arange(-3, 9).astype(kind)}
    check(one_node("BitwiseNot", feeds, opset=18), feeds, links=1)


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int32, np.uint64])
def test_shifts(direction, kind):
    feeds = {
        "a": np.array([1, 7, 100, -1, -100], np.int64).astype(kind),
        "b": np.array([[0], [1], [6], [9], [64]]).astype(kind),
    }
    model = one_node("BitShift", feeds, opset=28, direction=direction)
    assert len(links_in(lower(model))) == 1
    check_with_reference(model, feeds, links=1)
