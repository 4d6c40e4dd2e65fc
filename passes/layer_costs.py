"""What layers of a mapped chain cost on their machine, as the cost model predicts it once they are placed."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from typing import Protocol

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.array_machine import Machine
from dialects.events import Counts
from dialects.gconv import LinkOp
from dialects.gemm_machine import GemmMachine
from dialects.nest_machine import NestMachine
from dialects.schedule import HostAttr, Objective
from dialects.spatial import LayerOp
from dialects.target import find_machine, require_nest_machine
from passes.fusion.placed_on_array import predict_layer as predict_on_array
from passes.fusion.placed_on_levels import predict_layer as predict_on_levels
from passes.fusion.priced_network import AloneCost
from passes.gemm.cost import LINK
from passes.gemm.prediction import predict_layer as predict_on_products
from passes.map_gemm import MapGemmPass
from passes.map_nest import MapNestPass
from passes.map_row_stationary import MapRowStationaryPass
from passes.mapper.pricing import Prices
from passes.mapping.cost import FEATURES
from passes.order_segments import OrderSegmentsPass
from passes.place_gemm import PlaceGemmPass
from passes.place_nest import PlaceNestPass
from passes.place_spatial import PlaceSpatialPass
from passes.pricing import price


class Judge(Protocol):
    """How links are mapped and placed on a kind of machine, and what their layers count there."""

    @property
    def mapping(self) -> ModulePass:
        """The pass that maps links."""
        ...

    @property
    def placing(self) -> ModulePass:
        """The pass that places them."""
        ...

    @property
    def machine(self) -> NestMachine | Machine | GemmMachine:
        """The machine."""
        ...

    @property
    def moved(self) -> Collection[str]:
        """The events of words on the off-chip link."""
        ...

    def counts(self, layer: LayerOp) -> Counts:
        """What a layer is expected to count."""
        ...


def judge_of(module: ModuleOp) -> Judge:
    """The judge of a module's machine. Raises `CatenaError` if it has none, or one that is not judged."""
    match machine := find_machine(module):
        case GemmMachine():
            return _OnProducts(machine)
        case Machine():
            return _OnArray(machine)
        case _:
            return _OnLevels(require_nest_machine(module, "mapped").executed)


def layer_costs(ctx: Context, module: ModuleOp, judge: Judge) -> list[AloneCost]:
    """What every link of a mapped module costs, in their order; the module is placed. The host's cost nothing here."""
    links = [link for link in module.walk() if isinstance(link, LinkOp)]
    at_host = [isinstance(link.mapping, HostAttr) for link in links]
    OrderSegmentsPass().apply(ctx, module)
    judge.placing.apply(ctx, module)
    layers = [layer for layer in module.walk() if isinstance(layer, LayerOp)]
    assert len(layers) == len(links), "a layer for every link"
    return [
        AloneCost(0, 0.0, 0) if is_at_host else _cost(layer, judge)
        for layer, is_at_host in zip(layers, at_host, strict=True)
    ]


def _cost(layer: LayerOp, judge: Judge) -> AloneCost:
    counts = judge.counts(layer)
    found = price(counts, judge.machine)
    return AloneCost(sum(counts.events.get(event, 0) for event in judge.moved), found.total_energy, found.cycles)


class _OnLevels:
    """Machines of levels."""

    mapping, placing = MapNestPass(), PlaceNestPass()

    def __init__(self, machine: NestMachine):
        self.machine = machine
        self.moved = {*Prices(machine, Objective.TRAFFIC).of, f"{machine.memories[0].name}.extra.read"}
        self._known: dict[Hashable, Counts] = {}

    def counts(self, layer: LayerOp) -> Counts:
        """What a layer is expected to count."""
        return predict_on_levels(layer, self.machine, self._known)


class _OnArray:
    """Machines of rows and columns."""

    mapping, placing = MapRowStationaryPass(), PlaceSpatialPass()

    def __init__(self, machine: Machine):
        self.machine = machine
        self.moved = machine.on_link((*FEATURES, "dram.kernel.read"))
        self._known: dict[Hashable, Counts] = {}

    def counts(self, layer: LayerOp) -> Counts:
        """What a layer is expected to count."""
        return predict_on_array(layer, self.machine, self._known)


class _OnProducts:
    """Machines of matrix products."""

    mapping, placing, moved = MapGemmPass(), PlaceGemmPass(), LINK

    def __init__(self, machine: GemmMachine):
        self.machine = machine
        self._known: dict[Hashable, Counts] = {}

    def counts(self, layer: LayerOp) -> Counts:
        """What a layer is expected to count."""
        return predict_on_products(layer, self.machine, self._known)
