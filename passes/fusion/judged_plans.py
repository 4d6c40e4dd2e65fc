"""Networks of groups that were found by words, without those that cost more than their links alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from dialects.fused_mapping import FusedMapping
from dialects.schedule import Objective
from passes.fusion.group import Group
from passes.fusion.network import Chosen, Network, NetworkPlan
from passes.fusion.paths import value_of
from passes.fusion.priced_groups import Priced
from passes.fusion.priced_network import AloneCost, Prices
from passes.fusion.staying import ALONE, Staying


class ExactPrices(Prices, Protocol):
    """What groups cost on a machine, to the bit what is predicted of them once they are placed."""

    def in_place(self, group: Group, mapping: FusedMapping, staying: Staying) -> Priced | None:
        """The price of a mapping as it is, beside what stays; None if it cannot be run."""
        ...


def judged(
    plan: NetworkPlan, network: Network, prices: ExactPrices, alone: Sequence[AloneCost], objective: Objective
) -> NetworkPlan:
    """A plan in which nothing stays, with what its groups cost; links are alone where that costs less."""
    parts: list[Chosen] = []
    end = 0
    for part in plan.parts:
        first, end = end, end + len(part.group.links)
        links = [_alone(network, place, alone[place]) for place in range(first, end)]
        priced = None if part.mapping is None or len(links) == 1 else prices.in_place(part.group, part.mapping, ALONE)
        energy, cycles = sum(each.energy or 0.0 for each in links), sum(each.cycles or 0.0 for each in links)
        if priced is None or value_of(objective, priced.energy, priced.cycles) > value_of(objective, energy, cycles):
            parts += links
        else:
            parts.append(replace(part, mapping=priced.mapping, energy=priced.energy, cycles=priced.cycles))
    return NetworkPlan(tuple(parts), exact=False)


def _alone(network: Network, place: int, cost: AloneCost) -> Chosen:
    group = network.group(place, place + 1)
    return Chosen(group, None, 0, cost.words, group.head.spec.trips, 0, cost.energy, cost.cycles)
