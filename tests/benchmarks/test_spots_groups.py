"""Fused groups and zeros on SPOTS: what the page says of costs, and that both together move less than each alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.scripts import script


def test_the_page_says_what_groups_and_zeros_save() -> None:
    groups = script("spots_groups")
    plain, both = groups.Cost(400, 300, 2e9, 0, 0), groups.Cost(100, 200, 1e9, 1, 2)
    text = groups.page({"Net": {(False, False): plain, (True, True): both}})
    assert "| Net | groups, sparse | 1 of 2 layers | 0.000 | 0.000 | 1.000 | 4.00 | 1.50 | 2.00 |" in text


@pytest.mark.slow
def test_groups_and_zeros_together_move_less_than_each_alone(tmp_path: Path) -> None:
    costs = script("spots_groups").of_network("AlexNet", tmp_path)
    both, groups, sparse, plain = (
        costs[each].words for each in ((True, True), (True, False), (False, True), (False, False))
    )
    assert both < min(groups, sparse)
    assert max(groups, sparse) < plain
