"""Comparison of arrays in relative, LSB and exact units."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.verification.comparison import Measure, Unit, largest_error

RELATIVE = Measure(Unit.RELATIVE, 1e-4)
EXACT = Measure(Unit.EXACT, 0.0, np.ones(()))


def lsb(*steps: float) -> Measure:
    return Measure(Unit.LSB, 1.0, np.array(steps))


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.1], [1.0, -4.2], 1.5),
        ([0.0], [0.0], 0.0),
        ([np.nan, np.inf], [np.nan, np.inf], 0.0),
        ([np.nan, 1.0], [0.0, 1.0], np.inf),
        ([np.inf], [-np.inf], np.inf),
        ([], [], 0.0),
        ([1.0], [1.0, 2.0], np.inf),
    ],
)
def test_relative_error(found: list[float], expected: list[float], error: float) -> None:
    assert largest_error(np.array(found), np.array(expected), RELATIVE)[0] == pytest.approx(error)


def test_the_scale_of_a_part_is_that_of_the_whole() -> None:
    error, worst = largest_error(np.array([0.1]), np.array([0.2]), RELATIVE, np.array([0.2, -10.0, np.inf]))
    assert error == pytest.approx(0.01)
    assert worst == "at [0]: 0.1 for 0.2"


def test_an_error_is_not_measured_against_less_than_the_floor() -> None:
    measure = Measure(Unit.RELATIVE, 1e-4, floor=2.0)
    assert largest_error(np.array([0.5]), np.array([0.1]), measure)[0] == pytest.approx(0.2)
    assert largest_error(np.array([4.5]), np.array([4.0]), measure)[0] == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("found", "expected", "error"),
    [([100, -128], [100, 127], 255.0), ([5], [5], 0.0), ([-3, 4], [-4, 4], 1.0)],
)
def test_integers_differ_in_last_places(found: list[int], expected: list[int], error: float) -> None:
    arrays = np.array(found, np.int8), np.array(expected, np.int8)
    assert largest_error(*arrays, lsb(1.0))[0] == error


def test_dequantized_floats_differ_in_last_places_of_their_channel() -> None:
    expected = np.zeros((1, 2, 2), np.float32)
    found = np.array([[[0.0, 0.3], [0.3, 0.0]]], np.float32)
    steps = Measure(Unit.LSB, 1.0, np.array([0.1, 0.3]).reshape(1, 2, 1))
    assert largest_error(found, expected, steps) == (3.0, "at [0, 0, 1]: 0.3 for 0")
    chosen = np.array([[[False, False], [True, True]]])
    part = steps.of_part(chosen, expected.shape)
    assert largest_error(found[chosen], expected[chosen], part, expected)[0] == 1.0


def test_noise_of_float_arithmetic_is_no_part_of_a_last_place() -> None:
    step = np.float32(0.1)
    found, expected = np.array([step * 127]), np.array([step * np.float32(126)])
    assert largest_error(found, expected, lsb(0.1))[0] == 1.0
    assert largest_error(found + np.float32(0.04), expected, lsb(0.1))[0] == pytest.approx(1.4, abs=1e-3)


@pytest.mark.parametrize("zero_point", [0, 32768])
def test_numbers_on_a_grid_of_16_bits_are_compared_as_integers(zero_point: int) -> None:
    """However the zero point was subtracted: `code * step - zero * step` loses the last digits of small numbers."""
    step = np.float32(3.86e-5)
    codes = np.arange(0, 1 << 16, 97, np.int64)
    found = codes.astype(np.float32) * step - np.float32(zero_point * step)
    expected = (codes + 1 - zero_point).astype(np.float32) * step
    grid = Measure(Unit.LSB, 1.0, np.asarray(step, np.float64), is_grid=True)
    assert largest_error(found, expected, grid)[0] == 1.0
    assert (largest_error(found, expected, lsb(float(step)))[0] == 1.0) == (zero_point == 0)
    # What lies between two codes does not count as either.
    assert largest_error(expected + step * np.float32(0.4), expected, grid)[0] == pytest.approx(0.4, abs=0.02)


def test_infinities_are_on_no_grid() -> None:
    grid = Measure(Unit.LSB, 1.0, np.array(0.5), is_grid=True)
    assert largest_error(np.array([np.inf, np.nan]), np.array([np.inf, np.nan]), grid)[0] == 0.0
    assert largest_error(np.array([np.inf]), np.array([1.0]), grid)[0] == np.inf


def test_indices_and_masks_are_compared_exactly() -> None:
    assert largest_error(np.array([True, False]), np.array([True, True]), EXACT)[0] == 1.0
    assert largest_error(np.array([3, 9]), np.array([3, 7]), EXACT)[0] == 2.0
    # Equal as floats.
    assert largest_error(np.array([2**60 + 1]), np.array([2**60]), EXACT)[0] == 1.0


def test_texts() -> None:
    assert Unit.RELATIVE.text(1e-4, "at most") == "a relative error of at most 0.0001"
    assert Unit.LSB.text(1.0) == "a difference of 1 LSB"
    assert Unit.EXACT.text(0.0, "at most") == "a difference of at most 0"
