"""Row-stationary mappings beside a good one: all sizes of one part, or of two, with several numbers of filters.

Where legal mappings are too many to price them all, the best ones of the stated space are led to better ones in steps:
all neighbours are priced at once, and the best of them is next, until none is better.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from dialects.gconv import PASS
from dialects.schedule import Objective
from passes.mapping.best_of_row import best_of_row
from passes.mapping.column_costs import ColumnCosts
from passes.mapping.columns import Column, Columns
from passes.mapping.legal_rows import fits_elements, most_filters
from passes.mapping.ranking import Priced
from passes.mapping.row_stationary import Parameters, even_tiles
from passes.mapping.stated_space import never

_MOST = 2048
"""Sizes of two parts together that are tried; where there are more, each part is only changed by itself."""
_Table = dict[str, npt.NDArray[Any]]
_TOGETHER = ((1, 3), (2, 4), (3, 4), (3, 6))
"""Parts that are changed together, as places among the tables: strips, windows, channels and groups with rows."""


class Neighbourhood:
    """Neighbours of mappings of one link; `costs` count filters in the buffer that are not whole passes."""

    def __init__(self, costs: ColumnCosts):
        self.costs = costs
        self._settled: set[Parameters] = set()

    def improved(self, objective: Objective, start: Priced, should_stop: Callable[[], bool]) -> Priced:
        """The last of the steps from a mapping: no neighbour costs less, unless it is time to stop."""
        best = start
        while best[1] not in self._settled and not should_stop():
            columns, m = self._of(best[1])
            below = best[0][0] * (1 - 1e-9)
            found, _ = best_of_row(self.costs, objective, columns, m, 1, never, below)
            if not found:
                self._settled.add(best[1])
                break
            best = found[0]
        return best

    def _of(self, x: Parameters) -> tuple[Columns, Column]:
        """All legal neighbours as a row of candidates, and their filters in the buffer."""
        own = {**vars(x), "whole": x.whole_windows}
        found = {
            name: np.append(column, own[name])[places]
            for table, places in zip(self._tables, self._moves, strict=True)
            for name, column in table.items()
        }
        columns = Columns(**found)
        return self._with_filters(columns.take(np.flatnonzero(fits_elements(self.costs, columns))))

    @cached_property
    def _moves(self) -> Column:
        """For every neighbour the row of each table that it takes, a column a table; -1 is what a mapping has."""
        sizes = [len(next(iter(table.values()))) for table in self._tables]
        moves: list[tuple[int, ...]] = [pair for pair in _TOGETHER if sizes[pair[0]] * sizes[pair[1]] <= _MOST]
        covered = {place for pair in moves for place in pair}
        moves += [(place,) for place in range(len(sizes)) if place not in covered]
        grids = [np.indices([sizes[place] for place in move]).reshape(len(move), -1) for move in moves]
        found = np.full((len(sizes), sum(grid.shape[1] for grid in grids) + 1), -1, np.int64)
        start = 0
        for move, grid in zip(moves, grids, strict=True):
            found[list(move), start : start + grid.shape[1]] = grid
            start += grid.shape[1]
        return found

    def _with_filters(self, c: Columns) -> tuple[Columns, Column]:
        """As many filters in the buffer as fit, or as many that are whole passes, evenly; or those of one pass."""
        filters = self.costs.counts["filters"]
        most = most_filters(self.costs, c)
        in_pass = np.minimum(c.p * c.t, filters)
        fewest = np.minimum(c.p * (c.t - 1) + 1, filters)
        tile = -(-filters // -(-filters // np.maximum(most, 1)))
        whole = np.minimum(-(-tile // in_pass) * in_pass, filters)
        whole = np.where(whole <= most, whole, most // in_pass * in_pass)
        choices = np.stack((tile, whole, in_pass))
        is_legal = (choices >= fewest) & (choices <= most)
        is_legal[1] &= whole != tile
        is_legal[2] &= (in_pass != tile) & (in_pass != whole)
        choice, rows = np.nonzero(is_legal)
        return c.take(rows), choices[choice, rows]

    @cached_property
    def _tables(self) -> list[_Table]:
        """What the parameters of each part can be together: even shares of their loops, on elements that are there."""
        costs = self.costs
        counts, machine = costs.counts, costs.machine
        pe, limits, array = machine.pe, machine.limits, machine.array
        elements = array.rows * array.cols
        copies = elements if costs.spec.main == PASS else min(elements, limits.kernel_copies)
        windows = itertools.product(
            even_tiles(counts["rows_kernel"], min(limits.kernel_rows, array.rows)),
            even_tiles(counts["slide_kernel"], min(limits.kernel_cols, pe.input_words)),
            (0, 1),
        )
        slides = (
            [1] if costs.shared_slide or costs.roles.slide is None else even_tiles(counts["slide"], counts["slide"])
        )
        return [
            _table(("n",), [(n,) for n in even_tiles(counts["images"], counts["images"])]),
            _table(("slide",), [(slide,) for slide in slides]),
            _table(("kernel_rows", "kernel_cols", "whole"), list(windows)),
            _table(("rows", "e"), _pairs(counts["rows_out"], counts["rows_out"], copies)),
            _table(("q", "r"), _pairs(counts["channels"], pe.input_words, array.rows)),
            _table(("p", "t"), _pairs(counts["filters"], pe.output_words, elements)),
            _table(("groups", "group_sets"), _pairs(counts["groups"], counts["groups"], elements)),
        ]


def _table(names: tuple[str, ...], rows: list[tuple[int, ...]]) -> _Table:
    """Columns of parameters by name; `whole` is yes or no."""
    columns = zip(names, np.array(rows, np.int64).T, strict=True)
    return {name: column.astype(np.bool_) if name == "whole" else column for name, column in columns}


@lru_cache(maxsize=256)
def _pairs(count: int, most: int, most_outer: int) -> list[tuple[int, ...]]:
    """Indices in an element, and elements or sets, that cut a loop into different numbers of even pieces."""
    return [(inner, outer) for inner in even_tiles(count, most) for outer in even_tiles(-(-count // inner), most_outer)]
