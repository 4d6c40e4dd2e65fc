"""The next best mappings of a layer: what they would cost, and how they differ from the one it has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dialects.accelerator import Accelerator
from dialects.schedule import Objective
from passes.explanation.differences import differences
from passes.explanation.facts import Facts
from passes.explanation.layer import facts_of
from passes.explanation.searching import several_for
from passes.explanation.sensitivity import value_of
from passes.work import Work

_SEARCHED = 64
"""Mappings that are searched; many cost the same."""


@dataclass(frozen=True)
class RunnerUp:
    """Another mapping, how it differs, and how many more were found that cost exactly the same."""

    facts: Facts
    differs: str
    alike: int


@dataclass(frozen=True)
class RunnersUp:
    """The next best mappings, best first, and how many others were found that cost as much as the layer's own."""

    mappings: tuple[RunnerUp, ...]
    as_good: int


def runners_up(
    work: Work,
    facts: Facts,
    machine: Accelerator,
    objective: Objective,
    count: int,
    should_stop: Callable[[], bool],
) -> RunnersUp:
    """The best mappings that differ in cost from a layer's own, whose facts are given; at most `count` of them.

    Of those with the same value the fastest comes first, then the one with the fewest words off the chip.
    """
    groups: dict[tuple[float, int, int], list[Facts]] = {_cost(facts): []}
    for mapping in several_for(work, machine, objective, _SEARCHED, should_stop):
        if mapping != facts.mapping:
            other = facts_of(work, mapping, machine)
            groups.setdefault(_cost(other), []).append(other)
    as_good = groups.pop(_cost(facts))
    ranked = sorted(groups.values(), key=lambda each: _rank(each[0], objective))
    found = [RunnerUp(each[0], differences(facts.mapping, each[0].mapping), len(each) - 1) for each in ranked]
    return RunnersUp(tuple(found[:count]), len(as_good))


def _cost(facts: Facts) -> tuple[float, int, int]:
    return round(facts.price.total_energy, 3), facts.price.cycles, facts.words


def _rank(facts: Facts, objective: Objective) -> tuple[float, int, int, str]:
    """What runners-up are sorted by; values that differ by rounding only are the same."""
    value = float(f"{value_of(facts, objective):.12g}")
    return value, facts.price.cycles, facts.words, str(facts.mapping)
