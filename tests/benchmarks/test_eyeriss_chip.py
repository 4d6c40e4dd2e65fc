"""The chip's table: errors stay within their bounds, counts of the emulator are those that are predicted."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dialects.events import COMPRESSED
from tests.benchmarks.scripts import FOLDER, script

DATA = {*COMPRESSED.values(), "operation.gated"}
LAYERS = ["CONV1", "CONV2", "CONV3", "CONV4", "CONV5"]


@pytest.fixture(scope="module")
def chip() -> ModuleType:
    if str(FOLDER) not in sys.path:
        sys.path.insert(0, str(FOLDER))
    return script("eyeriss_chip")


@pytest.fixture(scope="module")
def measured(chip: ModuleType) -> tuple[Any, Any, Any]:
    return chip.measure()


@pytest.mark.parametrize("layer", LAYERS)
def test_operations_elements_buffer_and_time_are_the_chips(chip: ModuleType, measured: Any, layer: str) -> None:
    row, counts = chip.published()[layer], measured[0][layer].emulated
    assert counts.events["operation.mac"] / 1e6 == pytest.approx(row.mmac, abs=0.1)
    assert counts.peak_pes == row.elements
    assert chip.megabytes(counts, "glb") == pytest.approx(row.glb_mb, rel=chip.GLB)
    assert chip.milliseconds(counts.array_cycles) == pytest.approx(row.processing_ms, rel=chip.TIME)


@pytest.mark.parametrize("layer", LAYERS)
def test_uncompressed_traffic_is_what_the_published_figures_round_to(
    chip: ModuleType, measured: Any, layer: str
) -> None:
    row, raw = chip.published()[layer], chip.megabytes(measured[0][layer].emulated, "dram", raw=True)
    assert (row.dram_mb - 0.05) * (row.dram_ratio - 0.05) <= raw <= (row.dram_mb + 0.05) * (row.dram_ratio + 0.05)


@pytest.mark.parametrize("layer", ["CONV3", "CONV4"])
@pytest.mark.parametrize("kind", ["predicted", "emulated"])
def test_compressed_traffic_where_zeros_are_known(chip: ModuleType, measured: Any, layer: str, kind: str) -> None:
    found = chip.megabytes(getattr(measured[0][layer], kind), "dram")
    assert found == pytest.approx(chip.published()[layer].dram_mb, rel=chip.DRAM)


@pytest.mark.parametrize("layer", ["CONV3", "CONV4"])
@pytest.mark.parametrize("kind", ["predicted", "emulated"])
def test_compression_saves_what_it_saves_on_the_chip(chip: ModuleType, measured: Any, layer: str, kind: str) -> None:
    """Uncompressed traffic over compressed traffic, filters included, at the published shares of zeros."""
    found = chip.compression(getattr(measured[0][layer], kind))
    assert found == pytest.approx(chip.published()[layer].dram_ratio, rel=chip.RATIO)
    assert found > 1.5


@pytest.mark.parametrize("layer", LAYERS)
def test_the_emulator_counts_what_is_predicted(measured: Any, layer: str) -> None:
    run = measured[0][layer]
    different = run.predicted.differences(run.emulated)
    assert set(different) <= DATA
    for event, tolerance in (("dram.input.compressed", 0.025), ("dram.output.compressed", 0.08)):
        assert run.predicted.events[event] == pytest.approx(run.emulated.events[event], rel=tolerance)
    gated, operations = "operation.gated", run.emulated.operations
    assert run.predicted.events[gated] / operations == pytest.approx(run.emulated.events[gated] / operations, abs=0.001)


def test_the_printed_mapping_of_the_third_layer_moves_more(chip: ModuleType, measured: Any) -> None:
    traffic = chip.megabytes(measured[2].emulated, "glb")
    assert traffic == pytest.approx(69.22, abs=0.01)
    assert traffic > 1.3 * chip.published()["CONV3"].glb_mb


@pytest.mark.parametrize("layer", LAYERS)
def test_power_is_of_the_right_size(chip: ModuleType, measured: Any, layer: str) -> None:
    total = sum(chip.power(measured[0][layer].emulated).values())
    assert 0.7 < total / chip.published()[layer].mw < 1.05


def test_the_chips_mappings_are_the_best_but_for_the_second_layer(chip: ModuleType) -> None:
    found = chip.choices()
    for layer in ("CONV1", "CONV4", "CONV5"):
        (chosen,) = found[layer]
        assert chosen.parameters == chosen.best
    printed, implied = found["CONV3"]
    assert implied.parameters == implied.best != printed.parameters
    (second,) = found["CONV2"]
    assert second.parameters != second.best
    assert 1 < second.energy / second.best_energy < 1.002


def test_free_to_choose_catena_maps_as_the_chip_does(chip: ModuleType, measured: Any) -> None:
    free, given = (chip.predicted_with(mappings, measured[1]) for mappings in ({}, chip.chip_mappings()))
    assert [layer for layer in LAYERS if free[layer][1] == given[layer][1]] == ["CONV1", "CONV3", "CONV4", "CONV5"]
    products = [spent.total_energy * spent.cycles for spent in (chip.cost(each["CONV2"][0]) for each in (free, given))]
    assert products[0] < products[1]


@pytest.mark.exhaustive
def test_the_page_is_current(chip: ModuleType) -> None:
    from eyeriss_chip_page import page  # pyright: ignore[reportMissingImports]

    text = (Path(__file__).parents[2] / "docs" / "eyeriss-chip.md").read_text()
    assert page() == text
