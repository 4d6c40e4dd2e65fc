"""Fused groups end to end: outputs of the links one by one, every count as predicted, traffic and room of the model."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context

from backends.generic.emulator import MODES, NestEmulator
from dialects.diagnostics import CatenaError
from passes.map_nest import MapNestPass
from tests.backends.generic.fused_groups import chain_of, check_group, compiled, fuse, with_nests
from tests.backends.generic.group_cases import (
    ALIKE,
    ALL,
    BYTES,
    CASES,
    MACHINE,
    SPACIOUS,
    all_say_why,
    mapped,
    quantized,
)
from tests.backends.generic.layers import check_counts, machine
from tests.examples import examples
from tests.passes.fusion.resnet_pair import GROUP as RESNET
from tests.passes.fusion.resnet_pair import ROWS
from tests.passes.fusion.test_holds import cuts_sums, random_lowerable


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.exhaustive] * (name in ALIKE)) for name in CASES]
)
def test_groups_run_as_their_links_do_and_count_what_is_predicted(name: str) -> None:
    group, mapping = CASES[name]()
    check_group(group, mapping, MACHINE, modes=("blocks",))
    check_group(group, mapping, MACHINE, random.Random(name))


@pytest.mark.parametrize("name", ["rows, halo kept", "inverted residual", "channels", "convolution and pool"])
def test_results_may_lie_where_no_sums_come_about(name: str) -> None:
    """As on machines with accumulators: finished sums leave these for the memory of inputs and kernels."""
    with_accumulators = machine(
        {
            "glb": {"kind": "memory", "operands": ["I", "K"], "read": 2.0},
            "acc": {"kind": "memory", "bypass": ALL, "write": 1.0, "buffers": 2},
        }
    )
    group, mapping = CASES[name]()
    check_group(group, mapping, with_accumulators, random.Random(name))


@pytest.mark.parametrize("loops", BYTES)
def test_bytes_are_equal_to_the_bit(loops: str) -> None:
    group, types = quantized()
    check_group(group, mapped(group, loops, 1, second_out=BYTES[loops]), MACHINE, types=types)


@pytest.mark.parametrize("first", [0, pytest.param(100, marks=pytest.mark.exhaustive)])
def test_random_groups_whose_sums_go_on_from_turn_to_turn_run_as_their_links_do(first: int) -> None:
    cut = [seed for seed in range(first, first + (12 if not first else 150)) if cuts_sums(*random_lowerable(seed))]
    assert 2 * sum(map(_check_random, cut)) > len(cut) > 2


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 1 << 20))
def test_random_groups_run_as_their_links_do(seed: int) -> None:
    _check_random(seed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(0, 400, 100))
def test_many_random_groups_run_as_their_links_do(first: int) -> None:
    assert sum(_check_random(seed) for seed in range(first, first + 100)) > 60


def _check_random(seed: int) -> bool:
    """Whether a random group can be lowered; if so, it runs as it should."""
    group, mapping = random_lowerable(seed)
    try:
        check_group(group, mapping, SPACIOUS, random.Random(seed))
    except CatenaError as error:
        return not all_say_why(error)
    return True


@pytest.mark.exhaustive
@pytest.mark.parametrize("row", [row for row in ROWS if not row.slow][:5], ids=lambda row: row.name)
def test_published_figures_of_a_pair_of_convolutions_are_what_runs_count(row: object) -> None:
    """LoopTree's rows: the emulator moves, holds and works what the published model says."""
    found = next(each for each in ROWS if each is row)
    roomy = machine({"glb": {"kind": "memory", "bypass": ALL}})
    mapping = with_nests(RESNET, found.mapping, roomy)
    chain = chain_of(RESNET, roomy)
    fuse(chain, RESNET, mapping)
    emulator = NestEmulator(compiled(chain), "blocks")
    emulator.run(chain.inputs)
    first, second = emulator.counters.values()
    total = sum(
        counts.events[f"dram.{event}"]
        for counts in (first, second)
        for event in ("input.read", "kernel.read", "output.update")
    )
    (held,) = emulator.held.values()
    assert (held["glb"], total, first.operations) == (found.capacity, found.offchip, found.first)


def test_nests_are_searched_for_the_largest_turn() -> None:
    """What is searched is legal, fits beside the holds, and counts as predicted."""
    target = machine(
        {
            "glb": {"kind": "memory", "words": 600},
            "x": {"kind": "axis", "size": 4, "multicast": ["I"], "reduces": True},
            "rf": {"kind": "memory", "words": 32},
        },
        accesses={
            "dram": {"energy": 200, "events": {"dram.input.read": 1, "dram.kernel.read": 1, "dram.output.update": 1}},
            "glb": {"energy": 6, "events": {"glb.input.read": 1, "glb.kernel.read": 1, "glb.output.add": 2}},
        },
    )
    group, mapping = CASES["rows, halo kept"]()
    chain = chain_of(group, target)
    fused = fuse(chain, group, mapping)
    MapNestPass().apply(Context(), chain.module)
    nests = [str(nest) for _, nest in fused.mapping.data.branches]  # pyright: ignore
    assert all(nest.startswith("store glb [I, K, O]") for nest in nests)
    program = compiled(chain)
    for mode in MODES:
        emulator = NestEmulator(program, mode)
        emulator.run(chain.inputs)
        check_counts(program, emulator, mode)
