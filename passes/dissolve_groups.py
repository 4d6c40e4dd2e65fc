"""dissolve-groups: groups of links that cost more than their links would alone are taken apart again."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.array_machine import Machine
from dialects.events import Counts
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import main_function
from dialects.gemm_machine import GemmMachine
from dialects.nest_machine import NestMachine
from dialects.schedule import Objective
from dialects.spatial import LayerOp
from dialects.target import find_machine, require_nest_machine
from passes.fusion.grouping import inline
from passes.fusion.placed_on_array import predict_layer as predict_on_array
from passes.fusion.placed_on_levels import predict_layer as predict_on_levels
from passes.fusion.series import Series, series_of
from passes.gemm.cost import LINK
from passes.gemm.prediction import predict_layer as predict_on_products
from passes.gemm.pricing import price_of_products
from passes.map_gemm import MapGemmPass
from passes.map_nest import MapNestPass
from passes.map_row_stationary import MapRowStationaryPass
from passes.mapper.pricing import Prices
from passes.mapping.cost import FEATURES, Price
from passes.merge_dims import MergeDimsPass
from passes.order_segments import OrderSegmentsPass
from passes.place_gemm import PlaceGemmPass
from passes.place_nest import PlaceNestPass
from passes.place_spatial import PlaceSpatialPass
from passes.pricing import price
from passes.searching.objectives import objective_on
from passes.searching.options import SearchingPass

Costs = tuple[float, ...]
"""Numbers that must not grow."""


@dataclass(frozen=True)
class DissolveGroupsPass(SearchingPass):
    """Take every group of a mapped chain apart that costs more, by the objective, than its links would alone.

    That is found on copies: one is placed as it is, in another one all groups are taken apart and mapped first. What
    counts is what the cost model expects of the layers, with the zeros of kernels in blocks where the machine has them.
    Where energy times time is asked for, neither may be more. So no network costs more than it would without groups;
    links of groups that are taken apart get mappings as the pass gives them that maps chains on the machine.
    Groups between which tensors stay on the chip are compared, and taken apart, together. Those that are `pinned` stay
    as they are, and so do all between which and them tensors stay. By `product`, energy times time is what counts,
    whatever the objective, and one may be more where the other is less by as large a factor or a larger one.
    """

    name = "dissolve-groups"

    product: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Dissolve groups. Raises `CatenaError` as passes that map and place on the machine do."""
        machine = find_machine(op)
        judge: _Judge
        match machine:
            case GemmMachine():
                judge = _OnProducts(machine)
            case Machine():
                judge = _OnArray(machine)
            case _:
                judge = _OnLevels(require_nest_machine(op, "mapped"))
        groups = _judged(op)
        if not groups:
            return
        places = _places_of_members(op)
        together = self._costs(ctx, op.clone(), places, judge)
        apart = op.clone()
        self._take_apart(ctx, apart, _judged(apart), judge)
        alone = self._costs(ctx, apart, places, judge)
        compared = zip(groups, together, alone, strict=True)
        costly = [group for group, mine, others in compared if any(map(operator.gt, mine, others))]
        self._take_apart(ctx, op, costly, judge)

    def _take_apart(self, ctx: Context, module: ModuleOp, groups: Sequence[Series], judge: _Judge) -> None:
        """Put links of groups back into the chain, and map them as those that never were in one."""
        if not groups:
            return
        for group in (each for series in groups for each in series):
            inline(group)
        MergeDimsPass().apply(ctx, module)
        replace(self.options, objective=self._least).applied_to(judge.mapping).apply(ctx, module)

    @property
    def _least(self) -> Objective:
        """What is made least, by links that are mapped alone, too."""
        return Objective.EDP if self.product else Objective(self.objective)

    def _costs(self, ctx: Context, module: ModuleOp, groups: Sequence[Sequence[int]], judge: _Judge) -> list[Costs]:
        """What links of a mapped module cost, some together, given by their places in it; the module is placed."""
        links = len(_links(module))
        OrderSegmentsPass().apply(ctx, module)
        judge.placing.apply(ctx, module)
        layers = [layer for layer in module.walk() if isinstance(layer, LayerOp)]
        assert len(layers) == links, "a layer for every link"
        costs = (judge.costs([layers[place] for place in places], self._least) for places in groups)
        return [(math.prod(each),) if self.product else each for each in costs]


def _links(module: ModuleOp) -> list[LinkOp]:
    return [link for link in module.walk() if isinstance(link, LinkOp)]


def _judged(module: ModuleOp) -> list[Series]:
    """The groups, or series of them, that nobody asked for."""
    found = series_of(main_function(module), "mapped")
    return [series for series in found if all(group.pinned is None for group in series)]


def _places_of_members(module: ModuleOp) -> list[list[int]]:
    """The places of the links of every group that is judged, or series of them, among all links of a module."""
    places = {link: place for place, link in enumerate(_links(module))}
    return [[places[link] for group in series for link in group.links] for series in _judged(module)]


class _Judge(Protocol):
    """How links are mapped and placed on a kind of machine, and what their layers cost there."""

    @property
    def mapping(self) -> ModulePass:
        """The pass that maps links."""
        ...

    @property
    def placing(self) -> ModulePass:
        """The pass that places them."""
        ...

    def costs(self, layers: Sequence[LayerOp], objective: Objective) -> Costs:
        """What layers cost together; energy and cycles of each kind that counts."""
        ...


class _OnLevels:
    """Machines of levels."""

    mapping, placing = MapNestPass(), PlaceNestPass()

    def __init__(self, machine: NestMachine):
        self._machine = machine
        self._known: dict[Hashable, Counts] = {}

    def costs(self, layers: Sequence[LayerOp], objective: Objective) -> Costs:
        """What layers cost together."""
        machine = self._machine
        objective = objective_on(machine, objective)
        counts = [predict_on_levels(each, machine, self._known) for each in layers]
        moved = {*Prices(machine, objective).of, f"{machine.memories[0].name}.extra.read"}
        return _costs([price(each, machine) for each in counts], counts, moved, objective)


class _OnArray:
    """Machines of rows and columns."""

    mapping, placing = MapRowStationaryPass(), PlaceSpatialPass()

    def __init__(self, machine: Machine):
        self._machine = machine
        self._known: dict[Hashable, Counts] = {}

    def costs(self, layers: Sequence[LayerOp], objective: Objective) -> Costs:
        """What layers cost together."""
        machine = self._machine
        counts = [predict_on_array(each, machine, self._known) for each in layers]
        moved = machine.on_link((*FEATURES, "dram.kernel.read"))
        return _costs([price(each, machine) for each in counts], counts, moved, objective)


class _OnProducts:
    """Machines of matrix products."""

    mapping, placing = MapGemmPass(), PlaceGemmPass()

    def __init__(self, machine: GemmMachine):
        self._machine = machine
        self._known: dict[Hashable, Counts] = {}

    def costs(self, layers: Sequence[LayerOp], objective: Objective) -> Costs:
        """What layers cost together."""
        counts = [predict_on_products(each, self._machine, self._known) for each in layers]
        return _costs([price_of_products(each, self._machine) for each in counts], counts, LINK, objective)


def _costs(prices: Sequence[Price], counts: Sequence[Counts], moved: Collection[str], objective: Objective) -> Costs:
    """What counts by the objective; `moved` are the events of words on the off-chip link."""
    energy, cycles = sum(each.total_energy for each in prices), float(sum(each.cycles for each in prices))
    match objective:
        case Objective.ENERGY:
            return (energy,)
        case Objective.LATENCY:
            return (cycles,)
        case Objective.EDP:
            return energy, cycles
        case Objective.TRAFFIC:
            return (float(sum(each.events.get(event, 0) for each in counts for event in moved)),)
