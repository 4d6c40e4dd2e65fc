"""benchmarks/rram_groups.py: its rows, of a small network that is there already."""

from __future__ import annotations

from pathlib import Path

import onnx

from tests.backends.rram.quantized import residual
from tests.benchmarks.scripts import script

pages = script("rram_pages")
groups = script("rram_groups")


def test_rows_of_a_network(tmp_path: Path) -> None:
    network = pages.Network("small", "none.py")
    onnx.save(residual(0, 12), tmp_path / "small.onnx")
    rows = list(groups.rows(network, tmp_path))
    assert [row[1] for row in rows] == [way.title for way in groups.WAYS]
    assert all(len(row) == len(groups.COLUMNS) for row in rows)
    words = [int(row[3].replace(",", "")) for row in rows]
    assert words[2] < words[3] < words[1]
    assert [bool(row[2]) for row in rows] == [way.rows is not None for way in groups.WAYS]
    assert float(rows[2][4]) == round(words[2] / words[1], 3)
    assert "small" in groups.page(rows)
