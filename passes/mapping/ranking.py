"""The best of some candidates of a row-stationary search, in an order that does not hang on how they are met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import numpy.typing as npt

from dialects.schedule import Objective
from passes.mapping.column_costs import ColumnCosts
from passes.mapping.columns import Column, Columns
from passes.mapping.row_stationary import Parameters

Priced = tuple[tuple[float, int, int, int], Parameters]
"""Parameters, and what they are compared by: value, idle elements, passes, place among the candidates."""


def ranked(
    costs: ColumnCosts, objective: Objective, c: Columns, m: Column, places: npt.NDArray[np.intp], count: int
) -> list[Priced]:
    """The best of a row of candidates with `m` filters in the buffer, at most `count`, best first."""
    value = costs.value(objective, c, m)
    active = np.broadcast_to(c.kernel_rows * c.e * c.r * c.t * c.group_sets, c.shape)
    passes = costs.passes(c, m)
    last = min(count, len(value)) - 1
    least = np.flatnonzero(value <= (np.partition(value, last)[last] if last else value.min()))
    best = least[np.lexsort((places[least], passes[least], -active[least], value[least]))[:count]]
    return [
        (
            (float(value[row]), -int(active[row]), int(passes[row]), int(places[row])),
            parameters_of(c, m, int(row)),
        )
        for row in best
    ]


def parameters_of(c: Columns, m: Column, row: int) -> Parameters:
    """One of the candidates."""
    chosen = {field.name: np.broadcast_to(getattr(c, field.name), c.shape)[row] for field in fields(c)}
    whole = bool(chosen.pop("whole"))
    return Parameters(**{name: int(size) for name, size in chosen.items()}, m=int(m[row]), whole_windows=whole)


def columns_of(several: Sequence[Parameters]) -> tuple[Columns, Column]:
    """Parameters as a row of candidates, and their filters in the buffer."""
    names = [field.name for field in fields(Columns) if field.name != "whole"]
    found = {name: np.array([getattr(each, name) for each in several], np.int64) for name in names}
    whole = np.array([each.whole_windows for each in several], np.bool_)
    return Columns(**found, whole=whole), np.array([each.m for each in several], np.int64)


def limit_of(found: Sequence[Priced], count: int) -> float:
    """The value that further candidates must not exceed to be among the best."""
    return found[-1][0][0] if len(found) == count else float(np.finfo(np.float64).max)
