"""The view algebra against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.gconv import View
from dialects.gconv.interpreter import take_view
from tests.examples import examples


@st.composite
def divisors_of(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    """A random shape with `size` elements."""
    shape: list[int] = []
    while size > 1:
        factor = draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
        shape.append(factor)
        size //= factor
    return tuple(draw(st.permutations(shape)))


@st.composite
def programs(draw: st.DrawFn) -> tuple[View, np.ndarray, np.ndarray]:
    """A base, a view made by random operations on it, and what NumPy says the view holds."""
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
    base = np.arange(math.prod(shape)).reshape(shape)
    view, array = View.dense(shape), base
    for _ in range(draw(st.integers(0, 4))):
        match draw(st.sampled_from(("permute", "slice", "expand", "insert", "reshape"))):
            case "permute":
                axes = draw(st.permutations(range(array.ndim)))
                view, array = view.permute(axes), array.transpose(axes)
            case "slice" if array.ndim:
                axis = draw(st.integers(0, array.ndim - 1))
                start = draw(st.integers(0, array.shape[axis] - 1))
                step = draw(st.sampled_from((-2, -1, 1, 2)))
                room = (array.shape[axis] - 1 - start) // step if step > 0 else start // -step
                size = draw(st.integers(1, room + 1))
                view = view.slice(axis, start, size, step)
                array = array.take(range(start, start + size * step, step), axis=axis)
            case "expand":
                target = (2, *(3 if n == 1 else n for n in array.shape))
                if math.prod(target) <= 2000:
                    view, array = view.expand(target), np.broadcast_to(array, target)
            case "insert":
                axis = draw(st.integers(0, array.ndim))
                view, array = view.insert(axis), np.expand_dims(array, axis)
            case "reshape":
                target = draw(divisors_of(array.size))
                reshaped = view.reshape(target)
                if reshaped is not None:
                    view, array = reshaped, array.reshape(target)
            case _:
                pass
    return view, base, array


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(programs())
def test_views_hold_what_numpy_says(program):
    view, base, expected = program
    assert view.shape == expected.shape
    np.testing.assert_array_equal(take_view(view, base), expected)
    low, high = view.bounds()
    assert (low, high) == (expected.min(), expected.max())
    if view.is_dense:
        np.testing.assert_array_equal(expected.reshape(-1), np.arange(view.size) + view.offset)


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(programs(), st.data())
def test_reshape_is_refused_exactly_when_numpy_copies(program, data):
    view, base, expected = program
    target = data.draw(divisors_of(expected.size))
    reshaped = view.reshape(target)
    shares = np.shares_memory(taken := take_view(view, base), taken.reshape(target)) and 0 not in view.strides
    if reshaped is None:
        assert not shares
    else:
        np.testing.assert_array_equal(take_view(reshaped, base), expected.reshape(target))


@settings(max_examples=examples(300), derandomize=True, deadline=None)
@given(programs(), st.data())
def test_composition_reads_the_inner_result_row_major(program, data):
    inner, base, intermediate = program
    size = intermediate.size
    shape = data.draw(divisors_of(size))
    outer = View.dense(shape).permute(data.draw(st.permutations(range(len(shape)))))
    composed = outer.of(inner)
    if composed is None:
        assert not inner.is_dense
    else:
        np.testing.assert_array_equal(take_view(composed, base), take_view(outer, intermediate))


def test_composition_moves_along_a_run_of_several_dimensions():
    inner = View((2, 3, 4), (24, 4, 1), 1)
    assert View((2, 12), (12, 1)).of(inner) == View((2, 12), (24, 1), 1)


def test_composition_across_a_gap_needs_a_copy():
    inner = View((2, 3), (6, 1))
    assert View((6,), (1,)).of(inner) is None
    assert View((2,), (2,), 2).of(inner) is None


def test_expand_rejects_shapes_that_do_not_broadcast():
    with pytest.raises(ValueError, match="cannot broadcast"):
        View.dense((2, 3)).expand((4, 3))
    with pytest.raises(ValueError, match="cannot broadcast"):
        View.dense((2, 3)).expand((3,))


def test_reshape_rejects_another_size():
    with pytest.raises(ValueError, match="cannot reshape"):
        View.dense((2, 3)).reshape((5,))
