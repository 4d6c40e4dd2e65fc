"""All row-stationary mappings that a machine takes, where these are few: every number that every parameter can be.

Parameters that stand for the mapping of others are left out: elements, sets and passes beyond what their loops have.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from dialects.gconv import PASS
from passes.mapping.column_costs import ColumnCosts
from passes.mapping.columns import Column, Columns
from passes.mapping.legal_rows import fits_elements, most_filters

FEW = 1 << 19
"""Combinations of sizes, legal or not, up to which all are looked at."""
_Table = dict[str, Column]


def is_small(costs: ColumnCosts) -> bool:
    """Whether all combinations are looked at: there are at most `FEW`, as far as loops and elements alone tell."""
    return math.prod(_numbers(costs)) * costs.counts["filters"] <= FEW


def legal_space(costs: ColumnCosts) -> tuple[Columns, Column]:
    """All legal combinations as a row of candidates, and their filters in the buffer."""
    columns = _product(_tables(costs))
    return _with_filters(costs, columns.take(np.flatnonzero(fits_elements(costs, columns))))


def _numbers(costs: ColumnCosts) -> Iterator[int]:
    """The rows of each table, but that kernels may be cut in fewer ways."""
    counts = costs.counts
    yield counts["images"]
    yield 1 if costs.shared_slide else counts["slide"]
    yield counts["rows_kernel"]
    yield counts["slide_kernel"]
    for _, _, *pair in _paired(costs):
        yield _number_of_pairs(*pair)


def _tables(costs: ColumnCosts) -> list[_Table]:
    """What parameters of the same loop can be together; each table has a parameter or more to itself."""
    counts = costs.counts
    shared = costs.shared_slide or costs.roles.slide is None
    return [
        {"n": _up_to(counts["images"])},
        {"slide": _up_to(1 if shared else counts["slide"])},
        _windows(costs),
        *(_pairs(*pair) for pair in _paired(costs)),
    ]


def _paired(costs: ColumnCosts) -> list[tuple[str, str, int, int, int]]:
    """Parameters for elements and for how many of them, the indices of their loop, and the most of each."""
    counts, machine = costs.counts, costs.machine
    elements = machine.array.rows * machine.array.cols
    copies = elements if costs.spec.main == PASS else min(elements, machine.limits.kernel_copies)
    return [
        ("rows", "e", counts["rows_out"], counts["rows_out"], copies),
        ("q", "r", counts["channels"], machine.pe.input_words, machine.array.rows),
        ("p", "t", counts["filters"], machine.pe.output_words, elements),
        ("groups", "group_sets", counts["groups"], counts["groups"], elements),
    ]


def _windows(costs: ColumnCosts) -> _Table:
    """Kernel rows and columns of a pass, with input tiles for all windows where those are not all."""
    counts, limits = costs.counts, costs.machine.limits
    rows, cols, whole = np.meshgrid(
        _up_to(min(counts["rows_kernel"], limits.kernel_rows, costs.machine.array.rows)),
        _up_to(min(counts["slide_kernel"], limits.kernel_cols, costs.machine.pe.input_words)),
        np.array([0, 1]),
        indexing="ij",
    )
    differs = (whole == 0) | (rows < counts["rows_kernel"]) | (cols < counts["slide_kernel"])
    return {"kernel_rows": rows[differs], "kernel_cols": cols[differs], "whole": whole[differs]}


def _pairs(inner: str, outer: str, count: int, most: int, most_outer: int) -> _Table:
    """Indices of a loop in an element, and elements or sets of them: no more than the loop has."""
    sizes, times = np.meshgrid(_up_to(min(count, most)), _up_to(min(count, most_outer)), indexing="ij")
    is_needed = (times - 1) * sizes < count
    return {inner: sizes[is_needed], outer: times[is_needed]}


def _number_of_pairs(count: int, most: int, most_outer: int) -> int:
    """How many there are of these."""
    return int(np.minimum(-(-count // _up_to(min(count, most))), most_outer).sum())


def _up_to(count: int) -> Column:
    return np.arange(1, count + 1, dtype=np.int64)


def _product(tables: list[_Table]) -> Columns:
    """Every row of every table with every one of the others, each table along an axis of its own."""
    axes = range(len(tables) - 1, -1, -1)
    found = {
        name: column.reshape(-1, *(1,) * axis)
        for table, axis in zip(tables, axes, strict=True)
        for name, column in table.items()
    }
    whole = found.pop("whole").astype(np.bool_)
    return Columns(**found, whole=whole)


def _with_filters(costs: ColumnCosts, c: Columns) -> tuple[Columns, Column]:
    """Every candidate with each number of filters in the buffer that there is room for."""
    # With fewer filters fewer sets of them would do.
    fewest = np.broadcast_to(np.maximum(c.p * (c.t - 1) + 1, c.p), c.shape)
    times = np.maximum(most_filters(costs, c) - fewest + 1, 0)
    rows = np.repeat(np.arange(len(times)), times)
    first = np.cumsum(times) - times
    return c.take(rows), np.arange(len(rows)) - first[rows] + fewest[rows]
