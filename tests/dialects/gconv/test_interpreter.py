"""The vectorised interpreter against the literal loop nest, on random general convolutions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.gconv import Dim, GConv, Reduce, Step
from dialects.gconv import interpreter as vectorised
from dialects.gconv import loop_nest as literal
from tests.examples import examples

MAINS = ("pass", "mul", "add", "sub", "rsub", "max", "min", "eq", "gt", "keep", "drop", "prelu")
UNARY = (Step("relu"), Step("abs"), Step("neg"), Step("square"), Step("affine", (0.5, 1.0)), Step("clip", (-1.0, 1.0)))


@st.composite
def dims(draw: st.DrawFn, name: str) -> tuple[Dim, int]:
    """A dimension and the extent of one input group along it; positions may fall outside on both sides."""
    dim = Dim(
        name,
        g=draw(st.integers(1, 2)),
        op=draw(st.integers(1, 2)),
        opc=draw(st.integers(1, 3)),
        ks=draw(st.integers(1, 3)),
        stride=draw(st.integers(1, 3)),
        dilation=draw(st.integers(1, 2)),
        pad=draw(st.integers(-2, 3)),
        up=draw(st.integers(1, 3)),
    )
    return dim, draw(st.integers(1, 4))


@st.composite
def cases(draw: st.DrawFn) -> tuple[GConv, np.ndarray, np.ndarray | None, list[np.ndarray]]:
    chosen = [draw(dims(f"d{index}")) for index in range(draw(st.integers(1, 3)))]
    spec = GConv(tuple(dim for dim, _ in chosen))
    main = draw(st.sampled_from(MAINS))
    reduce = draw(st.sampled_from(list(Reduce)))
    if reduce is Reduce.NONE:
        spec = replace(spec, dims=tuple(replace(dim, ks=1) for dim in spec.dims))
    steps = st.lists(st.sampled_from(UNARY), max_size=2).map(tuple)
    post = draw(steps)
    shapes = []
    if draw(st.booleans()):
        shapes.append(tuple(n if draw(st.booleans()) else 1 for n in spec.output_shape))
        post += (Step(draw(st.sampled_from(("add", "mul", "max"))), (), 0),)
    spec = replace(
        spec,
        main=main,
        reduce=reduce,
        pre=draw(steps),
        mid=draw(steps),
        post=post,
        pad_value=draw(st.sampled_from((None, 0.0, -2.0))),
    )
    values = np.random.default_rng(draw(st.integers(0, 2**16)))
    data = values.integers(-3, 4, [dim.g * extent for dim, extent in chosen]).astype(np.float64)
    kernel = None if main == "pass" else values.integers(-3, 4, spec.kernel_shape).astype(np.float64)
    return spec, data, kernel, [values.integers(-3, 4, shape).astype(np.float64) for shape in shapes]


@settings(max_examples=examples(400), derandomize=True, deadline=None)
@given(cases())
def test_vectorised_interpreter_equals_the_loop_nest(case):
    spec, data, kernel, extras = case
    expected = literal.evaluate(spec, data, kernel, extras)
    assert expected.shape == spec.output_shape
    np.testing.assert_array_equal(vectorised.evaluate(spec, data, kernel, extras), expected)


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(cases(), st.sampled_from(["int8", "uint8", "int32"]))
def test_integer_interpreters_agree_and_pad_with_the_dtypes_limits(case, dtype):
    spec, data, kernel, _extras = case
    spec = replace(spec, pre=(), mid=(), post=(), main="pass" if spec.main != "max" else "max", pad_value=None)
    arrays = [np.abs(a).astype(dtype) for a in (data, *([] if spec.main == "pass" else [kernel]))]
    expected = literal.evaluate(spec, *arrays)
    np.testing.assert_array_equal(vectorised.evaluate(spec, *arrays), expected)


@settings(max_examples=examples(200), derandomize=True, deadline=None)
@given(cases(), st.integers(0, 99))
def test_sums_of_float32_do_not_depend_on_their_order(case, seed):
    spec, data, kernel, extras = case
    random = np.random.default_rng(seed)
    arrays = [None if each is None else random.standard_normal(each.shape, np.float32) for each in (data, kernel)]
    extras = [random.standard_normal(extra.shape, np.float32) for extra in extras]
    expected = literal.evaluate(spec, *arrays, extras)
    found = vectorised.evaluate(spec, *arrays, extras)
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("evaluate", [literal.evaluate, vectorised.evaluate])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_sums_and_products_of_floats_are_rounded_once(evaluate, dtype):
    tiny, one = np.finfo(dtype).eps / 4, dtype(1)
    taps = (Dim("C", ks=3),)
    words, kernel = np.array([one, tiny, -one], dtype), np.array([one, one, one], dtype)
    assert evaluate(GConv(taps, reduce=Reduce.ADD), words) == tiny
    assert evaluate(GConv(taps, "mul", Reduce.ADD), words, kernel) == tiny
    assert evaluate(GConv(taps, "add", Reduce.ADD), words, -kernel) == tiny - 3
    assert (
        evaluate(GConv(taps, reduce=Reduce.ADD, mid=(Step("affine", (1.0, 1.0)),), post=(Step("square"),)), words) == 9
    )
    largest = np.finfo(dtype).max
    assert evaluate(GConv(taps, reduce=Reduce.MUL), np.array([largest, 4, 0.25], dtype)) == largest
    # A product of two words is not rounded on its own: 1 - eps^2 less 1.
    eps = np.finfo(dtype).eps
    exact = evaluate(
        GConv((Dim("C", ks=2),), "mul", Reduce.ADD), np.array([1 + eps, 1], dtype), np.array([1 - eps, -1], dtype)
    )
    assert exact == -(float(eps) ** 2)


@pytest.mark.parametrize("evaluate", [literal.evaluate, vectorised.evaluate])
def test_what_is_no_sum_is_computed_in_the_types_of_the_link(evaluate):
    third = np.float32(1) / np.float32(3)
    for spec in (GConv((Dim("C", opc=1),), "mul", Reduce.ADD), GConv((Dim("C", ks=2),), "mul", Reduce.MAX)):
        word, kernel = np.full(2 if spec.reduce is Reduce.MAX else 1, third), np.full(spec.kernel_shape, third)
        spec = replace(spec, mid=(Step("affine", (3.0, 0.0)),))
        assert evaluate(spec, word, kernel) == third * third * np.float32(3)
    assert evaluate(GConv((Dim("C", ks=2),), reduce=Reduce.ADD), np.array([100, 100], np.int8)) == -56


def test_padding_does_not_pass_through_pre():
    spec = GConv((Dim("W", opc=3, pad=1),), pre=(Step("exp"),))
    for evaluate in (literal.evaluate, vectorised.evaluate):
        np.testing.assert_allclose(evaluate(spec, np.zeros(1)), [0, 1, 0])


def test_repeated_outputs_without_a_kernel():
    spec = GConv((Dim("H", g=2, op=2), Dim("W", op=2, opc=3)))
    data = np.arange(6.0).reshape(2, 3)
    expected = np.tile(np.repeat(data, 2, axis=0), (1, 2))
    np.testing.assert_array_equal(vectorised.evaluate(spec, data), expected)
    np.testing.assert_array_equal(literal.evaluate(spec, data), expected)


def test_maximum_of_integers_over_padding_is_the_smallest_integer():
    spec = GConv((Dim("W", opc=3, ks=2, pad=2),), reduce=Reduce.MAX)
    expected = np.array([-128, -5, -5], np.int8)
    np.testing.assert_array_equal(vectorised.evaluate(spec, np.array([-5, -7], np.int8)), expected)


@pytest.mark.parametrize("words", [1, 7, 20, 50])
@pytest.mark.parametrize(
    ("main", "reduce", "ks"), [("sub", Reduce.NONE, 1), ("mul", Reduce.ADD, 3), ("mul", Reduce.MAX, 3)]
)
def test_a_large_link_is_evaluated_in_blocks(monkeypatch, words, main, reduce, ks):
    monkeypatch.setattr(vectorised, "_CHUNK_WORDS", words)
    spec = GConv((Dim("C", g=5, op=4, opc=3, ks=ks),), main, reduce, post=(Step("abs"),))
    values = np.random.default_rng(0)
    data, kernel = (values.standard_normal(n, np.float32) for n in (5 * (2 + ks), 20 * ks))
    np.testing.assert_array_equal(vectorised.evaluate(spec, data, kernel), literal.evaluate(spec, data, kernel))


def test_result_takes_the_asked_dtype():
    spec = GConv((Dim("W", g=3),), "gt")
    result = vectorised.evaluate(spec, np.arange(3.0), np.ones(3), dtype=np.dtype(np.bool_))
    assert result.dtype == np.bool_
    np.testing.assert_array_equal(result, [False, False, True])


@pytest.mark.parametrize(("x", "k", "expected"), [(7, 2, 3), (-7, 2, -3), (7, -2, -3), (-7, -2, 3), (6, 3, 2)])
def test_integer_division_rounds_towards_zero(x, k, expected):
    spec = GConv((Dim("W"),), "div")
    assert vectorised.evaluate(spec, np.array([x]), np.array([k]))[0] == expected
