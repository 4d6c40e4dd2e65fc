"""Which of many parts of mappings can be left out, because another one costs less and allows the same.

What follows on a part depends on its tiles, and on those of links that are alive or open; on nothing else of how it was
made. So of parts that agree in these only the cheapest is worth following.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dialects.hierarchy import Axis
from dialects.schedule import Operand
from passes.mapper.bounds import Bounds
from passes.mapper.links import Link
from passes.mapper.nest import Column
from passes.mapper.partial import Parts, Rows
from passes.mapper.problem import Problem


def cheapest(parts: Parts, bounds: Bounds, axes: Sequence[Axis]) -> Rows:
    """The parts that no other one replaces; `axes` are still to be laid along."""
    if parts.count < 2 or not bounds.exact:
        return np.arange(parts.count)
    # a link of one operation has no loops, and no rows
    group = numbered(np.array(_state(parts, bounds, axes)).reshape(-1, parts.count))
    cost = parts.sunk + bounds.pending(parts, axes)
    order = np.lexsort((cost, ~parts.sure, group))
    ordered = group[order]
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    first = begins.nonzero()[0]
    leader: Rows = order[first][np.cumsum(begins) - 1]
    better = (cost[order] < cost[leader]) | ~parts.sure[leader]
    if len(parts.flows):
        better |= (parts.flows[:, order] < parts.flows[:, leader]).any(axis=0)
    better[first] = True
    return np.sort(order[better])


def _state(parts: Parts, bounds: Bounds, axes: Sequence[Axis]) -> list[Column]:
    """All that what follows depends on, row by row."""
    rows = [*parts.tiles]
    if bounds.lays_reading:
        rows += [*parts.marks, *(() if parts.sent is None else parts.sent)]
    if bounds.timed:
        rows += [*parts.busy, *parts.marks]
    elif axes and bounds.limited:
        rows.append(np.multiply.reduce(parts.busy, axis=0))
    for link in parts.links:
        loops = _counting(parts.problem, link)
        open_ = bool(bounds.axes_left(link, axes))
        rows += [link.shared[loop] for loop in loops]
        if link.alive or not open_ or bounds.timed:
            for each in (link.own if link.own is not link.shared else None, link.laid, link.kept):
                rows += [each[loop] for loop in loops] if each is not None else []
        elif link.operand is Operand.INPUT:
            rows += [link.own[loop] for window in parts.problem.windows for loop in (window.outputs, window.kernels)]
    return rows


def _counting(problem: Problem, link: Link) -> list[int]:
    """The loops whose tiles say how many words of a link there are."""
    slid = (loop for window in problem.windows for loop in (window.outputs, window.kernels))
    return [*problem.idle(link.operand), *(slid if link.operand is Operand.INPUT else ())]


def numbered(rows: Column) -> Column:
    """Numbers of columns, the same for those that agree in all `rows`."""
    low, high = rows.min(axis=1), rows.max(axis=1)
    differing = (low < high).nonzero()[0]
    spans = (high[differing] - low[differing] + 1).tolist()
    number = np.zeros(rows.shape[1], np.int64)
    most = 1
    for row, span in zip(differing, spans, strict=True):
        if most * span >= 1 << 62:
            number = np.unique(number, return_inverse=True)[1].astype(np.int64)
            most = int(number.max()) + 1
        number *= span
        number += rows[row] - low[row]
        most *= span
    return number
