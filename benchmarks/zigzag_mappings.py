"""A mapping that ZigZag exported, in Catena's notation, and what a mapping costs by the walk.

A module of `benchmarks/zigzag.py`, no command of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from dimension_walk import DimensionWalk
from xdsl.parser import Parser
from zigzag_layers import LOOPS, Layer

from compiler.ir_text import new_context
from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Mapping, MappingAttr, Operand, Spatial, Storage, Temporal
from passes.mapper.nest import nest_of
from passes.mapper.problem import RELEVANT, Problem

OPERANDS = {"I": Operand.INPUT, "W": Operand.KERNEL, "O": Operand.OUTPUT}
"""ZigZag's names of operands."""


@dataclass(frozen=True)
class Price:
    """What a mapping of a layer costs: pJ, operations included, and cycles."""

    energy: float
    cycles: float

    @property
    def edp(self) -> float:
        """Energy-delay product, in pJ cycles."""
        return self.energy * self.cycles


@dataclass(frozen=True)
class Exported:
    """A mapping of the peer's as one of ours.

    `moved` memories hold their operands longer than in the peer's, because our notation has one place for the array:
    that takes more words than the peer's holds, perhaps more than there are, and moves no more of them.
    """

    mapping: Mapping
    moved: tuple[str, ...]


@dataclass
class _Place:
    """Where an operand comes into a memory: inside of all loops but the innermost `inside`."""

    inside: int
    memory: Memory
    operand: str
    is_local: bool


def exported(layer: Layer, found: dict[str, Any], hierarchy: Hierarchy) -> Exported:
    """What `zigzag/search.py` wrote of a mapping.

    ZigZag has the same loops around every operand and cuts them into memories for each operand on its own; the array
    lies between the memories of elements and those that all share.
    """
    loops: list[tuple[str, int]] = [(name, factor) for level in found["temporal"]["O"] for name, factor in level]
    places = [place for operand in OPERANDS for place in _places(loops, operand, found, hierarchy)]
    array = max(place.inside for place in places if place.is_local)
    moved = [place for place in places if not place.is_local and place.inside < array]
    for place in moved:
        place.inside = array
    laid = [
        (axis.lower(), name, factor)
        for axis, factors in found["spatial"].items()
        for name, factor in factors.items()
        if factor > 1
    ]
    order = {memory.name: depth for depth, memory in enumerate(hierarchy.memories)}
    nodes: list[Temporal | Spatial | Storage] = []
    for inside in range(len(loops), -1, -1):
        here = sorted((p for p in places if p.inside == inside), key=lambda place: order[place.memory.name])
        nodes += [Storage(p.memory.name, (OPERANDS[p.operand],)) for p in here if not p.is_local]
        if inside == array:
            nodes += _array(laid, loops[:array])
        nodes += [Storage(p.memory.name, (OPERANDS[p.operand],)) for p in here if p.is_local]
        if inside:
            name, _ = loops[inside - 1]
            tile = math.prod(factor for each, factor in loops[: inside - 1] if each == name)
            if inside > array:
                tile *= _side_by_side(layer, loops, name)
            nodes.append(Temporal(LOOPS[name], tile))
    return Exported(Mapping(tuple(nodes)), tuple(place.memory.name for place in moved))


def _places(loops: list[tuple[str, int]], operand: str, found: dict[str, Any], hierarchy: Hierarchy) -> list[_Place]:
    """The places of an operand from the inside out, without the outermost.

    A memory keeps what loops around a place do not change, so that places can as well be further in or out by such
    loops: those of elements are moved in, those of shared memories out, which leaves most room for the array.
    """
    taking = [each for each in reversed(hierarchy.memories) if OPERANDS[operand] in each.operands]
    levels: list[Any] = found["temporal"][operand]
    result: list[_Place] = []
    inside = 0
    for memory, level in zip(taking[:-1], levels, strict=False):
        inside += len(level)
        place = _Place(inside, memory, operand, bool(hierarchy.axes_outside(memory.name)))
        if place.is_local:
            while place.inside and not _changes(loops[place.inside - 1], operand):
                place.inside -= 1
        else:
            while place.inside < len(loops) and not _changes(loops[place.inside], operand):
                place.inside += 1
        result.append(place)
    return result


def _changes(loop: tuple[str, int], operand: str) -> bool:
    """Whether turns of a loop change which words of an operand are needed."""
    return LOOPS[loop[0]].kind in RELEVANT[OPERANDS[operand]]


def _side_by_side(layer: Layer, loops: list[tuple[str, int]], name: str) -> int:
    """Indices of a loop that elements work on at a time, all steps taking as many, as ZigZag counts them."""
    return -(-layer.sizes[name] // math.prod(factor for each, factor in loops if each == name))


def _array(laid: list[tuple[str, str, int]], inner: list[tuple[str, int]]) -> list[Spatial]:
    """The nodes of loops along axes: what each leaves for a position is for further axes, then for turns inside."""
    nodes: list[Spatial] = []
    for index, (axis, name, _) in enumerate(laid):
        tile = math.prod(factor for each, factor in inner if each == name)
        tile *= math.prod(factor for _, each, factor in laid[index + 1 :] if each == name)
        nodes.append(Spatial(LOOPS[name], tile, axis))
    return nodes


def parse(text: str) -> Mapping:
    """A mapping from the text of its attribute. Raises xDSL's `ParseError` where it is none."""
    attribute = Parser(new_context(), text).parse_attribute()
    assert isinstance(attribute, MappingAttr)
    return attribute.data


def walked(layer: Layer, mapping: Mapping, hierarchy: Hierarchy) -> DimensionWalk:
    """The walk of a mapping."""
    problem = Problem.of(layer.spec)
    nest, tiles = nest_of(problem, mapping)
    return DimensionWalk(problem, hierarchy, nest, [int(column[0]) for column in tiles])


def price(walk: DimensionWalk) -> Price:
    """Energy and cycles by what the walk counted, on a machine whose off-chip memory alone has limited ports."""
    hierarchy = walk.hierarchy
    outermost, *others = hierarchy.memories
    assert all(memory.read is None and memory.write is None for memory in others)
    counted = walk.events
    energy = hierarchy.operation * counted["operation"]
    for access in hierarchy.accesses:
        energy += access.energy * sum(times * counted[event] for event, times in access.events.items())
    out = sum(counted[f"{outermost.name}.{event}"] for event in ("input.read", "kernel.read", "output.add"))
    come = counted[f"{outermost.name}.output.update"]
    cycles = max(walk.steps, out / (outermost.read or math.inf), come / (outermost.write or math.inf))
    return Price(energy, cycles)


def overruns(walk: DimensionWalk) -> list[str]:
    """Memories and axes that a mapping asks too much of, by the walk; empty for a legal one."""
    found: list[str] = []
    for level in walk.hierarchy.levels[1:]:
        if isinstance(level, Axis):
            found += [level.name] if walk.elements(level.name) > level.size else []
            continue
        held = {operand: words for (memory, operand), words in walk.occupancy.items() if memory == level.name}
        full = level.words is not None and sum(held.values()) > level.words
        found += [level.name] if full or any(n > level.rooms.get(op, n) for op, n in held.items()) else []
    return found


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/zigzag.py: run that one")
