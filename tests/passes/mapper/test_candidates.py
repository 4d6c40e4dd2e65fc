"""Rows of columns that differ, and pieces of which only the first tiles count for some candidates."""

from __future__ import annotations

import numpy as np
import pytest

from passes.mapper.candidates import distinct_rows
from passes.mapper.pieces import Pieces


@pytest.mark.parametrize("count", [1, 2, 50])
def test_distinct_rows_are_those_of_numpy(count: int) -> None:
    random = np.random.default_rng(count)
    columns = [random.integers(0, 3, count), np.array([7]), random.integers(0, 4, count)]
    rows = np.stack([np.broadcast_to(column, (count,)) for column in columns])
    _, first, which = np.unique(rows, axis=1, return_index=True, return_inverse=True)
    index, inverse = distinct_rows(columns, count)
    assert index.tolist() == first.tolist()
    assert inverse.tolist() == which.reshape(-1).tolist()


def test_columns_of_one_number_make_no_rows_differ() -> None:
    index, inverse = distinct_rows([np.array([5])], 3)
    assert (index.tolist(), inverse.tolist()) == ([0], [0, 0, 0])
    index, inverse = distinct_rows([], 0)
    assert (index.tolist(), inverse.tolist()) == ([], [])


def test_first_tiles_of_some_candidates_are_those_of_all_or_none() -> None:
    once = np.array([True, False, True, False])
    tiles = np.array([4, 4, 3, 3])
    pieces = Pieces.whole(10, 1).cut(np.array([7, 7, 4, 4]))
    mixed, first, cut = pieces.cut(tiles, once), pieces.first(tiles), pieces.cut(tiles)
    for what in ("number", "total", "largest"):
        expected = np.where(once, getattr(first, what), getattr(cut, what))
        assert getattr(mixed, what).tolist() == expected.tolist()
