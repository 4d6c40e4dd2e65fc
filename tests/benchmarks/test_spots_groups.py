"""Fused groups and zeros on SPOTS: what the page says of costs, and that both together move less than each alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.scripts import script


def test_the_page_says_what_groups_and_zeros_save() -> None:
    groups = script("spots_groups")
    plain, alone, both = (
        groups.Cost(400, 300, 2e9, 0, 0),
        groups.Cost(200, 250, 2e9, 0, 0),
        groups.Cost(100, 200, 1e9, 1, 2),
    )
    costs = dict(zip(groups.VARIANTS[:4], (plain, plain, alone, both), strict=True))
    text = groups.page({"Net": costs})
    assert "| Net | groups, sparse |  | 1 of 2 layers | 0.000 | 0.000 | 1.000 | 4.00 | 1.50 | 2.00 |" in text
    assert "| Net |  | 0.500 | 0.800 | 0.500 | 0.250 | 0.667 | 0.500 |" in text


@pytest.mark.exhaustive
def test_groups_and_zeros_together_move_less_than_each_alone(tmp_path: Path) -> None:
    page = script("spots_groups")
    costs = page.of_network("AlexNet", tmp_path, page.VARIANTS[:4])
    plain, groups, sparse, both = costs.values()
    assert both.words < min(groups.words, sparse.words)
    assert max(groups.words, sparse.words) < plain.words
    assert both.energy < min(groups.energy, sparse.energy)
