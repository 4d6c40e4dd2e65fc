"""The best of a row of row-stationary candidates: priced by rising bounds, as long as one may be better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dialects.schedule import Objective
from passes.mapping.column_costs import ColumnCosts
from passes.mapping.columns import Column, Columns
from passes.mapping.ranking import Priced, limit_of, ranked

_FIRST = 64
"""Candidates that are priced first, for a limit on the others."""
_BATCH = 4096
"""Candidates that are priced at a time then."""


def best_of_row(
    costs: ColumnCosts,
    objective: Objective,
    c: Columns,
    m: Column,
    count: int,
    should_stop: Callable[[], bool],
    limit: float = np.inf,
) -> tuple[list[Priced], float]:
    """The best candidates with a value up to `limit`, at most `count`, and what none of the row costs less than.

    `should_stop` is asked once there is one.
    """
    found: list[Priced] = []
    if not len(m):
        return found, np.inf
    bound = costs.floor(objective, c, m)
    order = np.flatnonzero(bound <= limit)
    order = order[np.argsort(bound[order], kind="stable")]
    start, size = 0, _FIRST
    while start < len(order):
        batch = order[start : start + size]
        least = float(bound[batch[0]])
        most = min(limit, limit_of(found, count))
        if least > most:
            break
        if found and should_stop():
            return found, min(least, found[0][0][0])
        better = _priced(costs, objective, c, m, batch[bound[batch] <= most], count, most)
        found = sorted([*found, *better], key=lambda each: each[0])[:count]
        start, size = start + size, _BATCH
    return found, found[0][0][0] if found else float(bound.min())


def _priced(
    costs: ColumnCosts,
    objective: Objective,
    c: Columns,
    m: Column,
    places: npt.NDArray[np.intp],
    count: int,
    limit: float,
) -> list[Priced]:
    """The best of some candidates, at most `count`, none above a limit."""
    if np.isfinite(limit) and len(places) > _FIRST:
        places = places[costs.quick(objective, c.take(places), m[places]) <= limit]
        if not places.size:
            return []
    found = ranked(costs, objective, c.take(places), m[places], places, count)
    return [each for each in found if each[0][0] <= limit]
