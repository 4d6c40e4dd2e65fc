"""What every mapping of a link costs at least, known without a search.

Each word of a tensor leaves the place where its path begins once, and is in every memory that it cannot go past once.
All elements together get a word of each operand, and send one of results, for every operation; along axes that
multicast or add up, as many of them as there are positions share one. All but one of the sums of a result merge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Operand
from passes.mapper.counts import OPERAND_NAMES
from passes.mapper.footprint import tile_words
from passes.mapper.links import OPERATION
from passes.mapper.nest import Column
from passes.mapper.pricing import Prices
from passes.mapper.problem import Problem


def least_value(problem: Problem, prices: Prices) -> float:
    """A lower bound of the value of all mappings with nested tiles, as `Prices.value` has it."""
    hierarchy = prices.hierarchy
    events = {name: np.array([times], np.int64) for name, times in least_events(problem, hierarchy).items()}
    energy = sum(prices.event(name) * float(times[0]) for name, times in events.items())
    energy += _least_merge(hierarchy, prices) * (problem.operations - _words(problem, Operand.OUTPUT))
    cycles = _least_cycles(problem, prices, events)
    return float(prices.combined(np.array([energy]), np.array([cycles]), problem.operations)[0])


def least_events(problem: Problem, hierarchy: Hierarchy) -> dict[str, int]:
    """How often events happen at least, but for additions and sums that meet on their way."""
    events: dict[str, int] = {}
    for operand in problem.operands:
        name, words = OPERAND_NAMES[operand], _words(problem, operand)
        leave, arrive = ("update", None) if operand is Operand.OUTPUT else ("read", "fill")
        places = [hierarchy.begins(operand), *_certain(hierarchy, operand)]
        for place in places:
            events[f"{place}.{name}.{leave}"] = words
        for place in places[1:] if arrive else ():
            events[f"{place}.{name}.{arrive}"] = words
        if arrive:
            events[f"{OPERATION}.{name}.{arrive}"] = problem.operations
        inmost = places[-1]
        if not _may_lie_inside(hierarchy, operand, inmost):
            moved = -(-problem.operations // _sharing(hierarchy, operand, inmost))
            events[f"{inmost}.{name}.{leave}"] = max(words, moved)
    for extra in problem.extras:
        event = f"{extra.memory or hierarchy.memories[0].name}.extra.read"
        events[event] = events.get(event, 0) + extra.words
    return events


def _words(problem: Problem, operand: Operand) -> int:
    """Different words of an operand."""
    return int(tile_words(problem, operand, [np.array([extent], np.int64) for extent in problem.extents])[0])


def _certain(hierarchy: Hierarchy, operand: Operand) -> list[str]:
    """The memories that an operand cannot go past, outermost first."""
    kept = hierarchy.kept(None)
    return [memory.name for memory in hierarchy.memories[1:] if (memory.name, operand) in kept]


def _may_lie_inside(hierarchy: Hierarchy, operand: Operand, place: str) -> bool:
    """Whether a memory further in takes the operand, too."""
    return any(isinstance(level, Memory) and operand in level.operands for level in _inside(hierarchy, place))


def _sharing(hierarchy: Hierarchy, operand: Operand, place: str) -> int:
    """How many elements a word from a place goes to, or sums become one on the way there, at most."""
    axes = (level for level in _inside(hierarchy, place) if isinstance(level, Axis))
    shared = (axis.reduces if operand is Operand.OUTPUT else operand in axis.multicast for axis in axes)
    sizes = (level.size for level in _inside(hierarchy, place) if isinstance(level, Axis))
    return math.prod(size for size, is_shared in zip(sizes, shared, strict=True) if is_shared)


def _inside(hierarchy: Hierarchy, place: str) -> tuple[Memory | Axis, ...]:
    names = [level.name for level in hierarchy.levels]
    return hierarchy.levels[names.index(place) + 1 :]


def _least_merge(hierarchy: Hierarchy, prices: Prices) -> float:
    """The least price of a merge of two sums, wherever it may be."""
    takes = [each.name for each in hierarchy.memories[1:] if Operand.OUTPUT in each.operands]
    places = [hierarchy.begins(Operand.OUTPUT), *takes]
    merges = [f"{place}.output.add" for place in places]
    if any(axis.reduces for axis in hierarchy.axes):
        merges += [f"{place}.output.hop" for place in places]
    return min(prices.event(event) for event in merges)


def _least_cycles(problem: Problem, prices: Prices, events: Mapping[str, Column]) -> float:
    """As many steps as the array needs, beside which some memories work, and what others take one after the other."""
    hierarchy = prices.hierarchy
    worked: Mapping[str, Column] = {"operation": np.array([problem.operations], np.int64), **events}
    elements = math.prod(axis.size for axis in hierarchy.axes)
    overlapped = float(-(-problem.operations // min(elements, hierarchy.elements or elements)))
    serial = 0.0
    for memory in hierarchy.memories:
        copies = math.prod(axis.size for axis in hierarchy.axes_outside(memory.name))
        moved = max(float(port[0]) for port in prices.shared_port_cycles(memory, worked)) / copies
        if prices.overlaps(memory):
            overlapped = max(overlapped, moved)
        else:
            serial += moved
    return overlapped + serial
