"""Times of streams that queue for the bus or for links of a mesh: those of a run, to the cycle."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from compiler.targets import select_target
from dialects.machine_kinds import of_kind
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import Scheme
from passes.multicore.course import BRING, FINISH, MULTIPLY, Course
from passes.multicore.queues import queued_spans
from passes.multicore.traffic import BUS, Moved, Way, Ways
from tests.backends.rram.quantized import Ready, one_layer, ready, residual

MESHES = ("", "[[0, 0]]", "[[0, 0], [3, 2]]")
"""Ports of a mesh of 4 x 11; a bus where there are none."""


def _ends(courses: Sequence[Course], machine: MulticoreMachine) -> list[int]:
    return [end for _, end in queued_spans(courses, machine)]


def random_chip(draw: random.Random) -> dict[str, str]:
    """A chip and a schedule: a core alone or one for every part, links that are free or taken all the time."""
    choices = {
        "cores.count": (1, 2, 7, 40),
        "cores.crossbars": (1, 2, 4),
        "crossbar.rows": (16, 32),
        "crossbar.columns": (16, 64),
        "cores.overlap": ("true", "false"),
        "crossbar.mvm_cycles": (1, 100, 1305),
        "crossbar.write_cycles": (3, 1000),
        "bus.width_bytes": (1, 4, 16, 64),
        "bus.latency": (0, 3),
        "schedule.scheme": tuple(Scheme),
        "schedule.signal_every": (1, 2, 5),
        "schedule.pipelined": ("true", "false"),
        "schedule.duplicate": ("true", "false"),
    }
    chip = {name: str(draw.choice(values)) for name, values in choices.items()}
    if ports := draw.choice(MESHES):
        chip |= {"bus.mesh.rows": "4", "bus.mesh.columns": "11", "bus.mesh.ports": ports}
    return chip


def random_case(seed: int) -> Ready:
    """A layer, of one vector or of several, or a small network on a random chip, fused where it can be."""
    draw = random.Random(seed)
    chip, kind = random_chip(draw), draw.random()
    if kind < 0.3:
        return ready(one_layer(seed, draw.choice((60, 130, 300)), draw.choice((10, 70)), 1, 1), chip)
    if kind < 0.6:
        model = one_layer(seed, draw.choice((4, 12, 24)), draw.choice((8, 20)), draw.choice((1, 2, 3)), 4)
        return ready(model, chip)
    fuse = draw.random() < 0.3
    return ready(residual(seed, 6), chip, fuse=fuse and chip["schedule.pipelined"] == "true")


@pytest.mark.parametrize(
    "seed", [*range(1, 8), *(pytest.param(each, marks=pytest.mark.exhaustive) for each in range(8, 100))]
)
def test_cycles_are_those_of_a_run(seed: int) -> None:
    made = random_case(seed)
    emulator = made.emulate()
    assert not made.differences(emulator)
    assert sum(layer.predicted["cycles"] for layer in made.program.layers) == emulator.timeline.end


@pytest.mark.parametrize(("width", "share"), [(64, 0.05), (4, 0.3), (1, 0.9)])
def test_layers_of_one_vector_queue_for_their_inputs(width: int, share: float) -> None:
    """All cores ask at once: however little they move after it, the last one has its input that much later."""
    settings = {"cores.count": "64", "cores.crossbars": "1", "bus.width_bytes": str(width)}
    chip = {**settings, "crossbar.rows": "64", "crossbar.columns": "32", "crossbar.mvm_cycles": "1400"}
    made = ready(one_layer(1, 512, 64, 1, 1), chip)
    timeline = made.emulate().timeline
    (layer,) = made.program.layers
    assert share < timeline.bus / timeline.end
    assert layer.predicted["cycles"] == timeline.end
    assert timeline.end >= made.alone[0] > 0


# By hand --------------------------------------------------------------------------------------------------------------

REGISTER = (1, 0)


def _machine(**settings: str) -> MulticoreMachine:
    chosen = {name.replace("__", "."): value for name, value in settings.items()}
    return of_kind(MulticoreMachine, select_target("rram", chosen).machine, "test", "test")


def _moves(core: int, *cycles: int, way: Way = BUS) -> Course:
    course = Course(core, overlap=False)
    course.begin(len(cycles))
    course.move(BRING, Moved(way, np.array(cycles)))
    return course


def test_who_comes_first_is_served_first_and_of_several_the_lowest_core() -> None:
    """Core 2 is there at 0, as core 0 is; core 1 comes at 5, before core 0 asks again at 10."""
    first, second, third = _moves(0, 10, 10), Course(1, overlap=False), _moves(2, 10)
    second.begin(1)
    second.spend(BRING, 5)
    second.move(BRING, Moved(BUS, np.array([10])))
    assert _ends([third, second, first], _machine()) == [20, 30, 40]


def test_nothing_is_moved_for_no_bytes() -> None:
    assert _ends([_moves(0, 0, 7, 0), _moves(1, 0, 0, 0)], _machine()) == [7, 0]


def test_links_pass_on_what_comes_while_the_rest_follows() -> None:
    """Two transfers over the same two links, a third over the second alone, which came before the first got there."""
    both, last = Way((4, 9), hop=2, before=3, after=1), Way((9,), hop=2)
    courses = [_moves(0, 10, way=both), _moves(1, 10, way=both), _moves(2, 10, way=last)]
    # Core 0 has link 4 from 3 to 13 and comes to link 9 at 5, which core 2 has until 10; core 1 has link 4 from 13 on.
    assert _ends(courses, _machine()) == [10 + 2 + 10 + 1, 20 + 2 + 10 + 1, 12]


def test_a_signal_is_there_once_it_was_moved() -> None:
    sender, waiter = Course(0, overlap=False), Course(1, overlap=False)
    for course in (sender, waiter):
        course.begin(2)
        course.move(BRING, Moved(BUS, np.array([10, 10])))
    sender.signal(BRING, REGISTER, np.array([2]), np.array([1]), Moved(BUS, np.array([4])))
    waiter.wait(BRING, REGISTER, np.array([0, 2]))
    waiter.spend(BRING, 1)
    # The bus serves 0, 1, 0, 1 in turn, the last of these until 40, and then the signal.
    assert _ends([sender, waiter], _machine()) == [44, 45]


def test_cores_that_wait_for_ever_have_no_end() -> None:
    course = Course(1, overlap=False)
    course.begin(1)
    course.wait(BRING, REGISTER, np.array([1]))
    assert _ends([course, _moves(0, 5)], _machine()) == [0, 5]


def test_units_of_a_core_queue_too_and_are_two_turns_ahead() -> None:
    """Inputs of 10 cycles and sums of 10 meet on the bus; products of 15 hide one of both, and a stream ends alone."""
    course = Course(0, overlap=True)
    course.begin(4, apart=True)
    course.move(BRING, Moved(BUS, np.full(4, 10)))
    course.spend(MULTIPLY, 15)
    course.move(FINISH, Moved(BUS, np.full(4, 10)))
    behind = Course(0, overlap=True)
    behind.begin(1, apart=True)
    behind.move(BRING, Moved(BUS, np.array([10])))
    # Inputs of turns 0 and 1 come until 20. When turn 0 is multiplied, at 25, the third asks, and sums of turn 0 do:
    # the bus has inputs until 35, sums until 45, then the last inputs (asked for at 40, when turn 1 was multiplied)
    # until 55 and sums of turn 1 until 65. Turn 2 is multiplied once sums of turn 0 are gone, 45 to 60, and its sums
    # leave until 75; turn 3 from 65 to 80, and its sums until 90.
    assert _ends([course, behind], _machine(cores__overlap="true")) == [90, 100]


def test_ways_of_a_mesh_go_along_rows_first() -> None:
    """Links of 3 x 4 routers: east and west, south and north, 12 numbers each; those of cores, then those of ports."""
    chip = _machine(cores__count="12", bus__mesh__rows="3", bus__mesh__columns="4", bus__mesh__ports="[[0, 0], [2, 3]]")
    assert chip.bus.mesh is not None
    ways = Ways(chip.bus.mesh, 5)
    assert ways.count == 6 * 12 + 2 * 2
    # From core 9 (row 2, column 1) to core 3 (row 0, column 3): east from columns 1 and 2, north to rows 1 and 0.
    assert ways.signal(9, 3) == Way((48 + 9, 9, 10, 36 + 7, 36 + 3, 60 + 3), 5)
    # Core 5 (row 1, column 1) has the first port, at 0, 0.
    assert ways.store(5) == Way((48 + 5, 12 + 4, 36 + 0, 74 + 0), 5, after=20)
    assert ways.load(5) == Way((72 + 0, 0, 24 + 1, 60 + 5), 5, before=20)
