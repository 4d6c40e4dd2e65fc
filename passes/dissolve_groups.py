"""dissolve-groups: groups of links that cost more than their links would alone are taken apart again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

from dialects.gconv import LinkOp
from dialects.gconv.interpreter import main_function
from dialects.nest_machine import NestMachine
from dialects.schedule import Objective
from passes.fusion.grouping import inline
from passes.fusion.paths import value_of
from passes.fusion.priced_network import AloneCost
from passes.fusion.series import Series, series_of
from passes.layer_costs import Judge, judge_of, layer_costs
from passes.merge_dims import MergeDimsPass
from passes.searching.objectives import objective_on
from passes.searching.options import SearchingPass


@dataclass(frozen=True)
class DissolveGroupsPass(SearchingPass):
    """Take groups of a mapped chain apart that cost more, by the objective, than their links would alone.

    That is found on copies: one is placed as it is, in another one all groups are taken apart and mapped first. What
    counts is what the cost model expects of the layers, with the zeros of kernels in blocks where the machine has them.
    So no network costs more than it would without groups; links of groups that are taken apart get mappings as the pass
    gives them that maps chains on the machine. Where energy times time is asked for, the product is that of sums over
    all layers: groups are taken apart, and left together again, one by one, as long as it gets less.
    Groups between which tensors stay on the chip are compared, and taken apart, together. Those that are `pinned` stay
    as they are, and so do all between which and them tensors stay. By `product`, energy times time is what counts,
    whatever the objective, of every group by itself.
    """

    name = "dissolve-groups"

    product: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Dissolve groups. Raises `CatenaError` as passes that map and place on the machine do."""
        judge = judge_of(op)
        groups = _judged(op)
        if not groups:
            return
        places = _places_of_members(op)
        together = layer_costs(ctx, op.clone(), judge)
        apart = op.clone()
        self._take_apart(ctx, apart, _judged(apart), judge)
        alone = layer_costs(ctx, apart, judge)
        costly = self._costly(places, together, alone, self._least_on(judge))
        self._take_apart(ctx, op, [groups[place] for place in sorted(costly)], judge)

    def _costly(
        self,
        groups: Sequence[Sequence[int]],
        together: Sequence[AloneCost],
        alone: Sequence[AloneCost],
        objective: Objective,
    ) -> frozenset[int]:
        """The groups, by number, that are to be taken apart; given are the places of the links of each."""
        mine, others = ([_sum([costs[place] for place in group]) for group in groups] for costs in (together, alone))
        worse = [
            place
            for place, (group, links) in enumerate(zip(mine, others, strict=True))
            if _value(group, objective) > _value(links, objective)
        ]
        if self.product or objective is not Objective.EDP:
            return frozenset(worse)
        members = {*chain.from_iterable(groups)}
        rest = [cost for place, cost in enumerate(together) if place not in members]

        def total(apart: frozenset[int]) -> float:
            chosen = (others[place] if place in apart else cost for place, cost in enumerate(mine))
            return _value(_sum([*rest, *chosen]), objective)

        every = frozenset(range(len(groups)))
        dearer = frozenset(n for n in every if mine[n].energy > others[n].energy or mine[n].cycles > others[n].cycles)
        found = [frozenset[int](), _descended(frozenset(), every, total), _descended(dearer, every, total), every]
        return min(found, key=total)

    def _take_apart(self, ctx: Context, module: ModuleOp, groups: Sequence[Series], judge: Judge) -> None:
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

    def _least_on(self, judge: Judge) -> Objective:
        return objective_on(judge.machine, self._least) if isinstance(judge.machine, NestMachine) else self._least


def _descended(some: frozenset[int], every: frozenset[int], value: Callable[[frozenset[int]], float]) -> frozenset[int]:
    """Some of all, with one after another put in or left out as long as the value gets less."""
    while value(other := min((some ^ {each} for each in every), key=value)) < value(some):
        some = other
    return some


def _sum(costs: Sequence[AloneCost]) -> AloneCost:
    return AloneCost(
        sum(each.words for each in costs), sum(each.energy for each in costs), sum(each.cycles for each in costs)
    )


def _value(cost: AloneCost, objective: Objective) -> float:
    return cost.words if objective is Objective.TRAFFIC else value_of(objective, cost.energy, cost.cycles)


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
