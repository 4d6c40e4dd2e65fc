"""The designs that LoopTree was validated with: every public figure within 4 %, and the page that says so."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.benchmarks.scripts import FOLDER, script

PAGE = Path(__file__).parents[2] / "docs" / "looptree-designs.md"
DESIGNS = ("fused_cnn", "isaac", "pipelayer", "flat", "flat_runs")
TARGETS = ("depfin", "fused-cnn", "isaac", "pipelayer", "flat-cloud", "flat-edge")


@pytest.fixture(scope="module")
def designs() -> ModuleType:
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return script("looptree_designs")


@pytest.mark.parametrize("design", DESIGNS)
def test_published_figures_are_met_within_4_percent(designs: ModuleType, design: str) -> None:
    figures = list(getattr(designs, design)())
    assert figures
    for figure in figures:
        assert figure.ours == pytest.approx(figure.published, rel=0.04), figure.what


def test_formulas_are_met_exactly(designs: ModuleType) -> None:
    exact = [*designs.flat(), *(each for each in designs.isaac() if "formula" in each.what)]
    exact += [each for each in designs.pipelayer() if each.unit == "cycles"]
    assert len(exact) == 12 + 11 + 25
    for figure in exact:
        assert figure.ours == figure.published, figure.what


def test_what_pyramids_keep_is_what_the_closed_form_says(designs: ModuleType) -> None:
    for network in ("vgg_e", "alexnet"):
        for reading in designs.READINGS:
            assert designs.reuse_words(network, reading) == designs.closed_form_words(network, reading)


def test_what_comes_first_says_what_is_staged(designs: ModuleType) -> None:
    cloud = [run for run in designs.runs() if run.platform == "cloud"]
    assert all(run.fetched_first == run.expected_first(run.staged) for run in cloud)
    otherwise = {(run.network, run.sequence): run for run in cloud if run.staged != run.on_chip}
    assert {*otherwise} == {("XLM", 1024), ("XLM", 2048)}
    for run in otherwise.values():
        tiles = run.sequence // run.edge
        assert run.costs("KV").traffic == (tiles + 3) * run.tensor
        assert run.costs("K").traffic == run.costs("V").traffic == (2 * tiles + 2) * run.tensor


def test_storage_of_vgg_is_met_however_it_is_read(designs: ModuleType) -> None:
    published = designs.published()["fused_cnn"]["vgg_e"]["storage_kb"]
    for reading in designs.READINGS:
        for kilobyte in (1000, 1024):
            storage = designs.reuse_words("vgg_e", reading) * 4 / kilobyte
            assert storage == pytest.approx(published, rel=0.04)


def test_pyramids_that_reuse_make_nothing_again(designs: ModuleType) -> None:
    costs = designs.pyramid_costs("alexnet")
    assert {work.recomputed for work in costs.work.values()} == {0}
    assert designs.recomputed_macs("alexnet") == 678_243_456


@pytest.mark.parametrize("name", TARGETS)
def test_designs_are_targets_with_sources(designs: ModuleType, name: str) -> None:
    machine = designs.target(name)
    assert machine.name == f"looptree-{name}"
    assert {"clock_mhz", "word_bits"} <= set(machine.sources)


def test_a_mapping_names_memories_of_its_target(designs: ModuleType) -> None:
    costs = designs.pyramid_costs("alexnet")
    with pytest.raises(ValueError, match="looptree-isaac has no reuse"):
        designs.priced(designs.target("isaac"), costs.group, costs.mapping)


def test_what_is_unchecked_says_why(designs: ModuleType) -> None:
    unchecked = designs.all_unchecked()
    assert {each.design for each in unchecked} == {"DepFiN", "Fused-layer CNN", "ISAAC", "PipeLayer", "FLAT"}
    assert all(each.why for each in unchecked)


def test_the_page_is_current(designs: ModuleType) -> None:
    from importlib import import_module

    assert import_module("looptree_designs_page").page() == PAGE.read_text(encoding="utf-8"), (
        "run: python benchmarks/looptree_designs.py --output docs/looptree-designs.md"
    )
