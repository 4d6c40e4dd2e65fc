"""The approximation of IR drop against the network of resistances, solved."""

from __future__ import annotations

import numpy as np
import pytest

from backends.rram.crossbar import Crossbar, Format, Physics
from backends.rram.crossbar.wires import effective
from dialects.encodings.cells import WeightEncoding, WeightFormat


def solved(conductances: np.ndarray, wire: float) -> np.ndarray:
    """Conductances (rows, columns) from each row's driver to each column's end: nodal analysis, one solve a row."""
    rows, columns = conductances.shape
    segment, cell = 1 / wire, conductances * 1e-6
    row = lambda i, j: i * columns + j  # noqa: E731
    column = lambda i, j: rows * columns + i * columns + j  # noqa: E731
    matrix = np.zeros((2 * rows * columns,) * 2)
    driven = np.zeros((2 * rows * columns, rows))

    def connect(one: int, other: int | None, conductance: float) -> None:
        matrix[one, one] += conductance
        if other is not None:
            matrix[other, other] += conductance
            matrix[one, other] -= conductance
            matrix[other, one] -= conductance

    for i in range(rows):
        connect(row(i, 0), None, segment)
        driven[row(i, 0), i] = segment
        for j in range(columns):
            connect(row(i, j), column(i, j), cell[i, j])
            if j + 1 < columns:
                connect(row(i, j), row(i, j + 1), segment)
            connect(column(i, j), column(i + 1, j) if i + 1 < rows else None, segment)
    voltages = np.linalg.solve(matrix, driven)
    ends = [column(rows - 1, j) for j in range(columns)]
    return (voltages[ends] * segment).T * 1e6


@pytest.mark.parametrize("shape", [(1, 1), (6, 4), (9, 12)])
def test_columns_carry_what_the_network_says_to_first_order(shape: tuple[int, int]) -> None:
    """A tenth of the resistance makes the error a hundredth, of all rows driven together and of random ones."""
    random = np.random.default_rng(0)
    conductances = random.uniform(5, 50, shape)
    drives = np.vstack([np.ones(shape[0]), random.random((4, shape[0]))])
    errors: list[float] = []
    for wire in (20.0, 2.0):
        exact, found = drives @ solved(conductances, wire), drives @ effective(conductances, wire)
        errors.append(float(np.abs(found - exact).max()))
        assert errors[-1] < np.abs(drives @ conductances - exact).max()
    assert errors[1] == pytest.approx(errors[0] / 100, rel=0.4)


@pytest.mark.parametrize("encoding", [WeightEncoding.DIFFERENTIAL_1XB, WeightEncoding.DIFFERENTIAL_2XB])
def test_the_farther_a_column_the_more_it_loses(encoding: WeightEncoding) -> None:
    form = Format(weights=WeightFormat(slices=(2, 2), encoding=encoding))
    matrix = np.full((64, 32), 10)
    found = Crossbar(matrix, form, physics=Physics(g_max=50, wire=1)).multiply(np.full((1, 64), 100))[0]
    assert (np.diff(found) <= 0).all()
    assert found[-1] < found[0] < 64 * 10 * 100
