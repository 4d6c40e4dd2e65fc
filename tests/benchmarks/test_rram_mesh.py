"""benchmarks/rram_mesh.py: its rows, of a small network that is there already."""

from __future__ import annotations

from pathlib import Path

import onnx

from tests.backends.rram.quantized import residual
from tests.benchmarks.scripts import script

pages = script("rram_pages")
mesh = script("rram_mesh")


def test_rows_of_a_network(tmp_path: Path) -> None:
    network = pages.Network("small", "none.py")
    onnx.save(residual(0, 8), tmp_path / "small.onnx")
    rows = list(mesh.rows(network, tmp_path))
    assert [row[2] for row in rows] == ["bus", "mesh"] * len(pages.SCHEDULES)
    assert all(len(row) == len(mesh.COLUMNS) for row in rows)
    assert all(0 < float(row[4]) <= 100 for row in rows)
    assert all(float(row[7]) >= 2 for row in rows[1::2])
    assert "small" in mesh.page(rows)
