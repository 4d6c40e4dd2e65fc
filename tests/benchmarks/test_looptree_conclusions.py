"""The page of LoopTree's conclusions says what was recorded, and what was recorded is what is found today."""

from __future__ import annotations

import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from tests.benchmarks.scripts import FOLDER, script

DOCS = FOLDER.parent / "docs"
QUICK = "conv+conv 64x56"
HINT = "run: python benchmarks/looptree_conclusions.py --reprice --output docs/looptree-conclusions.md"


@pytest.fixture(scope="module")
def conclusions() -> ModuleType:
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return script("looptree_conclusions")


@pytest.fixture(scope="module")
def pages(conclusions: ModuleType) -> ModuleType:
    return import_module("looptree_conclusions_page")


def test_the_page_and_its_charts_say_what_was_recorded(pages: ModuleType) -> None:
    assert (DOCS / "looptree-conclusions.md").read_text() == pages.page(), HINT
    files = {path.name: path.read_text() for path in (DOCS / "looptree-conclusions").iterdir()}
    assert files == pages.charts(), HINT


def test_charts_are_xml_and_the_page_shows_them(pages: ModuleType) -> None:
    page = pages.page()
    for name, text in pages.charts().items():
        ElementTree.fromstring(text)
        assert f"({Path('looptree-conclusions', name)})" in page


def test_every_kind_of_fusion_set_is_there(conclusions: ModuleType) -> None:
    kinds = {name.split()[0] for name in conclusions.recorded() if name in conclusions.sets()}
    assert kinds == {"conv+conv", "pw+dw+pw", "fc+fc", "conv+conv+conv"}


def test_what_was_recorded_is_found_again(conclusions: ModuleType) -> None:
    problem, recorded = conclusions.sets()[QUICK], conclusions.recorded()[QUICK]
    assert conclusions.by_schedule(problem) == recorded["schedules"]
    assert conclusions.by_recomputation(problem) == recorded["recomputation"]


def test_sizes_are_found_again(conclusions: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = conclusions.SIZES[-10:-4]
    monkeypatch.setattr(conclusions, "SIZES", sizes)
    recorded = [row for row in conclusions.recorded()[QUICK]["sizes"] if row["size"] in sizes]
    assert conclusions.by_size(conclusions.sets()[QUICK]) == recorded


def test_one_level_for_all_is_found_again(conclusions: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one rank cut, each point is in reach of what was recorded for two, and the smallest is that."""
    monkeypatch.setattr(conclusions, "LOOPS", 1)
    problem = conclusions.sets()[QUICK]
    recorded = conclusions.recorded()[QUICK]["retention"]["same"]
    found = conclusions.by_retention(problem)["same"]
    for capacity, traffic in found:
        assert any(room <= capacity and moved <= traffic for room, moved in recorded)
    assert found[-1] == recorded[-1]


def test_a_level_for_each_tensor_is_never_worse(conclusions: ModuleType) -> None:
    for name in conclusions.sets().keys() & conclusions.recorded().keys():
        retention = conclusions.recorded()[name]["retention"]
        for capacity, traffic in retention.get("same", []):
            assert any(room <= capacity and moved <= traffic for room, moved in retention["own"])
        for front in retention.values():
            assert all(room < more and moved > less for (room, moved), (more, less) in pairwise(front))


def test_the_front_of_the_pair_is_found_in_two_seconds(
    conclusions: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = conclusions.recorded()[conclusions.PAIR]
    monkeypatch.setattr(conclusions, "RUNS", 1)
    found = conclusions.pair()
    assert {**found, "cpu_seconds": 0} == {**recorded, "cpu_seconds": 0}
    assert recorded["exact"]
    assert recorded["buffer"] <= 93_568
    assert recorded["without"] <= 104_128
    assert recorded["cpu_seconds"] <= 2


def test_more_ranks_are_never_worse(conclusions: ModuleType, pages: ModuleType) -> None:
    some, every = (conclusions.recorded()[name] for name in (conclusions.PAIR, conclusions.EVERY_RANK))
    assert every["exact"]
    for room in pages.ROOMS:
        assert pages.least_within(every["front"], room) <= pages.least_within(some["front"], room)


@pytest.mark.exhaustive
def test_the_front_of_every_rank_is_the_recorded_one(conclusions: ModuleType) -> None:
    recorded = conclusions.recorded()[conclusions.EVERY_RANK]
    assert {**conclusions.every_rank(), "cpu_seconds": 0} == {**recorded, "cpu_seconds": 0}


def test_ratios_that_the_page_tells(conclusions: ModuleType, pages: ModuleType) -> None:
    found = conclusions.recorded()
    assert pages.ratio_of_schedules(found["pw+dw+pw 24x56"]) > pages.TENFOLD
    assert pages.ratio_of_recomputation(found[QUICK]) == 1
    assert pages.crossing(found[QUICK]) == (65_536, 92_681)
