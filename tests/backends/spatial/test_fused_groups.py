"""Fused groups end to end on machines of rows and columns: outputs, every count as predicted, traffic of the model."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context

from backends.program import Program
from backends.spatial.codes import Memory, Tensor
from backends.spatial.emit import emit
from backends.spatial.emulator import MODES, SpatialEmulator
from backends.spatial.group_isa import Fetch, HeldAxis, Hold, Keep, Range, Run, Send, Span
from backends.spatial.isa import ISA, Load, Open, Place, Store
from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError
from dialects.fused_mapping import FusedMapping
from dialects.gconv import Dim, GConv, Reduce, Step
from dialects.schedule import Mapping, Operand, Storage
from passes.fusion.group import Group
from passes.map_row_stationary import MapRowStationaryPass
from passes.place_spatial import PlaceSpatialPass
from tests.backends.edits import Edit, assert_stops, changed, moved, without
from tests.backends.generic.fused_groups import chain_of, fuse
from tests.backends.generic.group_cases import ALIKE, BYTES, CASES, all_say_why, mapped, quantized
from tests.backends.round_trips import assert_listing_assembles, read_again
from tests.backends.spatial.fused_groups import check_group, compiled, with_nests
from tests.backends.spatial.layers import MACHINES
from tests.examples import examples
from tests.passes.fusion.groups import Builder, conv_pair, window
from tests.passes.fusion.test_holds import cuts_sums, random_lowerable

EYERISS = MACHINES["eyeriss"]


def with_banks(target: Machine, banks: int, bank_words: int) -> Machine:
    """A machine with another buffer."""
    return target.model_copy(update={"glb": target.glb.model_copy(update={"banks": banks, "bank_words": bank_words})})


ROOMY = {name: with_banks(target, 1000, 10) for name, target in MACHINES.items()}


def preceded() -> Group:
    """Two convolutions with functions on their way in, which padding does not go through."""
    net = Builder()
    y = net.external((2, 9, 8), "x")
    for name in ("first", "second"):
        windows = (window(axis, extent, 3, before=1, after=1) for axis, extent in (("H", 9), ("W", 8)))
        spec = GConv(
            (Dim("C", op=2, ks=2), *windows), "mul", Reduce.ADD, pre=(Step("affine", (1.0, 3.0)), Step("relu"))
        )
        y = net.link(spec, y, net.external(spec.kernel_shape, f"w{name}"), name=name)
    return net.group()


ALL_CASES = {**CASES, "functions on the way in": lambda: (g := preceded(), mapped(g, "H.opc 2, W.opc 5", 1))}
TURNS = {name: list(ROOMY)[number % len(ROOMY)] for number, name in enumerate(ALL_CASES)}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.exhaustive] * (name in ALIKE)) for name in ALL_CASES]
)
def test_groups_run_as_their_links_do_and_count_what_is_predicted(name: str) -> None:
    """On Eyeriss with nests that are searched; with random ones on a machine that has room, another for every case."""
    group, mapping = ALL_CASES[name]()
    check_group(group, mapping, EYERISS, modes=("blocks",))
    check_group(group, mapping, ROOMY[TURNS[name]], random.Random(name))


@pytest.mark.exhaustive
@pytest.mark.parametrize("target", ROOMY)
@pytest.mark.parametrize("name", ALL_CASES)
def test_groups_run_on_every_machine_of_rows_and_columns(name: str, target: str) -> None:
    group, mapping = ALL_CASES[name]()
    check_group(group, mapping, ROOMY[target], random.Random(name))


@pytest.mark.parametrize("loops", BYTES)
def test_bytes_are_equal_to_the_bit(loops: str) -> None:
    group, types = quantized()
    check_group(group, mapped(group, loops, 1, second_out=BYTES[loops]), EYERISS, types=types)


@pytest.mark.parametrize("first", [0, pytest.param(100, marks=pytest.mark.exhaustive)])
def test_random_groups_whose_sums_go_on_from_turn_to_turn_run_as_their_links_do(first: int) -> None:
    cut = [seed for seed in range(first, first + (12 if not first else 150)) if cuts_sums(*random_lowerable(seed))]
    assert 2 * sum(map(_check_random, cut)) > len(cut) > 2


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 1 << 20))
def test_random_groups_run_as_their_links_do(seed: int) -> None:
    _check_random(seed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(0, 300, 100))
def test_many_random_groups_run_as_their_links_do(first: int) -> None:
    assert sum(_check_random(seed) for seed in range(first, first + 100)) > 60


def _check_random(seed: int) -> bool:
    """Whether a random group can be lowered; if so, it runs as it should on one of the machines."""
    group, mapping = random_lowerable(seed)
    in_buffer = tuple(replace(each, memory="glb") if each.memory == "spad" else each for each in mapping.retentions)
    target = list(ROOMY.values())[seed % len(ROOMY)]
    try:
        check_group(group, replace(mapping, retentions=in_buffer), target, random.Random(seed) if seed % 3 else None)
    except CatenaError as error:
        return not all_say_why(error)
    return True


def test_code_does_not_grow_with_turns() -> None:
    def nest(operands: tuple[Operand, ...]) -> Mapping:
        return Mapping((Storage("glb", operands), Storage("spad", (Operand.KERNEL,))))

    lengths: list[int] = []
    for extent in (20, 60):
        group = conv_pair(extent, 1)
        nests = tuple((link.name, nest((Operand.INPUT, Operand.OUTPUT))) for link in group.links)
        mapping = replace(mapped(group, "H.opc 2", 1), branches=nests)
        lengths.append(len(check_group(group, mapping, EYERISS, modes=("blocks",)).code[0]))
    assert lengths[0] == lengths[1]


def test_placed_groups_are_text_that_can_be_read_again() -> None:
    group, mapping = CASES["tiles, kept by tensor"]()
    chain = chain_of(group, EYERISS)
    fuse(chain, group, mapping)
    for step in (MapRowStationaryPass(), PlaceSpatialPass()):
        step.apply(Context(), chain.module)
    assert emit(read_again(chain.module), "eyeriss").code[0] == emit(chain.module, "eyeriss").code[0]


def test_listings_of_groups_assemble_to_the_same_program() -> None:
    program = check_group(*CASES["products"](), EYERISS, modes=("blocks",))
    assert_listing_assembles(program, ISA)


# What does not go ----------------------------------------------------------------------------------------------------


def refusal(group: Group, mapping: FusedMapping, target: Machine) -> list[str]:
    """What is wrong, with what was expected and found; every problem is located and is one of a mapping."""
    chain = chain_of(group, target)
    fuse(chain, group, mapping)
    with pytest.raises(CatenaError) as caught:
        compiled(chain)
    assert all(each.code == "CAT-F002" and each.node for each in caught.value.diagnostics), caught.value
    return [f"{each.message} | {each.expected} | {each.found}" for each in caught.value.diagnostics]


def test_tensors_that_do_not_fit_are_named() -> None:
    """484 words in banks of 100, each of one tensor."""
    group, mapping = CASES["rows, halo kept"]()
    (problem,) = refusal(group, mapping, with_banks(EYERISS, 6, 100))
    tensors = "conv1.out.K 36, conv2.out.K 36, f1 208, conv1.out 132, conv2.out 72; each in whole banks of 100"
    assert problem == f"the tensors of the group do not fit glb ({tensors}) | at most 600 words | 772 words"


def test_tiles_that_do_not_fit_beside_tensors_are_refused() -> None:
    group, mapping = CASES["rows, halo kept"]()
    problems = refusal(group, mapping, with_banks(EYERISS, 8, 100))
    assert problems == [
        f"buffer banks of 100 words (tensors of the group 8 banks, output tile {words} words) | at most 8 | 9"
        for words in (72, 72)
    ]


def test_nests_take_an_input_from_its_hold() -> None:
    group, mapping = CASES["rows, halo kept"]()
    late = Mapping((Storage("spad", (Operand.KERNEL,)), *[Storage("glb", (each,)) for each in (Operand.OUTPUT,)]))
    wrong = tuple((link.name, late) for link in group.links)
    first, second = refusal(group, replace(mapping, branches=wrong), EYERISS)
    assert first == second
    assert first.startswith("I lies in glb when a turn begins, and the nest does not take it from there")
    assert "| store glb [I] before all loops |" in first


def test_scratchpads_hold_nothing_of_a_group() -> None:
    group = conv_pair(10, 2)
    (problem,) = refusal(group, mapped(group, "H.opc 3", 1, w1="spad"), EYERISS)
    assert "conv1.out.K: there are several memories spad" in problem


# Faults ---------------------------------------------------------------------------------------------------------------


def edited(edit: Edit) -> tuple[Program, dict[str, object]]:
    """The program of a pair of convolutions, rows by rows, with other instructions."""
    group, mapping = CASES["rows, halo kept"]()
    target = with_banks(EYERISS, 60, 20)
    chain = chain_of(group, target)
    fuse(chain, group, with_nests(group, mapping, target, random.Random(3)))
    program = compiled(chain)
    code = edit(list(ISA.decode(program.code[0], "code.0")))
    return replace(program, code=(ISA.encode(code),)), dict(chain.inputs)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("edit", "code", "message"),
    [
        (without(Fetch, 0), "CAT-E002", "that is not there"),
        (without(Run, 0), "CAT-E002", "that is not there"),
        (moved(Run, 0, 1), "CAT-E002", "nothing was ever there"),
        (without(Store, 0), "CAT-E002", "that is not there"),
        (changed(HeldAxis, 16, kept=5), "CAT-E002", "it was overwritten, or never brought"),
        (changed(Hold, 3, address=0), "CAT-E002", "that is not there"),
        (changed(Hold, 3, address=215), "CAT-E002", "it was overwritten, or never brought"),
        (changed(Hold, 0, address=1190), "CAT-E001", "a hold lies outside of glb"),
        (changed(Hold, 0, memory=2), "CAT-E003", "holds do not lie in memory 2"),
        (changed(Hold, 0, words=3), "CAT-E001", "hold 0 overruns its words of glb"),
        (changed(Span, 0, first=1), "CAT-E002", "that is not there"),
        (changed(Range, 15, count=12), "CAT-E001", "a turn works indices that a loop does not have"),
        (changed(Range, 18, count=1), "CAT-E002", "whose sum is not finished"),
        (changed(Range, 18, offset=1, count=1), "CAT-E002", "that is not there"),
        (changed(Keep, 0, hold=77), "CAT-E003", "there is no hold 77 yet"),
        (changed(Run, 0, layer=7), "CAT-E003", "layer 7 is none of the group"),
        (changed(Send, 0, hold=0), "CAT-E003", "does not make what is in the hold"),
        (changed(Place, 1, memory=Memory.GLB, address=0), "CAT-E003", "a tile of the layer lies where hold 0 keeps"),
        (changed(Place, 1, memory=Memory.GLB, address=18), "CAT-E003", "a tile of the layer lies where hold 0 keeps"),
        (changed(Load, 0, tensor=Tensor.INPUT), "CAT-E003", "an input is loaded that lies in a hold"),
        (without(Open, 0), "CAT-E002", "a pass runs before its input and output tiles are there"),
    ],
)
def test_faults_name_instruction_and_node(mode: str, edit: Edit, code: str, message: str) -> None:
    program, inputs = edited(edit)
    emulator = SpatialEmulator(program, mode)  # pyright: ignore[reportArgumentType]
    assert_stops(lambda: emulator.run(inputs), code, message)  # pyright: ignore[reportArgumentType]
