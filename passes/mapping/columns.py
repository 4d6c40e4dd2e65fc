"""Candidates of a row-stationary search as columns of parameters, a place for every candidate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dialects.schedule import Loop

Column = npt.NDArray[np.int64]
Costs = npt.NDArray[np.float64]
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

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """The shape that the columns have together."""
        return np.broadcast_shapes(*(getattr(self, field.name).shape for field in fields(self)))

    def take(self, candidates: npt.NDArray[np.intp]) -> Columns:
        """Some of the candidates, by their places in the flattened shape, as a row."""
        places = np.unravel_index(candidates, self.shape)

        def taken(column: Column) -> Column:
            own = zip(places[len(places) - column.ndim :], column.shape, strict=True)
            found = column[tuple(place if size > 1 else 0 for place, size in own)]
            return found if found.ndim else np.broadcast_to(found, candidates.shape)

        return Columns(*(taken(getattr(self, field.name)) for field in fields(self)))


@dataclass(frozen=True)
class Window:
    """What all candidates of a search share: sliding positions in a strip, kernel rows and columns of a pass.

    With `whole` an input tile serves all kernel positions, not only those of a pass.
    """

    slide: int
    kernel_rows: int
    kernel_cols: int
    whole: bool = False


def pieces(extent: int, tiles: Column) -> Column:
    """How many tiles a loop is cut into."""
    return -(-extent // tiles) if extent > 1 else np.asarray(1)


def halvings(extent: int) -> list[int]:
    """The tiles that cut a loop into 1, 2, 4 ... pieces, down to 1."""
    return sorted({-(-extent // (1 << k)) for k in range(extent.bit_length() + 1)})


def tabulate(function: Callable[..., int], *columns: Column) -> Column:
    """`function` of every row of some columns, worked out once per distinct row."""
    code = np.zeros((), np.int64)
    for column in columns:
        values, index = np.unique(column, return_inverse=True)
        code = code * len(values) + index.reshape(column.shape)
    _, first, index = np.unique(code, return_index=True, return_inverse=True)
    rows = zip(*(np.broadcast_to(column, code.shape).reshape(-1)[first].tolist() for column in columns), strict=True)
    return np.array([function(*row) for row in rows], np.int64)[index].reshape(code.shape)
