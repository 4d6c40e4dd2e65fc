"""Links by mappings of their own, as their machine finds them: what groups have to be better than."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute

from dialects.events import Counts
from dialects.gconv import GConv, LinkOp
from dialects.gconv.interpreter import main_function
from dialects.nest_machine import NestMachine
from dialects.schedule import MappingAttr, Objective
from passes.chain_views import extra_shapes
from passes.fusion.priced_network import AloneCost
from passes.layer_costs import judge_of, layer_costs
from passes.map_nest import MapNestPass
from passes.mapper.prediction import predict
from passes.mapper.pricing import Prices
from passes.mapper.problem import read_after
from passes.merge_dims import MergeDimsPass
from passes.pricing import price
from passes.searching.options import SearchOptions
from passes.storage import Storage

_Alike = tuple[GConv, tuple[tuple[int, ...], ...]]
"""The loops of a link, and the shapes that its scalar functions read."""


@dataclass(frozen=True)
class LinksAlone:
    """What links move off-chip and cost, and how they are mapped: by the loops that merging leaves them."""

    words: dict[LinkOp, int] = field(default_factory=dict[LinkOp, int])
    costs: dict[LinkOp, AloneCost] = field(default_factory=dict[LinkOp, AloneCost])
    mappings: dict[_Alike, dict[str, Attribute]] = field(default_factory=dict[_Alike, dict[str, Attribute]])
    """Properties of links that are alike: their mapping, and how good that is."""

    def without(self, links: Collection[LinkOp]) -> tuple[float, float]:
        """Energy in pJ and cycles of all links but some."""
        others = [cost for link, cost in self.costs.items() if link not in links]
        return sum(each.energy for each in others), sum(each.cycles for each in others)

    def map_the_rest(self, ctx: Context, module: ModuleOp) -> None:
        """Give links that are in no group the mappings that they were compared with."""
        if not self.mappings:
            return
        MergeDimsPass().apply(ctx, module)
        storage = Storage(main_function(module).body.block)
        for link in _links(module):
            if link.mapping is None and storage.update(link.result) is None:
                link.properties |= self.mappings.get(_alike(link), {})


def links_alone(ctx: Context, module: ModuleOp, machine: NestMachine, options: SearchOptions) -> LinksAlone:
    """Every link as `map-nest` maps it, or as it is mapped already, found on a copy.

    With a time limit mappings are not kept, and searched again by what it allows. Raises `CatenaError` as `map-nest`.
    """
    copy = module.clone()
    MergeDimsPass().apply(ctx, copy)
    replace(options, time_limit=None).applied_to(MapNestPass()).apply(ctx, copy)
    found = LinksAlone()
    for link, mapped in zip(_links(module), _links(copy), strict=True):
        if isinstance(mapped.mapping, MappingAttr):
            counts = _counts(mapped, mapped.mapping, machine)
            cost = price(counts, machine)
            words = found.words[link] = _words(counts, machine)
            found.costs[link] = AloneCost(words, cost.total_energy, cost.cycles)
            if link.mapping is None and options.time_limit is None and mapped.search is not None:
                found.mappings[_alike(mapped)] = {"mapping": mapped.mapping, "search": mapped.search}
    return found


def links_alone_on_arrays(ctx: Context, module: ModuleOp, options: SearchOptions) -> LinksAlone:
    """Every link of the chain without a mapping as the pass of its machine maps it, found and placed on a copy.

    Raises `CatenaError` as that pass, and the one that places chains, do.
    """
    judge, copy = judge_of(module), module.clone()
    MergeDimsPass().apply(ctx, copy)
    replace(options, time_limit=None).applied_to(judge.mapping).apply(ctx, copy)
    every = (link for link in module.walk() if isinstance(link, LinkOp))
    found = zip(every, layer_costs(ctx, copy, judge), strict=True)
    costs = {link: cost for link, cost in found if link.mapping is None}
    return LinksAlone({link: cost.words for link, cost in costs.items()}, costs)


def _links(module: ModuleOp) -> list[LinkOp]:
    return [op for op in main_function(module).body.block.ops if isinstance(op, LinkOp)]


def _alike(link: LinkOp) -> _Alike:
    return link.spec.bare, read_after(link.spec, extra_shapes(link))


def _counts(link: LinkOp, mapping: MappingAttr, machine: NestMachine) -> Counts:
    return predict(link.spec, mapping.data, machine, extra_shapes(link))


def _words(counts: Counts, machine: NestMachine) -> int:
    return sum(counts.events.get(event, 0) for event in Prices(machine, Objective.TRAFFIC).of)
