"""benchmarks/rram_grid.py: its rows, on a small layer."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks.scripts import FOLDER, script

if str(FOLDER) not in sys.path:
    sys.path.insert(0, str(FOLDER))
rram = script("rram")
grid = script("rram_grid")


def test_wider_buses_are_busy_for_less_time_and_signals_stay() -> None:
    case = rram.Case(rram.Layer("small", 32, 16, 6), 8, grid.BUSES[-1])
    rows = list(grid.rows(case))
    assert [int(row[4]) for row in rows] == list(grid.BUSES)
    assert all(len(row) == len(grid.COLUMNS) for row in rows)
    busy = [int(row[11]) for row in rows]
    assert busy == sorted(busy, reverse=True)
    assert len({row[8:11] for row in rows}) == 1
    # The accounting of one byte a sum, but for biases: 4 (P_V - 1) / (P_V M + (2 P_V - 1) N).
    assert float(rows[0][8]) == pytest.approx(100 * 4 * 3 / (4 * 8 + 7 * 8), rel=0.02)
    assert all(90 < float(row[5]) <= 100 for row in rows if not row[12])
    # A register for every pair of neighbours in two rings of four cores; the cyclic one is closed.
    assert rows[0][13] == str(4 * 8)
