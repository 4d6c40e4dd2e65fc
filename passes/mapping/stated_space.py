"""The stated space of row-stationary mappings, where all legal ones are too many to look at, and its search.

The search is a branch and bound in three steps: every way to fill the array is given a floor, which looks at no tiles;
those with the lowest floors are bounded, some thousands at a time (all images in the buffer at once, and as many
filters as fit with one); then buffer tiles are tried for the most promising ones, until no floor and no bound is below
the best mapping found.

The stated space: tiles that cut a loop into as few, even pieces as any tile between them would; sets of channels that
fill the rows of the array, or an even share of them; sets of filters that fill what is left, or half of it; images, and
rows in an element where it slides over no window or the target multicasts no kernels, in halvings, the latter over full
rows of the array or even shares of a row; the largest number of filters whose partial sums fit the buffer; the largest
part of a kernel that an element holds; and the whole sliding loop in a strip, or halvings of it until something fits.
Where elements keep no windows, input tiles serve all kernel positions, unless no such tile fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dialects.gconv import PASS, Dim, GConv
from dialects.schedule import Loop, Objective
from passes.mapping.column_costs import ColumnCosts
from passes.mapping.columns import Column, Columns, Costs, halvings
from passes.mapping.ranking import Priced, limit_of, ranked
from passes.mapping.row_stationary import even_tile, even_tiles, extent, fold, most_sets

_FIRST = 1024
"""Candidates that are priced first, for a bound on the others."""
_CHUNK = 16384
"""Candidates that are bounded at a time, those with the lowest floors first: the best of them tell on the others."""
_BATCH = 4096
"""Candidates that are priced at a time then: few calls, and columns of little memory."""


def never() -> bool:
    """Whether to stop, if nothing says so."""
    return False


def as_it_is(found: Priced) -> Priced:
    """What is made of what is found, if nothing is."""
    return found


class StatedSpace:
    """The stated space with strips of `slide` sliding positions."""

    def __init__(self, costs: ColumnCosts, slide: int, whole_windows: bool):
        spec, roles, machine = costs.spec, costs.roles, costs.machine
        self.spec, self.roles, self.machine = spec, roles, machine
        self.slide, self.whole_windows = slide, whole_windows
        limit = min(machine.limits.kernel_rows, machine.limits.channels, machine.array.rows)
        self.kernel_rows = even_tile(extent(spec, roles.rows_kernel), limit)
        pe, limits = machine.pe, machine.limits
        limit = min(limits.kernel_cols, limits.channels, pe.input_words, pe.kernel_words)
        self.kernel_cols = self._fitting_kernel_cols(even_tiles(extent(spec, roles.slide_kernel), limit))
        self.costs, self.counts = costs, costs.counts

    def _fitting_kernel_cols(self, tiles: list[int]) -> int:
        return next((tile for tile in tiles if self._held(tile) <= self.machine.pe.input_words), 1)

    def _held(self, kernel_cols: int) -> int:
        """Input words that an element keeps per channel while it slides."""
        dim = _dim_of(self.spec, self.roles.slide_kernel)
        if dim is None or dim.dilation == 1 or dim.opc == 1:
            return kernel_cols
        return (kernel_cols - 1) * dim.dilation + 1

    def several(
        self,
        objective: Objective,
        count: int,
        should_stop: Callable[[], bool] = never,
        improved: Callable[[Priced], Priced] = as_it_is,
    ) -> tuple[list[Priced], float]:
        """The best legal parameters, at most `count`, best first, and a lower bound of all values.

        The first one is `improved` at once, so that less is looked at after that.
        """
        columns, is_needed = self._candidates()
        if not is_needed.any():
            return [], np.inf
        all_sets = replace(columns, t=columns.t[:1])
        floor = np.where(is_needed[:1], self.costs.floor(objective, all_sets), np.inf).reshape(-1)
        first = np.argpartition(floor, min(_FIRST, len(floor)) - 1)[:_FIRST]
        found = self._ranked(objective, columns, first[np.isfinite(floor[first])], count, np.inf)
        if found and should_stop():
            return found, min(float(floor.min()), found[0][0][0])
        if found and (better := improved(found[0])) is not found[0]:
            found = [better, *found][:count]
        limit = limit_of(found, count)
        # Half the sets of filters take no fewer passes than all, so that their floor is no lower.
        halves = np.flatnonzero((floor <= limit) & is_needed[1].reshape(-1))
        floor[first] = np.inf
        sets = np.flatnonzero(floor <= limit)
        left = np.concatenate((sets, len(floor) + halves))
        floor = np.concatenate((floor[sets], self.costs.floor(objective, columns.take(left[len(sets) :]))))
        rows = np.flatnonzero(floor <= limit)
        left, floor = left[rows], floor[rows]
        while left.size:
            order = np.argpartition(floor, _CHUNK) if left.size > _CHUNK else np.arange(left.size)
            near, far = left[order[:_CHUNK]], order[_CHUNK:]
            left, floor = left[far], floor[far]
            others = float(floor.min(initial=np.inf))
            bound, fits = self._bound(objective, columns.take(near))
            near, bound = near[fits], bound[fits]
            order = np.argsort(bound, kind="stable")
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                if bound[batch[0]] > limit_of(found, count):
                    break
                if found and should_stop():
                    return found, min(float(bound[batch[0]]), others, found[0][0][0])
                better = self._ranked(objective, columns, near[batch], count, limit_of(found, count))
                found = sorted([*found, *better], key=lambda each: each[0])[:count]
            rows = np.flatnonzero(floor <= limit_of(found, count))
            left, floor = left[rows], floor[rows]
        return found, found[0][0][0] if found else np.inf

    def _bound(self, objective: Objective, c: Columns) -> tuple[Costs, npt.NDArray[np.bool_]]:
        """What a row of candidates costs at least, whatever the number of images at a time, and which may fit.

        With one image at a time there is room for the most filters.
        """
        m, _ = self._most_filters(replace(c, n=np.asarray(1)))
        fits = m >= np.minimum(c.p * c.t, self.counts["filters"])
        price = self.costs.quick if self.counts["images"] == 1 else self.costs.bound
        return price(objective, c, np.maximum(m, 1)), fits

    def _ranked(
        self, objective: Objective, grid: Columns, places: npt.NDArray[np.intp], count: int, limit: float
    ) -> list[Priced]:
        """The best of some candidates over all numbers of images, at most `count`, best first, none above a limit."""
        images = np.array(halvings(self.counts["images"]), np.int64)
        columns = grid.take(np.repeat(places, len(images)))
        columns = replace(columns, n=np.tile(images, len(places)))
        m, fits = self._most_filters(columns)
        if not fits.any():
            return []
        rows = np.flatnonzero(fits)
        columns, m, places = columns.take(rows), m[rows], places[rows // len(images)]
        if np.isfinite(limit) and self.costs.has_time(objective):
            rows = np.flatnonzero(self.costs.quick(objective, columns, m) <= limit)
            if not rows.size:
                return []
            columns, m, places = columns.take(rows), m[rows], places[rows]
        found = ranked(self.costs, objective, columns, m, places, count)
        return [(key, replace(x, m=_even_multiple(self.counts["filters"], x.m, x.p * x.t))) for key, x in found]

    def _candidates(self) -> tuple[Columns, npt.NDArray[np.bool_]]:
        """Every way to fill elements and array, all images at once, and which are legal and not the same as another.

        Axes: all sets of filters that fit, or half of them; q; p; groups in an element; ways to fill the array. What
        depends on some of them alone is a column along these, so that few terms of a cost are as large as the product.
        """
        counts, limits, pe = self.counts, self.machine.limits, self.machine.pe
        q = _along(even_tiles(counts["channels"], max(1, pe.input_words // self.kernel_cols)), 4)
        p = _along(even_tiles(counts["filters"], pe.output_words), 3)
        groups = _along(halvings(counts["groups"]), 2)
        e, rows, r, group_sets, space = np.array(self._array_candidates(), np.int64).reshape(-1, 5).T
        sets = -(-counts["filters"] // p)
        most = np.maximum(np.minimum(space, np.minimum(sets, limits.filters // p)), 1)
        all_sets = -(-sets // -(-sets // most))
        t = np.stack((all_sets, -(-all_sets // 2)))[:, np.newaxis]
        kernel_words = p * q * groups * self.kernel_cols if self.spec.main != PASS else np.zeros(())
        is_needed = (
            ((r <= -(-counts["channels"] // q)) & (q * r <= limits.channels))
            & ((group_sets <= -(-counts["groups"] // groups)) & (p * all_sets <= limits.filters))
            & (kernel_words <= pe.kernel_words)
        )
        columns = Columns(
            n=np.asarray(counts["images"]), e=e, rows=rows, p=p, q=q, r=r, t=t, groups=groups, group_sets=group_sets,
            slide=np.asarray(self.slide), kernel_rows=np.asarray(self.kernel_rows),
            kernel_cols=np.asarray(self.kernel_cols), whole=np.asarray(self.whole_windows),
        )  # fmt: skip
        return columns, np.stack((is_needed, is_needed & (all_sets > 1)))

    def _array_candidates(self) -> list[tuple[int, int, int, int, int]]:
        """(e, rows, r, group sets, sets of filters that still fit) on the array."""
        tiles = self._row_tiles()
        sets = {e: self._sets_beside(e) for e in {e for e, _ in tiles}}
        return [(e, rows, *each) for e, rows in tiles for each in sets[e]]

    def _sets_beside(self, e: int) -> list[tuple[int, int, int]]:
        """(r, group sets, sets of filters that still fit) for sets with `e` elements across."""
        machine, counts = self.machine, self.counts
        found: list[tuple[int, int, int]] = []
        for r in _shares(min(counts["channels"], machine.array.rows // self.kernel_rows)):
            chain = self.kernel_rows * r
            sets = most_sets(e, chain, machine)
            if sets == 0:
                continue
            for group_sets in even_tiles(counts["groups"], sets):
                filters = sets // group_sets
                while group_sets > 1 and not fold(e, chain, filters, group_sets, machine).fits:
                    filters -= 1
                found.append((r, group_sets, filters))
        return found

    def _row_tiles(self) -> list[tuple[int, int]]:
        """(elements across, rows in each) for the output rows."""
        count = self.counts["rows_out"]
        most = self.machine.array.cols * (self.machine.array.rows // self.kernel_rows)
        copies = self.machine.limits.kernel_copies if self.spec.main != PASS else most
        chunks = halvings(count)
        if copies < most:
            # Kernels stay where they are while several rows pass by.
            cols = self.machine.array.cols
            return [
                (e, chunk)
                for chunk in chunks
                for e in even_tiles(-(-count // chunk), copies)
                if e <= cols or -(-e // cols) * cols <= copies
            ]
        if not self.costs.shared_slide and self.roles.slide is not None:
            return [(e, 1) for e in even_tiles(count, most)]
        return [(e, chunk) for chunk in chunks for e in self._full_rows(min(-(-count // chunk), most))]

    def _full_rows(self, most: int) -> list[int]:
        """Numbers of elements, up to `most`, that fill rows of the array or an even share of one row."""
        cols = self.machine.array.cols
        return sorted({most, *(e for e in _shares(cols) if e <= most), *range(cols, most + 1, cols)})

    def _most_filters(self, c: Columns) -> tuple[Column, npt.NDArray[np.bool_]]:
        """The largest number of filters in the buffer, in whole passes, and which candidates fit at all."""
        bank, filters = self.machine.glb.bank_words, self.counts["filters"]
        inputs, outputs = self.costs.buffer_words(c)
        words = (self.machine.glb.banks - -(-inputs // bank)) * bank
        most = np.maximum(words, 0) // outputs
        inner = c.p * c.t
        m = np.where(most >= filters, filters, most // inner * inner)
        held = self.costs.input_scratchpad(c) <= self.machine.pe.input_words
        return m, held & (m >= np.minimum(inner, filters))


def _along(values: list[int], axis: int) -> Column:
    """Values along one axis, counted from the last one, of columns that meet in a product."""
    return np.array(values, np.int64).reshape(-1, *(1,) * (axis - 1))


def _shares(whole: int) -> list[int]:
    """All, a half, a third ... of a number, down to 1."""
    return sorted({whole // parts for parts in range(1, whole + 1)})


def _even_multiple(extent: int, limit: int, unit: int) -> int:
    """The smallest multiple of `unit` (or the whole loop) that cuts a loop into as few tiles as `limit` does."""
    share = even_tile(extent, limit)
    return min(extent, -(-share // unit) * unit)


def _dim_of(spec: GConv, loop: Loop | None) -> Dim | None:
    return None if loop is None else next(dim for dim in spec.dims if dim.name == loop.dim)
