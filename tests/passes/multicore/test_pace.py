"""Times of streams by recurrences: those of a run in which nobody waits for the bus, to the cycle."""

from __future__ import annotations

import numpy as np
import pytest

from dialects.multicore_mapping import Scheme
from passes.multicore.course import BRING, FINISH, MULTIPLY, Course
from passes.multicore.pace import Paces
from passes.multicore.traffic import BUS, Moved
from tests.backends.rram.quantized import SMALL, Ready, one_layer, ready, residual


def times(made: Ready) -> tuple[int, int, int]:
    """Cycles of layers alone on a free bus, cycles as counted, and of the bus."""
    timeline = made.emulate().timeline
    return sum(made.alone), timeline.end, timeline.bus


@pytest.mark.parametrize(("width", "overlap"), [("64", "false"), ("1", "true")])
@pytest.mark.parametrize("scheme", Scheme)
def test_a_layer_takes_longer_than_on_a_free_bus_for_as_long_as_it_is_taken_at_most(
    scheme: Scheme, width: str, overlap: str
) -> None:
    chip = {**SMALL, "schedule.scheme": scheme, "bus.width_bytes": width, "cores.overlap": overlap}
    free, counted, bus = times(ready(one_layer(4, 24, 12, 2, 4), {**chip, "crossbar.mvm_cycles": "300"}))
    assert free <= counted <= free + bus


@pytest.mark.parametrize("overlap", ["false", "true"])
@pytest.mark.parametrize("scheme", Scheme)
def test_products_of_a_single_vector_overlap(scheme: Scheme, overlap: str) -> None:
    """Only sums are added up one after the other, but under the scheme in which everything is."""
    settings = {**SMALL, "crossbar.mvm_cycles": "1400", "schedule.scheme": scheme, "cores.overlap": overlap}
    free, counted, bus = times(ready(one_layer(1, 256, 3, 1, 1), settings))
    assert 0 < bus < 100
    assert counted == pytest.approx(free, rel=0.05)
    products = 16 if scheme is Scheme.SEQUENTIAL else 1
    assert products * 1400 < counted < products * 1400 + 200


SHARED = {**SMALL, "cores.count": "3", "cores.crossbars": "8", "crossbar.rows": "8"}
REPROGRAMMED = {**SMALL, "cores.count": "3", "crossbar.write_cycles": "1000"}


@pytest.mark.parametrize("chip", [SHARED, REPROGRAMMED, {**SMALL, "schedule.signal_every": "7"}])
@pytest.mark.parametrize("scheme", Scheme)
def test_parts_that_share_cores_phases_and_signals_for_several_turns(scheme: Scheme, chip: dict[str, str]) -> None:
    free, counted, bus = times(ready(one_layer(2, 24, 12, 3, 7), {**chip, "schedule.scheme": scheme}))
    assert bus < 0.05 * counted
    assert counted == pytest.approx(free, rel=0.01)


def test_layers_of_a_pipeline_overlap() -> None:
    made = ready(residual(3, 8), {**SMALL, "cores.count": "144", "schedule.pipelined": "true"})
    assert max(made.alone) < made.emulate().timeline.end < sum(made.alone) / 2


# By hand --------------------------------------------------------------------------------------------------------------

REGISTER = (1, 0)


def _two(overlap: bool) -> list[Course]:
    """A core that sends after each of three turns of 10 + 20 + 5 cycles, and one that adds up what that one sent."""
    first, second = Course(0, overlap=overlap), Course(1, overlap=overlap)
    for course in (first, second):
        course.begin(3, apart=True)
        course.spend(BRING, 10)
        course.spend(MULTIPLY, 20)
    first.spend(FINISH, 4)
    first.signal(FINISH, REGISTER, np.arange(1, 4), np.arange(3), Moved(BUS, np.ones(3, np.int64)))
    second.wait(FINISH, REGISTER, np.arange(1, 4))
    second.spend(FINISH, 7)
    return [first, second]


@pytest.mark.parametrize(("overlap", "ends"), [(False, [105, 116]), (True, [75, 82])])
def test_turns_that_wait_for_those_of_another_core(overlap: bool, ends: list[int]) -> None:
    """In order, the second core waits 5 cycles in its first turn and is late ever after; overlapped, products bind."""
    found = Paces(_two(overlap)).run([0, 1])
    assert [found[number].end for number in (0, 1)] == ends
    assert found[0].sent[REGISTER].tolist() == ([35, 70, 105] if not overlap else [35, 55, 75])


def test_a_core_that_is_not_timed_has_signalled_before() -> None:
    assert Paces(_two(False)).run([1])[1].end == 3 * 37


def test_cores_that_wait_for_ever_end() -> None:
    courses = [Course(core, overlap=False) for core in (0, 1)]
    for course, other in zip(courses, (1, 0), strict=True):
        course.begin(2)
        course.wait(BRING, (course.core, 0), np.arange(1, 3))
        course.spend(BRING, 10)
        course.signal(BRING, (other, 0), np.arange(1, 3), np.arange(2), Moved(BUS, np.ones(2, np.int64)))
    assert Paces(courses).run([0, 1]).keys() == {0, 1}


def test_two_buffers_hold_up_units() -> None:
    """Of turns that are late, inputs and sums of two wait: what is multiplied for the third has no room before."""
    sender, course = Course(0, overlap=False), Course(1, overlap=True)
    sender.begin(1)
    sender.spend(BRING, 100)
    sender.signal(BRING, REGISTER, np.array([1]), np.array([0]), Moved(BUS, np.array([1])))
    course.begin(4, apart=True)
    course.wait(FINISH, REGISTER, np.array([1, 0, 0, 0]))
    for unit, cycles in ((BRING, 1), (MULTIPLY, 20), (FINISH, 10)):
        course.spend(unit, cycles)
    assert Paces([course]).run([0])[0].end == 1 + 4 * 20 + 10
    # Sums of turns 0 and 1 wait until 101; those of turn 0 leave at 111, when turn 2 is multiplied, and 3 behind it.
    assert Paces([sender, course]).run([0, 1])[1].end == 111 + 2 * 20 + 10
