"""SPOTS beside other machines: what the page says of costs, and that more zeros never cost SPOTS more time."""

from __future__ import annotations

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


@pytest.mark.slow
def test_more_zeros_take_less_time() -> None:
    pytest.importorskip("onnxruntime")
    found = script("spots_rivals").sweep(["AlexNet"], (0.0, 0.7))["AlexNet"]
    assert found[0.7]["spots"].cycles < found[0.0]["spots"].cycles
    assert found[0.7]["gemmini"].cycles == found[0.0]["gemmini"].cycles
    assert found[0.7]["spots"].cycles < found[0.7]["eyeriss"].cycles
