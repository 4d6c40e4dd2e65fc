"""SPOTS beside other machines: what the page says of costs, and that more zeros never cost SPOTS more time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.scripts import script


def test_means_are_geometric_and_ratios_say_what_the_rival_takes() -> None:
    rivals = script("spots_rivals")
    costs = {"spots": rivals.Cost(100, 4.0), "eyeriss": rivals.Cost(400, 2.0), "gemmini": rivals.Cost(100, 4.0)}
    assert rivals.speed_up(costs, "eyeriss") == 4
    assert rivals.saving(costs, "eyeriss") == 0.5
    assert rivals.mean([1.0, 4.0]) == pytest.approx(2.0)
    text = rivals.page({"Net": {rivals.STATED: costs}})
    assert "| Net | 4.00 | 1.00 | 0.50 | 1.00 |" in text
    assert "| published | 1.74 | 2.16 |" in text
    assert "groups of 8\n" not in text
    small = {"spots": rivals.Cost(200, 4.0), "eyeriss": costs["eyeriss"], "gemmini": costs["gemmini"]}
    text = rivals.page({"Net": {rivals.STATED: costs}}, {"Net": {rivals.STATED: small}})
    assert "| Net | 2.00 | 0.50 | 0.50 | 1.00 |" in text.split("pruned, in groups of 8\n")[1]


def test_an_advantage_starts_and_ends_where_the_factors_say() -> None:
    rivals = script("spots_rivals")
    points = ((rivals.DENSE, 90), (0.0, 101), (0.5, 199), (0.7, 200))
    shares = {
        share: {"spots": rivals.Cost(100, 1.0), "eyeriss": rivals.Cost(cycles, 1.0), "gemmini": rivals.Cost(50, 1.0)}
        for share, cycles in points
    }
    assert rivals.ends({"Net": shares}) == [("Net", "eyeriss", "0 %", "50 %"), ("Net", "gemmini", "nowhere", "dense")]
    assert "| Net | dense | 0.90 | 0.50 |" in rivals.page({"Net": shares})


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    rivals, points = script("spots_rivals"), tmp_path / "points.json"
    known = {"AlexNet 0.5": {"spots": [100, 4.0]}, "AlexNet 0.5 group 8": {"spots": [300, 2.0]}}
    points.write_text(json.dumps(known))
    assert rivals.sweep({"AlexNet": (0.5,)}, points, 8) == {"AlexNet": {0.5: {"spots": rivals.Cost(300, 2.0)}}}
    assert rivals.sweep({"AlexNet": (0.5,)}, points) == {"AlexNet": {0.5: {"spots": rivals.Cost(100, 4.0)}}}


@pytest.mark.slow
def test_more_zeros_take_less_time() -> None:
    pytest.importorskip("onnxruntime")
    found = script("spots_rivals").sweep({"AlexNet": (0.0, 0.7)})["AlexNet"]
    assert found[0.7]["spots"].cycles < found[0.0]["spots"].cycles
    assert found[0.7]["gemmini"].cycles == found[0.0]["gemmini"].cycles
    assert found[0.7]["spots"].cycles < found[0.7]["eyeriss"].cycles
