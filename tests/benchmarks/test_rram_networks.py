"""benchmarks/rram_networks.py: the row of a small reference model, whose checks are part of making it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.scripts import script

pages = script("rram_pages")
networks = script("rram_networks")
SMALL = next(each for each in networks.NETWORKS if each.title == "of_kws")


@pytest.mark.skipif(not SMALL.is_there, reason="needs the reference models")
@pytest.mark.models
def test_a_network_is_exact_and_within_a_place_of_onnx_runtime(tmp_path: Path) -> None:
    row = networks.row(SMALL, tmp_path)
    assert len(row) == len(networks.COLUMNS)
    layers, on_crossbars, compared, places = (int(each) for each in row[1:5])
    assert 0 < on_crossbars < layers
    assert 0 < compared <= layers
    assert places <= 1
