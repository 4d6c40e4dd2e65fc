"""dissolve-groups: groups of links that cost more than their links would alone are taken apart again."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from dialects.events import Counts
from dialects.gconv import LinkOp
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import main_function
from dialects.nest_machine import NestMachine
from dialects.schedule import Objective
from dialects.spatial import LayerOp
from dialects.target import require_nest_machine
from passes.fusion.grouping import groups_of, inline
from passes.fusion.placed_on_levels import predict_layer
from passes.map_nest import MapNestPass
from passes.mapper.pricing import Prices
from passes.merge_dims import MergeDimsPass
from passes.order_segments import OrderSegmentsPass
from passes.place_nest import PlaceNestPass
from passes.pricing import price
from passes.searching.objectives import objective_on
from passes.searching.options import SearchingPass

Costs = tuple[float, ...]
"""Numbers that must not grow."""


@dataclass(frozen=True)
class DissolveGroupsPass(SearchingPass):
    """Take every group of a mapped chain apart that costs more, by the objective, than its links would alone.

    That is found on copies: one is placed as it is, in another one all groups are taken apart and mapped first. What
    counts is what the cost model expects of the layers. Where energy times time is asked for, neither may be more. So
    no network costs more than it would without groups; links of groups that are taken apart get mappings as `map-nest`
    gives them.
    """

    name = "dissolve-groups"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Dissolve groups. Raises `CatenaError` as `map-nest` and `place-nest` do."""
        machine = require_nest_machine(op, "mapped")
        groups = groups_of(main_function(op))
        if not groups:
            return
        places = _places_of_members(op)
        together = self._costs(ctx, op.clone(), places, machine)
        apart = op.clone()
        self._take_apart(ctx, apart, groups_of(main_function(apart)))
        alone = self._costs(ctx, apart, places, machine)
        compared = zip(groups, together, alone, strict=True)
        costly = [group for group, mine, others in compared if any(map(operator.gt, mine, others))]
        self._take_apart(ctx, op, costly)

    def _take_apart(self, ctx: Context, module: ModuleOp, groups: Sequence[FusedOp]) -> None:
        """Put links of groups back into the chain, and map them as those that never were in one."""
        if not groups:
            return
        for group in groups:
            inline(group)
        MergeDimsPass().apply(ctx, module)
        self.options.applied_to(MapNestPass()).apply(ctx, module)

    def _costs(
        self, ctx: Context, module: ModuleOp, groups: Sequence[Sequence[int]], machine: NestMachine
    ) -> list[Costs]:
        """What links of a mapped module cost, some together, given by their places in it; the module is placed."""
        links = len(_links(module))
        OrderSegmentsPass().apply(ctx, module)
        PlaceNestPass().apply(ctx, module)
        layers = [layer for layer in module.walk() if isinstance(layer, LayerOp)]
        assert len(layers) == links, "a layer for every link"
        objective = objective_on(machine, Objective(self.objective))
        known: dict[Hashable, Counts] = {}
        return [
            _cost([predict_layer(layers[place], machine, known) for place in places], machine, objective)
            for places in groups
        ]


def _links(module: ModuleOp) -> list[LinkOp]:
    return [link for link in module.walk() if isinstance(link, LinkOp)]


def _places_of_members(module: ModuleOp) -> list[list[int]]:
    """The places of every group's links among all links of a module."""
    places = {link: place for place, link in enumerate(_links(module))}
    return [[places[link] for link in group.links] for group in groups_of(main_function(module))]


def _cost(counts: Sequence[Counts], machine: NestMachine, objective: Objective) -> Costs:
    """What layers cost together; energy and cycles of each kind that counts."""
    prices = [price(each, machine) for each in counts]
    energy, cycles = sum(each.total_energy for each in prices), float(sum(each.cycles for each in prices))
    match objective:
        case Objective.ENERGY:
            return (energy,)
        case Objective.LATENCY:
            return (cycles,)
        case Objective.EDP:
            return energy, cycles
        case Objective.TRAFFIC:
            moved = {*Prices(machine, objective).of, f"{machine.memories[0].name}.extra.read"}
            return (float(sum(each.events.get(event, 0) for each in counts for event in moved)),)
