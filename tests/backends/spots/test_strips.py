"""Strips of rows: what a pass finds in the reserve of the strip before, and when there is nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from backends.spots.emulator import SpotsEmulator
from dialects.diagnostics import CatenaError
from dialects.gconv import Dim, GConv, Reduce
from passes.gemm.legality import violations
from tests.backends.spatial.layers import Layer
from tests.backends.spots.layers import check_layer, machine, program_of
from tests.backends.spots.test_random_layers import parse_gemm

SPEC = GConv((Dim("K", op=6, ks=4), Dim("H", opc=9, ks=3), Dim("W", opc=6, ks=3)), "mul", Reduce.ADD)
LAYER = Layer.of(SPEC, (4, 11, 8))
WORDS = 4 * 11 * 8
ONCE_MORE = 2 * 2 * 4 * 8
"""Words of two rows, which both of the last two strips read again if they begin anew."""
OF_TWO_CHANNELS = 8 * 2 * 2 * 8
"""Words of two rows that eight rows of patches read again, where nothing is kept of two channels."""
TARGET = machine(array={"rows": 8, "cols": 2}, im2col={"reserve_words": 2 * 4 * 8})


def reads(mapping: str, layer: Layer = LAYER) -> int:
    """Words of the memory of inputs that a layer reads: predicted, counted."""
    emulator = check_layer(layer, TARGET, parse_gemm(f"#schedule.gemm<{mapping}>"))
    return emulator.counters[emulator.program.layers[-1].name].events["glb.input.read"]


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ("split 1, ring 4, store sram [K], for H.opc 3, store sram [O, I]", WORDS + ONCE_MORE),
        ("split 1, ring 4 resumes, store sram [K], for H.opc 3, store sram [O, I]", WORDS),
        ("split 4, ring 4 resumes, for K.op 2, store sram [K], for H.opc 3, store sram [O, I]", 3 * WORDS),
        ("split 1, ring 1 resumes, for H.opc 3, store sram [O], for K.ks 1, store sram [I, K]", WORDS),
        # Of three tiles of kernels, the second and third find the rows of their own strip.
        (
            "split 1, ring 4 resumes, for H.opc 3, store sram [I], for K.op 2, store sram [O, K]",
            3 * WORDS + 2 * ONCE_MORE,
        ),
        # Unless what the first one found stays, in twice the room.
        (
            "split 1, ring 2 resumes rewinds, for H.opc 3, store sram [I], for K.op 2, store sram [O, K]",
            3 * (WORDS + OF_TWO_CHANNELS),
        ),
        (
            "split 1, ring 1 resumes rewinds, for H.opc 3, for K.op 2, store sram [O], for K.ks 2, store sram [I, K]",
            3 * (WORDS + OF_TWO_CHANNELS),
        ),
        # A loop of one turn is none.
        ("split 1, ring 4 resumes, store sram [K], for H.opc 3, for W.opc 6, store sram [O, I]", WORDS),
    ],
)
def test_a_strip_goes_on_where_the_one_before_ended(mapping: str, expected: int) -> None:
    assert reads(mapping) == expected


def test_nothing_goes_on_across_other_patches() -> None:
    inside = "split 1, ring 4{}, store sram [K], for H.opc 3, for W.opc 3, store sram [O, I]"
    outside = "split 1, ring 4{}, store sram [K], for W.opc 3, for H.opc 3, store sram [O, I]"
    assert reads(inside.format(" resumes")) == reads(inside.format("")) == reads(outside.format(""))
    assert reads(outside.format(" resumes")) < reads(outside.format(""))


def test_rows_are_kept_of_as_many_channels_as_there_is_room() -> None:
    strips = "store sram [K], for H.opc 3, store sram [O, I]"
    found = [reads(f"split 1, ring {channels} resumes, {strips}") for channels in range(5)]
    assert {before - after for before, after in pairwise(found)} == {8 * 2 * 8}, (
        "of each channel two rows of 8, 8 times"
    )


def test_rewinding_takes_twice_the_room() -> None:
    strips = "for H.opc 3, store sram [I], for K.op 2, store sram [O, K]"
    roomy = machine(array={"rows": 8, "cols": 2}, im2col={"reserve_words": 2 * 2 * 4 * 8})
    mapping = parse_gemm(f"#schedule.gemm<split 1, ring 4 resumes rewinds, {strips}>")
    (found,) = violations(SPEC, mapping, TARGET, (4, 11, 8))
    assert (found.expected, found.found) == ("at most 64", "128")
    emulator = check_layer(LAYER, roomy, mapping)
    assert emulator.counters[emulator.program.layers[-1].name].events["glb.input.read"] == 3 * WORDS


def test_the_emulator_refuses_what_the_reserve_has_no_room_for() -> None:
    mapping = "split 1, ring 4 resumes rewinds, for H.opc 3, store sram [I], for K.op 2, store sram [O, K]"
    roomy = machine(array={"rows": 8, "cols": 2}, im2col={"reserve_words": 2 * 2 * 4 * 8})
    program = program_of(LAYER, roomy, parse_gemm(f"#schedule.gemm<{mapping}>"))
    description = dict(program.metadata.description)
    description["im2col"] = {**description["im2col"], "reserve_words": 2 * 2 * 4 * 8 - 1}
    smaller = replace(program, metadata=replace(program.metadata, description=description))
    with pytest.raises(CatenaError) as caught:
        SpotsEmulator(smaller).run(LAYER.inputs())
    (found,) = caught.value.diagnostics
    assert (found.code, found.expected, found.found) == ("CAT-E001", "127 words", "128")


def test_what_is_kept_of_all_passes_of_a_strip_has_to_fit() -> None:
    chunks = "for H.opc 3, store sram [O], for K.ks 1, store sram [I, K]"
    small = machine(array={"rows": 8, "cols": 2}, im2col={"reserve_words": 2 * 4 * 8 - 1})
    for form, count in (("ring 1", 0), ("ring 1 resumes", 1)):
        found = violations(SPEC, parse_gemm(f"#schedule.gemm<split 1, {form}, {chunks}>"), small, (4, 11, 8))
        assert len(found) == count
