"""Mappings in fewer turns: they move and work the same, fit, and have no larger tiles left that would do."""

from __future__ import annotations

import math
import random

import pytest

from dialects.fused_mapping import FusedMapping
from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop, Temporal
from passes.fusion.coarsening import coarsened
from passes.fusion.group import Group
from passes.fusion.inference import turns_of
from passes.fusion.model import FusedCosts
from tests.passes.fusion.groups import conv_pair, everything_at, random_case

MEMORY = "glb"


def _numbers(group: Group, mapping: FusedMapping) -> tuple[int, int]:
    costs = FusedCosts(group, mapping)
    return costs.traffic, sum(work.operations for work in costs.work.values())


@pytest.mark.parametrize("seed", range(20))
def test_no_number_is_larger_and_turns_are_fewer(seed: int) -> None:
    group, mapping = random_case(random.Random(seed))
    for words in (FusedCosts(group, mapping).capacity(MEMORY), 10**9):
        coarse = coarsened(group, mapping, MEMORY, words)
        assert [node.loop for node in coarse.loops] == [node.loop for node in mapping.loops]
        assert coarse.retentions == mapping.retentions
        assert FusedCosts(group, coarse).capacity(MEMORY) <= words
        assert _numbers(group, coarse) == _numbers(group, mapping)
        assert math.prod(turns_of(group.head, coarse)) <= math.prod(turns_of(group.head, mapping))


def test_room_is_used() -> None:
    group = conv_pair(24, 2)
    mapping = everything_at(group, 1, (Temporal(Loop("H", LoopKind.OPC), 1),))
    needed = FusedCosts(group, mapping).capacity(MEMORY)
    turns = [
        turns_of(group.head, coarsened(group, mapping, MEMORY, words))[0]
        for words in (needed, FusedCosts(group, everything_at(group, 0)).capacity(MEMORY))
    ]
    assert turns == [20, 2]
