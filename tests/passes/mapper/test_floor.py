"""What every mapping costs at least, against the best of all nests, and where a search that is stopped knows less."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dialects.gconv import Dim, GConv, Reduce
from dialects.hierarchy import Hierarchy
from dialects.machine_kinds import nest_machine, parse_machine
from dialects.schedule import Objective
from passes.mapper.effort import Effort
from passes.mapper.floor import least_events, least_value
from passes.mapper.free import mapping_for
from passes.mapper.pricing import Prices
from passes.mapper.problem import Problem
from passes.searching.nest import NestTask
from passes.searching.task import Deadline
from tests.examples import examples
from tests.passes.mapper.drawing import REPEATED, extras_of
from tests.passes.mapper.free_nests import brute_force, nests, small_links, small_machines

MOST_NESTS = 60


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    spec=small_links(),
    hierarchy=small_machines(),
    objective=st.sampled_from(Objective),
    repeated=REPEATED,
)
def test_no_mapping_costs_less(
    spec: GConv, hierarchy: Hierarchy, objective: Objective, repeated: list[list[bool]]
) -> None:
    assume(nests(Problem.of(spec), hierarchy) <= MOST_NESTS)
    extras = extras_of(spec, repeated)
    least = brute_force(spec, hierarchy, objective, extras)
    assert least_value(Problem.of(spec, extras), Prices(hierarchy, objective)) <= least * (1 + 1e-9)


SHARED = {
    "name": "shared",
    "clock_mhz": 100.0,
    "word_bits": 16,
    "levels": {
        "dram": {"kind": "memory", "read": 2.0, "write": 1.0},
        "package": {"kind": "axis", "size": 4, "multicast": ["I"], "loops": ["op", "opc"]},
        "l2": {"kind": "memory", "words": 4096, "operands": ["I", "K"], "bypass": ["K"]},
        "core": {"kind": "axis", "size": 16, "multicast": ["I", "K"], "reduces": True},
        "acc": {"kind": "memory", "words": 512, "operands": ["O"]},
        "wbuf": {"kind": "memory", "words": 512, "operands": ["K"]},
        "lane": {"kind": "axis", "size": 8, "reduces": True, "loops": ["ks"]},
    },
    "accesses": {
        "dram": {
            "energy": 300.0,
            "events": dict.fromkeys(
                ["dram.input.read", "dram.kernel.read", "dram.extra.read", "dram.output.update", "dram.output.add"], 1
            ),
        },
        "acc": {"energy": 3.0, "events": {"acc.output.update": 1, "acc.output.add": 1, "acc.output.hop": 0.5}},
        "wbuf": {"energy": 2.0, "events": {"wbuf.kernel.read": 1, "wbuf.kernel.fill": 1}},
    },
}
"""Words that positions of the outer axis share, and sums that are dear off the chip: bounds of the search begin low."""
MATRIX = GConv((Dim("C", op=24, ks=16), Dim("P", opc=100)), "mul", Reduce.ADD)


def test_what_happens_at_least_is_told_event_by_event() -> None:
    machine = nest_machine(parse_machine(SHARED), "test")
    assert least_events(Problem.of(MATRIX, ((24, 1),)), machine) == {
        "dram.input.read": 1600,
        "l2.input.fill": 1600,
        # one of 16 cores' words goes to all of these; lanes have words of their own
        "l2.input.read": 2400,
        "operation.input.fill": 38400,
        "dram.kernel.read": 384,
        "wbuf.kernel.fill": 384,
        "wbuf.kernel.read": 38400,
        "operation.kernel.fill": 38400,
        "dram.output.update": 2400,
        # eight lanes send one sum
        "acc.output.update": 4800,
        "dram.extra.read": 24,
    }


def test_a_search_that_is_stopped_says_no_less_than_what_is_so_of_every_mapping() -> None:
    machine = nest_machine(parse_machine(SHARED), "test")
    found = mapping_for(Problem.of(MATRIX), machine, effort=Effort(3000))
    assert found.bound <= 0, "the search alone knows nothing of this link yet"
    task = NestTask(Objective.ENERGY, "node", MATRIX, 3000, machine)
    told = task.looked_for(Problem.of(MATRIX), machine, Deadline())
    assert told.mapping == found.mapping
    off_chip = 300 * (1600 + 384 + 2400)
    assert told.bound == off_chip + 2 * 384 + 2 * 38400 + 3 * 4800
    assert task.mark(told).gap == math.ceil((1 - told.bound / told.value) * 1e4) / 1e4 < 0.2


def test_a_mapping_that_costs_no_more_than_that_is_optimal() -> None:
    levels = {
        "dram": {"kind": "memory", "read": 1.0},
        "pe": {"kind": "axis", "size": 64, "multicast": ["I", "K"], "reduces": True},
    }
    machine = nest_machine(parse_machine({"name": "m", "clock_mhz": 1.0, "word_bits": 8, "levels": levels}), "test")
    task = NestTask(Objective.LATENCY, "node", GConv((Dim("A", opc=64),), "mul", Reduce.ADD), np.inf, machine)
    found = task.looked_for(task.problem, machine, Deadline(1e-9))
    assert found.value == 65
    assert not found.is_cut
    assert task.mark(found).gap == 0
