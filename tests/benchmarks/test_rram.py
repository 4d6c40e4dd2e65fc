"""benchmarks/rram.py: the rows of its tables, on a small layer."""

from __future__ import annotations

import pytest

from tests.benchmarks.scripts import script

rram = script("rram")


def test_rows_of_a_layer() -> None:
    case = rram.Case(rram.Layer("small", 32, 16, 6), 8, 16)
    assert (case.ring, case.cores) == (4, 8)
    rows = list(rram.layer_rows(case))
    assert [row[6] for row in rows] == list(rram.SCHEDULES)
    assert all(len(row) == len(rram.LAYER_COLUMNS) for row in rows)
    linear, cyclic, coarse = (float(row[10]) for row in rows)
    # The accounting of one byte a sum, but for biases: 4 (P_V - 1) / (P_V M + (2 P_V - 1) N).
    assert linear == pytest.approx(100 * 4 * 3 / (4 * 8 + 7 * 8), rel=0.02)
    assert cyclic == pytest.approx(linear, rel=0.05)
    assert coarse < linear / 6
    # Regions of 9 vectors, signalled as wholes.
    assert all(0.8 * case.ring < float(row[8]) <= case.ring for row in rows[:2])
