"""Mappings that are improved by other tiles of two loops at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Hierarchy
from dialects.schedule import Objective
from dialects.soundness import parse_hierarchy
from passes.mapper.counts import Counts
from passes.mapper.effort import USUAL, Effort
from passes.mapper.finished import Finished
from passes.mapper.free import assignments, best_mapping, good_mapping
from passes.mapper.greedy import greedy
from passes.mapper.legality import violations
from passes.mapper.local_search import LocalSearch
from passes.mapper.nest import nest_of
from passes.mapper.partial import Parts
from passes.mapper.pricing import Prices
from passes.mapper.problem import Problem
from passes.mapper.search import best_in_dataflow
from tests.examples import examples
from tests.passes.mapper.free_nests import small_links, small_machines

LAYERS = {
    "the first layer of ResNet-18": (64, 3, 112, 7, 2),
    "a layer with 128 channels": (128, 128, 28, 3, 1),
    "a layer with stride 2": (128, 64, 28, 3, 2),
}
"""Filters, channels, rows and columns of outputs, of kernels, stride."""

DATAFLOW = """
for groups 1, for images 1, for filters f, for rows_out r, for slide s, store pad [O],
for channels c, store pad [I, K], par rows_out 1 on lane
"""


def layer(filters: int, channels: int, outputs: int, kernel: int, stride: int) -> GConv:
    sides = (Dim(name, opc=outputs, ks=kernel, stride=stride, pad=kernel // 2) for name in "HW")
    return GConv((Dim("C", op=filters, ks=channels), *sides), "mul", Reduce.ADD)


def lanes(**more: object) -> Hierarchy:
    """Eight lanes behind a scratchpad, as `catena new-backend` describes them."""
    pad = {f"pad.{each}": 1 for each in ("input.fill", "kernel.fill", "input.read", "kernel.read", "output.update")}
    dram = ("input.read", "kernel.read", "output.update", "output.add")
    return parse_hierarchy(
        {
            "name": "lanes",
            "summary": "",
            "levels": {
                "dram": {"kind": "memory", "read": 2, "write": 2},
                "pad": {"kind": "memory", "words": 4096},
                "lane": {"kind": "axis", "size": 8, "multicast": ["K"]},
            },
            "accesses": {
                "dram": {"energy": 200, "events": {f"dram.{each}": 1 for each in dram}},
                "pad": {"energy": 6, "events": {**pad, "pad.output.add": 2}},
            },
            **more,
        }
    )


def made_without_search(problem: Problem, hierarchy: Hierarchy) -> Finished | None:
    for assignment in assignments(problem, hierarchy):
        if (parts := greedy(problem, hierarchy, assignment, Parts.empty(problem))) is not None:
            return Finished.of(parts, 0)
    return None


def price_of(made: Finished, prices: Prices) -> float:
    return float(prices.value(Counts(made.problem, prices.hierarchy, made.nest, made.tiles))[0])


@settings(max_examples=examples(60), derandomize=True, deadline=None)
@given(
    spec=small_links(), hierarchy=small_machines(), objective=st.sampled_from(Objective), spent=st.sampled_from([0, 1])
)
def test_what_is_improved_is_legal_and_costs_no_more(
    spec: GConv, hierarchy: Hierarchy, objective: Objective, spent: int
) -> None:
    """Tiles are whole numbers of those inside, everything fits, and it costs what its statements cost."""
    problem, prices = Problem.of(spec), Prices(hierarchy, objective)
    begun = made_without_search(problem, hierarchy)
    assume(begun is not None)
    assert begun is not None
    effort = Effort(400.0) if spent else Effort()
    found = LocalSearch(problem, hierarchy, prices.value, effort).improved(begun)
    assert not violations(spec, found.mapping, hierarchy)
    assert price_of(found, prices) <= price_of(begun, prices)
    assert price_of(Finished(problem, *nest_of(problem, found.mapping)), prices) == price_of(found, prices)
    for number, extent in enumerate(problem.extents):
        inner = 1
        for index, _ in reversed(found.nest.cuts(number)):
            tile = int(found.tiles[index][0])
            assert tile % inner == 0 or tile == extent
            inner = tile


@pytest.mark.parametrize("name", LAYERS)
def test_no_pair_of_changes_makes_it_better_still(name: str) -> None:
    problem, prices = Problem.of(layer(*LAYERS[name])), Prices(lanes())
    begun = made_without_search(problem, prices.hierarchy)
    assert begun is not None
    found = LocalSearch(problem, prices.hierarchy, prices.value, Effort()).improved(begun)
    assert price_of(found, prices) < price_of(begun, prices)
    again = LocalSearch(problem, prices.hierarchy, prices.value, Effort()).improved(found)
    assert price_of(again, prices) == price_of(found, prices)


@pytest.mark.parametrize("objective", [Objective.ENERGY, Objective.EDP])
@pytest.mark.parametrize("name", LAYERS)
def test_a_machine_without_a_dataflow_is_not_worse_off(name: str, objective: Objective) -> None:
    """All that a dataflow allows may be done without it: searches had ended up to 18 % above it."""
    spec = layer(*LAYERS[name])
    bound = best_in_dataflow(spec, lanes(dataflow={"nest": DATAFLOW}), objective=objective).value
    assert best_mapping(spec, lanes(), "", objective, Effort(USUAL)).value <= bound
    assert good_mapping(spec, lanes(), "", objective, Effort(USUAL)).value <= bound * 1.04


def test_columns_of_one_candidate_are_kept() -> None:
    """What is improved can be taken for what a search has made."""
    problem, prices = Problem.of(layer(*LAYERS["a layer with stride 2"])), Prices(lanes())
    begun = made_without_search(problem, prices.hierarchy)
    assert begun is not None
    found = LocalSearch(problem, prices.hierarchy, prices.value, Effort()).improved(begun)
    assert all(len(column) == 1 and column.dtype == np.int64 for column in found.tiles)
