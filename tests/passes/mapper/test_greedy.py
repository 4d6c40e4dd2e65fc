"""Mappings made without a search: legal wherever there is one, and in time on machines of many levels."""

from __future__ import annotations

from time import monotonic

import pytest
from hypothesis import given, settings

from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Hierarchy
from dialects.soundness import parse_hierarchy
from passes.mapper.effort import Effort
from passes.mapper.free import assignments, best_mapping
from passes.mapper.greedy import greedy
from passes.mapper.legality import violations
from passes.mapper.nest import mapping_of
from passes.mapper.partial import Parts
from passes.mapper.problem import Problem
from passes.mapper.room import too_small
from tests.examples import examples
from tests.passes.mapper.free_nests import small_links, small_machines


@settings(max_examples=examples(150), deadline=None)
@given(spec=small_links(), hierarchy=small_machines())
def test_there_is_a_legal_one_wherever_a_word_of_every_operand_fits(spec: GConv, hierarchy: Hierarchy) -> None:
    problem = Problem.of(spec)
    found = [greedy(problem, hierarchy, each, Parts.empty(problem)) for each in assignments(problem, hierarchy)]
    assert any(parts is not None for parts in found) or too_small(problem, hierarchy)
    for parts in found:
        if parts is not None:
            assert not violations(spec, mapping_of(problem, *parts.nest(), 0), hierarchy)


def tower(levels: int, bypass: tuple[str, ...]) -> Hierarchy:
    """Memories inside one another, each a little smaller, with an axis of two positions after every other one."""
    described: dict[str, dict[str, object]] = {"dram": {"kind": "memory"}}
    for number in range(levels):
        described[f"m{number}"] = {"kind": "memory", "words": 4000 - 90 * number, "bypass": bypass}
        if number % 2:
            described[f"a{number}"] = {"kind": "axis", "size": 2}
    access = {"energy": 10, "events": {"dram.input.read": 1, "dram.output.add": 1, "m0.kernel.read": 1}}
    return parse_hierarchy({"name": "tower", "summary": "", "levels": described, "accesses": {"all": access}})


@pytest.mark.parametrize("bypass", [(), ("K",)])
def test_a_search_among_many_levels_ends_in_time(bypass: tuple[str, ...]) -> None:
    """Preparations are cut short as well; what was not looked at is not said to be no better."""
    spec = GConv((Dim("C", op=16, ks=8), Dim("H", opc=12, ks=3), Dim("W", opc=12, ks=3)), "mul", Reduce.ADD)
    start = monotonic()
    best = best_mapping(spec, tower(40, bypass), effort=Effort(should_stop=lambda: monotonic() > start + 1))
    assert monotonic() - start < 6
    assert not violations(spec, best.mapping, tower(40, bypass))
    assert 0 <= best.bound <= best.value
    assert not bypass or best.gap == 1
