"""Matrices on several crossbars: ideal ones make their products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.rram.crossbar import Adc, AdcRange, lossless_bits
from backends.rram.crossbar.settings import Settings
from backends.rram.crossbar.tiles import TiledMatrix
from dialects.diagnostics import CatenaError
from dialects.encodings.cells import InputFormat, WeightEncoding, WeightFormat
from dialects.validation import validated
from tests.examples import examples

SIZES = st.integers(1, 12)


@settings(deadline=None, max_examples=examples(40))
@given(
    shape=st.tuples(st.integers(1, 4), SIZES, SIZES),
    size=st.tuples(st.integers(3, 12), st.integers(4, 12)),
    lossless=st.booleans(),
    is_signed=st.booleans(),
    seed=st.integers(0, 99),
)
def test_products_are_exact(
    shape: tuple[int, int, int], size: tuple[int, int], lossless: bool, is_signed: bool, seed: int
) -> None:
    random = np.random.default_rng(seed)
    weights = random.integers(-128, 128, shape)
    low, high = (-128, 128) if is_signed else (0, 256)
    inputs = random.integers(low, high, (shape[0], 7, shape[1])).astype(np.int8 if is_signed else np.uint8)
    given = Settings(
        rows=size[0],
        columns=size[1],
        weights=WeightFormat(slices=(4, 4)),
        adc=Adc(bits=lossless_bits(size[0], 4, 1) if lossless else 0),
    )
    found = TiledMatrix(weights, given, is_signed=is_signed).multiply(inputs)
    assert (found == np.matmul(inputs.astype(int), weights)).all()


def test_a_pair_of_crossbars_counts_as_two() -> None:
    weights = np.zeros((1, 300, 100), int)
    pairs = Settings(weights=WeightFormat(slices=(4, 4), encoding=WeightEncoding.DIFFERENTIAL_2XB))
    single = Settings(weights=WeightFormat(slices=(4, 4), encoding=WeightEncoding.DIFFERENTIAL_1XB))
    assert TiledMatrix(weights, pairs).crossbars == 3 * 2 * 2
    assert TiledMatrix(weights, single).crossbars == 3 * 4


def test_converters_are_calibrated_by_the_first_inputs() -> None:
    random = np.random.default_rng(0)
    weights, inputs = random.integers(-127, 128, (1, 40, 8)), random.integers(0, 20, (1, 50, 40)).astype(np.int8)
    exact = np.matmul(inputs.astype(int), weights)
    errors = [
        np.std(TiledMatrix(weights, Settings(adc=Adc(bits=6, range=each))).multiply(inputs) - exact)
        for each in (AdcRange.CALIBRATED, AdcRange.MAX)
    ]
    assert 0 < errors[0] < errors[1] / 2


def test_settings_are_checked_all_at_once() -> None:
    table = {"rows": 0, "adc": {"bits": -1}, "physics": {"wires": 1}, "weights": {"slices": [4], "encoding": "gray"}}
    with pytest.raises(CatenaError) as error:
        validated(Settings, table, "file.toml")
    assert len(error.value.diagnostics) == 4
    with pytest.raises(CatenaError, match="columns: a weight takes 4 columns") as error:
        validated(Settings, {"columns": 3, "weights": {"slices": [2, 2, 2, 2]}})
    (problem,) = error.value.diagnostics
    assert (problem.expected, problem.found) == ("at least 4", "3")
    assert Settings(inputs=InputFormat(bits=9)).format.inputs.bits == 9
