"""Matrix products of every type against NumPy's own arithmetic of that type."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dialects.gconv.contraction import Factor, contraction, product


def integers(shape: tuple[int, ...], dtype: npt.DTypeLike, seed: int) -> npt.NDArray[np.generic]:
    limits = np.iinfo(np.dtype(dtype))
    return np.random.default_rng(seed).integers(limits.min, limits.max, shape, np.dtype(dtype), endpoint=True)


@pytest.mark.parametrize(
    ("words", "dtype", "terms"),
    [
        ("int8", "int32", 7),  # in float32
        ("uint8", "int32", 5000),  # in float64
        ("int16", "int32", 90),  # wraps around
        ("int16", "int64", 40000),  # in float64
        ("int32", "int64", 9),  # in integers, wraps around
        ("int32", "int32", 9),
        ("uint8", "uint32", 50),
        ("int8", "int8", 50),
    ],
)
def test_integers_are_exact_and_wrap_around(words: str, dtype: str, terms: int) -> None:
    left, right = integers((2, 3, terms), words, 1), integers((2, terms, 4), words, 2)
    expected = np.matmul(left.astype(dtype), right.astype(dtype))
    found = product(Factor(left, dtype), Factor(right, dtype), terms)
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)
    assert np.array_equal(contraction(left.astype(dtype), right.astype(dtype)), expected)


def test_floats_are_those_of_blas() -> None:
    random = np.random.default_rng(3)
    left, right = random.random((5, 6), np.float32), random.random((6, 7), np.float32)
    assert np.array_equal(contraction(left, right), left @ right)


@pytest.mark.parametrize("groups", [(), (3,)])
def test_sums_of_two_floats_are_rounded_term_by_term(groups: tuple[int, ...]) -> None:
    random = np.random.default_rng(5)
    left, right = np.zeros((*groups, 40, 6), np.float32), random.standard_normal((*groups, 6, 50)).astype(np.float32)
    for row in np.ndindex(*groups, 40):
        places = random.choice(6, random.integers(0, 3), replace=False)
        left[row][places] = random.standard_normal(len(places))
    expected = np.zeros((*groups, 40, 50), np.float32)
    for term in range(6):
        expected += left[..., term, None] * right[..., None, term, :]
    assert np.array_equal(contraction(left, right), expected)


def test_zero_times_infinity_is_no_number() -> None:
    left, right = np.array([[1, 2, 0]], np.float32), np.array([[1], [1], [np.inf]], np.float32)
    assert np.isnan(contraction(left, right)).all()


def test_a_factor_keeps_what_was_worked_out() -> None:
    words = np.array([[-128, 3]], np.int8)
    factor = Factor(words, np.int32)
    assert factor.magnitude == 128
    assert factor.converted(np.float32) is factor.converted(np.float32)
    assert (factor.words.dtype, factor.words.tolist()) == (np.int32, [[-128, 3]])


def test_words_that_the_type_does_not_hold_are_converted_first() -> None:
    factor = Factor(np.array([[300, -1]], np.int32), np.uint8)
    assert factor.words.tolist() == [[44, 255]]
    assert factor.magnitude == 255


def test_no_terms_and_no_words() -> None:
    assert contraction(np.zeros((2, 0), np.int32), np.zeros((0, 3), np.int32)).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert contraction(np.zeros((0, 2), np.int32), np.zeros((2, 3), np.int32)).shape == (0, 3)
