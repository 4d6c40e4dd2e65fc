"""Loops whose turns share nothing: their numbers in words are those of tables of every turn."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from passes.fusion.axis_tables import Tabulation
from passes.fusion.group import Group
from passes.fusion.link_walk import Counted, Cut, Known, Stance
from passes.fusion.plain_walk import NotPlainError, PlainWalk
from passes.fusion.space import loops_of
from passes.fusion.turn_walk import TurnWalk
from tests.passes.fusion.groups import attention, conv_pair, fc_pair, random_group, residual_block

NUMBERS = ("common", "most", "first")
Stances = dict[str, tuple[Stance, ...]]


def _cuts(group: Group) -> list[Cut]:
    dims = {dim.name: dim for dim in group.head.spec.dims}
    counts = {loop: dims[loop.dim].count(loop.kind) for loop in loops_of(group)}
    return [Cut(loop, count, tuple(range(1, count))) for loop, count in counts.items()]


def _walks(known: Known, cut: Cut, stances: Stances, low: bool) -> tuple[PlainWalk, TurnWalk] | None:
    try:
        plain = PlainWalk(known, cut, stances, TurnWalk(known, (), {}, low), low)
    except NotPlainError:
        return None
    return plain, TurnWalk(known, (cut,), stances, low)


def _assert_counted_same(mine: Mapping[Any, Counted], others: Mapping[Any, Counted]) -> None:
    assert mine.keys() == others.keys()
    for key, counted in mine.items():
        for number in NUMBERS:
            np.testing.assert_allclose(getattr(counted, number), getattr(others[key], number), err_msg=str(key))


def _are_products(turns: TurnWalk) -> bool:
    """Whether what tables have of unions is right."""
    one_axis = [(each.differing & (each.differing - 1)) == 0 for each in turns.unions]
    products = [
        each.first_in_second | each.second_in_first | one for each, one in zip(turns.unions, one_axis, strict=True)
    ]
    return all(bool(each.all()) for each in products)


def _assert_same(plain: PlainWalk, turns: TurnWalk) -> None:
    _assert_counted_same(plain.counted, turns.counted)
    _assert_counted_same(plain.read, turns.read)
    for words, others in ((plain.made_words, turns.made_words), (plain.work, turns.work)):
        assert words.keys() == others.keys()
        for name, numbers in words.items():
            np.testing.assert_allclose(numbers, others[name], err_msg=name)
    # Tables may have differences between turns that are not there, and on axes that need not differ.
    for union, other in zip(plain.unions, turns.unions, strict=True):
        assert (union.first_in_second >= other.first_in_second).all()
        assert (union.second_in_first >= other.second_in_first).all()
        assert not (union.differing & ~other.differing).any()
        assert union.differing[0] == other.differing[0]


def _assert_all_same(group: Group) -> int:
    """How many walks were plain."""
    count = 0
    known = Tabulation(group).known
    for cut in _cuts(group):
        for chosen in itertools.product(Stance, repeat=len(group.intermediates)):
            stances: Stances = {name: (stance,) for name, stance in zip(group.intermediates, chosen, strict=True)}
            for low in (False, True):
                walks = _walks(known, cut, stances, low)
                if walks and _are_products(walks[1]):
                    _assert_same(*walks)
                    count += 1
    return count


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.exhaustive] * (seed > 1)) for seed in range(12)]
)
def test_plain_walks_of_random_groups(seed: int) -> None:
    rng = random.Random(seed)
    count = 0
    for _ in range(4):
        count += _assert_all_same(random_group(rng))
    assert count > 0


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(fc_pair(3, 4, 6, 4), id="fc pair"),
        pytest.param(conv_pair(6, 4), id="convolutions"),
        pytest.param(residual_block(4, 4, True), id="residual block"),
        pytest.param(attention(2, 4, 4, 3), id="attention"),
    ],
)
def test_plain_walks(group: Group) -> None:
    assert _assert_all_same(group) > 0


def test_loops_over_channels_are_plain_and_those_over_windows_are_not() -> None:
    group = conv_pair(6, 4)
    known = Tabulation(group).known
    stances: Stances = dict.fromkeys(group.intermediates, (Stance.KEEP,))
    plain = {str(cut.loop) for cut in _cuts(group) if _walks(known, cut, stances, False)}
    assert plain == {"C.op", "C.ks"}


@pytest.mark.parametrize("seed", range(12))
def test_what_moves(seed: int) -> None:
    group = random_group(random.Random(seed))
    tabulation = Tabulation(group)
    forget: Stances = dict.fromkeys(group.intermediates, (Stance.FORGET,))
    for cut in _cuts(group):
        finest = Cut(cut.loop, cut.count, cut.tiles[:1])
        known = Known(group, tabulation.known.largest)
        assert tabulation.moved(cut) == TurnWalk(known, (finest,), forget).moved()
