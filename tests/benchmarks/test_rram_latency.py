"""benchmarks/rram_latency.py: its rows, of a small network that is there already."""

from __future__ import annotations

from pathlib import Path

import onnx

from tests.backends.rram.quantized import residual
from tests.benchmarks.scripts import script

pages = script("rram_pages")
latency = script("rram_latency")


def test_rows_of_a_network(tmp_path: Path) -> None:
    network = pages.Network("small", "none.py", (), (2_000_000, 1_000_000, None))
    onnx.save(residual(0), tmp_path / "small.onnx")
    rows = list(latency.rows(network, tmp_path))
    assert [row[1] for row in rows] == list(pages.SCHEDULES)
    assert all(len(row) == len(latency.COLUMNS) for row in rows)
    cycles = [int(row[5].replace(",", "")) for row in rows]
    assert cycles[0] > cycles[1] > cycles[2]
    assert [row[6] for row in rows] == [f"{counted / 1e6:.3f}" for counted in cycles]
    assert [row[7] for row in rows] == [f"{cycles[0] / counted:.2f}" for counted in cycles]
    assert all(0 < float(row[10]) <= 100 for row in rows)
    assert all(row[3:5] == ("1", "0") for row in rows)
    short, long = latency.peer_rows(network, tmp_path)
    assert short[2:4] == ("2,000,000", "1,000,000")
    # With the longer latency the peer was not measured: it takes no less than with the shorter one.
    assert long[2:4] == ("> 2,000,000", "")
    assert long[5].startswith("< ")
    assert "small" in latency.page(rows, [short, long])
