"""Candidates of a row-stationary search as columns of parameters, a place for every candidate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from dialects.schedule import Loop

Column = npt.NDArray[np.int64]
Costs = npt.NDArray[np.float64]
_SMALL_TABLE = 1 << 16
"""Rows that may be there, up to which they are told apart without sorting."""
Tiles = dict[Loop, tuple[Column, Column]]
"""The tiles of loops: in a pass (or an input tile), and in an element."""


@dataclass(frozen=True)
class Columns:
    """One column per parameter of `Parameters` that is searched; `m` follows from the others.

    Columns need only broadcast: every place in the shape that they have together is a candidate, so that a product of
    choices takes no more words than the choices.
    """

    n: Column
    e: Column
    rows: Column
    p: Column
    q: Column
    r: Column
    t: Column
    groups: Column
    group_sets: Column
    slide: Column
    kernel_rows: Column
    kernel_cols: Column
    whole: npt.NDArray[np.bool_]
    """`whole_windows`."""

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape that the columns have together."""
        return np.broadcast_shapes(*(getattr(self, field.name).shape for field in fields(self)))

    def take(self, candidates: npt.NDArray[np.intp]) -> Columns:
        """Some of the candidates, by their places in the flattened shape, as a row; what all share stays one number."""
        places = np.unravel_index(candidates, self.shape)

        def taken(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
            own = zip(places[len(places) - column.ndim :], column.shape, strict=True)
            return np.asarray(column[tuple(place if size > 1 else 0 for place, size in own)])

        found = {field.name: taken(getattr(self, field.name)) for field in fields(self)}
        # One column at least is as long as the row.
        return Columns(**found | {"e": np.broadcast_to(found["e"], candidates.shape)})


def pieces(extent: int, tiles: Column) -> Column:
    """How many tiles a loop is cut into."""
    return -(-extent // tiles) if extent > 1 else np.asarray(1)


def filter_passes(filters: int, m: Column, in_pass: Column) -> tuple[Column, Column]:
    """Passes over filters of which `m` are in the buffer: sizes (0 if there is none) and how often there is each.

    Whole ones, what is left of a tile of `m`, and what is left of the last tile, along a first axis.
    """
    tiles, last = np.divmod(filters, m)
    of_tile, of_last = m % in_pass, last % in_pass
    times = (tiles * (m // in_pass) + last // in_pass, tiles * (of_tile > 0), (of_last > 0).astype(np.int64))
    sizes = (in_pass, of_tile, of_last)
    return np.stack(np.broadcast_arrays(*sizes)), np.stack(np.broadcast_arrays(*times))


def halvings(extent: int) -> list[int]:
    """The tiles that cut a loop into 1, 2, 4 ... pieces, down to 1."""
    return sorted({-(-extent // (1 << k)) for k in range(extent.bit_length() + 1)})


def tabulate(function: Callable[..., int], *columns: Column) -> Column:
    """`function` of every row of some columns, worked out once per distinct row."""
    shape = np.broadcast_shapes(*(column.shape for column in columns))
    if not math.prod(shape):
        return np.zeros(shape, np.int64)
    sizes = [int(column.max()) + 1 for column in columns]
    if math.prod(sizes) <= _SMALL_TABLE:
        codes = np.ravel_multi_index(np.broadcast_arrays(*columns), sizes)
        is_there = np.zeros(math.prod(sizes), np.bool_)
        is_there[codes] = True
        found = np.flatnonzero(is_there)
        table = np.zeros(len(is_there), np.int64)
        table[found] = [
            function(*row) for row in zip(*(axis.tolist() for axis in np.unravel_index(found, sizes)), strict=True)
        ]
        return table[codes]
    code = np.zeros((), np.int64)
    for column in columns:
        values, index = np.unique(column, return_inverse=True)
        code = code * len(values) + index.reshape(column.shape)
    _, first, index = np.unique(code, return_index=True, return_inverse=True)
    rows = zip(*(np.broadcast_to(column, code.shape).reshape(-1)[first].tolist() for column in columns), strict=True)
    return np.array([function(*row) for row in rows], np.int64)[index].reshape(code.shape)
