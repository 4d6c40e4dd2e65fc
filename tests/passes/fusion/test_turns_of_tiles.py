"""Turns of all tile sizes one after another: every operation is that of each tile size alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop
from passes.fusion.link_walk import Cut
from passes.fusion.region import Table
from passes.fusion.turns_of_tiles import Turns

COUNT = 11
TURNS = Turns(Cut(Loop("H", LoopKind.OPC), COUNT, (1, 2, 3, 4, 6, 10)))
TILES = range(len(TURNS.cut.tiles))
AXES = (0, 1)


def _parts(numbers: npt.NDArray[np.generic], axis: int) -> list[npt.NDArray[np.generic]]:
    """The turns of each tile size, first."""
    return [np.moveaxis(numbers, axis, 0)[TURNS.of(tile)] for tile in TILES]


def _numbers(axis: int) -> npt.NDArray[np.int64]:
    shape = [3, 4]
    shape.insert(axis, TURNS.count)
    return np.random.default_rng(axis).integers(0, 100, shape)


def test_indices_are_those_of_the_tiles() -> None:
    for part, tile in zip(_parts(TURNS.indices(), 0), TURNS.cut.tiles, strict=True):
        told = [np.flatnonzero(turn).tolist() for turn in part]
        assert told == [list(range(first, min(first + tile, COUNT))) for first in range(0, COUNT, tile)]


@pytest.mark.parametrize("axis", AXES)
def test_numbers_of_each_tile_size(axis: int) -> None:
    numbers = _numbers(axis)
    parts = _parts(numbers, axis)
    for found, expected in (
        (TURNS.total(numbers, axis), [part.sum(axis=0) for part in parts]),
        (TURNS.most(numbers, axis), [part.max(axis=0) for part in parts]),
        (TURNS.first(numbers, axis), [part[0] for part in parts]),
        (TURNS.last(numbers, axis), [part[-1] for part in parts]),
    ):
        assert np.array_equal(np.moveaxis(found, axis, 0), np.array(expected))


@pytest.mark.parametrize("axis", AXES)
def test_what_holds_in_every_turn(axis: int) -> None:
    holds: Table = _numbers(axis) < 90
    expected = np.array([part.all(axis=0) for part in _parts(holds, axis)])
    assert 0 < expected.mean() < 1
    assert np.array_equal(np.moveaxis(TURNS.every(holds, axis), axis, 0), expected)
    assert TURNS.every(holds.take([0], axis=axis), axis).shape[axis] == 1


@pytest.mark.parametrize("axis", AXES)
def test_what_other_turns_have(axis: int) -> None:
    table: Table = _numbers(axis) < 20
    found = [_parts(each, axis) for each in (TURNS.together(table, axis), TURNS.before(table, axis))]
    earlier = _parts(TURNS.earlier(table, axis), axis)
    for part, together, before, all_before in zip(_parts(table, axis), *found, earlier, strict=True):
        for turn in range(len(part)):
            assert np.array_equal(together[turn], part.any(axis=0))
            assert np.array_equal(before[turn], part[turn - 1] if turn else np.zeros_like(part[0]))
            assert np.array_equal(all_before[turn], part[:turn].any(axis=0))
