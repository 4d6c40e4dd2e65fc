"""Matrix products of every type against NumPy's own arithmetic of that type."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dialects.gconv.contraction import Factor, product


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
    widened = product(Factor(left.astype(dtype), dtype), Factor(right.astype(dtype), dtype), terms)
    assert np.array_equal(widened, expected)


def test_floats_are_those_of_blas() -> None:
    random = np.random.default_rng(3)
    left, right = random.random((5, 6), np.float32), random.random((6, 7), np.float32)
    for dtype in (np.float32, np.float64):
        found = product(Factor(left, dtype), Factor(right, dtype), 6)
        assert np.array_equal(found, left.astype(dtype) @ right.astype(dtype))


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


@pytest.mark.parametrize(("rows", "terms"), [(2, 0), (0, 2)])
def test_no_terms_and_no_words(rows: int, terms: int) -> None:
    factors = Factor(np.zeros((rows, terms), np.int32), np.int32), Factor(np.zeros((terms, 3), np.int32), np.int32)
    assert product(*factors, terms).tolist() == [[0, 0, 0]] * rows
