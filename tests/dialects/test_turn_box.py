"""Elements and shapes of boxes along turns: those that turns have one by one."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import pytest

from dialects.turn_box import Along, Span, TurnAxis, TurnBox


def _random_along(rng: random.Random, loop: int, turns: int) -> Along:
    starts = [0, *sorted(rng.sample(range(1, turns), rng.randint(0, turns - 1)))]
    return Along(loop, tuple(Span(turn, rng.randint(0, 1), rng.randint(0, 4), rng.randint(0, 1)) for turn in starts))


def _random_box(rng: random.Random, turns: tuple[int, ...], *, apart: bool) -> TurnBox:
    """A box whose axes go along with loops of their own, or `not apart` with any."""
    loops = list(range(len(turns)))
    rng.shuffle(loops)
    axes: list[TurnAxis] = []
    for _ in range(3):
        mine = [loops.pop() for _ in range(min(rng.randint(0, 2), len(loops)))] if apart else rng.sample(loops, 1)
        along = tuple(_random_along(rng, loop, turns[loop]) for loop in sorted(mine))
        axes.append(TurnAxis(rng.randint(2, 5), along))
    if rng.random() < 0.1:
        axes.append(TurnAxis(0))
    return TurnBox(tuple(axes))


@pytest.mark.parametrize("apart", [True, False])
def test_elements_are_those_of_all_turns(*, apart: bool) -> None:
    some = 0
    for seed in range(200):
        rng = random.Random(seed)
        turns = tuple(rng.randint(1, 4) for _ in range(3))
        box = _random_box(rng, turns, apart=apart)
        sizes = [tuple(map(len, box.at(turn))) for turn in itertools.product(*map(range, turns))]
        assert box.total(turns) == sum(map(math.prod, sizes))
        assert dict(box.shapes(turns)) == Counter(shape for shape in sizes if all(shape))
        some += box.total(turns) > 0
    assert some > 50


def test_a_box_that_no_loop_moves_has_one_shape() -> None:
    box = TurnBox((TurnAxis(3), TurnAxis(2)))
    assert list(box.shapes((4, 5))) == [((3, 2), 20)]
    assert box.total((4, 5)) == 120
    assert list(TurnBox((TurnAxis(3), TurnAxis(0))).shapes((4, 5))) == []
