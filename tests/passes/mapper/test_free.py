"""The search for the best of all mappings against brute force, and against the literal walk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from compiler.targets import select_target
from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Hierarchy
from dialects.soundness import parse_hierarchy
from passes.mapper import free
from passes.mapper.effort import USUAL, Effort
from passes.mapper.free import Best, Search, best_mapping, good_mapping
from passes.mapper.nest import nest_of
from passes.mapper.pricing import Objective, Prices
from passes.mapper.problem import Problem
from passes.mapper.tree import Incumbent
from tests.examples import examples
from tests.passes.mapper.drawing import REPEATED, extras_of
from tests.passes.mapper.free_nests import EVENTS, OUTERMOST, brute_force, nests, small_links, small_machines
from tests.passes.mapper.literal import Literal

MOST_NESTS = 150
"""Brute force takes some milliseconds for each."""


def found_by_search(
    spec: GConv, hierarchy: Hierarchy, objective: Objective, extras: Sequence[tuple[int, ...]] = ()
) -> Best | None:
    """The best mapping, None if none fits."""
    try:
        return best_mapping(spec, hierarchy, "", objective, extras=extras)
    except CatenaError:
        return None


def least_below(
    value: float, spec: GConv, hierarchy: Hierarchy, objective: Objective, extras: Sequence[tuple[int, ...]]
) -> float:
    """What a search finds that knows from the beginning that something costs hardly more than this.

    No other search leaves out as much: each bound that is too high shows.
    """
    problem = Problem.of(spec, extras)
    search = Search(problem, Prices(hierarchy, objective))
    best = Incumbent(value * (1 + 1e-6) + 1e-6)
    search.run(Effort(parts=1e18), best)
    return best.value


def check(spec: GConv, hierarchy: Hierarchy, objective: Objective, repeated: Sequence[Sequence[bool]]) -> None:
    """`compare`, where brute force does not take too long."""
    assume(nests(Problem.of(spec), hierarchy) <= MOST_NESTS)
    compare(spec, hierarchy, objective, extras_of(spec, repeated))


def compare(spec: GConv, hierarchy: Hierarchy, objective: Objective, extras: Sequence[tuple[int, ...]] = ()) -> None:
    """The search finds what brute force finds, and its mapping, walked word by word, costs that.

    Where sums are cheaper to add up further out, it only says how far it may be from that.
    """
    found = found_by_search(spec, hierarchy, objective, extras)
    least = brute_force(spec, hierarchy, objective, extras)
    if found is None:
        assert least == np.inf
        return
    prices = Prices(hierarchy, objective)
    assert found.bound <= least * (1 + 1e-9)
    if prices.evened is prices:
        assert found.value == pytest.approx(least, rel=1e-9)
        assert found.gap == 0
        assert least_below(found.value, spec, hierarchy, objective, extras) == pytest.approx(least, rel=1e-9)
    problem = Problem.of(spec, extras)
    nest, tiles = nest_of(problem, found.mapping)
    walk = Literal(problem, hierarchy, nest, [int(column[0]) for column in tiles])
    assert {event: count for event, count in walk.events.items() if count} == {
        event: count for event, count in found.events.items() if count
    }
    assert walk.steps == found.steps


@settings(max_examples=examples(60), deadline=None)
@given(spec=small_links(), hierarchy=small_machines(), objective=st.sampled_from(Objective), repeated=REPEATED)
def test_it_finds_what_brute_force_finds(
    spec: GConv, hierarchy: Hierarchy, objective: Objective, repeated: list[list[bool]]
) -> None:
    check(spec, hierarchy, objective, repeated)


@pytest.mark.exhaustive
@pytest.mark.parametrize("objective", list(Objective))
def test_it_finds_what_brute_force_finds_often(objective: Objective) -> None:
    @settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
    @given(spec=small_links(), hierarchy=small_machines(), repeated=REPEATED)
    def every(spec: GConv, hierarchy: Hierarchy, repeated: list[list[bool]]) -> None:
        check(spec, hierarchy, objective, repeated)

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


@pytest.mark.parametrize("seeds", [range(40), pytest.param(range(40, 200), marks=pytest.mark.exhaustive)])
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


def reading_results(random: Random) -> tuple[GConv, Hierarchy, tuple[tuple[int, ...], ...]]:
    """A link whose results read tensors, and a machine on which that may be dear, with little room for results."""
    dims = random.choice(
        [
            (Dim("A", opc=4), Dim("B", op=3)),
            (Dim("A", opc=3), Dim("B", op=3, ks=2)),
            (Dim("A", g=2), Dim("B", opc=4, ks=2)),
            (Dim("A", opc=5, ks=2), Dim("B", op=2)),
        ]
    )
    spec = GConv(dims, "mul", Reduce.ADD)
    kinds = ["g", "op", "opc", "ks"]
    levels: dict[str, dict[str, object]] = {"dram": {"kind": "memory", "read": random.choice([None, 0.5])}}
    for name in random.choice([["glb"], ["glb", "rf"], ["pe", "rf"], ["glb", "pe"]]):
        if name == "pe":
            levels[name] = {"kind": "axis", "size": random.randint(2, 3), "multicast": ["I"], "loops": kinds}
            continue
        kept = random.sample("IKO", random.randint(1, 2)) if name == "glb" else ["O"]
        kept = sorted({*kept, "O"}) if name == "glb" and "rf" not in levels and random.random() < 0.7 else kept
        levels[name] = {"kind": "memory", "operands": kept, "words": random.randint(2, 14)}
        levels[name]["stays"] = random.random() < 0.8
    events = {f"dram.{event}": random.choice([0, 1, 2]) for event in OUTERMOST[:4]}
    events["dram.extra.read"] = random.choice([1, 3, 9])
    machine = {
        "name": "reading",
        "summary": "",
        "levels": levels,
        "accesses": {"dram": {"energy": 2, "events": events}},
    }
    extras = extras_of(spec, [[random.random() < 0.6 for _ in dims] for _ in range(random.choice([1, 1, 2]))])
    return spec, parse_hierarchy(machine), extras


@pytest.mark.parametrize("has_dives", [True, False])
@pytest.mark.parametrize(
    "seeds", [[*range(30), 77, 150, 178, 277], pytest.param(range(30, 250), marks=pytest.mark.exhaustive)]
)
def test_what_results_read_of_other_tensors_is_part_of_the_search(
    seeds: Sequence[int], has_dives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dives come by much that the moves of the tree alone would miss."""
    if not has_dives:
        monkeypatch.setattr(Search, "_dive", lambda *_, **__: None)
    compared = 0
    for seed in seeds:
        random = Random(seed)
        spec, machine, extras = reading_results(random)
        objective = random.choice(list(Objective))
        if nests(Problem.of(spec), machine) > MOST_NESTS:
            continue
        compare(spec, machine, objective, extras)
        compared += 1
    assert compared > len(seeds) // 3


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


@pytest.mark.parametrize("seeds", [range(20), pytest.param(range(20, 200), marks=pytest.mark.exhaustive)])
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


def test_a_window_may_slide_after_loops_that_leave_the_input_alone() -> None:
    """All filters for one window, then the next one: the input is read once, with room for a single window."""
    spec = GConv((Dim("A", opc=4, ks=2), Dim("B", op=3)), "mul", Reduce.ADD)
    levels = {"dram": {"kind": "memory"}, "glb": {"kind": "memory", "operands": ["I"], "words": 2, "slides": True}}
    machine = parse_hierarchy({"name": "one-window", "summary": "", "levels": levels})
    best = found_by_search(spec, machine, Objective.TRAFFIC)
    assert best is not None
    assert best.events["dram.input.read"] == 5
    # the last of it is found only by who does not take the filters for the end
    assert least_below(best.value, spec, machine, Objective.TRAFFIC, ()) == best.value


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


def test_more_time_is_never_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is counted in questions whether to stop; a hurried dive finds something here that no other one does."""
    monkeypatch.setattr(free, "_GRACE", math.inf)
    spec = GConv((Dim("C", op=64, ks=8), Dim("H", opc=7, ks=3), Dim("W", opc=13, ks=3)), "mul", Reduce.ADD)
    machine = select_target("generic").machine
    assert isinstance(machine, Hierarchy)
    found: list[float] = []
    for questions in (300, 2200):
        asked = iter(range(questions))
        effort = Effort(should_stop=lambda asked=asked: next(asked, None) is None)
        found.append(best_mapping(spec, machine, "", Objective.EDP, effort).value)
    assert found == sorted(found, reverse=True)
    assert found[-1] < np.inf


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
