"""Quantized operators: exact integers against ONNX Runtime, at most one step apart after requantization."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from dialects.gconv import element_type_of_value
from dialects.gconv.interpreter import Interpreter
from tests.passes.lower_onnx.models import check, check_values, links_in, lower, model_of, normal, one_node, seven_bits

RNG = np.random.default_rng(7)


def words(dtype: type[np.integer], *shape: int) -> np.ndarray:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def scalar(value: float, dtype: type[np.generic] = np.float32) -> np.ndarray:
    return np.array(value, dtype)


@pytest.mark.parametrize("known", [True, False], ids=["constants", "run-time"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_quantizing_rounds_to_even_and_saturates(dtype: type[np.integer], known: bool) -> None:
    x = np.array([-1e6, -2.5, -1.5, -0.5, 0.25, 0.5, 1.5, 2.5, 3.75, 1e6], np.float32)
    parameters = {"s": scalar(0.5), "z": scalar(3, dtype)}
    feeds = {"x": x} if known else {"x": x, **parameters}
    model = one_node("QuantizeLinear", feeds, parameters if known else {}, opset=21)
    check(model, feeds, links=1, atol=0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_scales_along_an_axis(axis: int) -> None:
    x = normal(2, 3, 4) * 20
    n = x.shape[axis]
    parameters = {"s": np.linspace(0.1, 0.9, n).astype(np.float32), "z": words(np.int8, n)}
    check(one_node("QuantizeLinear", {"x": x}, parameters, opset=13, axis=axis), {"x": x}, links=1, atol=0)
    q = words(np.int8, *x.shape)
    check(one_node("DequantizeLinear", {"q": q}, parameters, opset=13, axis=axis), {"q": q}, links=1)


def test_blocks_that_do_not_divide_the_axis() -> None:
    q = words(np.int8, 5, 3)
    parameters = {"s": np.linspace(0.1, 0.9, 9).astype(np.float32).reshape(3, 3), "z": words(np.int8, 3, 3)}
    check(one_node("DequantizeLinear", {"q": q}, parameters, opset=21, axis=0, block_size=2), {"q": q})


def test_sums_of_32_bits_are_dequantized_exactly() -> None:
    q = np.array([1 << 30, -(1 << 30), (1 << 24) + 1, 7], np.int32)
    check(one_node("DequantizeLinear", {"q": q}, {"s": scalar(0.125)}, opset=13), {"q": q}, rtol=0, atol=0)


def convolution_parameters(channels: int, groups: int) -> dict[str, np.ndarray]:
    return {
        "xs": scalar(0.02), "xz": scalar(131, np.uint8), "w": seven_bits(RNG, channels, 4 // groups, 3, 3),
        "ws": np.linspace(0.001, 0.02, channels).astype(np.float32), "wz": np.zeros(channels, np.int8),
        "ys": scalar(0.3), "yz": scalar(120, np.uint8), "b": RNG.integers(-4000, 4000, channels, np.int32),
    }  # fmt: skip


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("known", [True, False], ids=["constants", "run-time"])
def test_qlinear_conv(groups: int, known: bool) -> None:
    x = words(np.uint8, 2, 4, 7, 6)
    parameters = convolution_parameters(6, groups)
    feeds = {"x": x} if known else {"x": x, **parameters}
    model = one_node(
        "QLinearConv", feeds, parameters if known else {}, opset=10,
        order=["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], pads=[1, 0, 2, 1], strides=[2, 1], group=groups,
    )  # fmt: skip
    module = check(model, feeds, rtol=0, atol=1)
    if known:
        (link,) = links_in(module)
        assert str(link.acc) == "i32"
        assert link.spec.pad_value == 131


@pytest.mark.parametrize("known", [True, False], ids=["constants", "run-time"])
def test_conv_integer_is_exact(known: bool) -> None:
    x = words(np.uint8, 1, 3, 8, 8)
    parameters = {"w": words(np.uint8, 5, 3, 3, 2), "xz": scalar(127, np.uint8), "wz": scalar(100, np.uint8)}
    feeds = {"x": x} if known else {"x": x, **parameters}
    model = one_node("ConvInteger", feeds, parameters if known else {}, opset=10, pads=[1, 1, 1, 1])
    check(model, feeds, rtol=0, atol=0)


def test_matmul_integer_is_exact() -> None:
    a = words(np.uint8, 2, 5, 70)
    parameters = {"b": words(np.int8, 70, 9), "az": scalar(130, np.uint8)}
    known = one_node("MatMulInteger", {"a": a}, parameters, opset=10)
    want = {known.graph.output[0].name: (a.astype(np.int32) - 130) @ parameters["b"].astype(np.int32)}
    check_values(known, {"a": a}, want, links=1, rtol=0, atol=0)
    given = one_node("MatMulInteger", {"a": a, **parameters}, opset=10)
    check_values(given, {"a": a, **parameters}, want, rtol=0, atol=0)
    b = seven_bits(RNG, 70, 9)
    check(one_node("MatMulInteger", {"a": a}, {"b": b, "az": scalar(130, np.uint8)}, opset=10), {"a": a}, atol=0)


@pytest.mark.parametrize("axis", [None, 1], ids=["one scale", "a scale for every column"])
def test_a_kernel_that_is_quantized_from_constants_is_a_constant(axis: int | None) -> None:
    """So that the zero point of the other operand is a constant that is added, and the product takes bytes."""
    a, n = words(np.uint8, 3, 20), 4
    scales = scalar(0.01) if axis is None else np.linspace(0.01, 0.04, n).astype(np.float32)
    zeros = np.full(scales.shape, 120, np.uint8)
    constants = {"w": normal(20, n), "s": scales, "z": zeros, "az": scalar(130, np.uint8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["w", "s", "z"], ["b"], **({} if axis is None else {"axis": axis})),
        helper.make_node("MatMulInteger", ["a", "b", "az", "z"], ["y"]),
    ]
    module = check(model_of(nodes, {"a": a}, constants, ["y"], opset=13), {"a": a}, links=1, rtol=0, atol=0)
    (link,) = links_in(module)
    assert (link.spec.acc, str(element_type_of_value(link.input))) == ("int32", "ui8")


def test_qlinear_matmul() -> None:
    a = words(np.int8, 4, 16)
    parameters = {
        "as": scalar(0.05), "az": scalar(-3, np.int8), "b": words(np.int8, 16, 6), "bs": scalar(0.02),
        "bz": scalar(2, np.int8), "ys": scalar(0.5), "yz": scalar(4, np.int8),
    }  # fmt: skip
    model = one_node("QLinearMatMul", {"a": a}, parameters, opset=21, order=["a", *parameters])
    check(model, {"a": a}, links=1, rtol=0, atol=1)


@pytest.mark.parametrize(
    "x", [normal(3, 4), np.abs(normal(5)) + 1, np.full(4, 1e-40, np.float32)], ids=["both", "up", "subnormal"]
)
def test_dynamic_quantization(x: np.ndarray) -> None:
    model = one_node("DynamicQuantizeLinear", {"x": x}, opset=11, outputs=3)
    check(model, {"x": x}, links=5, rtol=1e-5, atol=1)


def test_dynamic_quantization_of_zeros_has_a_scale_of_one() -> None:
    x = np.zeros(4, np.float32)
    module = check(one_node("DynamicQuantizeLinear", {"x": x}, opset=11, outputs=3), {"x": x}, rtol=0, atol=0)
    assert Interpreter(module).run({"x": x})["y1"] == 1


@pytest.mark.parametrize("target", ["int4", "uint4", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_types_are_results(target: str) -> None:
    from onnx import TensorProto

    code = {"int4": TensorProto.INT4, "uint4": TensorProto.UINT4, "float8_e4m3fn": TensorProto.FLOAT8E4M3FN,
            "float8_e5m2": TensorProto.FLOAT8E5M2}[target]  # fmt: skip
    x = normal(8) * 100
    module = lower(one_node("QuantizeLinear", {"x": x}, {"s": scalar(0.5)}, opset=21, output_dtype=code))
    (link,) = links_in(module)
    assert (
        target.replace("float8_", "f8").replace("uint", "ui").replace("int", "i").lower()
        in str(element_type_of_value(link.result)).lower()
    )


def test_an_axis_of_several_zero_points_for_the_input_is_refused() -> None:
    from dialects.diagnostics import CatenaError

    x, w = words(np.uint8, 1, 2, 4, 4), words(np.uint8, 3, 2, 2, 2)
    model = one_node("ConvInteger", {"x": x}, {"w": w, "xz": words(np.uint8, 2)}, opset=10)
    with pytest.raises(CatenaError) as caught:
        lower(model)
    assert [each.code for each in caught.value.diagnostics] == ["CAT-U002"]
    assert "one for the whole tensor" in caught.value.diagnostics[0].expected
