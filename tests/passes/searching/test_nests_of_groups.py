"""Searches for the nests of links of groups: against brute force, and against what is predicted of their runs."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce, Step
from dialects.hierarchy import Memory
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping, Objective, Operand
from dialects.soundness import parse_hierarchy
from passes.fusion.members import Member, predict_runs
from passes.fusion.shapes import KINDS, RunKind
from passes.mapper.bounds import Bounds
from passes.mapper.counts import Counts
from passes.mapper.effort import USUAL
from passes.mapper.held import HeldCounts
from passes.mapper.nest import Column, Nest, Store, nest_of
from passes.mapper.pricing import Prices
from passes.mapper.problem import Problem
from passes.searching.nests_of_groups import HeldTask, NestsOfGroups
from passes.searching.parts import Part
from passes.searching.stopping import never
from passes.searching.task import Deadline, run
from tests.passes.mapper.drawing import extras_of
from tests.passes.mapper.free_nests import EVENTS, OUTERMOST, every_nest, nests

MOST_NESTS = 150
LINKS = (
    (Dim("A", opc=4), Dim("B", op=3)),
    (Dim("A", opc=3), Dim("B", op=3, ks=2)),
    (Dim("A", g=2), Dim("B", opc=4, ks=2)),
    (Dim("A", opc=5, ks=2), Dim("B", op=2)),
    (Dim("A", opc=4, ks=3, stride=2), Dim("B", op=2)),
)


def small_machine(random: Random, *, takes_sums: bool) -> NestMachine:
    """Two or three small memories, an axis or none, with random rates and prices."""
    rates = [None, 0.5, 2.0]
    kept = "IKO" if takes_sums else "IK"
    levels: dict[str, dict[str, Any]] = {
        "dram": {"kind": "memory", "read": random.choice(rates), "write": random.choice(rates)},
        "glb": {"kind": "memory", "operands": [*kept], "bypass": [*kept], "words": random.randint(12, 60)},
    }
    levels["glb"] |= {"buffers": random.choice([1, 2]), "read": random.choice(rates), "write": random.choice(rates)}
    for name in random.choice([["rf"], ["pe", "rf"], ["pe"], ["rf"]]):
        if name == "pe":
            axis = {"size": random.randint(2, 4), "multicast": random.choice([[], ["I"], ["I", "K"]])}
            levels[name] = {"kind": "axis", **axis, "reduces": random.random() < 0.5}
            continue
        operands = random.sample("IKO", random.randint(1, 2))
        levels[name] = {"kind": "memory", "operands": operands, "words": random.randint(2, 14)}
        levels[name] |= {"stays": random.random() < 0.8, "read": random.choice(rates)}
    tensors = {"input": "I", "kernel": "K", "output": "O"}
    accesses = {
        place: {
            "energy": energy,
            "events": {
                f"{place}.{event}": random.choice([0, 1, 2])
                for event in (OUTERMOST if place == "dram" else EVENTS)
                if tensors[event.partition(".")[0]] in levels[place].get("operands", "IKO")
            },
        }
        for place, energy in (("dram", 20), ("glb", 3), ("rf", 1))
        if place in levels
    }
    for place in ("dram", "glb"):
        accesses[place]["events"][f"{place}.extra.read"] = random.choice([1, 3, 9])
    hierarchy = parse_hierarchy({"name": "small", "summary": "", "levels": levels, "accesses": accesses})
    fields = {name: getattr(hierarchy, name) for name in type(hierarchy).model_fields}
    return NestMachine.model_construct(**fields, clock_mhz=200, word_bits=16)


def a_part(random: Random, *, takes_sums: bool) -> Part:
    """A link that reads one or two tensors with its results; some of its tensors lie in holds of `glb`."""
    dims = random.choice(LINKS)
    read = random.choice([1, 1, 2])
    steps = tuple(Step("add", operand=operand) for operand in range(read))
    spec = GConv(dims, "mul", Reduce.ADD, post=steps)
    roles = [role for role in ("I", "K", *(f"P{operand}" for operand in range(read))) if random.random() < 0.4]
    if not takes_sums or random.random() < 0.4:
        roles.append("O")
    shape = tuple(getattr(dim, str(kind)) for dim in dims for kind in KINDS)
    extras = extras_of(spec, [[random.random() < 0.6 for _ in dims] for _ in range(read)])
    return Part("", spec, (), dict.fromkeys(roles, "glb"), {"glb": 4}, (shape,), extras)


def counts_of_run(part: Part, machine: NestMachine, nest: Nest, tiles: list[Column]) -> HeldCounts:
    """The counts of a nest of a link, as a run in its group has them."""
    member = Member(part.spec, Mapping(()), part.kept, part.extras)
    read_from = [member.read_from(number, machine) for number in range(len(part.extras))]
    problem = Problem.of(part.spec, part.extras).reading_from(read_from)
    return HeldCounts(problem, machine, nest, tiles, member.held)


def brute_force(part: Part, task: HeldTask) -> float:
    """The least value of all nests that fit beside the holds, as their runs are priced."""
    machine, prices, best = task.machine, Prices(task.machine, task.objective), np.inf
    first = [Store(memory, operand) for operand, memory in task.kept if operand in machine.memory(memory).operands]
    ones = [np.ones(1, np.int64)] * len(first)
    for nest, tiles in every_nest(Problem.of(part.spec), task.inside):
        counts = counts_of_run(part, machine, Nest((*first, *nest.nodes)), [*ones, *tiles])
        fits = np.ones(counts.candidates, np.bool_)
        for memory in task.inside.memories[1:]:
            held = counts.occupancy.get(memory.name, {})
            if memory.words is not None and held:
                fits &= sum(words * memory.buffers for words in held.values()) <= memory.words
        for axis in machine.axes:
            fits &= counts.elements(axis.name) <= axis.size
        if "O" in part.kept and not any(each.operand is Operand.OUTPUT for each in first):
            unfinished = Counts(Problem.of(part.spec), machine, nest, tiles).events["dram.output.add"]
            fits &= unfinished == 0
        if fits.any():
            best = min(best, float(prices.value(counts)[fits].min()))
    return best


@pytest.mark.parametrize("seeds", [range(30), pytest.param(range(30, 400), marks=pytest.mark.exhaustive)])
def test_the_best_nest_is_found_with_what_results_read(seeds: range) -> None:
    """It takes what is predicted of a run of it, and no nest takes less, or than the bound says."""
    compared = 0
    for seed in seeds:
        random = Random(seed)
        takes_sums = random.random() < 0.8
        machine, part = small_machine(random, takes_sums=takes_sums), a_part(random, takes_sums=takes_sums)
        objective = random.choice(list(Objective))
        task = NestsOfGroups(machine, objective, math.inf).task(part)
        if nests(Problem.of(part.spec), task.inside) > MOST_NESTS:
            continue
        least = brute_force(part, task)
        try:
            found = task.look(Deadline())
        except CatenaError:
            assert least == np.inf, seed
            continue
        compared += 1
        assert not task.violations(found.mapping), seed
        member = Member(part.spec, found.mapping, part.kept, part.extras)
        run = predict_runs(member, machine, {RunKind(part.shapes[0]): 1})
        nest = nest_of(Problem.of(part.spec), found.mapping)
        counts = counts_of_run(part, machine, *nest)
        prices = Prices(machine, objective)
        # words that only leave a hold are a trifle beside those that come from off the chip
        trifle = 0.5 if objective is Objective.TRAFFIC else 1e-9 * least
        assert found.value == pytest.approx(float(prices.value(counts)[0]), abs=trifle), seed
        assert found.value == pytest.approx(least, abs=trifle), seed
        assert found.bound <= found.value
        energy = sum(prices.event(event) * count for event, count in run.events.items())
        match objective:
            case Objective.ENERGY | Objective.TRAFFIC:
                assert found.value == pytest.approx(energy, abs=trifle), seed
            case Objective.LATENCY:
                assert run.cycles == math.ceil(found.value - 1e-6), seed
            case Objective.EDP:
                assert found.value <= (energy + prices.work(part.spec.trips)) * run.cycles * (1 + 1e-9), seed
        quick = NestsOfGroups(machine, objective, USUAL).task(part).look(Deadline())
        assert quick.bound <= found.value * (1 + 1e-9) <= quick.value * (1 + 1e-8), seed
    assert compared > len(seeds) // 5


def parts_alike(random: Random, number: int) -> list[Part]:
    """Parts with the same loops, all of whose tensors lie in holds; extents differ, and what results read."""
    dims, parts = random.choice(LINKS), list[Part]()
    for _ in range(number):
        some = tuple(
            replace(dim, **{each: random.randint(2, 40) for each in ("op", "opc", "g", "ks") if getattr(dim, each) > 1})
            for dim in dims
        )
        read = random.choice([0, 1, 2])
        spec = GConv(some, "mul", Reduce.ADD, post=tuple(Step("add", operand=operand) for operand in range(read)))
        shape = tuple(getattr(dim, str(kind)) for dim in some for kind in KINDS)
        extras = extras_of(spec, [[random.random() < 0.6 for _ in some] for _ in range(read)])
        kept = dict.fromkeys(("I", "K", "O", *(f"P{operand}" for operand in range(read))), "glb")
        parts.append(Part("", spec, (), kept, {"glb": random.randint(1, 9)}, (shape,), extras))
    return parts


def passing(machine: NestMachine) -> NestMachine:
    """With operands that may go past the innermost memory: then there are several dives."""
    levels = (
        each.model_copy(update={"bypass": each.operands}) if isinstance(each, Memory) and each.name == "rf" else each
        for each in machine.levels
    )
    return machine.model_copy(update={"levels": tuple(levels)})


def test_memories_that_no_operand_may_lie_in_take_no_time() -> None:
    """Nests inside holds have no words to move into or out of the outermost memory, however slow it is."""
    random, timed = Random(3), set[bool]()
    for _ in range(100):
        machine = small_machine(random, takes_sums=True)
        task = NestsOfGroups(machine, Objective.EDP, USUAL).task(parts_alike(random, 1)[0])
        rated = [each.name for each in task.inside.memories if each.read is not None or each.write is not None]
        used = {*map(task.inside.begins, task.problem.operands), *task.read_from}
        used |= {each.name for each in task.inside.memories[1:] if each.operands}
        flows = Bounds(task.problem, Prices(task.inside, Objective.EDP), {}).flows
        assert bool(flows) == (not used.isdisjoint(rated))
        timed.add(bool(flows) == bool(rated))
    assert timed == {True, False}


@pytest.mark.parametrize("seeds", [range(30), pytest.param(range(30, 1200), marks=pytest.mark.exhaustive)])
def test_searches_that_are_begun_together_find_what_each_finds_alone(seeds: range) -> None:
    """The same mapping, value and bound; most are begun so, where neither time nor what is read again matters."""
    begun, alone, dives = 0, 0, set[int]()
    for seed in seeds:
        random = Random(seed)
        machine = passing(small_machine(random, takes_sums=random.random() < 0.8))
        objective = random.choice(list(Objective))
        nests = NestsOfGroups(machine, objective, USUAL)
        tasks = [nests.task(part) for part in parts_alike(random, random.randint(2, 6))]
        together: list[HeldTask] = []
        together += (each for each in HeldTask.begun_together(tasks, never) if isinstance(each, HeldTask))
        done = [0 if task.begun is None else task.begun.led.done for task in together]
        begun, alone, dives = begun + len(done) - done.count(0), alone + done.count(0), dives | {*done}
        assert [run(task, None) for task in together] == [run(task, None) for task in tasks], seed
    assert 2 * begun > alone
    assert {1, 2} <= dives


def test_what_results_read_and_where_it_lies_make_another_search() -> None:
    """A nest that was found for one is not taken for the other."""
    machine = small_machine(Random(0), takes_sums=True)
    spec = GConv((Dim("A", opc=4), Dim("B", op=3)), "mul", Reduce.ADD, post=(Step("add", operand=0),))
    alike = [
        Part("", spec, (), kept, {}, ((1, 1, 4, 1, 1, 3, 1, 1),), extras)
        for kept in ({}, {"P0": "glb"}, {"O": "glb"}, {"O": "glb", "P0": "glb"})
        for extras in (((1, 3),), ((4, 3),), ((4, 1),))
    ]
    signatures = {str(NestsOfGroups(machine, Objective.ENERGY, USUAL).task(part).signature) for part in alike}
    # results that lie in a hold are finished there at once: then a bias takes as many words however it repeats
    assert len(signatures) == len(alike)
