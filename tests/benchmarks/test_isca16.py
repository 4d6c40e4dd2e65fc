"""The dataflow comparison: bars and levels that are quick to find, and the area that dataflows share."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.benchmarks.scripts import script

ENERGY, DRAM, DELAY = 0.005, 0.03, 0.03
"""The largest relative errors allowed."""


@pytest.fixture(scope="module")
def isca16() -> ModuleType:
    return script("isca16")


@pytest.fixture(scope="module")
def reference(isca16: ModuleType) -> Any:
    return isca16.cost("RS", 1, isca16.CONVOLUTIONS)


def agrees(isca16: ModuleType, reference: Any, flow: str, images: int) -> None:
    found = isca16.quantities(isca16.cost(flow, images, isca16.CONVOLUTIONS), reference)
    for quantity, error in (("dram", DRAM), ("en", ENERGY), ("edp", DELAY)):
        assert found[quantity] == pytest.approx(isca16.bars()[flow, images, quantity], rel=error)


def test_the_unit_of_the_bars(reference: Any) -> None:
    assert reference.per_operation == pytest.approx(6.42, rel=ENERGY)


@pytest.mark.parametrize(("flow", "images"), [("OSA", 1), ("OSB", 1), ("OSC", 16), ("WS", 16)])
def test_bars(isca16: ModuleType, reference: Any, flow: str, images: int) -> None:
    agrees(isca16, reference, flow, images)


@pytest.mark.slow
@pytest.mark.parametrize(("flow", "images"), [("NLR", 1), ("RS", 16)])
def test_bars_that_take_longer(isca16: ModuleType, reference: Any, flow: str, images: int) -> None:
    agrees(isca16, reference, flow, images)


@pytest.mark.parametrize("layer", ["CONV1", "CONV2", "FC1"])
def test_levels_of_row_stationary(isca16: ModuleType, layer: str) -> None:
    layers = {each.name: each for each in (*isca16.CONVOLUTIONS, *isca16.CONNECTED)}
    energy = isca16.cost("RS", 16, (layers[layer],)).energy
    bar = isca16.published()["levels"]["rows"][layer]
    assert sum(energy.values()) / 1e9 == pytest.approx(sum(bar), rel=ENERGY)


def test_the_published_division_of_the_area(isca16: ModuleType) -> None:
    kilobytes = {"RS": 128, "WS": 334.25, "OSA": 243.9, "OSB": 303.8, "OSC": 334.25, "NLR": 338.3}
    for flow, expected in kilobytes.items():
        assert isca16.buffer_bytes(flow, 256) / 1024 == pytest.approx(expected, rel=1e-3)


def test_weight_stationary_sums_of_64_images_do_not_fit(isca16: ModuleType) -> None:
    assert isca16.attempt("WS", 64, isca16.CONVOLUTIONS, 256) is None
