"""What binds a layer is found by searching: more of what binds saves something, more of anything else nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from xdsl.context import Context

from compiler.explanation.text import binding, memories_table, sensitivity_table
from compiler.targets import select_target
from dialects.accelerator import Accelerator
from dialects.gconv import Dim, GConv, Reduce, View
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping, MappingAttr, Objective
from dialects.unicode_parser import UnicodeParser
from passes.explanation.differences import differences
from passes.explanation.layer import facts_of
from passes.explanation.runners_up import runners_up
from passes.explanation.searching import Deadline, best_for, several_for
from passes.explanation.sensitivity import Sensitivity, objective_of, sensitivity, value_of
from passes.explanation.variants import resized, sizes
from passes.work import Work

LAYER = GConv((Dim("C", op=32, ks=16), Dim("H", opc=20, ks=3, pad=1), Dim("W", opc=20, ks=3, pad=1)), "mul", Reduce.ADD)


def never() -> bool:
    return False


def work() -> Work:
    shapes = ((16, 20, 20), (512, 3, 3), (32, 20, 20))
    return Work(LAYER, tuple(View.dense(shape) for shape in shapes), (True, False, True))


def machine(name: str, **settings: str) -> Accelerator:
    return select_target(name, {key.replace("__", "."): value for key, value in settings.items()}).machine


def found_on(target: Accelerator) -> Sensitivity:
    mapping = best_for(work(), target, objective_of(target), never)
    assert mapping is not None
    return sensitivity(work(), facts_of(work(), mapping, target), target, objective_of(target), never)


def gains(found: Sensitivity) -> dict[str, float]:
    return {each.size.key: each.gain for each in found.doubled}


@pytest.mark.parametrize("name", ["eyeriss", "nlr", "generic", "tpu", "isca16-rs", "gemmini"])
def test_every_size_can_be_changed_by_itself(name: str) -> None:
    before = machine(name)
    found = list(sizes(before))
    assert len({size.key for size in found}) == len(found) >= 4
    for size in found:
        after = resized(before, size, 2 * size.value)
        assert [(each.key, each.value) for each in sizes(after)] == [
            (each.key, each.value * (2 if each == size else 1)) for each in found
        ]


ROOMS = """
name = "rooms"
summary = "a memory with rooms of its own for two operands"
clock_mhz = 100
word_bits = 16
levels.dram = { kind = "memory" }
levels.glb = { kind = "memory", words = 800, rooms = { I = 700, K = 300 } }
accesses.dram = { energy = 10, events = { "dram.input.read" = 1, "dram.kernel.read" = 1 } }
"""


def test_what_cannot_be_twice_as_large_is_as_large_as_it_may_be(tmp_path: Path) -> None:
    """A room may not be larger than its memory."""
    path = tmp_path / "rooms.toml"
    path.write_text(ROOMS)
    found = found_on(machine(str(path)))
    assert {each.size.key: each.value for each in found.doubled if each.size.memory} == {
        "levels.glb.words": 1600, "levels.glb.rooms.I": 800, "levels.glb.rooms.K": 600,
    }  # fmt: skip
    assert found.fixed == ()


def test_sizes_are_as_the_description_has_them(tmp_path: Path) -> None:
    """A word of 48 bits is three elements: 267 of them are 801, and 2 a cycle are 6."""
    path = tmp_path / "wide.toml"
    glb = "word_bits = 48, words = 267, read = 2"
    text = ROOMS.replace("words = 800, rooms = { I = 700, K = 300 }", glb)
    path.write_text(text.replace("events = { ", 'events = { "dram.output.update" = 1, "dram.output.add" = 1, '))
    found = found_on(machine(str(path)))
    assert [(row[0], *row[1:3]) for row in sensitivity_table(found.again, found).rows if "glb" in row[0]] == [
        ("levels.glb.words", "267", "534"),
        ("levels.glb.read", "2", "4"),
    ]
    capacity = next(each for each in found.binding if each.size.key == "levels.glb.words")
    assert capacity.growth is not None
    words = -(-capacity.growth.words // 3)
    assert "801 = 267 of 48 bits" in [row[3] for row in memories_table(found.again).rows]
    assert f"levels.glb.words: a better mapping fits with {words:,} words of 48 bits more" in binding(found)


def test_what_cannot_be_larger_says_why(tmp_path: Path) -> None:
    path = tmp_path / "rooms.toml"
    path.write_text(ROOMS.replace("I = 700", "I = 800"))
    found = found_on(machine(str(path)))
    assert [(each.size.key, each.reason) for each in found.fixed] == [
        ("levels.glb.rooms.I", "I may have more words than there are (at most 800)")
    ]
    assert "  levels.glb.rooms.I: cannot be larger by itself, I may have more words" in binding(found)
    assert "levels.glb.rooms.I" in "".join(row[0] for row in sensitivity_table(found.again, found).rows)


def test_a_small_buffer_binds_the_array() -> None:
    small = machine("eyeriss", glb__banks="2")
    found = found_on(small)
    assert gains(found)["glb.banks"] > 0
    (buffer,) = (each for each in found.binding if each.size.key == "glb.banks")
    assert buffer.growth is not None
    assert buffer.growth.without < buffer.growth.words <= 2 * 2048
    assert buffer.growth.words % 2048 == 0


def test_the_smallest_increase_helps_and_one_less_does_not() -> None:
    tight = machine("isca16-rs", levels__rf__words="128")
    found = found_on(tight)
    (registers,) = (each for each in found.binding if each.size.key == "levels.rf.words")
    assert registers.growth is not None
    assert registers.growth.without == registers.growth.words - 1
    value = value_of(found.again, Objective.ENERGY)
    for more, helps in ((registers.growth.words, True), (registers.growth.without, False)):
        mapping = best_for(work(), resized(tight, registers.size, 128 + more), Objective.ENERGY, never)
        assert mapping is not None
        assert (value_of(facts_of(work(), mapping, tight), Objective.ENERGY) < value * (1 - 1e-9)) is helps


def test_capacities_grow_by_whole_banks() -> None:
    banked = machine("isca16-rs", levels__glb__words="960", levels__glb__bank="96")
    found = found_on(banked)
    (buffer,) = (each for each in found.binding if each.size.key == "levels.glb.words")
    assert buffer.growth is not None
    assert 0 <= buffer.growth.without < buffer.growth.words <= 960
    assert (buffer.growth.without % 96, buffer.growth.words % 96) == (0, 0)


def test_a_slow_link_slows_and_a_fast_one_does_not() -> None:
    slow, fast = (found_on(machine("eyeriss", links__dram=rate)) for rate in ("0.1", "1000.0"))
    assert slow.binding[0].size.key == "links.dram"
    assert slow.binding[0].gain == pytest.approx(0.5, abs=0.05)
    assert gains(fast)["links.dram"] < 0.01


def test_nothing_doubled_is_worse() -> None:
    for name in ("eyeriss", "generic"):
        for each in found_on(machine(name)).doubled:
            assert each.best is not None
            assert each.gain >= 0
            assert each.faster >= 0


def test_without_time_nothing_is_claimed() -> None:
    target = machine("generic")
    mapping = best_for(work(), target, objective_of(target), never)
    assert mapping is not None
    found = sensitivity(work(), facts_of(work(), mapping, target), target, objective_of(target), Deadline(0))
    assert all(each.best is None and each.gain == 0 for each in found.doubled)
    assert not found.binding


@pytest.mark.parametrize(
    "name", ["eyeriss", "nlr", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("generic", "isca16-rs"))]
)
def test_the_best_few_are_the_first_of_all(name: str) -> None:
    target = machine(name)
    few, many = (several_for(work(), target, objective_of(target), count, never) for count in (6, 20_000))
    assert len(set(few)) == len(few) > 1
    assert few[0] == best_for(work(), target, objective_of(target), never)
    assert many[: len(few)] == few


@pytest.mark.parametrize("name", ["gemmini", "tpu"])
def test_of_all_mappings_the_first_is_the_best(name: str) -> None:
    target = machine(name)
    found, best = (
        several_for(work(), target, objective_of(target), 8, never),
        best_for(work(), target, objective_of(target), never),
    )
    assert best is not None
    values = [value_of(facts_of(work(), each, target), Objective.ENERGY) for each in found]
    assert len(set(found)) == 8
    assert values == sorted(values)
    assert values[0] == value_of(facts_of(work(), best, target), Objective.ENERGY)


@pytest.mark.parametrize("name", ["eyeriss", "generic", "gemmini"])
def test_runners_up_differ_in_cost_and_say_how(name: str) -> None:
    target = machine(name)
    mapping = best_for(work(), target, objective_of(target), never)
    assert mapping is not None
    found = runners_up(work(), facts_of(work(), mapping, target), target, objective_of(target), 5, never).mappings
    assert 1 <= len(found) <= 5
    costs = {(each.facts.price.total_energy, each.facts.price.cycles, each.facts.words) for each in found}
    assert len(costs) == len(found)
    assert all(each.differs and each.facts.mapping != mapping for each in found)


@pytest.mark.parametrize(
    ("mine", "other", "expected"),
    [
        ("for C.op 4, store glb [I]", "for C.op 4, store glb [I]", ""),
        ("for C.op 4", "for C.op 8", "for C.op 4 -> 8"),
        ("for C.op 4", "par C.op 4 on col", "with par C.op 4 on col; without for C.op 4"),
        ("for C.op 4, store glb [I, O]", "for C.op 4, store glb [O]", "without store glb [I]"),
        ("for C.op 4, store glb [I]", "store glb [I], for C.op 4", "store glb [I] outside of for C.op 4"),
        ("for C.op 4, for H.ks 1", "for H.ks 1, for C.op 4", "for H.ks 1 before for C.op 4"),
        ("store glb [I], store glb [O]", "store glb [O], store glb [I]", "store glb [O] before store glb [I]"),
        (
            "for A.g 1, for B.g 1, for C.g 1, for D.g 1, for E.g 1",
            "for A.g 2, for B.g 2, for C.g 2, for D.g 2, for E.g 2",
            "for A.g 1 -> 2; for B.g 1 -> 2; for C.g 1 -> 2; for D.g 1 -> 2; and 1 more",
        ),
    ],
)
def test_differences_are_named(mine: str, other: str, expected: str) -> None:
    assert differences(parsed(mine), parsed(other)) == expected


def parsed(text: str) -> Mapping:
    return MappingAttr(MappingAttr.parse_parameter(UnicodeParser(Context(), f"<{text}>"))).data


@pytest.mark.parametrize("name", ["generic", pytest.param("isca16-rs", marks=pytest.mark.exhaustive)])
def test_of_runners_up_that_cost_the_same_the_fastest_is_first(name: str) -> None:
    free = machine(name, **{f"accesses__{each}__energy": "0" for each in accesses_of(name)})
    mapping = best_for(work(), free, Objective.ENERGY, never)
    assert mapping is not None
    facts = facts_of(work(), mapping, free)
    found = runners_up(work(), facts, free, Objective.ENERGY, 20, never).mappings
    cycles = [each.facts.price.cycles for each in found]
    fastest = best_for(work(), free, Objective.LATENCY, never)
    assert fastest is not None
    assert len({each.facts.price.total_energy for each in found}) == 1
    assert cycles == sorted(cycles)
    assert cycles[0] == facts_of(work(), fastest, free).price.cycles


def accesses_of(name: str) -> list[str]:
    described = machine(name)
    assert isinstance(described, NestMachine)
    return [each.name for each in described.accesses]
