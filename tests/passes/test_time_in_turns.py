"""Time of layers in fused groups: parts add up to the cycles, and the longest one is what is busy longest."""

from __future__ import annotations

import pytest

from compiler.targets import select_target
from dialects.accelerator import Accelerator
from dialects.events import EVENTS, Counts
from passes.explanation.in_turns import time_in_turns
from passes.explanation.link import timed_words
from passes.pricing import price


def counted(machine: Accelerator, computing: int, words: int, cycles: int | None = None) -> Counts:
    """A layer whose array works for so many cycles, and which brings so many input words."""
    moved = {"dram.input.read": words, "operation.mac": computing}
    names = dict.fromkeys((*EVENTS, *getattr(machine, "event_names", ())), 0)
    return Counts({**names, **moved}, computing, 1, 1, cycles)


@pytest.mark.parametrize("target", ["generic", "eyeriss", "spots", "systolic", "nlr"])
@pytest.mark.parametrize(("computing", "words"), [(1000, 40), (10, 4000), (300, 0), (0, 600), (0, 0)])
def test_parts_add_up_and_the_first_is_what_is_busy_longest(target: str, computing: int, words: int) -> None:
    machine = select_target(target).machine
    counts = counted(machine, computing, words)
    counts.cycles = computing + 2 * price(counts, machine).link_cycles
    cost = price(counts, machine)
    parts = time_in_turns(counts, cost, machine)
    assert sum(cycles for _, cycles in parts) == pytest.approx(cost.cycles)
    assert all(0 < cycles <= cost.cycles for _, cycles in parts)
    if cost.cycles:
        longest = parts[0]
        link = words / machine.link_words
        assert longest[1] == pytest.approx(max(computing, link), abs=1)
        assert ("words" in longest[0]) == (link > computing)


def test_words_that_take_time_are_those_of_the_busier_port() -> None:
    """No layer is above the roof that the off-chip link is: results go while inputs and residuals come."""
    machine = select_target("generic").machine
    counts = counted(machine, 0, 1600)
    moved = {"dram.kernel.read": 2304, "dram.extra.read": 1024, "dram.output.update": 1024}
    counts.events.update(moved)
    assert timed_words(counts, machine) == 1600 + 2304 + 1024
    counts.events["dram.output.update"] = 5000
    assert timed_words(counts, machine) == 5000
    array = select_target("eyeriss").machine
    counts = counted(array, 0, 1600)
    counts.events["dram.extra.read"] = 100
    assert timed_words(counts, array) == 1700


def test_memories_that_every_element_has_are_no_link() -> None:
    machine = select_target("generic").machine
    counts = counted(machine, 10, 4, 30)
    counts.events["rf.kernel.read"] = 10_000
    assert not any("rf" in name for name, _ in time_in_turns(counts, price(counts, machine), machine))
