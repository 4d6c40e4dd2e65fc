"""The page of LoopTree's conclusions says what was recorded, and what was recorded is what is found today."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.benchmarks.scripts import FOLDER, script

DOCS = FOLDER.parent / "docs"
QUICK = "conv+conv ResNet-18 56"
WIDE = "conv+conv U-Net 572"
INVERTED = "pw+dw+pw MobileNet-v2/2 224"
LINES = "conv+conv+conv FSRCNN 540"
HINT = "run: python benchmarks/looptree_conclusions.py --reprice --output docs/looptree-conclusions.md"


@pytest.fixture(scope="module")
def conclusions() -> ModuleType:
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return script("looptree_conclusions")


@pytest.fixture(scope="module")
def pages(conclusions: ModuleType) -> ModuleType:
    return import_module("looptree_conclusions_page")


@pytest.fixture(scope="module")
def sets(conclusions: ModuleType) -> Mapping[str, Any]:
    del conclusions
    return import_module("looptree_conclusions_sets").sets()


def test_the_page_and_its_charts_say_what_was_recorded(pages: ModuleType) -> None:
    assert (DOCS / "looptree-conclusions.md").read_text() == pages.page(), HINT
    files = {path.name: path.read_text() for path in (DOCS / "looptree-conclusions").iterdir()}
    assert files == pages.charts(), HINT


def test_charts_are_xml_and_the_page_shows_them(pages: ModuleType) -> None:
    page = pages.page()
    for name, text in pages.charts().items():
        ElementTree.fromstring(text)
        assert f"({Path('looptree-conclusions', name)})" in page


def test_every_kind_of_fusion_set_is_there(conclusions: ModuleType, sets: Mapping[str, Any]) -> None:
    alone = {conclusions.PAIR, conclusions.EVERY_RANK, conclusions.GROWTH}
    assert conclusions.recorded().keys() == sets.keys() | alone
    for kind in ("conv+conv", "pw+dw+pw", "fc+fc", "conv+conv+conv"):
        assert sum(name.split()[0] == kind for name in sets) >= 4


def test_what_was_recorded_is_found_again(conclusions: ModuleType, sets: Mapping[str, Any]) -> None:
    problem, recorded = sets[QUICK], conclusions.recorded()[QUICK]
    assert conclusions.by_schedule(problem) == recorded["schedules"]
    assert conclusions.by_recomputation(problem) == recorded["recomputation"]
    assert conclusions.by_retention(problem) == recorded["retention"]


@pytest.mark.parametrize("name", [WIDE, INVERTED])
def test_large_factors_are_found_again(conclusions: ModuleType, sets: Mapping[str, Any], name: str) -> None:
    recorded = conclusions.recorded()[name]
    assert conclusions.by_recomputation(sets[name]) == recorded["recomputation"]
    assert conclusions.by_retention(sets[name]) == recorded["retention"]


@pytest.mark.exhaustive
def test_everything_recorded_is_found_again(conclusions: ModuleType, sets: Mapping[str, Any]) -> None:
    for name, problem in sets.items():
        assert conclusions.conclusions(problem) == conclusions.recorded()[name], name


@pytest.mark.exhaustive
def test_growing_images_are_found_again(conclusions: ModuleType) -> None:
    for name, recorded in conclusions.recorded()[conclusions.GROWTH].items():
        assert conclusions.by_image(name) == recorded, name


def test_sizes_are_found_again(
    conclusions: ModuleType, sets: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = conclusions.SIZES[-10:-4]
    monkeypatch.setattr(conclusions, "SIZES", sizes)
    recorded = [row for row in conclusions.recorded()[QUICK]["sizes"] if row["size"] in sizes]
    assert conclusions.by_size(sets[QUICK]) == recorded


def test_a_level_for_each_tensor_is_never_worse(conclusions: ModuleType, sets: Mapping[str, Any]) -> None:
    for name in sets:
        retention = conclusions.recorded()[name]["retention"]
        for same, own in (("same", "own"), ("same_without", "own_without"), ("own_without", "own")):
            for capacity, traffic in retention[same]:
                assert any(room <= capacity and moved <= traffic for room, moved in retention[own])
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
    assert pages.ratio_of_schedules(found["pw+dw+pw MobileNet-v2 56"]) > pages.TENFOLD
    assert pages.ratio_of_recomputation(found[QUICK]) == 1
    assert pages.ratio_of_recomputation(found[WIDE]) > pages.HALF
    assert pages.ratio_of_recomputation(found[INVERTED]) > pages.HALF
    assert pages.ratio_of_retention(found[LINES])[0] > pages.NINEFOLD
    assert pages.crossing(found[QUICK]) == (65_536, 92_681)


def test_factors_grow_with_the_image(conclusions: ModuleType, pages: ModuleType) -> None:
    """From where kernels no longer outweigh everything."""
    for more, less in (("same", "own"), ("without", "more")):
        for ratios in pages.grown_ratios(conclusions.recorded()[conclusions.GROWTH], more, less).values():
            assert min(ratios) >= 1
            assert ratios[2:] == sorted(ratios[2:])
