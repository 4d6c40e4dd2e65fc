"""What searches make least on machines that say nothing of energy."""

from __future__ import annotations

import pytest

from dialects.hierarchy import Access
from dialects.machine_kinds import read_machine
from dialects.nest_machine import NestMachine
from dialects.schedule import Objective
from passes.searching.objectives import objective_on

DESCRIPTION = {
    "name": "small",
    "clock_mhz": 100,
    "word_bits": 16,
    "levels": {"dram": {"kind": "memory"}, "glb": {"kind": "memory", "words": 64}},
}


@pytest.mark.parametrize(
    ("energy", "asked", "expected"),
    [
        (None, None, Objective.LATENCY),
        (None, Objective.ENERGY, Objective.LATENCY),
        (None, Objective.EDP, Objective.EDP),
        (0.0, None, Objective.LATENCY),
        (1.0, None, Objective.ENERGY),
        (1.0, Objective.TRAFFIC, Objective.TRAFFIC),
    ],
)
def test_time_counts_where_nothing_has_a_price(
    energy: float | None, asked: Objective | None, expected: Objective
) -> None:
    machine = read_machine(DESCRIPTION)
    assert isinstance(machine, NestMachine)
    if energy is not None:
        access = Access(name="far", energy=energy, events={"dram.input.read": 1.0})
        machine = machine.model_copy(update={"accesses": (access,)})
    assert objective_on(machine, asked) is expected
