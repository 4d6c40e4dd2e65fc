"""Links of groups that bring tensors in pieces: counted by the model, run, or refused."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

import pytest

from dialects.diagnostics import CatenaError
from dialects.fused_mapping import FusedMapping
from dialects.gconv import LoopKind
from dialects.schedule import Loop, Mapping, Operand, Storage, Temporal
from passes.fusion.group import Group
from passes.fusion.holds import plan_group
from passes.fusion.model import FusedCosts
from tests.backends.generic.fused_groups import check_group
from tests.backends.generic.group_cases import (
    MACHINE,
    SPACIOUS,
    mapped,
)
from tests.passes.fusion.groups import conv_pair, with_own_loops
from tests.passes.fusion.test_holds import random_lowerable


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
    for seed in range(first, first + (20 if not first else 150)):
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
