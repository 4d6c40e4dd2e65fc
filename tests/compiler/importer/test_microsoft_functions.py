"""Quantized operators of `com.microsoft`, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from compiler.compilation import CompileOptions, compile_source
from compiler.importer import import_model
from dialects.diagnostics import CatenaError
from dialects.gconv import LinkOp
from tests.passes.lower_onnx.models import check, check_values, seven_bits

RNG = np.random.default_rng(4)
TYPES = [np.uint8, np.int8]
DOMAIN = "com.microsoft"


def words(dtype: type[np.integer], *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def quantized(scale: float, zero: int, dtype: type[np.integer]) -> list[np.ndarray]:
    """A scale, and a zero point that is so far from the middle of its type."""
    middle = 128 if dtype == np.uint8 else 0
    return [np.array(scale, np.float32), np.array(middle + zero, dtype)]


def model_of(
    op_type: str,
    feeds: dict[str, np.ndarray],
    inputs: list[str | np.ndarray],
    output: type[np.generic],
    **attributes: object,
) -> onnx.ModelProto:
    """A model of one node: inputs that are fed go by name, others are constants."""
    names = [each if isinstance(each, str) else f"c{index}" for index, each in enumerate(inputs)]
    node = helper.make_node(op_type, names, ["y"], "node", domain=DOMAIN, **attributes)
    kind = helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info(name, kind(array.dtype), array.shape) for name, array in feeds.items()],
        [helper.make_tensor_value_info("y", kind(np.dtype(output)), None)],
        [numpy_helper.from_array(each, f"c{index}") for index, each in enumerate(inputs) if not isinstance(each, str)],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def check_words(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> None:
    """ONNX Runtime's words, or one beside."""
    check(model, feeds, rtol=0, atol=1)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("op_type", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 1), ()])
def test_binary(op_type: str, dtype: type[np.integer], shape: tuple[int, ...]) -> None:
    feeds = {"a": words(dtype, 2, 3, 4), "b": words(dtype, *shape)}
    output = quantized(0.09 if op_type == "QLinearAdd" else 1.5, -9, dtype)
    inputs = ["a", *quantized(0.03, 5, dtype), "b", *quantized(0.05, -3, dtype), *output]
    check_words(model_of(op_type, feeds, inputs, dtype), feeds)


def test_zero_points_may_be_left_out() -> None:
    """As the operator says; ONNX Runtime itself does not survive it."""
    feeds = {"x": words(np.int8, 2, 3)}
    scales = [np.array(0.1, np.float32), np.array(0.07, np.float32)]
    model = model_of("QLinearLeakyRelu", feeds, ["x", scales[0], "", scales[1]], np.int8)
    numbers = feeds["x"] * scales[0]
    expected = np.rint(np.where(numbers < 0, 0.01 * numbers, numbers) / scales[1]).clip(-128, 127).astype(np.int8)
    check_values(model, feeds, {"y": expected}, rtol=0, atol=1)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("op_type", "output", "attributes"),
    [
        ("QLinearSigmoid", (1 / 256, -128), {}),
        ("QLinearLeakyRelu", (0.04, 7), {"alpha": 0.2}),
        ("QLinearLeakyRelu", (0.04, 7), {}),
        ("QLinearSoftmax", (1 / 256, -128), {"opset": 17, "axis": 1}),
        ("QLinearSoftmax", (1 / 256, -128), {"opset": 11, "axis": 1}),
        ("QLinearGlobalAveragePool", (0.01, -20), {}),
        ("QLinearGlobalAveragePool", (0.01, -20), {"channels_last": 1}),
        ("QLinearAveragePool", (0.02, 11), {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 1]}),
        ("QLinearAveragePool", (0.02, 11), {"kernel_shape": [2, 2], "pads": [1] * 4, "count_include_pad": 1}),
    ],
)
def test_one_input(
    op_type: str, output: tuple[float, int], attributes: dict[str, object], dtype: type[np.integer]
) -> None:
    feeds = {"x": words(dtype, 2, 3, 5, 6)}
    inputs = ["x", *quantized(0.03, 4, dtype), *quantized(*output, dtype)]
    check_words(model_of(op_type, feeds, inputs, dtype, **attributes), feeds)


@pytest.mark.parametrize("dtype", TYPES)
def test_concat(dtype: type[np.integer]) -> None:
    feeds = {"a": words(dtype, 2, 3), "b": words(dtype, 2, 5)}
    inputs = [*quantized(0.04, 2, dtype), "a", *quantized(0.03, 4, dtype), "b", *quantized(0.05, -4, dtype)]
    check_words(model_of("QLinearConcat", feeds, inputs, dtype, axis=1), feeds)


@pytest.mark.parametrize("dtype", TYPES)
def test_where(dtype: type[np.integer]) -> None:
    feeds = {"c": np.array([True, False, True]), "a": words(dtype, 2, 3), "b": words(dtype, 2, 1)}
    inputs = ["c", "a", *quantized(0.03, 4, dtype), "b", *quantized(0.05, -4, dtype), *quantized(0.06, 1, dtype)]
    check_words(model_of("QLinearWhere", feeds, inputs, dtype), feeds)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("attributes", [{}, {"transB": 1, "alpha": 0.5}, {"transA": 1}])
@pytest.mark.parametrize("rounds", [True, False])
def test_gemm(
    tmp_path: Path, dtype: type[np.integer], per_column: bool, attributes: dict[str, object], rounds: bool
) -> None:
    a, b = words(dtype, 4, 7), seven_bits(RNG, 7, 5)
    feeds = {"a": a.T.copy() if "transA" in attributes else a}
    columns = (5,) if per_column else ()
    weights = [b.T.copy() if "transB" in attributes else b, (RNG.random(columns) * 0.02 + 0.01).astype(np.float32)]
    bias = RNG.integers(-4000, 4000, 5, np.int32)
    inputs = ["a", *quantized(0.03, 4, dtype), *weights, np.zeros(columns, np.int8), bias]
    model = model_of(
        "QGemm", feeds, inputs + quantized(0.5, 3, dtype) * rounds, dtype if rounds else np.float32, **attributes
    )
    check(model, feeds, rtol=0, atol=1 if rounds else 1e-4)
    onnx.save(model, tmp_path / "gemm.onnx")
    fused = compile_source(str(tmp_path / "gemm.onnx"), CompileOptions(stop="fused")).module
    (link,) = (op for op in fused.walk() if isinstance(op, LinkOp))
    assert str(link.acc) == "i32"


def test_16_bit_quantization_of_old_opsets() -> None:
    """Which ONNX's own operators have from opset 21 on."""
    x = (RNG.standard_normal((3, 4)) * 40).astype(np.float32)
    parameters = [np.array(0.01, np.float32), np.array(-300, np.int16)]
    check(model_of("QuantizeLinear", {"x": x}, ["x", *parameters], np.int16), {"x": x}, rtol=0, atol=0)
    q = words(np.int16, 3, 4)
    check(model_of("DequantizeLinear", {"q": q}, ["q", *parameters], np.float32), {"q": q}, rtol=1e-6)


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [("QAttention", {"num_heads": 1}), ("QLinearAveragePool", {"kernel_shape": [2, 2], "channels_last": 1})],
)
def test_others_are_refused(op_type: str, attributes: dict[str, object]) -> None:
    feeds = {"x": words(np.uint8, 1, 4, 4, 2)}
    inputs = ["x", *quantized(0.03, 4, np.uint8), *quantized(0.03, 4, np.uint8)]
    with pytest.raises(CatenaError) as caught:
        import_model(model_of(op_type, feeds, inputs, np.uint8, **attributes))
    assert [each.code for each in caught.value.diagnostics] == ["CAT-U003"]
