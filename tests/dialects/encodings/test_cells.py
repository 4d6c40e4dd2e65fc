"""Weights as cells, inputs as pulses: nothing is lost, cells are as many as said, what does not fit is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.encodings.cells import (
    MAPPINGS,
    InputEncoding,
    InputFormat,
    WeightEncoding,
    WeightFormat,
    equal_slices,
)
from dialects.validation import validated


@st.composite
def weight_formats(draw: st.DrawFn) -> WeightFormat:
    encoding = draw(st.sampled_from(WeightEncoding))
    slices = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    sign = [1] if encoding is WeightEncoding.TWOS_COMPLEMENT else []
    return WeightFormat(slices=tuple(sign + slices), encoding=encoding)


@st.composite
def input_formats(draw: st.DrawFn) -> InputFormat:
    bits = draw(st.integers(2, 12))
    return InputFormat(bits=bits, dac_bits=draw(st.integers(1, 6)), encoding=draw(st.sampled_from(InputEncoding)))


@settings(deadline=None)
@given(form=weight_formats(), seed=st.integers(0, 1000))
def test_weights_come_back_from_their_cells(form: WeightFormat, seed: int) -> None:
    low, high = form.range
    weights = np.random.default_rng(seed).integers(low, high, (3, 4), endpoint=True)
    weights[0, :2] = low, high
    levels = form.encode(weights)
    assert levels.min() >= 0
    assert all((levels[:, each] < 1 << width).all() for each, width in enumerate(form.slices))
    assert (form.decode(levels) == weights).all()
    assert levels.size == form.cells(3, 4)


@settings(deadline=None)
@given(form=input_formats(), seed=st.integers(0, 1000))
def test_inputs_come_back_from_their_pulses(form: InputFormat, seed: int) -> None:
    low, high = form.range
    inputs = np.random.default_rng(seed).integers(low, high, (2, 5), endpoint=True)
    inputs[0, :2] = low, high
    pulses = form.encode(inputs)
    assert len(pulses) == form.pulses
    assert np.abs(pulses).max() < 1 << form.dac_bits
    assert form.sends_both_signs or pulses.min() >= 0
    assert (form.decode(pulses) == inputs).all()


def test_levels_by_hand() -> None:
    weights = np.array([[-3, 100]])
    slices = (1, 3, 4)
    offset = WeightFormat(slices=slices).encode(weights)
    assert offset[0, :, 0].T.tolist() == [[0, 7, 13], [1, 6, 4]]  # 125 and 228
    signed = WeightFormat(slices=slices, encoding=WeightEncoding.TWOS_COMPLEMENT).encode(weights)
    assert signed[0, :, 0].T.tolist() == [[1, 7, 13], [0, 6, 4]]  # 253 and 100
    pair = WeightFormat(slices=slices, encoding=WeightEncoding.DIFFERENTIAL_2XB).encode(weights)
    assert pair[:, :, 0].transpose(2, 0, 1).tolist() == [[[0, 0, 0], [0, 0, 3]], [[0, 6, 4], [0, 0, 0]]]


def test_pulses_by_hand() -> None:
    inputs = np.array([-5])  # 11111011
    serial = InputFormat(bits=8, dac_bits=1).encode(inputs)
    assert serial.ravel().tolist() == [1, 1, 1, 1, 1, 0, 1, 1]
    assert InputFormat(bits=8, dac_bits=1).factors == (-128, 64, 32, 16, 8, 4, 2, 1)
    signs = InputFormat(bits=8, dac_bits=4, encoding=InputEncoding.SIGN_MAGNITUDE)
    assert signs.encode(inputs).ravel().tolist() == [0, -5]
    turns = InputFormat(bits=8, dac_bits=4, encoding=InputEncoding.DIFFERENTIAL)
    assert turns.encode(inputs).ravel().tolist() == [0, 0, 0, 5]


@pytest.mark.parametrize(
    ("bits", "cell_bits", "expected"), [(8, 2, (2,) * 4), (8, 3, (2, 3, 3)), (16, 2, (2,) * 8), (1, 4, (1,))]
)
def test_equal_slices(bits: int, cell_bits: int, expected: tuple[int, ...]) -> None:
    assert equal_slices(bits, cell_bits) == expected


def test_cells_of_a_weight_on_published_machines() -> None:
    # ISAAC: 16-bit weights in 8 cells of 2 bits, with an offset.
    assert WeightFormat(slices=equal_slices(16, 2)).cells(128, 16) == 128 * 128
    pairs = WeightFormat(slices=(1, 3, 4), encoding=WeightEncoding.DIFFERENTIAL_1XB)
    assert (pairs.columns, pairs.crossbars) == (6, 1)
    apart = WeightFormat(slices=(1, 3, 4), encoding=WeightEncoding.DIFFERENTIAL_2XB)
    assert (apart.columns, apart.crossbars) == (3, 2)
    assert pairs.cells(10, 7) == apart.cells(10, 7) == 10 * 7 * 6


def test_names_of_the_simulator_are_all_there() -> None:
    assert len(MAPPINGS) == 6
    assert MAPPINGS["I_TC_W_DIFF"] == (InputEncoding.TWOS_COMPLEMENT, WeightEncoding.DIFFERENTIAL_2XB)


@pytest.mark.parametrize("value", [-129, 128])
def test_a_weight_out_of_range_is_refused(value: int) -> None:
    with pytest.raises(CatenaError, match=r"-128 to 127") as error:
        WeightFormat(slices=(4, 4)).encode(np.array([[value, 0]]))
    assert error.value.diagnostics[0].code == "CAT-U006"


def test_an_input_out_of_range_is_refused() -> None:
    with pytest.raises(CatenaError, match=r"-127 to 127"):
        InputFormat(encoding=InputEncoding.SIGN_MAGNITUDE).encode(np.array([-128]))
    with pytest.raises(CatenaError, match="integers"):
        InputFormat().encode(np.array([0.5]))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"slices": []}, "slices"),
        ({"slices": [0, 4]}, "slices.0: must be at least 1"),
        ({"slices": [8, 8, 8]}, "at most 20"),
        ({"slices": [4, 4], "encoding": "twos-complement"}, "first slice of 1 bit"),
        ({"slices": [4], "encoding": "gray"}, "encoding"),
    ],
)
def test_formats_that_do_not_exist_are_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(CatenaError, match=message):
        validated(WeightFormat, table)
