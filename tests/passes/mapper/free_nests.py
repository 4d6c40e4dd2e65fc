"""Small links and machines without a dataflow, and the best of all their nests by brute force."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Operand
from dialects.soundness import parse_hierarchy
from passes.mapper.counts import Counts
from passes.mapper.nest import Column, For, Nest, Node, Par, Store
from passes.mapper.pricing import Objective, Prices
from passes.mapper.problem import Problem

EVENTS = ("input.read", "kernel.read", "output.update", "output.add", "output.hop", "input.fill", "kernel.fill")
OUTERMOST = EVENTS[:5]
"""Nothing fills the outermost memory."""


@st.composite
def small_links(draw: st.DrawFn) -> GConv:
    """A link of two or three loops with a few indices each."""
    shapes = {
        "matrix": (Dim("A", opc=3), Dim("B", op=4, ks=4)),
        "window": (
            Dim(
                "A",
                opc=draw(st.integers(3, 7)),
                ks=draw(st.integers(2, 4)),
                stride=draw(st.integers(1, 3)),
                dilation=draw(st.integers(1, 3)),
            ),
        ),
        "pooling": (Dim("A", g=2), Dim("B", opc=4, ks=2, stride=draw(st.integers(1, 3)))),
        "filters": (Dim("A", opc=4, ks=2), Dim("B", op=3)),
        "channels": (Dim("A", opc=3, ks=2), Dim("B", ks=3)),
        "groups": (Dim("A", g=3), Dim("B", opc=4, ks=2)),
        "batch": (Dim("A", opc=5), Dim("B", op=5)),
    }
    name = draw(st.sampled_from(sorted(shapes)))
    return GConv(shapes[name], main="pass" if name == "pooling" else "mul", reduce=Reduce.ADD)


TENSORS = {"input": "I", "kernel": "K", "output": "O"}


@st.composite
def small_machines(draw: st.DrawFn) -> Hierarchy:
    """One or two small memories, and an axis or none, with random rules and prices."""
    some = st.lists(st.sampled_from("IKO"), unique=True)
    pair = st.lists(st.sampled_from("IKO"), unique=True, min_size=1, max_size=2)
    levels: dict[str, dict[str, Any]] = {"dram": {"kind": "memory"}}
    shape = draw(st.sampled_from(["buffer", "array", "elements", "two", "siblings", "plane", "row"]))
    names = {
        "buffer": ["glb"],
        "array": ["glb", "pe"],
        "elements": ["pe", "rf"],
        "two": ["glb", "pe", "rf"],
        "siblings": ["glb", "rf"],
        "plane": ["pe", "pes"],
        "row": ["pe", "pes", "rf"],
    }[shape]
    for name in names:
        if name.startswith("pe"):
            loops = draw(st.sampled_from([["g", "op", "opc", "ks"], ["op", "ks"], ["opc"]]))
            size = draw(st.integers(1, 4))
            reduces = draw(st.booleans()) and loops != ["opc"]
            multicast = draw(st.lists(st.sampled_from("IK"), unique=True))
            levels[name] = {"kind": "axis", "size": size, "multicast": multicast, "reduces": reduces, "loops": loops}
            continue
        operands = draw(pair) if shape in ("two", "siblings") else draw(some.filter(bool))
        bank = draw(st.sampled_from([None, None, 3]))
        words = draw(st.integers(2, 24)) if bank is None else bank * draw(st.integers(1, 8))
        levels[name] = {
            "kind": "memory",
            "words": words,
            "operands": operands,
            "bypass": draw(st.lists(st.sampled_from(operands), unique=True, max_size=1)),
            "stays": draw(st.sampled_from([True, True, False])),
            "slides": "I" in operands and draw(st.booleans()),
            "bank": bank,
            "buffers": draw(st.sampled_from([1, 1, 2])),
            "read": draw(st.sampled_from([None, 0.5, 2.0])),
            "write": draw(st.sampled_from([None, None, 0.5])),
        }
        if draw(st.booleans()):
            levels[name]["rooms"] = {draw(st.sampled_from(operands)): draw(st.integers(1, min(12, words)))}
    places = [name for name in levels if not name.startswith("pe")]
    prices = st.sampled_from([0, 1, 2, 5])
    accesses = {
        place: {
            "energy": 20 if place == "dram" else 1,
            "events": {
                f"{place}.{event}": draw(prices)
                for event in (OUTERMOST if place == "dram" else EVENTS)
                if TENSORS[event.partition(".")[0]] in levels[place].get("operands", "IKO")
            }
            | ({"dram.extra.read": draw(prices)} if place == "dram" else {}),
        }
        for place in places
    }
    levels["dram"] |= {"read": draw(st.sampled_from([None, None, 0.5])), "write": draw(st.sampled_from([None, 1.0]))}
    positions = math.prod(levels[name]["size"] for name in names if name.startswith("pe"))
    whole: dict[str, Any] = {"name": "small", "summary": "", "levels": levels, "accesses": accesses}
    if positions > 1 and draw(st.booleans()):
        whole["elements"] = draw(st.integers(1, positions - 1))
    return parse_hierarchy(whole)


def assignments(problem: Problem, hierarchy: Hierarchy) -> Iterator[dict[str, tuple[Operand, ...]]]:
    """Every choice, for every memory, of operands that stay there: all that must, and any of those that may pass by."""
    memories = hierarchy.memories[1:]
    wholes = [frozenset(problem.operands) & frozenset(memory.operands) for memory in memories]
    for sets in itertools.product(*(_subsets(whole) for whole in wholes)):
        passing = [whole - chosen for whole, chosen in zip(wholes, sets, strict=True)]
        if all(gone <= frozenset(memory.bypass) for gone, memory in zip(passing, memories, strict=True)):
            yield {memory.name: tuple(sorted(chosen)) for memory, chosen in zip(memories, sets, strict=True)}


def _subsets(whole: frozenset[Operand]) -> list[frozenset[Operand]]:
    return [frozenset(some) for size in range(len(whole) + 1) for some in itertools.combinations(sorted(whole), size)]


def chains(extent: int, slots: int) -> list[tuple[int, ...]]:
    """Tiles of one loop at every slot from the outermost inwards, each a whole number of the next."""
    found: list[tuple[int, ...]] = []

    def grow(inner: tuple[int, ...]) -> None:
        if len(inner) == slots:
            found.append(inner)
            return
        size = inner[0] if inner else 1
        for tile in sorted({min(size * factor, extent) for factor in range(1, -(-extent // size) + 1)}):
            grow((tile, *inner))

    if not slots:
        return [()]
    for tile in range(1, extent + 1):
        grow((tile,))
    return found


def skeletons(problem: Problem, hierarchy: Hierarchy) -> Iterator[tuple[list[Node], list[int]]]:
    """Stores and loops along axes in every order that mappings may have, and before which of them loops may run.

    Memories without an axis in between get places in any order in which each operand goes from the outside in; axes
    without a memory in between are laid along in any order, loop by loop.
    """
    for assignment in assignments(problem, hierarchy):
        parts: list[list[list[Node]]] = []
        for _, levels in itertools.groupby(hierarchy.levels[1:], type):
            some = list(levels)
            memories = [level for level in some if isinstance(level, Memory)]
            if memories:
                stores = [Store(level.name, each) for level in memories for each in assignment[level.name]]
                inwards = {level.name: depth for depth, level in enumerate(memories)}
                parts.append([[*order] for order in itertools.permutations(stores) if _goes_inwards(order, inwards)])
            else:
                loops = range(len(problem.loops))
                axes = [level for level in some if isinstance(level, Axis)]
                taking = [[axis for axis in axes if problem.loops[loop].kind in axis.loops] for loop in loops]
                orders = itertools.product(*(itertools.permutations(each) for each in taking))
                parts.append(
                    [[Par(loop, axis.name) for loop, along in enumerate(order) for axis in along] for order in orders]
                )
        for chosen in itertools.product(*parts):
            fixed = [node for part in chosen for node in part]
            yield fixed, [i for i, node in enumerate(fixed) if isinstance(node, Store) or _is_first_along(fixed, i)]


def _goes_inwards(order: Sequence[Store], inwards: dict[str, int]) -> bool:
    """Whether each operand gets its places from the outside in."""
    return all(
        inwards[outer.memory] < inwards[inner.memory]
        for outer, inner in itertools.combinations(order, 2)
        if outer.operand is inner.operand
    )


def every_nest(problem: Problem, hierarchy: Hierarchy) -> Iterator[tuple[Nest, list[Column]]]:
    """All nests: all `skeletons`, with all loops between any two places in any order."""
    loops = range(len(problem.loops))
    for fixed, gaps in skeletons(problem, hierarchy):
        for orders in itertools.product(itertools.permutations(loops), repeat=len(gaps)):
            nodes: list[Node] = []
            for index, node in enumerate(fixed):
                if index in gaps:
                    nodes.extend(For(loop) for loop in orders[gaps.index(index)])
                nodes.append(node)
            yield Nest(tuple(nodes)), _tiles(problem, nodes)


def _is_first_along(nodes: list[Node], index: int) -> bool:
    """Whether a node is the first that lays a loop along an axis."""
    return isinstance(nodes[index], Par) and (index == 0 or not isinstance(nodes[index - 1], Par))


def nests(problem: Problem, hierarchy: Hierarchy) -> int:
    """How many nests `every_nest` has."""
    orders = math.factorial(len(problem.loops))
    return sum(orders ** len(gaps) for _, gaps in skeletons(problem, hierarchy))


def _tiles(problem: Problem, nodes: list[Node]) -> list[Column]:
    places = [
        [i for i, node in enumerate(nodes) if not isinstance(node, Store) and node.loop == loop]
        for loop in range(len(problem.loops))
    ]
    options = [chains(extent, len(place)) for extent, place in zip(problem.extents, places, strict=True)]
    rows = list(itertools.product(*(range(len(option)) for option in options)))
    columns = [np.ones(len(rows), np.int64) for _ in nodes]
    for loop, place in enumerate(places):
        table = np.array(options[loop], np.int64).reshape(len(options[loop]), len(place))
        chosen = np.array([row[loop] for row in rows])
        for slot, node in enumerate(place):
            columns[node] = table[chosen, slot]
    return columns


def brute_force(
    spec: GConv, hierarchy: Hierarchy, objective: Objective, extras: Sequence[tuple[int, ...]] = ()
) -> float:
    """The least value over all nests that fit."""
    problem, prices = Problem.of(spec, extras), Prices(hierarchy, objective)
    best = np.inf
    for nest, tiles in every_nest(problem, hierarchy):
        counts = Counts(problem, hierarchy, nest, tiles)
        fits = np.ones(counts.candidates, np.bool_)
        for memory in hierarchy.memories[1:]:
            held = counts.occupancy.get(memory.name, {})
            if memory.words is not None and held:
                bank = memory.bank or 1
                taken = sum(-(-words * memory.buffers // bank) * bank for words in held.values())
                fits &= taken <= memory.words
            for operand, room in memory.rooms.items():
                if operand in held:
                    fits &= held[operand] * memory.buffers <= room
        for axis in hierarchy.axes:
            fits &= counts.elements(axis.name) <= axis.size
        if hierarchy.elements is not None:
            fits &= math.prod(counts.elements(axis.name) for axis in hierarchy.axes) <= hierarchy.elements
        if fits.any():
            best = min(best, float(prices.value(counts)[fits].min()))
    return best
