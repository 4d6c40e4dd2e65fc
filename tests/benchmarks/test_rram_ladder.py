"""Errors of products by the resolution of converters, beside those of two simulators."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.benchmarks.scripts import script


@pytest.fixture(scope="module")
def ladder() -> ModuleType:
    return script("rram_ladder")


@pytest.mark.parametrize("peer", [0, 1])
@pytest.mark.parametrize("seed", [0, 1])
def test_errors_are_within_the_tolerance_of_what_was_measured(ladder: ModuleType, peer: int, seed: int) -> None:
    simulator = ladder.PEERS[peer]
    assert {6, 8, 10} <= {rung.bits for rung in simulator.rungs}
    for rung in simulator.rungs:
        ratio = ladder.error(simulator, rung, seed) / rung.measured
        assert 1 / ladder.TOLERANCE <= ratio <= ladder.TOLERANCE, (simulator.name, rung)


@pytest.mark.parametrize("peer", [0, 1])
def test_ideal_converters_make_the_integer_product(ladder: ModuleType, peer: int) -> None:
    weights, inputs = ladder.data(0)
    crossbar = ladder.PEERS[peer].crossbar(weights, ladder.Rung(0, 0), 0)
    assert (crossbar.multiply(inputs) == inputs @ weights).all()
