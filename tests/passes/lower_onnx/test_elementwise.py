"""Functions of one and of several tensors against ONNX Runtime."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from dialects.diagnostics import CatenaError
from dialects.gconv.interpreter import Interpreter
from tests.examples import examples
from tests.passes.lower_onnx.models import check, check_values, links_in, lower, model_of, normal, one_node

pytest.importorskip("onnxruntime")

EVERYWHERE = (
    *("Abs", "Atan", "Ceil", "Cos", "Elu", "Exp", "Floor", "HardSigmoid", "LeakyRelu", "Neg", "Relu", "Selu"),
    *("Sigmoid", "Sin", "Softplus", "Softsign", "Tan", "Tanh"),
)


@pytest.mark.parametrize("opset", [7, 13, 22])
@pytest.mark.parametrize("op_type", EVERYWHERE)
def test_functions_of_any_number(op_type, opset):
    inputs = {"x": 3 * normal(2, 3, 4)}
    check(one_node(op_type, inputs, opset=opset), inputs, links=1)


@pytest.mark.parametrize("op_type", ["Asinh", "Cosh", "Erf", "Gelu", "HardSwish", "Mish", "Round", "Sign", "Sinh"])
def test_newer_functions_of_any_number(op_type):
    inputs = {"x": np.concatenate([3 * normal(20), np.array([0.5, 1.5, -0.5, 0.0], np.float32)])}
    check(one_node(op_type, inputs, opset=20), inputs, links=1)


@pytest.mark.parametrize("op_type", ["Acos", "Acosh", "Asin", "Atanh", "Log", "Reciprocal", "Sqrt"])
def test_functions_of_some_numbers(op_type):
    x = np.linspace(0.1, 0.9, 12, dtype=np.float32).reshape(3, 4) + (1 if op_type == "Acosh" else 0)
    check(one_node(op_type, {"x": x}), {"x": x}, links=1)


@pytest.mark.parametrize(
    ("op_type", "opset", "attributes"),
    [
        ("Elu", 17, {"alpha": 0.5}),
        ("Celu", 17, {"alpha": 1.5}),
        ("Gelu", 20, {"approximate": "tanh"}),
        ("HardSigmoid", 17, {"alpha": 0.3, "beta": 0.4}),
        ("LeakyRelu", 17, {"alpha": 0.3}),
        ("Selu", 17, {"alpha": 1.5, "gamma": 1.1}),
        ("Shrink", 17, {"lambd": 0.7, "bias": 0.2}),
        ("ThresholdedRelu", 17, {"alpha": 0.4}),
    ],
)
def test_functions_with_parameters(op_type, opset, attributes):
    inputs = {"x": 2 * normal(3, 5)}
    check(one_node(op_type, inputs, opset=opset, **attributes), inputs, links=1)


def test_swish():
    x = normal(3, 5)
    expected = x / (1 + np.exp(-1.5 * x))
    check_values(one_node("Swish", {"x": x}, opset=24, alpha=1.5), {"x": x}, {"y0": expected}, links=1)


@pytest.mark.parametrize(("op_type", "attributes"), [("IsNaN", {}), ("IsInf", {}), ("IsInf", {"detect_negative": 0})])
def test_predicates(op_type, attributes):
    x = np.array([1.0, np.nan, np.inf, -np.inf, 0.0], np.float32)
    check(one_node(op_type, {"x": x}, **attributes), {"x": x}, links=1)


def test_a_scalar_of_rank_zero():
    inputs = {"x": np.array(-2.0, np.float32)}
    check(one_node("Abs", inputs), inputs, links=1)


@pytest.mark.parametrize("limits", [("lo", "hi"), ("lo", ""), ("", "hi"), ("", "")])
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("opset", [11, 12, 13])
def test_clip_with_limits_as_inputs(limits, constant, opset):
    inputs = {"x": 2 * normal(3, 4)}
    others = {name: np.array(value, np.float32) for name, value in (("lo", -0.5), ("hi", 0.75)) if name in limits}
    feeds = inputs if constant else inputs | others
    model = one_node("Clip", feeds, others if constant else {}, opset=opset, order=["x", *limits])
    check(model, feeds, links=1 if constant or not others else len(others))


@pytest.mark.parametrize("attributes", [{}, {"min": 0.0, "max": 6.0}, {"min": -0.25}])
def test_clip_with_limits_as_attributes(attributes):
    inputs = {"x": 5 * normal(3, 4)}
    (link,) = links_in(check(one_node("Clip", inputs, opset=7, **attributes), inputs, links=1))
    assert link.spec.post[0].function == "clip"


ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow")
COMPARISONS = ("Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual")


@st.composite
def broadcast_shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Two shapes that broadcast to each other."""
    full = draw(st.lists(st.integers(1, 4), min_size=0, max_size=5))
    pair = []
    for _ in range(2):
        cut = full[draw(st.integers(0, len(full))) :]
        pair.append(tuple(1 if draw(st.booleans()) and draw(st.booleans()) else n for n in cut))
    return pair[0], pair[1]


@settings(max_examples=examples(100), derandomize=True, deadline=None)
@given(st.sampled_from(ARITHMETIC + COMPARISONS), broadcast_shapes(), st.sampled_from(("none", "a", "b")), st.data())
def test_binary_functions_broadcast(op_type, shapes, constant, data):
    opset = data.draw(st.sampled_from((13, 16) if op_type.endswith("OrEqual") else (7, 13, 16)))
    if op_type == "Equal" and opset < 11:
        opset = 11  # older versions compare integers only
    values = {"a": np.round(np.abs(normal(*shapes[0])) + 0.5, 1), "b": np.round(normal(*shapes[1], seed=1), 1)}
    constants = {name: array for name, array in values.items() if name == constant}
    feeds = {name: array for name, array in values.items() if name != constant}
    check(one_node(op_type, feeds, constants, opset=opset, order=["a", "b"]), feeds, links=1)


@pytest.mark.parametrize(
    ("op_type", "value", "swap", "post"),
    [
        ("Add", 1.5, False, "affine(1.0, 1.5)"),
        ("Sub", 1.5, False, "affine(1.0, -1.5)"),
        ("Sub", 1.5, True, "affine(-1.0, 1.5)"),
        ("Mul", 3.0, True, "affine(3.0, 0.0)"),
        ("Div", 4.0, False, "affine(0.25, 0.0)"),
        ("Div", 1.0, True, "reciprocal"),
        ("Pow", 2.0, False, "square"),
        ("Pow", 0.5, False, "sqrt"),
        ("Pow", 3.0, False, "power(3.0)"),
        ("Max", 0.5, False, "clip(0.5, inf)"),
        ("Min", 0.5, False, "clip(-inf, 0.5)"),
    ],
)
def test_constant_scalars_become_parameters(op_type, value, swap, post):
    inputs, constants = {"x": np.abs(normal(2, 3))}, {"c": np.array([value], np.float32)}
    model = one_node(op_type, inputs, constants, order=["c", "x"] if swap else ["x", "c"])
    (link,) = links_in(check(model, inputs, links=1))
    assert str(link.post) == f"#gconv.steps<{post}>"
    assert link.kernel is None


def test_division_by_a_scalar_that_is_no_power_of_two_stays_a_division():
    inputs = {"x": np.arange(1, 200, dtype=np.float32)}
    (link,) = links_in(check(one_node("Div", inputs, {"c": np.float32(3)}), inputs, rtol=0, atol=0))
    assert str(link.post) == "#gconv.steps<over(3.0)>"


def test_a_constant_is_the_kernel_whichever_side_it_stands_on():
    inputs, constants = {"x": normal(2, 3, 4)}, {"c": normal(3, 1)}
    (link,) = links_in(check(one_node("Sub", inputs, constants, order=["c", "x"]), inputs, links=1))
    assert link.main.data == "rsub"
    assert str(link.nest) == "#gconv.nest<N opc 2, C g 3, W opc 4>"


def test_a_repeated_input_is_an_op_loop():
    inputs = {"a": normal(4, 1), "b": normal(1, 3)}
    (link,) = links_in(check(one_node("Add", inputs), inputs, links=1))
    assert str(link.nest) == "#gconv.nest<N opc 4, C op 3>"


def test_an_expanded_kernel_is_not_repeated_in_memory():
    inputs, constants = {"a": normal(2, 3), "b": normal(1, 3)}, {"s": np.array([2, 3], np.int64)}
    nodes = [helper.make_node("Expand", ["b", "s"], ["e"], "expand"), helper.make_node("Mul", ["a", "e"], ["y"], "mul")]
    (link,) = links_in(check(model_of(nodes, inputs, constants, ["y"]), inputs, links=1))
    assert str(link.nest) == "#gconv.nest<N opc 2, C g 3>"


@pytest.mark.parametrize("op_type", ["And", "Or", "Xor"])
@pytest.mark.parametrize("shapes", [((4,), (4,)), ((2, 1, 4), (3, 1))])
def test_logic(op_type, shapes):
    inputs = {name: normal(*shape, seed=seed) > 0 for seed, (name, shape) in enumerate(zip("ab", shapes, strict=True))}
    check(one_node(op_type, inputs), inputs, links=1)


def test_not():
    inputs = {"x": normal(3, 4) > 0}
    check(one_node("Not", inputs), inputs, links=1)


@pytest.mark.parametrize("op_type", ["Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("opset", [8, 13])
def test_variadic_functions(op_type, count, opset):
    shapes = ((3, 4), (4,), (2, 1, 4), (3, 1))[:count]
    inputs = {f"x{index}": normal(*shape, seed=index) for index, shape in enumerate(shapes)}
    check(one_node(op_type, inputs, opset=opset), inputs, links=max(1, count - 1))


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Mul", "Div", "Max", "Equal", "Less"])
def test_integer_arithmetic(op_type, dtype):
    values = np.random.default_rng(3).integers(-9, 10, (2, 3, 4)).astype(dtype)
    inputs = {"a": values[0], "b": np.where(values[1] == 0, 2, values[1])}
    check(one_node(op_type, inputs), inputs, links=1)


@pytest.mark.parametrize(("dtype", "fmod"), [(np.int64, 0), (np.int32, 1), (np.float32, 1)])
def test_modulo(dtype, fmod):
    inputs = {"a": np.array([-7, 7, -7, 7, 6], dtype), "b": np.array([3, 3, -3, -3, 3], dtype)}
    check(one_node("Mod", inputs, fmod=fmod), inputs, links=1)


@pytest.mark.parametrize("slope", [(4,), (3, 1, 1), (1,), (2, 3, 4, 4)])
def test_parametric_relu(slope):
    inputs = {"x": normal(2, 3, 4, 4)}
    check(one_node("PRelu", inputs, {"slope": normal(*slope)}), inputs, links=1)


@pytest.mark.parametrize("shapes", [((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), (2, 1, 1)), ((1,), (3, 4), ())])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_where(shapes, dtype):
    condition = normal(*shapes[0], seed=5) > 0
    inputs = {"c": condition, "x": (9 * normal(*shapes[1])).astype(dtype), "y": (9 * normal(*shapes[2])).astype(dtype)}
    check(one_node("Where", inputs), inputs, links=2)


def test_where_keeps_infinities_out():
    inputs = {
        "c": np.array([True, False]),
        "x": np.array([1, np.inf], np.float32),
        "y": np.array([np.nan, 2], np.float32),
    }
    check(one_node("Where", inputs), inputs)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (np.float32, np.int64),
        (np.float32, np.bool_),
        (np.int32, np.float32),
        (np.bool_, np.float32),
        (np.int64, np.int32),
        (np.float32, np.uint8),
    ],
)
def test_cast(source, target):
    inputs = {"x": np.array([0, 1.9, 2.5, 0.4, 100], np.float32).astype(source)}
    check(one_node("Cast", inputs, to=helper.np_dtype_to_tensor_dtype(np.dtype(target))), inputs, links=1)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [None, -1, 2])
def test_triangles(upper, k):
    inputs = {"x": normal(2, 3, 4)}
    constants = {} if k is None else {"k": np.array(k, np.int64)}
    check(one_node("Trilu", inputs, constants, upper=upper), inputs, links=1)


def test_swish_gate():
    a, b = normal(2, 3), normal(2, 3, seed=1)
    expected = a / (1 + np.exp(-a)) * b
    check_values(one_node("SwiGLU", {"a": a, "b": b}, opset=28), {"a": a, "b": b}, {"y0": expected}, links=2)


@pytest.mark.parametrize(
    ("base", "exponent"),
    [
        (np.array([4, 9, 2, 3], np.int32), np.array([0.5, 1.5, 3, -1], np.float32)),
        (np.array([4, 9, 2, 3], np.int64), np.array([0.5, 0.5, 30, -2], np.float32)),
        (np.array([2.5, -2, 3], np.float32), np.array([2, 3, -1], np.int64)),
        (np.array([2, -2, 1, -1], np.int32), np.array([5, -3, -4, -3], np.int64)),
        (np.array([2, -2, 3], np.int64), np.array([40, 3, 2], np.int32)),
    ],
)
def test_powers_of_mixed_types(base, exponent):
    inputs = {"x": base, "k": exponent}
    check(one_node("Pow", inputs), inputs, links=1 + (base.dtype.kind == "i" and exponent.dtype.kind == "f"))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.float32])
@pytest.mark.parametrize("constant", [True, False])
def test_clip_of_any_type(dtype, constant):
    inputs = {"x": np.array([0, 3, 50, 127, 7], dtype)}
    others = {"lo": np.array(5, dtype), "hi": np.array(60, dtype)}
    feeds = inputs if constant else inputs | others
    check(one_node("Clip", feeds, others if constant else {}, opset=12, order=["x", "lo", "hi"]), feeds, rtol=0, atol=0)


@pytest.mark.parametrize("constant", [True, False])
def test_clip_keeps_large_integers(constant):
    inputs = {"x": np.array([2**62 + 1, -5, 2**53 + 1])}
    others = {"lo": np.array(3), "hi": np.array(2**62 + 5)}
    feeds = inputs if constant else inputs | others
    model = one_node("Clip", feeds, others if constant else {}, order=["x", "lo", "hi"])
    check(model, feeds, links=2, rtol=0, atol=0)


def test_the_upper_limit_wins_over_a_larger_lower_one():
    inputs = {"x": np.array([0, 2, 9], np.float32), "lo": np.float32(5), "hi": np.float32(1)}
    check_values(one_node("Clip", inputs), inputs, {"y0": np.ones(3, np.float32)}, links=2)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_choices_of_any_type(dtype):
    inputs = {"c": np.array([True, False, True]), "x": np.array([1, 0, 1], dtype), "y": np.array([[0], [1]], dtype)}
    expected = np.where(*inputs.values())
    check_values(one_node("Where", inputs), inputs, {"y0": expected}, links=2, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (np.float32, np.int32),
        (np.float32, np.uint32),
        (np.int32, np.float32),
        (np.uint32, np.float32),
        (np.uint32, np.int32),
        (np.int8, np.uint8),
        (np.uint16, np.int16),
        (np.int64, np.uint64),
        (np.bool_, np.uint8),
    ],
)
def test_bit_casts(source, target):
    bits = np.random.default_rng(0).integers(0, 256, 64).astype(np.uint8)
    x = bits.astype(np.bool_) if source is np.bool_ else bits.view(source)
    model = one_node("BitCast", {"x": x}, opset=26, to=helper.np_dtype_to_tensor_dtype(np.dtype(target)))
    (got,) = Interpreter(lower(model)).run({"x": x}).values()
    assert got.tobytes() == x.view(target).tobytes()


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        # Floats of other widths than 32 bits are carried as such.
        (np.float16, np.int16, "same bit-width"),
        (np.int64, np.float64, "same bit-width"),
        (ml_dtypes.float8_e5m2, np.int8, "both have 32 bits"),
        (np.uint8, ml_dtypes.float8_e4m3fn, "both have 32 bits"),
    ],
)
def test_bit_casts_of_floats_of_other_widths_are_refused(source, target, reason):
    x = np.zeros(3, source)
    with pytest.raises(CatenaError, match=reason):
        lower(one_node("BitCast", {"x": x}, opset=26, to=helper.np_dtype_to_tensor_dtype(np.dtype(target))))


@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (1, 5), (4, 5)])
@pytest.mark.parametrize("op_type", ["Add", "Sub", "Max"])
def test_operands_that_repeat_along_the_same_dimension(op_type, shape, monkeypatch):
    """One by broadcasting, the other, a constant too large to be folded, by a view of fewer words."""
    monkeypatch.setattr("passes.constant_evaluation.FOLD_LIMIT", 19)
    nodes = [helper.make_node("Expand", ["z", "s"], ["e"]), helper.make_node(op_type, ["x", "e"], ["y"])]
    inputs = {"x": normal(*shape)}
    check(model_of(nodes, inputs, {"s": np.array([4, 5]), "z": normal(1)}, ["y"]), inputs)
