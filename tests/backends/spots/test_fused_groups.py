"""Fused groups on machines with im2col units: outputs, every count as predicted, traffic of the model, refusals."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from xdsl.context import Context

from backends.container import parse_program, program_bytes
from backends.disassembly import image_digest, listing_lines
from backends.isa import Instruction
from backends.listing import assemble_program
from backends.program import Program
from backends.spatial.group_isa import Fetch, Hold
from backends.spots.emit import emit
from backends.spots.emulator import SpotsEmulator
from backends.spots.isa import ISA
from dialects.diagnostics import CatenaError
from dialects.events import Counts
from dialects.fused_mapping import FusedMapping
from dialects.gconv.interpreter import Interpreter
from dialects.gemm_machine import GemmMachine
from passes.fusion.group import Group
from passes.fusion.model import FusedCosts
from passes.gemm.groups import in_memories
from passes.map_gemm import MapGemmPass
from passes.place_gemm import PlaceGemmPass
from tests.backends.generic.fused_groups import assert_results, chain_of, fuse
from tests.backends.generic.group_cases import CASES, all_say_why
from tests.backends.spots.layers import machine
from tests.backends.spots.test_faults import changed, without
from tests.filechecking import parse_module, print_module
from tests.passes.fusion.test_holds import random_lowerable

SPOTS = machine()
TIGHT = machine(
    array={"rows": 4, "cols": 2, "accumulators": 2},
    im2col={"reserve_words": 24},
    sram={"input_words": 4000, "kernel_words": 4000, "output_words": 24},
    dram={"words_per_cycle": 3.0},
)
"""A machine on which a turn of a link takes many passes."""


INEXACT = machine(dram={"words_per_cycle": 0.144})
"""A machine whose link moves 18 words in 125 cycles, which no binary fraction says."""


def check_group(group: Group, mapping: FusedMapping, target: GemmMachine, mode: str = "blocks") -> Program:
    """Run a group: outputs of the links one by one, and what was predicted, by link and of the model of groups.

    Raises `CatenaError` if the mapping cannot be lowered.
    """
    mapping = in_memories(group, mapping)
    chain = chain_of(group, target, None)
    expected = Interpreter(chain.module.clone()).run(chain.inputs)
    fuse(chain, group, mapping)
    module = chain.module
    MapGemmPass().apply(Context(), module)
    text = print_module(module)
    assert print_module(parse_module(text)) == text
    PlaceGemmPass().apply(Context(), module)
    module.verify()
    program = parse_program(program_bytes(emit(module, "spots")), "test")
    emulator = SpotsEmulator(program, mode)
    assert_results(emulator.run(chain.inputs), expected, mode)
    assert emulator.held == {entry.name: entry.held for entry in program.groups}
    counted: Counter[str] = Counter()
    costs = FusedCosts(group, mapping)
    for link, entry in zip(group.links, program.layers, strict=True):
        found = emulator.counters[entry.name]
        counted.update(found.events)
        assert not found.differences(Counts.of(entry.predicted)), f"{entry.name} of {mapping}"
        assert found.operations == costs.work[link.name].operations
    if all(each.memory != "dram" for each in mapping.retentions):
        reads = sum(counted[f"dram.{name}.read"] for name in ("input", "kernel", "extra"))
        assert reads == sum(words for name, words in costs.reads.items() if name in group.external)
        assert counted["dram.output.write"] == sum(costs.writes.values())
    return program


@pytest.mark.parametrize("name", [name for name in CASES if name != "residual block"])
def test_groups_run_as_their_links_do_and_count_what_is_predicted(name: str) -> None:
    group, mapping = CASES[name]()
    check_group(group, mapping, TIGHT if len(name) % 2 else SPOTS)


def test_transfers_take_as_long_as_predicted_at_a_rate_that_no_binary_fraction_says() -> None:
    program = check_group(*CASES["strides, padding, dilation"](), INEXACT)
    counts = Counts.of(program.layers[1].predicted)
    assert (counts.events["dram.kernel.read"], counts.cycles) == (18, counts.array_cycles + 125)


def test_groups_run_element_by_element_as_well() -> None:
    check_group(*CASES[next(iter(CASES))](), TIGHT, "elements")


def test_what_is_an_input_and_a_kernel_cannot_be_held_for_both() -> None:
    with pytest.raises(CatenaError) as caught:
        check_group(*CASES["residual block"](), SPOTS)
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.node, problem.expected, problem.found) == ("CAT-F002", "l3", "kernel", "input")


def test_random_groups_run_as_their_links_do() -> None:
    assert sum(_runs(seed) for seed in range(8)) >= 4


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(8, 100))
def test_more_random_groups_run_as_their_links_do(seed: int) -> None:
    _runs(seed)


def _runs(seed: int) -> bool:
    """Whether a random group can be lowered; if so, it runs as it should."""
    group, mapping = random_lowerable(seed)
    try:
        check_group(group, mapping, TIGHT if seed % 2 else SPOTS)
    except CatenaError as error:
        return not all_say_why(error)
    return True


def fault(change: Any) -> tuple[str, str]:
    """The code and message of the fault of a group's program of which every instruction was changed, or left out."""
    group, mapping = CASES[next(iter(CASES))]()
    program = check_group(group, mapping, SPOTS)
    code: list[Instruction] = [
        made for each in ISA.decode(program.code[0], "test") if (made := change(each)) is not None
    ]
    with pytest.raises(CatenaError) as caught:
        SpotsEmulator(replace(program, code=(ISA.encode(code),))).run(chain_of(group, SPOTS, None).inputs)
    (found,) = caught.value.diagnostics
    return found.code, found.message


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (changed(Hold, memory=4), "CAT-E003", "holds do not lie in memory 4"),
        (changed(Hold, address=1 << 30), "CAT-E001", "a hold lies outside of"),
        (without(Fetch), "CAT-E002", "that is not there"),
    ],
)
def test_a_fault_says_what_cannot_be(change: Any, code: str, message: str) -> None:
    found = fault(change)
    assert found[0] == code
    assert message in found[1]


def test_listings_of_groups_assemble_to_the_same_bytes() -> None:
    program = check_group(*CASES[next(iter(CASES))](), SPOTS)
    images = {image_digest(image.array()): image.array().data.cast("B") for image in program.constants}
    again = assemble_program("\n".join(listing_lines(program, ISA)), lambda _: ISA, images.__getitem__)
    assert program_bytes(again) == program_bytes(program)
