"""The search for the best of all mappings against brute force, and against the literal walk."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Axis, Hierarchy, Memory
from dialects.schedule import Operand
from dialects.soundness import parse_hierarchy
from passes.mapper.counts import Counts
from passes.mapper.effort import USUAL, Effort
from passes.mapper.free import Best, best_mapping, good_mapping
from passes.mapper.nest import Column, For, Nest, Node, Par, Store, nest_of
from passes.mapper.pricing import Objective, Prices
from passes.mapper.problem import Problem
from tests.examples import examples
from tests.passes.mapper.literal import Literal

MOST_NESTS = 150
"""Brute force takes some milliseconds for each."""

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
    levels: dict[str, dict[str, object]] = {"dram": {"kind": "memory"}}
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
            },
        }
        for place in places
    }
    return parse_hierarchy({"name": "small", "summary": "", "levels": levels, "accesses": accesses})


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


def brute_force(spec: GConv, hierarchy: Hierarchy, objective: Objective) -> float:
    """The least value over all nests that fit."""
    problem, prices = Problem.of(spec), Prices(hierarchy, objective)
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
        if fits.any():
            best = min(best, float(prices.value(counts)[fits].min()))
    return best


def found_by_search(spec: GConv, hierarchy: Hierarchy, objective: Objective) -> Best | None:
    """The best mapping, None if none fits."""
    try:
        return best_mapping(spec, hierarchy, "", objective)
    except CatenaError:
        return None


def check(spec: GConv, hierarchy: Hierarchy, objective: Objective) -> None:
    """`compare`, where brute force does not take too long."""
    assume(nests(Problem.of(spec), hierarchy) <= MOST_NESTS)
    compare(spec, hierarchy, objective)


def compare(spec: GConv, hierarchy: Hierarchy, objective: Objective) -> None:
    """The search finds what brute force finds, and its mapping, walked word by word, costs that.

    Where sums are cheaper to add up further out, it only says how far it may be from that.
    """
    found = found_by_search(spec, hierarchy, objective)
    least = brute_force(spec, hierarchy, objective)
    if found is None:
        assert least == np.inf
        return
    prices = Prices(hierarchy, objective)
    assert found.bound <= least * (1 + 1e-9)
    if prices.evened is prices:
        assert found.value == pytest.approx(least, rel=1e-9)
        assert found.gap == 0
    problem = Problem.of(spec)
    nest, tiles = nest_of(problem, found.mapping)
    walk = Literal(problem, hierarchy, nest, [int(column[0]) for column in tiles])
    assert {event: count for event, count in walk.events.items() if count} == {
        event: count for event, count in found.events.items() if count
    }
    assert walk.steps == found.steps


@settings(max_examples=examples(60), deadline=None)
@given(spec=small_links(), hierarchy=small_machines(), objective=st.sampled_from(Objective))
def test_it_finds_what_brute_force_finds(spec: GConv, hierarchy: Hierarchy, objective: Objective) -> None:
    check(spec, hierarchy, objective)


@pytest.mark.exhaustive
@pytest.mark.parametrize("objective", list(Objective))
def test_it_finds_what_brute_force_finds_often(objective: Objective) -> None:
    @settings(max_examples=examples(250), deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
    @given(spec=small_links(), hierarchy=small_machines())
    def every(spec: GConv, hierarchy: Hierarchy) -> None:
        check(spec, hierarchy, objective)

    every()


def dear_additions(random: Random) -> tuple[GConv, Hierarchy]:
    """A link, and a machine on which sums are cheaper to add up off the chip than in its buffer."""
    shape = random.choice(
        [(Dim("A", opc=3), Dim("B", op=4, ks=4)), (Dim("A", opc=4, ks=2), Dim("B", op=3)), (Dim("A", opc=4, ks=3),)]
    )
    operands = random.choice(["O", "IO", "KO"])
    words, stays = random.randint(2, 16), random.random() < 0.75
    levels: dict[str, dict[str, object]] = {
        "dram": {"kind": "memory"},
        "glb": {"kind": "memory", "words": words, "operands": list(operands), "stays": stays},
    }
    if random.random() < 0.4:
        levels["pe"] = {"kind": "axis", "size": 3, "multicast": ["I"], "reduces": random.random() < 0.5}
    events = {f"dram.{event}": random.choice([0, 1, 2]) for event in OUTERMOST[:4]}
    accesses = {
        "dram": {"energy": 1, "events": events},
        "glb": {"energy": random.choice([1, 3]), "events": {"glb.output.update": 1, "glb.output.add": 5}},
    }
    machine = parse_hierarchy({"name": "dear", "summary": "", "levels": levels, "accesses": accesses})
    return GConv(shape, "mul", Reduce.ADD), machine


@pytest.mark.parametrize("objective", [Objective.ENERGY, Objective.EDP])
@pytest.mark.filterwarnings("error")
def test_where_sums_are_cheaper_to_add_further_out_the_gap_is_true(objective: Objective) -> None:
    gaps: list[float] = []
    for seed in range(14):
        spec, machine = dear_additions(Random(seed))
        assert Prices(machine).evened is not Prices(machine)
        if (
            nests(Problem.of(spec), machine) > MOST_NESTS
            or (found := found_by_search(spec, machine, objective)) is None
        ):
            continue
        least = brute_force(spec, machine, objective)
        assert found.value == pytest.approx(least, rel=1e-9)
        assert found.bound <= least * (1 + 1e-9)
        gaps.append(found.gap)
    assert len(gaps) >= 8
    assert gaps.count(0.0) >= len(gaps) // 2


def meeting_sums(random: Random) -> tuple[GConv, Hierarchy]:
    """A link, and a machine whose sums meet along an axis for more or less than they cost to add in its elements."""
    shape = random.choice(
        [(Dim("A", op=2, ks=6),), (Dim("A", opc=2), Dim("B", ks=7)), (Dim("A", op=3), Dim("B", ks=5))]
    )
    kept = random.choice(["O", "KO", "IO"])
    levels: dict[str, dict[str, object]] = {"dram": {"kind": "memory"}}
    if random.random() < 0.3:
        levels["glb"] = {"kind": "memory", "operands": ["O"], "words": random.randint(1, 4)}
    levels["pe"] = {"kind": "axis", "size": random.randint(2, 5), "multicast": ["I"], "reduces": True}
    levels["rf"] = {"kind": "memory", "operands": list(kept), "words": random.randint(2, 12)}
    events = [f"{name}.output.{event}" for name in levels if name != "pe" for event in ("update", "add", "hop")]
    accesses: dict[str, dict[str, object]] = {
        event.replace(".", "_"): {"energy": random.choice([0, 1, 2, 3, 6, 12]), "events": {event: 1}}
        for event in events
    }
    accesses["dram"] = {"energy": 4, "events": {"dram.input.read": 1, "dram.kernel.read": 1}}
    machine = parse_hierarchy({"name": "meeting", "summary": "", "levels": levels, "accesses": accesses})
    return GConv(shape, "mul", Reduce.ADD), machine


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 600), marks=pytest.mark.exhaustive)])
def test_sums_that_meet_along_an_axis(seeds: range) -> None:
    """Wherever two sums are merged costs something, and more elements than are needed may be worth having for it."""
    compared, uneven = 0, 0
    for seed in seeds:
        spec, machine = meeting_sums(Random(seed))
        prices = Prices(machine)
        if prices.evened is not prices or nests(Problem.of(spec), machine) > MOST_NESTS:
            continue
        compare(spec, machine, Objective.ENERGY)
        compared, uneven = compared + 1, uneven + prices.meets
    assert compared > len(seeds) // 4
    assert 0 < uneven < compared


def test_bounds_of_machines_without_registers_are_reached() -> None:
    """CONV3 of AlexNet on the machine without local reuse, whose sums meet in the array or in the buffer."""
    machine = select_target("isca16-nlr", {}).machine
    assert isinstance(machine, Hierarchy)
    window = {"opc": 13, "ks": 3}
    spec = GConv((Dim("C", op=384, ks=256), Dim("H", **window), Dim("W", **window)), "mul", Reduce.ADD)
    assert best_mapping(spec, machine, effort=Effort(USUAL)).gap == 0.0


def test_a_narrow_dive_finds_what_wide_ones_miss() -> None:
    """CONV2 of AlexNet on the systolic array: 13 % dearer without it, and a gap of 12 %."""
    machine = select_target("tpu", {}).machine
    assert isinstance(machine, Hierarchy)
    window = {"opc": 27, "ks": 5}
    spec = GConv((Dim("C", g=2, op=128, ks=48), Dim("H", **window), Dim("W", **window)), "mul", Reduce.ADD)
    assert best_mapping(spec, machine, effort=Effort(USUAL)).gap == 0.0


def one_operand(random: Random) -> tuple[GConv, Hierarchy]:
    """A link, and a machine with three memories inside one another for one of its operands."""
    operand = random.choice("IKO")
    levels: dict[str, dict[str, object]] = {"dram": {"kind": "memory"}}
    for name in ("sram", "glb", "rf"):
        levels[name] = {
            "kind": "memory",
            "words": random.randint(1, 16),
            "operands": [operand],
            "bypass": [operand] if random.random() < 0.3 else [],
            "stays": random.random() < (0.3 if name == "sram" else 0.75),
            "slides": operand == "I" and random.random() < 0.4,
        }
    tensor = {"I": "input", "K": "kernel", "O": "output"}[operand]
    accesses = {
        name: {
            "energy": 20 if name == "dram" else 1,
            "events": {
                f"{name}.{event}": random.choice([0, 1, 2, 5])
                for event in (OUTERMOST if name == "dram" else EVENTS)
                if name == "dram" or event.startswith(tensor)
            },
        }
        for name in levels
    }
    shapes = [(Dim("A", opc=3), Dim("B", op=4, ks=4)), (Dim("A", opc=4, ks=3, stride=2),), (Dim("A", opc=4, ks=2),)]
    machine = parse_hierarchy({"name": "one", "summary": "", "levels": levels, "accesses": accesses})
    return GConv(random.choice(shapes), "mul", Reduce.ADD), machine


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 600), marks=pytest.mark.exhaustive)])
def test_three_memories_inside_one_another_for_an_operand(seeds: range) -> None:
    compared = 0
    for seed in seeds:
        random = Random(seed)
        spec, machine = one_operand(random)
        if nests(Problem.of(spec), machine) <= MOST_NESTS:
            compare(spec, machine, random.choice(list(Objective)))
            compared += 1
    assert compared > len(seeds) // 4


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (Dim("H", opc=6, ks=11, stride=4), 30),
        (Dim("H", opc=16, ks=3, dilation=6), 25),
    ],
)
def test_tiles_of_windows_with_gaps_need_not_be_even(window: Dim, words: int) -> None:
    spec = GConv((window,), "mul", Reduce.ADD)
    machine = parse_hierarchy(
        {
            "name": "one-buffer",
            "summary": "",
            "levels": {
                "dram": {"kind": "memory"},
                "glb": {"kind": "memory", "operands": ["I"], "words": words},
            },
            "accesses": {"dram": {"energy": 50, "events": {"dram.input.read": 1}}},
        }
    )
    compare(spec, machine, Objective.ENERGY)


@pytest.mark.parametrize(
    ("window", "operands", "words"),
    [
        (Dim("W", opc=7, ks=3, dilation=3), "I", 6),
        (Dim("W", opc=9, ks=3, dilation=2), "I", 4),
        (Dim("W", opc=11, ks=2, dilation=2), "IKO", 12),
    ],
)
def test_inputs_and_sums_may_both_become_fewer_along_an_axis(window: Dim, operands: str, words: int) -> None:
    """Kernel positions side by side share windows and add up sums at the same time: a bound must allow for both."""
    spec = GConv((window,), "mul", Reduce.ADD)
    machine = parse_hierarchy(
        {
            "name": "row",
            "summary": "",
            "levels": {
                "dram": {"kind": "memory"},
                "x": {"kind": "axis", "size": 4, "loops": ["ks"], "multicast": ["I"], "reduces": True},
                "glb": {"kind": "memory", "operands": list(operands), "words": words},
            },
            "accesses": {"dram": {"energy": 10, "events": {f"dram.{event}": 1 for event in OUTERMOST[:4]}}},
        }
    )
    compare(spec, machine, Objective.TRAFFIC)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_order_of_memories_without_an_axis_in_between_decides_nothing(order: str) -> None:
    """They hold other operands, of which places come in any order."""
    memories = {
        "a": {"kind": "memory", "operands": ["I", "O"], "words": 6},
        "b": {"kind": "memory", "operands": ["K"], "words": 15},
    }
    machine = parse_hierarchy(
        {
            "name": "two",
            "summary": "",
            "levels": {"dram": {"kind": "memory"}, **{name: memories[name] for name in order}},
            "accesses": {"dram": {"energy": 10, "events": {f"dram.{event}": 1 for event in OUTERMOST[:4]}}},
        }
    )
    best = best_mapping(GConv((Dim("W", opc=4), Dim("C", op=3, ks=5)), "mul", Reduce.ADD), machine)
    assert (best.value, best.gap) == (470, 0)
    compare(GConv((Dim("B", op=4, ks=4),), "mul", Reduce.ADD), machine, Objective.ENERGY)


@pytest.mark.parametrize("order", ["xy", "yx"])
def test_the_order_of_axes_without_a_memory_in_between_decides_nothing(order: str) -> None:
    """Windows are shared along the inner one only of two that lay the same loop."""
    axes = {
        "x": {"kind": "axis", "size": 2, "loops": ["opc"], "multicast": ["I"]},
        "y": {"kind": "axis", "size": 3, "loops": ["opc"]},
    }
    machine = parse_hierarchy(
        {
            "name": "plane",
            "operation": 0,
            "summary": "",
            "levels": {
                "dram": {"kind": "memory"},
                **{name: axes[name] for name in order},
                "rf": {"kind": "memory", "operands": ["I"], "words": 3},
            },
            "accesses": {"dram": {"energy": 10, "events": {"dram.input.read": 1}}},
        }
    )
    spec = GConv((Dim("W", opc=6, ks=3),), "mul", Reduce.ADD)
    # three pairs of neighbours read four words each, in three steps
    assert best_mapping(spec, machine, "", Objective.EDP).value == 3 * 4 * 10 * 3
    compare(spec, machine, Objective.EDP)


@pytest.mark.parametrize("parts", [0, 3000, math.inf])
def test_what_effort_is_left_bounds_the_result(parts: float) -> None:
    spec = GConv((Dim("C", op=6, ks=6), Dim("H", opc=6, ks=3)), main="mul", reduce=Reduce.ADD)
    machine = parse_hierarchy(
        {
            "name": "small",
            "summary": "",
            "levels": {
                "dram": {"kind": "memory"},
                "glb": {"kind": "memory", "words": 40},
                "pe": {"kind": "axis", "size": 4, "multicast": ["I", "K"], "reduces": True},
            },
            "accesses": {"dram": {"energy": 10, "events": {f"dram.{event}": 1 for event in OUTERMOST}}},
        }
    )
    best = best_mapping(spec, machine, "", Objective.ENERGY, Effort(parts))
    least = best_mapping(spec, machine)
    assert least.gap == 0
    assert best.bound <= least.value <= best.value
    assert best.value * (1 - best.gap) == pytest.approx(best.bound)


@pytest.mark.parametrize("seed", range(3))
def test_a_good_mapping_is_close_to_the_best(seed: int) -> None:
    random = Random(seed)
    spec = GConv(
        (Dim("C", op=random.randint(8, 20), ks=random.randint(8, 20)), Dim("H", opc=9, ks=3)), "mul", Reduce.ADD
    )
    levels = {
        "dram": {"kind": "memory"},
        "pe": {"kind": "axis", "size": random.randint(8, 16), "multicast": ["I", "K"], "reduces": True},
        "rf": {"kind": "memory", "words": random.randint(30, 90)},
    }
    accesses = {"dram": {"energy": 6, "events": {f"dram.{event}": 1 for event in OUTERMOST}}}
    machine = parse_hierarchy({"name": "inside", "summary": "", "levels": levels, "accesses": accesses})
    best, good = best_mapping(spec, machine), good_mapping(spec, machine)
    assert best.gap == 0
    assert best.value <= good.value <= 1.05 * best.value
    assert good.bound <= best.value


@pytest.mark.parametrize("objective", list(Objective))
def test_a_search_that_must_stop_at_once_still_finds_a_mapping(objective: Objective) -> None:
    """Whatever the objective: only the way to any mapping is not cut short."""
    spec = GConv((Dim("C", op=64, ks=64), Dim("H", opc=56, ks=3)), main="mul", reduce=Reduce.ADD)
    levels: dict[str, dict[str, object]] = {"dram": {"kind": "memory", "read": 1, "write": 1}}
    for number in range(3):
        levels[f"l{number}"] = {"kind": "memory", "words": 9000 >> 3 * number, "bypass": ["I", "K", "O"], "read": 2}
    machine = parse_hierarchy({"name": "caches", "summary": "", "levels": levels})
    asked = 0

    def at_once() -> bool:
        nonlocal asked
        asked += 1
        return True

    best = best_mapping(spec, machine, "", objective, Effort(should_stop=at_once))
    assert best.value < np.inf
    # each of 512 trees asks a few times, and stops
    assert asked <= 2000


def test_memories_without_sums_do_not_make_bounds_unknown() -> None:
    spec = GConv((Dim("A", opc=5), Dim("B", op=4, ks=6)), main="mul", reduce=Reduce.ADD)
    machine = parse_hierarchy(
        {
            "name": "apart",
            "summary": "",
            "levels": {
                "dram": {"kind": "memory"},
                "kernels": {"kind": "memory", "words": 9, "operands": ["K"]},
                "sums": {"kind": "memory", "words": 20, "operands": ["I", "O"]},
            },
            "accesses": {
                "dram": {"energy": 10, "events": {f"dram.{event}": 1 for event in OUTERMOST}},
                "sums": {"energy": 1, "events": {f"sums.{event}": 1 for event in EVENTS if event[0] != "k"}},
            },
        }
    )
    assert best_mapping(spec, machine).gap == 0


def test_a_machine_that_is_too_small_is_refused() -> None:
    machine = parse_hierarchy(
        {
            "name": "tiny",
            "summary": "",
            "levels": {"dram": {"kind": "memory"}, "glb": {"kind": "memory", "words": 2}},
        }
    )
    with pytest.raises(CatenaError) as caught:
        best_mapping(GConv((Dim("A", opc=3), Dim("B", op=3)), main="mul", reduce=Reduce.ADD), machine, "conv1")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.node, problem.hint) == ("CAT-F001", "conv1", "glb has 2 of 3")


def test_what_passes_by_must_be_able_to_stay() -> None:
    glb = {"kind": "memory", "operands": ["I"], "bypass": ["K"]}
    with pytest.raises(CatenaError) as caught:
        parse_hierarchy({"name": "m", "summary": "", "levels": {"dram": {"kind": "memory"}, "glb": glb}})
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.message) == ("CAT-C003", "levels.glb.bypass: K does not stay in this memory")
