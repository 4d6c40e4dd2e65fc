"""Tiles and costs of fused groups: equal to an element-exact walk, and to LoopTree's figures."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dialects.fused_mapping import FusedMapping
from passes.fusion.group import Group
from passes.fusion.legality import violations
from passes.fusion.model import FusedCosts
from tests.passes.fusion.groups import REFUSED, fc_pair, random_case, random_group, random_mapping, with_own_loops
from tests.passes.fusion.resnet_pair import FIRST, GROUP, PIPELINED, ROWS, SECOND, Row, mapping
from tests.passes.fusion.walk import walk


def _agree(group: Group, chosen: FusedMapping) -> None:
    assert violations(group, chosen) == []
    walked, costs = walk(group, chosen), FusedCosts(group, chosen)
    memories = {each.memory for each in chosen.retentions}
    parallelism = {link.name: 1 + index for index, link in enumerate(group.links)}
    for name, found, expected in (
        ("reads", costs.reads, walked.reads),
        ("writes", costs.writes, walked.writes),
        ("operations", {link: work.operations for link, work in costs.work.items()}, walked.operations),
        ("recomputed", {link: work.recomputed for link, work in costs.work.items()}, walked.recomputed),
        ("occupancy", costs.occupancy, walked.occupancy),
        ("capacity", {memory: costs.capacity(memory) for memory in memories}, walked.capacity),
        ("peak", {memory: costs.peak(memory) for memory in memories}, walked.peak),
    ):
        assert _counted(found) == _counted(expected), name
    assert costs.steps(parallelism) == walked.latency(chosen.stages, parallelism)


def _counted(counts: object) -> dict[str, int]:
    assert isinstance(counts, dict)
    return {name: count for name, count in counts.items() if count}


@pytest.mark.parametrize("first", [0, *(pytest.param(each, marks=pytest.mark.exhaustive) for each in (100, 1000))])
def test_what_links_bring_in_pieces_costs_what_a_walk_counts(first: int) -> None:
    differing = 0
    for seed in range(first, max(100, 2 * first)):
        rng = random.Random(seed)
        group = random_group(rng)
        chosen = random_mapping(rng, group, most_turns=12)
        kept = (
            replace(each, level=None) if each.tensor not in group.intermediates and rng.random() < 0.5 else each
            for each in chosen.retentions
        )
        whole = replace(chosen, retentions=tuple(kept))
        in_pieces = with_own_loops(rng, group, whole)
        _agree(group, in_pieces)
        differing += FusedCosts(group, in_pieces).occupancy != FusedCosts(group, whole).occupancy
    assert differing > 20


@pytest.mark.parametrize("first", range(0, 1200, 100))
def test_random_groups_cost_what_a_walk_of_all_elements_counts(first: int) -> None:
    for seed in range(first, first + 100):
        _agree(*random_case(random.Random(seed)))


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_published_figures_of_a_pair_of_convolutions(row: Row) -> None:
    costs = FusedCosts(GROUP, row.mapping)
    assert (costs.capacity("glb"), costs.traffic) == (row.capacity, row.offchip)
    first, second = (costs.work[link.name].operations for link in GROUP.links)
    assert (first, second) == (row.first, SECOND)
    if row.held is not None:
        assert tuple(costs.occupancy[tensor] for tensor in ("f1", "conv1.out", "conv2.out")) == row.held


def test_published_steps_of_a_pipeline_of_two_convolutions() -> None:
    costs = FusedCosts(GROUP, PIPELINED)
    assert costs.capacity("glb") == 107_648
    assert costs.steps({}) == 126_074_880
    assert FusedCosts(GROUP, mapping("P1", 1, 1)).steps({}) == FIRST + SECOND


@pytest.mark.parametrize("why", REFUSED)
def test_what_means_nothing_is_refused(why: str) -> None:
    assert violations(*REFUSED[why])


def test_everything_wrong_with_a_mapping_is_said_at_once() -> None:
    group = fc_pair(3, 2, 2, 2)
    names = [tensor.name for tensor in group.tensors]
    wrong = mapping("P4 P2", 3, 3)
    problems = violations(group, wrong)
    assert any("no dimension H" in each for each in problems)
    assert any("loop H.opc is there twice" in each for each in problems)
    assert any("no tensor of the group" in each for each in problems)
    assert any(f'"{names[0]}" has no place' in each for each in problems)
    assert any("below 3 of 2 loops" in each for each in problems)
