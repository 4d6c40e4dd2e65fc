"""Fused groups end to end: outputs of the links one by one, every count as predicted, traffic and room of the model."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerType
from xdsl.parser import Parser

from backends.container import parse_program, program_bytes
from backends.disassembly import image_digest, listing_lines
from backends.generic.emit import emit
from backends.generic.emulator import MODES, NestEmulator
from backends.generic.isa import ISA, Place
from backends.isa import Instruction
from backends.listing import assemble_program
from backends.program import Program
from backends.spatial.codes import Tensor
from backends.spatial.group_isa import (
    Fetch,
    HeldAxis,
    Hold,
    Keep,
    Range,
    Run,
    Send,
    Span,
    Turns,
)
from backends.spatial.isa import Dim as LoopCounts
from backends.spatial.isa import End
from dialects.diagnostics import CatenaError
from dialects.fused_mapping import FusedMapping, Retention
from dialects.gconv import Dim, GConv, LoopKind, Reduce, Step
from dialects.schedule import Loop, Mapping, Operand, Storage, Temporal
from passes.fusion.group import Group
from passes.fusion.holds import plan_group
from passes.fusion.model import FusedCosts
from passes.map_nest import MapNestPass
from passes.place_nest import PlaceNestPass
from tests.backends.generic.fused_groups import chain_of, check_group, compiled, fuse, with_nests
from tests.backends.generic.layers import check_counts, machine
from tests.backends.generic.test_faults import changed, without
from tests.examples import examples
from tests.filechecking import new_ir_context, print_module
from tests.passes.fusion.groups import Builder, attention, conv_pair, fc_pair, residual_block, window, with_own_loops
from tests.passes.fusion.resnet_pair import GROUP as RESNET
from tests.passes.fusion.resnet_pair import ROWS
from tests.passes.fusion.test_holds import cuts_sums, random_lowerable

ALL = ["I", "K", "O"]
MACHINE = machine(
    {
        "glb": {"kind": "memory", "words": 1 << 20, "buffers": 2, "read": 3.0, "write": 2.0, "bypass": ALL},
        "rf": {"kind": "memory", "words": 4096, "read": 1.0, "slides": True, "bypass": ALL},
    }
)


def mapped(group: Group, loops: str, level: int | None, anew: str = "", **levels: int | str | None) -> FusedMapping:
    """A mapping with loops such as `H.opc 4`; tensors lie in `glb` below `level` loops unless said otherwise.

    A text instead of a level is a memory. Of the tensors named in `anew`, nothing stays.
    """
    nodes: list[Temporal] = []
    for each in filter(None, loops.split(", ")):
        name, tile = each.split()
        dim, kind = name.split(".")
        nodes.append(Temporal(Loop(dim, LoopKind(kind)), int(tile)))
    retentions: list[Retention] = []
    for tensor in group.tensors:
        place = levels.get(tensor.name.replace(".", "_"), level)
        if place is None and tensor.name in group.intermediates:
            place = len(nodes)
        if isinstance(place, str):
            retentions.append(Retention(tensor.name, place, 0))
        else:
            retentions.append(Retention(tensor.name, "glb", place, tensor.name not in anew.split()))
    return FusedMapping(tuple(nodes), tuple(retentions))


def strided() -> Group:
    """A convolution of stride 2 on a padded one, and a dilated one without padding behind it."""
    net = Builder()
    x = net.external((1, 13, 11), "x")
    y = net.conv(x, 2, [window("H", 13, 3, before=1, after=1), window("W", 11, 3, before=1, after=1)], name="first")
    y = net.conv(y, 1, [window("H", 13, 3, 2, before=1), window("W", 11, 3, 2, before=1, after=1)], name="second")
    net.conv(y, 2, [window("H", 6, 2, dilation=2), window("W", 6, 2, dilation=2)], name="third")
    return net.group()


def inverted_residual() -> Group:
    """Point-wise, depthwise, point-wise, and what came in added: a block of MobileNet v2."""
    net = Builder()
    x = net.external((2, 7, 6), "x")
    points = [Dim("H", opc=7), Dim("W", opc=6)]
    y = net.conv(x, 4, points, name="expand")
    y = net.conv(y, 4, [window("H", 7, 3, before=1, after=1), window("W", 6, 3, before=1, after=1)], 4, name="depth")
    net.conv(y, 2, points, posts=[x], name="project")
    return net.group()


def pooled() -> Group:
    """A convolution and the largest of every window of it; the windows overlap and are cut off at the end."""
    net = Builder()
    y = net.conv(net.external((2, 12, 11), "x"), 4, [window("H", 12, 3), window("W", 11, 3)], name="conv")
    net.pool(y, [window("H", 10, 3, 2), window("W", 9, 3, 2)], name="pool")
    return net.group()


def exporting() -> Group:
    """Two convolutions whose first result is wanted outside as well."""
    return replace(conv_pair(11, 2), exported=frozenset({"conv1.out"}))


CASES: dict[str, Callable[[], tuple[Group, FusedMapping]]] = {
    "all at once": lambda: (g := conv_pair(8, 2), mapped(g, "", 0)),
    "rows, halo kept": lambda: (g := conv_pair(13, 2), mapped(g, "H.opc 4", 1, w1=0, w2=0)),
    "rows of one, halo kept": lambda: (g := conv_pair(11, 2), mapped(g, "H.opc 1", 1)),
    "rows, halo computed again": lambda: (g := conv_pair(11, 2), mapped(g, "H.opc 3", 1, "conv1.out")),
    "rows, halo fetched again": lambda: (g := conv_pair(11, 2), mapped(g, "H.opc 3", 1, "f1 conv1.out")),
    "tiles, band kept": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3, W.opc 4", 1)),
    "tiles, halo kept along one loop": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3, W.opc 4", 2)),
    "tiles, kept by tensor": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3, W.opc 4", 2, f1=1, w1=0, w2=0)),
    "tiles of columns first": lambda: (g := conv_pair(10, 2), mapped(g, "W.opc 5, H.opc 2", 2, conv1_out=1)),
    "channels": lambda: (g := conv_pair(7, 3), mapped(g, "C.op 2", 1, f1=0, conv1_out=0)),
    "within links": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3", None)),
    "kernels off-chip": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3", 1, w1="dram", w2="dram")),
    "result off-chip": lambda: (g := conv_pair(10, 2), mapped(g, "H.opc 3", 1, conv2_out="dram", f1="dram")),
    "strides, padding, dilation": lambda: (g := strided(), mapped(g, "H.opc 1, W.opc 3", 1)),
    "strides, one loop deeper": lambda: (g := strided(), mapped(g, "H.opc 2, W.opc 3", 2)),
    "inverted residual": lambda: (g := inverted_residual(), mapped(g, "H.opc 2", 1)),
    "inverted residual by columns": lambda: (g := inverted_residual(), mapped(g, "W.opc 3, H.opc 4", 2)),
    "convolution and pool": lambda: (g := pooled(), mapped(g, "H.opc 2", 1)),
    "convolution and pool by channels": lambda: (g := pooled(), mapped(g, "C.g 1, H.opc 3", 2, x=0)),
    "residual block": lambda: (g := residual_block(2, 7, False), mapped(g, "H.g 2", 1)),
    "residual block with a post operand": lambda: (g := residual_block(2, 7, True), mapped(g, "H.opc 4", 1)),
    "products": lambda: (g := fc_pair(9, 2, 4, 8), mapped(g, "P.opc 2", 1, w1=0, w2=0)),
    "products by columns": lambda: (g := fc_pair(9, 2, 4, 8), mapped(g, "C.op 3", 1, x=0, fc1_out=0)),
    "attention": lambda: (g := attention(2, 7, 5, 3), mapped(g, "H.g 1, M.opc 3", 2, k=1, v=1)),
    "reduced channels": lambda: (g := conv_pair(7, 4), mapped(g, "C.ks 3", 1, f1=0, conv2_out=0)),
    "reduced channels, rows inside": lambda: (
        g := residual_block(3, 6, True),
        mapped(g, "C.ks 2, H.opc 4", 2, x0=0, l0_out=1, l2_out=0),
    ),
    "reduced channels of rows": lambda: (g := conv_pair(8, 3), mapped(g, "H.opc 4, C.ks 1", 2, f1=1, conv2_out=1)),
    "products by depth": lambda: (g := fc_pair(9, 2, 6, 4), mapped(g, "P.opc 4, C.ks 2", 2, w2=0, fc2_out=1)),
    "windows of a pool": lambda: (g := pooled(), mapped(g, "W.ks 2, H.ks 1", 2, "conv.out", x=0, pool_out=0)),
    "first result exported": lambda: (g := exporting(), mapped(g, "H.opc 3", 1)),
    "first result exported, computed again": lambda: (g := exporting(), mapped(g, "H.opc 3", 1, "conv1.out")),
}


ALIKE = {
    "rows of one, halo kept",
    "rows, halo fetched again",
    "tiles, halo kept along one loop",
    "tiles, kept by tensor",
    "kernels off-chip",
    "strides, one loop deeper",
    "inverted residual by columns",
    "convolution and pool by channels",
    "residual block",
    "products by columns",
    "first result exported, computed again",
}
"""Cases of which others show most."""


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


def test_unfinished_sums_do_not_leave_for_holds() -> None:
    group, mapping = CASES["rows, halo kept"]()
    target = machine({"glb": {"kind": "memory", "operands": ["I", "K"]}, "acc": {"kind": "memory", "bypass": ALL}})
    nests = with_nests(group, mapping, target)
    around = (Temporal(Loop("C", LoopKind.KS), 1), Temporal(Loop("H", LoopKind.OPC), 1))
    early = tuple((link, Mapping((nest.nodes[0], *around, *nest.nodes[1:]))) for link, nest in nests.branches)
    chain = chain_of(group, target)
    fuse(chain, group, replace(nests, branches=early))
    with pytest.raises(CatenaError, match="before they are finished"):
        PlaceNestPass().apply(Context(), chain.module)


def quantized() -> tuple[Group, dict[str, IntegerType]]:
    """Two convolutions of bytes that are added up in 32 bits."""
    net = Builder()
    y = net.external((2, 10, 9), "x")
    for name in ("first", "second"):
        dims = (
            Dim("C", op=2, ks=2),
            *(window(axis, extent, 3, before=1, after=1) for axis, extent in (("H", 10), ("W", 9))),
        )
        post = (Step("affine", (0.25, 1.0)), Step("round"), Step("clip", (-128.0, 127.0)), Step("to_int8"))
        spec = GConv(dims, "mul", Reduce.ADD, post=(Step("to_float32"), *post), pad_value=3.0, acc="int32")
        y = net.link(spec, y, net.external(spec.kernel_shape, f"w{name}"), name=name)
    group = net.group()
    return group, {tensor.name: IntegerType(8) for tensor in group.tensors}


BYTES = {"H.opc 3": 1, "H.opc 4, W.opc 2": 1, "C.ks 1": 0, "H.opc 4, C.ks 1, W.ks 2": 1}
"""Loops, and the level of the result."""


@pytest.mark.parametrize("loops", BYTES)
def test_bytes_are_equal_to_the_bit(loops: str) -> None:
    group, types = quantized()
    check_group(group, mapped(group, loops, 1, second_out=BYTES[loops]), MACHINE, types=types)


@pytest.mark.parametrize("first", [0, pytest.param(100, marks=pytest.mark.exhaustive)])
def test_random_groups_whose_sums_go_on_from_turn_to_turn_run_as_their_links_do(first: int) -> None:
    cut = [seed for seed in range(first, first + (12 if not first else 400)) if cuts_sums(*random_lowerable(seed))]
    assert 2 * sum(map(_check_random, cut)) > len(cut) > 2


def test_sums_go_on_only_where_some_come_about_and_stay() -> None:
    group, mapping = CASES["reduced channels"]()
    bare = machine({"glb": {"kind": "memory", "operands": ["I", "K"]}, "acc": {"kind": "memory", "bypass": ALL}})
    for level, target, message in (
        (0, bare, "would go on in glb, which takes none"),
        (1, MACHINE, "would leave the chip unfinished between turns"),
        (None, MACHINE, "would leave the chip unfinished between turns"),
    ):
        placed = (replace(each, level=level) if each.tensor == "conv2.out" else each for each in mapping.retentions)
        with pytest.raises(CatenaError) as caught:
            plan_group(group, replace(mapping, retentions=tuple(placed)), target, "placed", "node")
        (problem,) = caught.value.diagnostics
        assert (problem.code, problem.message) == ("CAT-F002", f"for C.ks 3: sums of conv2.out {message}")
        assert problem.hint


def test_more_turns_than_a_sequencer_takes_are_refused() -> None:
    net = Builder()
    net.conv(net.conv(net.external((1, 8), "x"), 1, [window("H", 8)], name="one"), 1, [window("H", 8, 4)], name="two")
    group = net.group()
    check_group(group, mapped(group, "H.opc 2, H.ks 1", 2, two_out=1), MACHINE, modes=("blocks",))
    with pytest.raises(CatenaError, match=r"20 turns are more than a sequencer takes for so few words \(13\)"):
        plan_group(group, mapped(group, "H.opc 1, H.ks 1", 2, two_out=1), MACHINE, "placed", "node")


def test_turns_and_sums_are_text_that_is_read_again() -> None:
    group, mapping = CASES["reduced channels"]()
    chain = chain_of(group, MACHINE)
    fuse(chain, group, with_nests(group, mapping, MACHINE))
    PlaceNestPass().apply(Context(), chain.module)
    text = print_module(chain.module)
    assert "for C.ks 3" in text
    assert "group.run 1 <1, 4, 1, 4 along 0 {0: 0 size 3, 1: 3 size 1}, " in text
    assert print_module(Parser(new_ir_context(), text).parse_module()) == text


def in_pieces() -> tuple[Group, FusedMapping]:
    """Two convolutions that take turns on rows and bring their kernels, and the first its input, piece by piece."""
    group = chained(4)
    loops = {
        "conv1": nest("C.ks 1", "I", "C.op 2", "K"),
        "conv2": nest("C.op 1", "K"),
    }
    return group, replace(mapped(group, "H.opc 3", 1, f1=None, w1=None, w2=None), branches=tuple(loops.items()))


def chained(channels: int) -> Group:
    """Two convolutions without padding."""
    return conv_pair(10, channels)


def nest(*statements: str) -> Mapping:
    """Loops (`C.ks 1`) and, in the buffer, operands, outermost first."""
    return Mapping(tuple(_statement(each) for each in statements))


def _statement(text: str) -> Temporal | Storage:
    if len(text) == 1:
        return Storage("glb", (Operand(text),))
    loop, tile = text.split()
    dim, kind = loop.split(".")
    return Temporal(Loop(dim, LoopKind(kind)), int(tile))


def test_links_bring_what_is_within_them_in_pieces() -> None:
    group, mapping = in_pieces()
    whole, costs = FusedCosts(group, replace(mapping, branches=())), FusedCosts(group, mapping)
    assert costs.traffic == whole.traffic
    assert costs.occupancy["w1"] * 8 == whole.occupancy["w1"]
    assert costs.occupancy["w2"] * 4 == whole.occupancy["w2"]
    assert costs.occupancy["f1"] * 4 == whole.occupancy["f1"]
    program = check_group(group, mapping, MACHINE)
    assert program.groups[0].held["glb"] == costs.capacity("glb") - max(
        costs.occupancy["f1"] + costs.occupancy["w1"], costs.occupancy["w2"]
    )


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (("H.opc 1", "I"), "for H.opc 1: pieces of f1 would overlap"),
        (("C.op 2", "C.op 1", "K"), "for C.op 1: two loops above the place of w1 cut C.op"),
    ],
)
def test_pieces_that_cannot_be_told_apart_are_refused(statements: tuple[str, ...], message: str) -> None:
    group, mapping = in_pieces()
    wrong = replace(mapping, branches=(("conv1", nest(*statements)),))
    with pytest.raises(CatenaError) as caught:
        plan_group(group, wrong, MACHINE, "placed", "node")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.message) == ("CAT-F002", message)
    assert problem.hint


@pytest.mark.parametrize("first", [0, pytest.param(40, marks=pytest.mark.exhaustive)])
def test_random_groups_with_pieces_run_as_their_links_do(first: int) -> None:
    """Whatever nests bring in pieces: what they make, what they count, and what the model counts alike."""
    ran = 0
    for seed in range(first, first + (20 if not first else 400)):
        rng = random.Random(seed)
        group, mapping = random_lowerable(seed)
        kept = (
            replace(each, level=None, reuse=True)
            if each.tensor not in group.intermediates and rng.random() < 0.6
            else each
            for each in mapping.retentions
        )
        mapping = with_own_loops(rng, group, replace(mapping, retentions=tuple(kept)))
        with contextlib.suppress(CatenaError):  # other tests say what is refused
            check_group(group, mapping, SPACIOUS, rng, modes=("blocks",))
            ran += bool(mapping.branches)
    assert ran > 5


@settings(max_examples=examples(40), deadline=None)
@given(st.integers(0, 1 << 20))
def test_random_groups_run_as_their_links_do(seed: int) -> None:
    _check_random(seed)


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", range(0, 1000, 100))
def test_many_random_groups_run_as_their_links_do(first: int) -> None:
    assert sum(_check_random(seed) for seed in range(first, first + 100)) > 60


SPACIOUS = machine(
    {
        "glb": {"kind": "memory", "buffers": 2, "read": 3.0, "write": 2.0, "bypass": ALL},
        "spad": {"kind": "memory", "read": 1.0, "slides": True, "bypass": ALL},
    }
)


def _check_random(seed: int) -> bool:
    """Whether a random group can be lowered; if so, it runs as it should."""
    group, mapping = random_lowerable(seed)
    try:
        check_group(group, mapping, SPACIOUS, random.Random(seed))
    except CatenaError as error:
        return not all_say_why(error)
    return True


def all_say_why(error: CatenaError) -> bool:
    """Whether a refusal is one of a mapping, with a reason and a hint."""
    assert all(each.code == "CAT-F002" and each.message and each.hint for each in error.diagnostics), error
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


def test_code_does_not_grow_with_turns() -> None:
    lengths = [
        len(check_group(g := conv_pair(extent, 1), mapped(g, "H.opc 2", 1), MACHINE, modes=("blocks",)).code[0])
        for extent in (20, 60)
    ]
    assert lengths[0] == lengths[1]


def test_placed_groups_are_text_that_can_be_read_again() -> None:
    group, mapping = CASES["tiles, kept by tensor"]()
    chain = chain_of(group, MACHINE)
    fuse(chain, group, with_nests(group, mapping, MACHINE))
    PlaceNestPass().apply(Context(), chain.module)
    text = print_module(chain.module)
    again = Parser(new_ir_context(), text).parse_module()
    again.verify()
    assert print_module(again) == text
    assert emit(again, "generic").code[0] == emit(chain.module, "generic").code[0]


def test_listings_of_groups_assemble_to_the_same_program() -> None:
    program = check_group(*CASES["products"](), MACHINE, modes=("blocks",))
    images = {}
    for image in program.constants:
        words = image.array()
        images[image_digest(words)] = words.data.cast("B")
    text = "\n".join(listing_lines(program, ISA))
    again = assemble_program(text, lambda _: ISA, images.__getitem__)
    assert program_bytes(again) == program_bytes(program)


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


def test_tensors_that_do_not_fit_are_named() -> None:
    group, mapping = CASES["rows, halo kept"]()
    small = machine({"glb": {"kind": "memory", "words": 300, "bypass": ALL}})
    chain = chain_of(group, small)
    fuse(chain, group, with_nests(group, mapping, small))
    with pytest.raises(CatenaError, match="the tensors of the group do not fit glb") as caught:
        PlaceNestPass().apply(Context(), chain.module)
    (problem,) = caught.value.diagnostics
    assert (problem.expected, problem.found) == ("at most 300 words", "484 words")
    assert "f1 208" in problem.message or "208" in problem.message


def test_nests_take_what_lies_in_holds_from_there() -> None:
    group, mapping = CASES["rows, halo kept"]()
    wrong = with_nests(group, mapping, MACHINE)
    first, second = wrong.branches
    chain = chain_of(group, MACHINE)
    fuse(chain, group, replace(wrong, branches=((first[0], Mapping(())), second)))
    with pytest.raises(CatenaError, match="the nest does not take it from there") as caught:
        PlaceNestPass().apply(Context(), chain.module)
    assert {each.expected for each in caught.value.diagnostics} == {
        f"store glb [{operand}] before all loops" for operand in ALL
    }


# Faults ---------------------------------------------------------------------------------------------------------------

Edit = Callable[[list[Instruction]], list[Instruction]]
NARROW = machine(
    {
        "glb": {"kind": "memory", "words": 1000, "bypass": ALL},
        "rf": {"kind": "memory", "words": 400, "bypass": ALL},
    }
)


def edited(edit: Edit) -> tuple[Program, dict[str, object]]:
    """The program of a pair of convolutions, rows by rows, with other instructions."""
    group, mapping = CASES["rows, halo kept"]()
    chain = chain_of(group, NARROW)
    fuse(chain, group, with_nests(group, mapping, NARROW, random.Random(5)))
    program = compiled(chain)
    code = edit(list(ISA.decode(program.code[0], "code.0")))
    return replace(program, code=(ISA.encode(code),)), dict(chain.inputs)


def moved(kind: type[Instruction], number: int, by: int) -> Edit:
    """One instruction of a kind, some places further on."""

    def edit(code: list[Instruction]) -> list[Instruction]:
        index = [i for i, each in enumerate(code) if isinstance(each, kind)][number]
        code.insert(index + by, code.pop(index))
        return code

    return edit


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("edit", "code", "message"),
    [
        (without(Fetch, 0), "CAT-E002", "that is not there"),
        (without(Run, 0), "CAT-E002", "that is not there"),
        (moved(Run, 0, 1), "CAT-E002", "nothing was ever there"),
        (changed(HeldAxis, 16, kept=5), "CAT-E002", "it was overwritten, or never brought"),
        (changed(HeldAxis, 16, step=2), "CAT-E002", "an element is wanted that hold 3 never has"),
        (changed(Hold, 3, address=0), "CAT-E002", "that is not there"),
        (changed(Hold, 0, address=970), "CAT-E001", "a hold lies outside of glb"),
        (changed(Hold, 0, memory=2), "CAT-E003", "a tile of the layer lies where hold 0 keeps its KERNEL"),
        (changed(Hold, 0, memory=3), "CAT-E003", "there is no memory 3"),
        (changed(Hold, 0, words=3), "CAT-E001", "hold 0 overruns its words of glb"),
        (changed(HeldAxis, 13, extent=12), "CAT-E001", "an element is outside of the tensor of hold 2"),
        (changed(Span, 0, first=1), "CAT-E002", "that is not there"),
        (changed(Span, 3, size=5), "CAT-E002", "that is not there"),
        (changed(Span, 3, size=7), "CAT-E001", "a tile overruns its place in rf"),
        (changed(Range, 15, count=12), "CAT-E001", "a turn works indices that a loop does not have"),
        (changed(Range, 18, count=1), "CAT-E002", "whose sum is not finished"),
        (changed(Range, 18, offset=1, count=1), "CAT-E002", "that is not there"),
        (changed(Keep, 0, hold=77), "CAT-E003", "there is no hold 77 yet"),
        (changed(Keep, 0, tensor=Tensor.OUTPUT_INDEX), "CAT-E003", "OUTPUT_INDEX cannot lie in a hold"),
        (changed(Run, 0, layer=7), "CAT-E003", "layer 7 is none of the group"),
        (changed(Run, 0, box=70), "CAT-E003", "there is no box 70"),
        (changed(Send, 0, hold=0), "CAT-E003", "does not make what is in the hold"),
        (changed(Span, 0, loop=3), "CAT-E003", "a range goes along with loop 3"),
        (without(Range, 0), "CAT-E003", "a box of 5 axes for hold 0, which has 6"),
        (without(Range, 20), "CAT-E003", "a box of a layer has four ranges for every dimension"),
        (without(Keep, 1), "CAT-E003", "layer 0 does not read what is in the hold"),
        (without(Keep, 0), "CAT-E003", "OUTPUT has no place in memory 1"),
        (changed(Place, 0, memory=1), "CAT-E003", "a tile of the layer lies where hold 2 keeps its INPUT"),
    ],
)
def test_faults_name_instruction_and_node(mode: str, edit: Edit, code: str, message: str) -> None:
    program, inputs = edited(edit)
    with pytest.raises(CatenaError) as caught:
        NestEmulator(program, mode).run(inputs)  # pyright: ignore[reportArgumentType]
    (problem,) = caught.value.diagnostics
    assert problem.code == code, problem
    assert message in str(problem)
    assert problem.where.startswith("instruction ")
    assert problem.node


def around(kind: type[Instruction], *turns: int) -> Edit:
    """An instruction of a kind inside of further loops of turns, the outermost first."""

    def edit(code: list[Instruction]) -> list[Instruction]:
        index = next(i for i, each in enumerate(code) if isinstance(each, kind))
        return [
            *code[:index],
            *(Turns(each) for each in turns),
            code[index],
            *(End() for _ in turns),
            *code[index + 1 :],
        ]

    return edit


def loops_of_layers(counts: int) -> Edit:
    """All layers say that their loops have so many indices, and the first turns are as many."""

    def edit(code: list[Instruction]) -> list[Instruction]:
        first = next(i for i, each in enumerate(code) if isinstance(each, Turns))
        code = [
            replace(each, g=counts, op=counts, opc=counts) if isinstance(each, LoopCounts) else each for each in code
        ]
        code[first] = Turns(counts)
        return code

    return edit


MOST = (1 << 24) - 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("edit", "turns"),
    [
        (changed(Turns, 0, turns=MOST), MOST),
        (around(Fetch, MOST, MOST, MOST), MOST),
        (around(Run, 1, 1, 1, MOST), 3 * MOST),
        (around(Send, 5000), 3 * 5000),
        (loops_of_layers(MOST), MOST),
    ],
    ids=["of the group", "nested", "around a run", "too many by few", "of layers as large"],
)
def test_a_few_instructions_do_not_keep_the_emulator_at_work(mode: str, edit: Edit, turns: int) -> None:
    program, inputs = edited(edit)
    program = parse_program(program_bytes(program), "hostile")
    with pytest.raises(CatenaError) as caught:
        NestEmulator(program, mode).run(inputs)  # pyright: ignore[reportArgumentType]
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.found) == ("CAT-E003", str(turns))
    assert problem.message == "a group takes more turns than there are sums to work on in them"
    assert problem.where.startswith("instruction ")
    assert problem.expected.startswith("at most ")
    assert problem.hint


def test_a_group_may_take_a_turn_for_every_result() -> None:
    group = conv_pair(6, 2)
    program = check_group(group, mapped(group, "C.op 1, H.opc 1, W.opc 1", 3), MACHINE, modes=("blocks",))
    loops = [each.turns for each in ISA.decode(program.code[0], "code.0") if isinstance(each, Turns)]
    assert math.prod(loops) == math.prod(group.head.spec.output_shape)


def test_files_with_groups_are_read_back() -> None:
    program = check_group(*CASES["products"](), MACHINE, modes=("blocks",))
    again = parse_program(program_bytes(program), "test")
    assert again.groups == program.groups
    assert {layer.group for layer in again.layers} == {again.groups[0].name}
