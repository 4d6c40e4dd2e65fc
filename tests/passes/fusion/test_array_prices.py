"""What groups cost on machines of rows and columns and of matrix products: what is predicted of placed layers."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping
from dialects.gconv.fused import FusedOp
from dialects.schedule import Objective
from passes.fusion.array_prices import ArrayPrices
from passes.fusion.from_ir import group_of
from passes.fusion.group import Group
from passes.fusion.judged_plans import ExactPrices
from passes.fusion.model import FusedCosts
from passes.fusion.priced_groups import Priced
from passes.fusion.staying import ALONE
from passes.gemm.group_prices import ProductPrices
from passes.gemm.groups import in_memories
from passes.layer_costs import judge_of, layer_costs
from passes.map_gemm import MapGemmPass
from passes.map_row_stationary import MapRowStationaryPass
from tests.backends.generic.fused_groups import chain_of, fuse
from tests.backends.spots.layers import machine as spots_like
from tests.passes.fusion.test_holds import random_lowerable
from tests.passes.mapping.machines import machine_like_eyeriss

OBJECTIVES = (Objective.ENERGY, Objective.LATENCY, Objective.EDP)


@dataclass(frozen=True)
class _Kind:
    """A machine, how groups are mapped on it, what they cost, and where their tensors lie."""

    machine: Any
    mapping: Callable[[Objective], ModulePass]
    prices: Callable[[Objective], ExactPrices]
    placed: Callable[[Group, FusedMapping], FusedMapping]


def _in_buffer(_: Group, mapping: FusedMapping) -> FusedMapping:
    places = (replace(each, memory="dram" if each.memory == "dram" else "glb") for each in mapping.retentions)
    return replace(mapping, retentions=tuple(places))


ROWS = machine_like_eyeriss(name="rows", glb={"banks": 200, "bank_words": 32})
PRODUCTS = spots_like(dram={"words_per_cycle": 1.3})
KINDS = {
    "rows": _Kind(
        ROWS,
        lambda objective: MapRowStationaryPass(objective=objective.value),
        lambda objective: ArrayPrices(ROWS, objective, ()),
        _in_buffer,
    ),
    "products": _Kind(
        PRODUCTS,
        lambda objective: MapGemmPass(objective=objective.value),
        lambda objective: ProductPrices(PRODUCTS, objective),
        in_memories,
    ),
}


def _predicted(module: ModuleOp) -> tuple[float, float]:
    """Energy and cycles of a mapped chain, which is placed."""
    costs = layer_costs(Context(), module, judge_of(module))
    return sum(each.energy for each in costs), sum(each.cycles for each in costs)


def _check(seed: int, kind: _Kind) -> bool:
    """Whether a random group can be mapped and placed; if so, its price is what is predicted then."""
    objective = OBJECTIVES[seed % 3]
    drawn, mapping = random_lowerable(seed)
    if any(each.level is None for each in mapping.retentions):
        return False  # what nests bring in pieces has no hold
    chain = chain_of(drawn, kind.machine)
    fuse(chain, drawn, kind.placed(drawn, mapping))
    (op,) = (op for op in chain.module.walk() if isinstance(op, FusedOp))
    assert isinstance(op.mapping, FusedAttr)
    group, mapping = group_of(op), op.mapping.data
    prices = kind.prices(objective)
    priced = prices.in_place(group, mapping, ALONE)
    try:
        kind.mapping(objective).apply(Context(), chain.module)
        predicted = _predicted(chain.module)
    except CatenaError:
        assert priced is None
        return False
    assert priced is not None
    assert (priced.energy, priced.cycles) == (pytest.approx(predicted[0], rel=1e-12), predicted[1])
    _check_bounds(group, mapping, prices, priced, random.Random(seed))
    return True


def _check_bounds(group: Group, mapping: FusedMapping, prices: ExactPrices, priced: Priced, rng: random.Random) -> None:
    costs = FusedCosts(group, mapping)
    if any(each.memory == "dram" for each in mapping.retentions):
        return
    words = {name: costs.reads.get(name, 0) + costs.writes.get(name, 0) for name in {**costs.reads, **costs.writes}}
    operations = sum(work.operations for work in costs.work.values())
    fewer = {name: rng.randint(0, count) for name, count in words.items()}
    more = sum(words.values()) - sum(fewer.values())
    for bound in (prices.of(group, words, operations), prices.of(group, fewer, operations, more)):
        assert bound[0] <= priced.energy * (1 + 1e-9)
        assert bound[1] <= priced.cycles * (1 + 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_prices_of_random_groups_are_what_is_predicted_of_their_layers(kind: str) -> None:
    assert sum(_check(seed, KINDS[kind]) for seed in range(20)) >= 2


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(20, 220, 50))
@pytest.mark.parametrize("kind", KINDS)
def test_prices_of_more_random_groups_are_what_is_predicted(kind: str, first: int) -> None:
    assert sum(_check(seed, KINDS[kind]) for seed in range(first, first + 50)) > 3


def test_costs_that_depend_on_bursts_or_data_are_not_exact() -> None:
    assert ArrayPrices.are_exact(ROWS)
    assert not ArrayPrices.are_exact(machine_like_eyeriss(dram={"burst_words": 4, "charge_bursts": True}))
    assert not ArrayPrices.are_exact(machine_like_eyeriss(energy={**ROWS.energy.model_dump(), "gating": 0.4}))
