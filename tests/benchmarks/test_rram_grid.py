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
    rows, exact = grid.rows(case)
    assert [int(row[4]) for row in rows] == list(grid.BUSES)
    assert all(len(row) == len(grid.COLUMNS) for row in rows)
    busy = [int(row[14]) for row in rows]
    assert busy == sorted(busy, reverse=True)
    assert len({row[11:14] for row in rows}) == 1
    # The accounting of one byte a sum, but for biases: 4 (P_V - 1) / (P_V M + (2 P_V - 1) N).
    assert float(rows[0][11]) == pytest.approx(100 * 4 * 3 / (4 * 8 + 7 * 8), rel=0.02)
    assert all(90 < float(row[5]) <= 100 for row in rows if not row[15])
    assert all(grid.LEAST <= float(row[8]) <= float(row[9]) for row in rows if not row[15])
    # A register for every pair of neighbours in two rings of four cores; the cyclic one is closed.
    assert rows[0][16] == str(4 * 8)
    # 8 sums and as many that are fetched, biases; overlapped, two inputs and sums of two vectors.
    assert rows[0][18:] == (str(3 * 8 * 4), str(2 * 8 + 2 * 8 * 4 + 2 * 8 * 4))
    # 4 P_V M bytes of inputs stay, sums and signals do not: partial sums take four times as much.
    once, sums = 4 * 8 + 8, 6 * 8
    assert [float(row[8]) for row in exact] == [pytest.approx((once + 4 * sums) / (once + sums), rel=0.02)] * len(rows)
