"""Prices of additions by which no mapping costs less if a sum leaves a memory sooner, or meets others on its way.

An addition in a memory may be saved by one further out, where the sum arrives once more, or by a hop: of the sums of n
elements that leave together n - 1 meet others, and n additions are saved.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from dialects.gconv import LoopKind
from dialects.hierarchy import Hierarchy
from dialects.schedule import Operand
from passes.mapper.dataflow import BoundFlow
from passes.mapper.nest import Par


def with_cheap_sums(flow: BoundFlow, hierarchy: Hierarchy, costs: Mapping[str, float]) -> Mapping[str, float]:
    """Prices of which none is higher, such that sums cost no more to add, or on their way, than further out.

    They are the same where that is so anyway.
    """
    outermost, *inner = hierarchy.memories
    names = [outermost.name, *(each.name for each in inner if Operand.OUTPUT in each.operands)]
    met = meeting(flow, hierarchy, range(len(flow.nest.nodes)))
    lowered = dict(costs)
    least = math.inf
    for name in names:
        add, update, hop = (f"{name}.output.{event}" for event in ("add", "update", "hop"))
        lowered |= {add: min(lowered[add], least)} if add in lowered else {}
        least = min(least, lowered.get(update, 0.0) + lowered.get(add, 0.0))
        lowered |= {hop: min(lowered[hop], least)} if hop in lowered else {}
        least = min(least, lowered.get(hop, 0.0)) if name in met else least
    return lowered


def meeting(flow: BoundFlow, hierarchy: Hierarchy, cuts: Collection[int]) -> frozenset[str]:
    """The memories on the way to which sums meet along an axis by some cuts."""
    stores = flow.nest.stores(Operand.OUTPUT)
    found: set[str] = set()
    for place in cuts:
        node = flow.nest.nodes[place]
        if not isinstance(node, Par) or not hierarchy.axis(node.axis).reduces:
            continue
        if flow.problem.loops[node.loop].kind is LoopKind.KS:
            found.add([hierarchy.memories[0].name, *(store.memory for each, store in stores if each < place)][-1])
    return frozenset(found)


def dear_hops(flow: BoundFlow, hierarchy: Hierarchy, costs: Mapping[str, float]) -> frozenset[str]:
    """The memories on the way to which sums meet although they cost less to arrive one by one."""
    return frozenset(
        name
        for name in meeting(flow, hierarchy, range(len(flow.nest.nodes)))
        if costs.get(f"{name}.output.hop", 0.0) > sum(costs.get(f"{name}.output.{e}", 0.0) for e in ("update", "add"))
    )
