"""Links by mappings of their own, as their machine finds them: what groups have to be better than."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Attribute

from dialects.diagnostics import CatenaError
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
from passes.mapper.search import least_in_dataflow
from passes.merge_dims import MergeDimsPass
from passes.pricing import price
from passes.searching.links import map_links
from passes.searching.options import SearchOptions
from passes.storage import Storage

_NEVER = 1 << 62
"""Words that no link moves."""
_ROUNDING = 2.0**-30
"""The share of a bound that may be an error of rounding."""
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
        _map_the_rest(ctx, module, self.mappings)


class LinksToLookAt:
    """What links move as `map-nest` maps them on a machine, searched for only where it is asked for.

    With a time limit mappings are not kept, and searched again by what it allows.
    """

    def __init__(self, ctx: Context, module: ModuleOp, machine: NestMachine, options: SearchOptions):
        copy = module.clone()
        MergeDimsPass().apply(ctx, copy)
        self._merged = dict(zip(_links(module), _links(copy), strict=True))
        self._block, self._machine = main_function(copy).body.block, machine
        search = replace(options, time_limit=None).applied_to(MapNestPass())
        assert isinstance(search, MapNestPass)
        self._search, self._keeps = search, options.time_limit is None
        self._least: dict[_Alike, int] = {}
        self._found: dict[_Alike, dict[str, Attribute]] = {}

    def words(self, link: LinkOp) -> int | None:
        """Words that a link moves, if that is known."""
        merged = self._merged[link]
        mapping = self._found.get(_alike(merged), {}).get("mapping", merged.mapping)
        if not isinstance(mapping, MappingAttr):
            return None
        return _words(_counts(merged, mapping, self._machine), self._machine)

    def at_least(self, link: LinkOp) -> int:
        """Words that a link moves at least. Raises `CatenaError` (CAT-C003) if the machine's dataflow is wrong."""
        merged = self._merged[link]
        if (known := self.words(link)) is not None:
            return known
        key = _alike(merged)
        if key not in self._least:
            spec, extras = key
            least = 0.0
            if self._machine.dataflow is not None:
                least = least_in_dataflow(spec, self._machine, Objective.TRAFFIC, extras)
            # fractions are of the bound alone
            self._least[key] = _NEVER if math.isinf(least) else math.ceil(least * (1 - _ROUNDING))
        return self._least[key]

    def look_at(self, links: Collection[LinkOp]) -> None:
        """Search for the mappings of some links; those for which there is none stay unknown."""
        wanted = {_alike(self._merged[link]): self._merged[link] for link in links if self.words(link) is None}
        search, chosen = self._search, {*wanted.values()}
        # `map-nest` says why there is none, if the link is left alone
        with suppress(CatenaError):
            map_links(
                self._block,
                lambda link: link not in chosen,
                lambda link: search.task_of(link, self._machine),
                self._machine,
                search.options,
            )
        for key, link in wanted.items():
            if link.mapping is not None and link.search is not None:
                self._found[key] = {"mapping": link.mapping, "search": link.search}

    def map_the_rest(self, ctx: Context, module: ModuleOp) -> None:
        """Give links that are in no group the mappings that they were compared with."""
        if self._keeps:
            _map_the_rest(ctx, module, self._found)


@dataclass(frozen=True)
class WordsOfRun:
    """What the links of a network move by mappings of their own, by their places (`WordsAlone`)."""

    known: LinksToLookAt
    run: Sequence[LinkOp]

    def at_least(self, place: int) -> int:
        """Words that a link moves at least."""
        return self.known.at_least(self.run[place])

    def exactly(self, places: Sequence[int]) -> list[int | None]:
        """Words that some links move; None for one that has no mapping."""
        links = [self.run[place] for place in places]
        self.known.look_at(links)
        return [self.known.words(link) for link in links]


def _map_the_rest(ctx: Context, module: ModuleOp, mappings: Mapping[_Alike, dict[str, Attribute]]) -> None:
    if not mappings:
        return
    MergeDimsPass().apply(ctx, module)
    storage = Storage(main_function(module).body.block)
    for link in _links(module):
        if link.mapping is None and storage.update(link.result) is None:
            link.properties |= mappings.get(_alike(link), {})


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
