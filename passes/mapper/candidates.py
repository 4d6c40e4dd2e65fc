"""Values of a dataflow's parameters, a column for each parameter that is decided and a row for each candidate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from passes.mapper.nest import Column

CHUNK = 1 << 14
"""Candidates that are worked on together, about: their columns should stay in a cache."""


class Candidates:
    """Columns of parameters, `count` long."""

    def __init__(self, count: int, columns: dict[str, Column]):
        self.count = count
        self.columns = columns

    def take(self, rows: npt.NDArray[np.intp]) -> Candidates:
        """Some of them."""
        return Candidates(len(rows), {name: column[rows] for name, column in self.columns.items()})

    def beside(self, name: str, column: Column) -> Candidates:
        """These with a further parameter."""
        return Candidates(self.count, self.columns | {name: column})

    def without(self, names: Iterable[str]) -> Candidates:
        """These with some parameters open again."""
        dropped = {*names}
        return Candidates(self.count, {key: column for key, column in self.columns.items() if key not in dropped})

    def chunks(self, width: int = 1) -> Iterator[Candidates]:
        """These, a moderate number at a time if each grows to `width`."""
        for rows in np.array_split(np.arange(self.count), max(1, self.count * width // CHUNK)):
            yield self.take(rows)


def distinct_rows(columns: Iterable[Column], count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The first of each of `count` rows that differ in some columns, in ascending order of these; which each row is.

    Columns of one number are the same everywhere.
    """
    differing = [column for column in columns if len(column) > 1 and column.min() < column.max()]
    if not differing:
        return np.zeros(min(count, 1), np.intp), np.zeros(count, np.intp)
    order = np.lexsort(differing[::-1])
    is_first = np.zeros(count, np.bool_)
    is_first[0] = True
    for column in differing:
        ordered = column[order]
        is_first[1:] |= ordered[1:] != ordered[:-1]
    inverse = np.empty(count, np.intp)
    inverse[order] = np.cumsum(is_first) - 1
    return order[is_first], inverse


def joined(parts: list[Candidates]) -> Candidates:
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    return Candidates(sum(part.count for part in parts), columns)
