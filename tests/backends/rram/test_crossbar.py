"""Products on crossbars: exact where nothing is in the way, and otherwise off by what the models say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.rram.crossbar import (
    Adc,
    AdcRange,
    Crossbar,
    Deviation,
    DeviationModel,
    Drift,
    Format,
    Physics,
    StuckCells,
    Subtraction,
    lossless_bits,
)
from backends.rram.crossbar.programming import deviations
from dialects.diagnostics import CatenaError
from dialects.encodings.cells import InputEncoding, InputFormat, WeightEncoding, WeightFormat
from tests.dialects.encodings.test_cells import input_formats, weight_formats

PAIRS = Format(
    weights=WeightFormat(slices=(1, 3, 4), encoding=WeightEncoding.DIFFERENTIAL_2XB), inputs=InputFormat(bits=8)
)
OFFSET = Format(weights=WeightFormat(slices=(2, 2, 2, 2)), inputs=InputFormat(bits=8))

SHAPES = st.tuples(*[st.integers(1, 9)] * 3)


def data(form: Format, rows: int, columns: int, vectors: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Weights and inputs, anywhere in their ranges."""
    random = np.random.default_rng(seed)
    (least, most), (low, high) = form.weights.range, form.inputs.range
    weights = random.integers(least, most, (rows, columns), endpoint=True)
    return weights, random.integers(low, high, (vectors, rows), endpoint=True)


@settings(deadline=None)
@given(weights=weight_formats(), inputs=input_formats(), shape=SHAPES, seed=st.integers(0, 99))
def test_ideal_settings_make_the_integer_product(
    weights: WeightFormat, inputs: InputFormat, shape: tuple[int, int, int], seed: int
) -> None:
    form = Format(weights=weights, inputs=inputs)
    matrix, vectors = data(form, *shape, seed=seed)
    found = Crossbar(matrix, form).multiply(vectors)
    assert found.dtype == np.int64
    assert (found == vectors @ matrix).all()


@settings(deadline=None)
@given(
    weights=weight_formats(),
    inputs=input_formats(),
    subtraction=st.sampled_from(Subtraction),
    shape=SHAPES,
    seed=st.integers(0, 99),
)
def test_a_lossless_converter_makes_the_integer_product_through_all_parts(
    weights: WeightFormat, inputs: InputFormat, subtraction: Subtraction, shape: tuple[int, int, int], seed: int
) -> None:
    form = Format(weights=weights, inputs=inputs)
    matrix, vectors = data(form, *shape, seed=seed)
    is_signed = inputs.sends_both_signs or (weights.encoding.is_differential and subtraction is Subtraction.ANALOG)
    bits = lossless_bits(shape[0], max(weights.slices), max(inputs.widths), is_signed=is_signed)
    crossbar = Crossbar(matrix, form, Adc(bits=max(bits, 2), subtraction=subtraction))
    assert not crossbar.is_exact
    assert (crossbar.multiply(vectors) == vectors @ matrix).all()


@settings(deadline=None)
@given(weights=weight_formats(), inputs=input_formats(), seed=st.integers(0, 99))
def test_no_conversion_and_a_lowest_conductance_change_nothing(
    weights: WeightFormat, inputs: InputFormat, seed: int
) -> None:
    """The parts of the product with ideal cells, as numbers that were not rounded on the way."""
    form = Format(weights=weights, inputs=inputs)
    matrix, vectors = data(form, 8, 5, 4, seed)
    physics = Physics(g_min=5, g_max=30, programming=Deviation(magnitude=0))
    crossbar = Crossbar(matrix, form, physics=physics)
    assert not crossbar.is_exact
    assert (crossbar.multiply(vectors) == vectors @ matrix).all()


def test_lossless_bits_by_the_formula_and_by_trying() -> None:
    assert lossless_bits(128, 2, 1) == 9  # 385 sums
    assert lossless_bits(128, 2, 1, is_signed=True) == 10
    assert lossless_bits(1, 1, 1) == 1
    rows = 16
    form = Format(
        weights=WeightFormat(slices=(2,), encoding=WeightEncoding.UNSIGNED),
        inputs=InputFormat(bits=1, encoding=InputEncoding.UNSIGNED),
    )
    matrix = np.full((rows, 1), 3)
    vectors = np.tri(rows + 1, rows, -1, dtype=np.int64)  # 0 to 16 rows driven
    exact = vectors @ matrix
    for levels in range(4):
        matrix[0] = levels  # every sum from 0 to 48 occurs
        exact = vectors @ matrix
        bits = lossless_bits(rows, 2, 1)
        assert (Crossbar(matrix, form, Adc(bits=bits)).multiply(vectors) == exact).all()
    assert (Crossbar(matrix, form, Adc(bits=bits - 1)).multiply(vectors) != exact).any()


def test_the_error_of_a_converter_is_half_a_step_at_most() -> None:
    form = Format(
        weights=WeightFormat(slices=(4,), encoding=WeightEncoding.UNSIGNED),
        inputs=InputFormat(bits=1, encoding=InputEncoding.UNSIGNED),
    )
    matrix, vectors = data(form, 32, 16, 20)
    for bits in (3, 5, 7):
        step = 32 * 15 / (2**bits - 1)
        error = np.abs(Crossbar(matrix, form, Adc(bits=bits)).multiply(vectors) - vectors @ matrix)
        assert step / 4 < error.max() <= step / 2 + 0.5


def test_a_calibrated_range_is_finer_and_has_to_be_calibrated() -> None:
    matrix, vectors = data(PAIRS, 64, 16, 50)
    exact = vectors @ matrix
    whole = Crossbar(matrix, PAIRS, Adc(bits=8)).multiply(vectors) - exact
    crossbar = Crossbar(matrix, PAIRS, Adc(bits=8, range=AdcRange.CALIBRATED))
    with pytest.raises(CatenaError, match="needs inputs"):
        crossbar.multiply(vectors)
    crossbar.calibrate(vectors)
    finer = crossbar.multiply(vectors) - exact
    assert np.std(finer) < np.std(whole) / 3
    clipped = Crossbar(matrix, PAIRS, Adc(bits=8, range=AdcRange.CALIBRATED, coverage=0.5))
    clipped.calibrate(vectors)
    assert np.std(clipped.multiply(vectors) - exact) > np.std(finer)


def test_the_range_of_a_column_is_wider_than_that_of_a_difference() -> None:
    matrix, vectors = data(PAIRS, 64, 32, 50)
    exact = vectors @ matrix
    physics = Physics(g_min=5, g_max=10)
    narrow, wide = (
        np.std(Crossbar(matrix, PAIRS, Adc(bits=6, range=each), physics).multiply(vectors) - exact)
        for each in (AdcRange.MAX, AdcRange.COLUMN)
    )
    assert wide / narrow == pytest.approx(2, rel=0.05)


def test_one_bit_has_no_room_for_a_sign() -> None:
    with pytest.raises(CatenaError, match="bit for the sign"):
        Crossbar(np.array([[1]]), PAIRS, Adc(bits=1))
    assert Crossbar(np.array([[1]]), OFFSET, Adc(bits=1)).multiply(np.array([[0]])).shape == (1, 1)


NOISY = Physics(
    g_min=5,
    g_max=50,
    time=3600,
    programming=Deviation(model=DeviationModel.RRAM_WAN_2022),
    drift=Drift(exponent=0.01, spread=0.005),
    stuck=StuckCells(lowest=0.01, highest=0.001),
    read_noise=Deviation(magnitude=0.01),
    wire=0.5,
)


@pytest.mark.parametrize("form", [PAIRS, OFFSET])
def test_equal_seeds_make_equal_products(form: Format) -> None:
    matrix, vectors = data(form, 40, 12, 6)
    adc = Adc(bits=10)
    one, same, other = (Crossbar(matrix, form, adc, NOISY, seed) for seed in (1, 1, 2))
    first = one.multiply(vectors)
    assert (first == same.multiply(vectors)).all()
    assert (first != other.multiply(vectors)).any()
    assert (first != one.multiply(vectors)).any()  # reads are noisy, each anew
    assert (one.multiply(vectors) != first).any()


def deviation_of(physics: Physics, form: Format = PAIRS) -> float:
    """The standard deviation of products from exact ones, as a share of theirs."""
    matrix, vectors = data(form, 128, 64, 32)
    exact = vectors @ matrix
    return float(np.std(Crossbar(matrix, form, physics=physics, seed=3).multiply(vectors) - exact) / np.std(exact))


def test_proportional_errors_are_as_large_as_they_should_be() -> None:
    # Each weight is off by 5 % of itself, in one column of each of three slices: at least 5 / sqrt(3) %, at most 5 %.
    error = deviation_of(Physics(programming=Deviation(magnitude=0.05)))
    assert 0.05 / 3**0.5 < error < 0.05


def test_read_noise_has_the_variances_of_its_cells_added_up() -> None:
    unsigned = InputFormat(bits=1, encoding=InputEncoding.UNSIGNED)
    form = Format(weights=WeightFormat(slices=(10,), encoding=WeightEncoding.UNSIGNED), inputs=unsigned)
    matrix, vectors = data(form, 20, 3, 1)
    reads = np.repeat(vectors, 4000, axis=0)
    found = Crossbar(matrix, form, physics=Physics(read_noise=Deviation(magnitude=0.1))).multiply(reads)
    expected = 0.1 * np.sqrt((matrix[vectors[0] == 1].astype(float) ** 2).sum(axis=0))
    assert np.std(found, axis=0) == pytest.approx(expected, rel=0.05)
    assert found.mean(axis=0) == pytest.approx((vectors @ matrix)[0], rel=0.01)


def test_independent_errors_by_their_variance() -> None:
    """With one slice, errors of a weight are two deviations of 127 levels' share."""
    form = Format(weights=WeightFormat(slices=(7,), encoding=WeightEncoding.DIFFERENTIAL_2XB))
    matrix, vectors = data(form, 128, 64, 32)
    physics = Physics(g_min=20, g_max=30, programming=Deviation(model=DeviationModel.INDEPENDENT, magnitude=0.01))
    error = Crossbar(matrix, form, physics=physics).multiply(vectors) - vectors @ matrix
    of_weight = 2**0.5 * 0.01 * 30 / (10 / 127)
    expected = of_weight * np.sqrt((vectors.astype(float) ** 2).sum(axis=1).mean())
    assert np.std(error) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("physics", [Physics(g_min=5, g_max=30), Physics(read_noise=Deviation(magnitude=0.02))])
def test_it_does_not_matter_how_many_vectors_are_multiplied_at_a_time(physics: Physics) -> None:
    matrix, vectors = data(OFFSET, 60, 8, 40)
    together = Crossbar(matrix, OFFSET, Adc(bits=5), physics).multiply(vectors)
    one_by_one = Crossbar(matrix, OFFSET, Adc(bits=5), physics)
    assert (np.concatenate([one_by_one.multiply(each[None]) for each in vectors]) == together).all()


def test_drift_shrinks_products_by_its_law() -> None:
    matrix, vectors = data(PAIRS, 16, 8, 10)
    exact = vectors @ matrix
    physics = Physics(time=1000, drift=Drift(exponent=0.1))
    assert Crossbar(matrix, PAIRS, physics=physics).multiply(vectors) == pytest.approx(exact * 1000**-0.1, abs=0.51)
    assert (Crossbar(matrix, PAIRS, physics=physics.model_copy(update={"time": 1.0})).multiply(vectors) == exact).all()


def test_stuck_cells_hold_the_lowest_or_the_highest_level() -> None:
    form = Format(weights=WeightFormat(slices=(4,), encoding=WeightEncoding.UNSIGNED))
    matrix = np.full((50, 40), 7)
    unit = np.eye(50, dtype=np.int64)
    read = Crossbar(matrix, form, physics=Physics(stuck=StuckCells(lowest=0.1, highest=0.2))).multiply(unit)
    values, counts = np.unique(read, return_counts=True)
    assert values.tolist() == [0, 7, 15]
    assert counts / read.size == pytest.approx([0.1, 0.7, 0.2], abs=0.03)


@pytest.mark.parametrize(
    ("time", "g_max", "share", "expected"),
    [(1.0, 40, 0.0, 0.348), (1.0, 40, 1.0, 1.103), (86_400.0, 40, 0.0, 0.701), (86_400.0, 20, 1.0, 2.651 / 2)],
)
def test_standard_deviations_of_measured_rram(time: float, g_max: float, share: float, expected: float) -> None:
    """Sums of the published coefficients, in uS, at the ends of the range."""
    physics = Physics(g_max=g_max, time=time)
    model = Deviation(model=DeviationModel.RRAM_WAN_2022)
    assert deviations(np.array([share * g_max]), model, physics)[0] == pytest.approx(expected, abs=5e-4)


def test_measured_rram_relaxes_in_a_day() -> None:
    second, hour, day = (
        deviation_of(Physics(g_max=40, time=time, programming=Deviation(model=DeviationModel.RRAM_WAN_2022)))
        for time in (1.0, 3600.0, 86_400.0)
    )
    assert second < hour < day < 1


def test_turning_one_effect_on_leaves_the_draws_of_others() -> None:
    matrix, _ = data(OFFSET, 30, 10, 1)
    unit = np.eye(30, dtype=np.int64)
    stuck = StuckCells(lowest=0.05)
    alone = Crossbar(matrix, OFFSET, physics=Physics(stuck=stuck), seed=9).multiply(unit) != matrix
    both = Crossbar(matrix, OFFSET, physics=Physics(stuck=stuck, drift=Drift(exponent=0.0)), seed=9)
    assert ((both.multiply(unit) != matrix) == alone).all()
    assert alone.any()
