"""What binds a layer is found by searching: more of what binds saves something, more of anything else nothing."""

from __future__ import annotations

import pytest

from compiler.targets import select_target
from dialects.accelerator import Accelerator
from dialects.gconv import Dim, GConv, Reduce, View
from passes.explanation.layer import facts_of
from passes.explanation.searching import Deadline, best_for
from passes.explanation.sensitivity import Sensitivity, sensitivity, value_of
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
    mapping = best_for(work(), target, never)
    assert mapping is not None
    return sensitivity(work(), facts_of(work(), mapping, target), target, never)


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
    value = value_of(found.again, "energy")
    for more, helps in ((registers.growth.words, True), (registers.growth.without, False)):
        mapping = best_for(work(), resized(tight, registers.size, 128 + more), never)
        assert mapping is not None
        assert (value_of(facts_of(work(), mapping, tight), "energy") < value * (1 - 1e-9)) is helps


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
    mapping = best_for(work(), target, never)
    assert mapping is not None
    found = sensitivity(work(), facts_of(work(), mapping, target), target, Deadline(0))
    assert all(each.best is None and each.gain == 0 for each in found.doubled)
    assert not found.binding
