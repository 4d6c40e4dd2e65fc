"""The row-stationary mapper: the best mapping of a link in the row-stationary space of a machine.

Combinations of parameters are priced as NumPy columns (`passes.mapping.column_costs`). The search is a branch and bound
in three steps: every way to fill the array is given a floor, which looks at no tiles; those with the lowest floors are
bounded, some thousands at a time (all images in the buffer at once, and as many filters as fit with one); then buffer
tiles are tried for the most promising ones, until no floor and no bound is below the best mapping found.
It is exact over the stated space: tiles that cut a loop into as few, even pieces as any tile between them would; sets
of channels that fill the rows of the array, or an even share of them; sets of filters that fill what is left, or half
of it; images, and rows in an element where it slides over no window or the target multicasts no kernels, in halvings,
the latter over full rows of the array or even shares of a row; the largest number of filters whose partial sums fit
the buffer; the largest part of a kernel that an element holds; and the whole sliding loop in a strip, or halvings of it
until something fits. Where elements keep no windows, input tiles serve all kernel positions, unless no such tile fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import PASS, Dim, GConv
from dialects.schedule import Loop, Mapping, Objective
from passes.mapping.column_costs import DENSE, ColumnCosts
from passes.mapping.columns import Column, Columns, Costs, Window, halvings
from passes.mapping.data_events import Sparsity
from passes.mapping.lookups import IN_PLACE, Lookups
from passes.mapping.roles import Roles, assign_roles
from passes.mapping.row_stationary import Parameters, build_mapping, even_tile, extent, fold, most_sets

_Priced = tuple[tuple[float, int, int, int], Parameters]
"""Parameters, and what they are compared by: value, idle elements, passes, place among the candidates."""
_FIRST = 1024
"""Candidates that are priced first, for a bound on the others."""
_CHUNK = 16384
"""Candidates that are bounded at a time, those with the lowest floors first: the best of them tell on the others."""
_BATCH = 4096
"""Candidates that are priced at a time then: few calls, and columns of little memory."""


def even_tiles(extent: int, limit: int) -> list[int]:
    """The tiles up to `limit` that cut a loop into a distinct number of pieces, each as even as possible."""
    limit = min(extent, limit)
    tiles: list[int] = []
    pieces = -(-extent // limit)
    while True:
        tile = -(-extent // pieces)
        tiles.append(tile)
        if tile == 1:
            return tiles
        pieces = -(-extent // (tile - 1))


@dataclass(frozen=True)
class Best:
    """The best mapping found, what it costs, and what no mapping of the space costs less than."""

    mapping: Mapping
    value: float
    bound: float


def _never() -> bool:
    return False


def best_mapping(
    spec: GConv,
    input_shape: tuple[int, ...],
    machine: Machine,
    objective: Objective = Objective.EDP,
    node: str = "",
    data: Sparsity = DENSE,
    extras: Sequence[tuple[int, ...]] = (),
    lookups: Lookups = IN_PLACE,
) -> Mapping:
    """The best row-stationary mapping of a link; ties go to more active elements, then to fewer passes.

    Of what is still equal the first candidate is taken, whatever the order in which the search comes to them. What is
    best is so by the prices of `ColumnCosts`. `data` is what zeros save; `extras` are the shapes of the post operands,
    `lookups` what is read or written at computed addresses.

    Raises `CatenaError` (CAT-F001) if no mapping of the space fits the machine.
    """
    return search(spec, input_shape, machine, objective, node, data, extras=extras, lookups=lookups).mapping


def search(
    spec: GConv,
    input_shape: tuple[int, ...],
    machine: Machine,
    objective: Objective,
    node: str = "",
    data: Sparsity = DENSE,
    should_stop: Callable[[], bool] = _never,
    extras: Sequence[tuple[int, ...]] = (),
    lookups: Lookups = IN_PLACE,
) -> Best:
    """As `best_mapping`, or the best mapping found when `should_stop` says so, which is asked once there is one."""
    roles = assign_roles(spec)
    least: int | None = None
    for whole_windows in (True, False) if _keeps_windows(machine) else (False,):
        for slide in _strips(spec, roles):
            tried = _Search(spec, input_shape, roles, machine, slide, whole_windows, data, extras, lookups)
            found, bound = tried.several(objective, 1, should_stop)
            for (value, *_), parameters in found:
                return Best(build_mapping(spec, roles, parameters, machine), value, bound)
            banks = tried.least_banks()
            least = banks if least is None or (banks is not None and banks < least) else least
    raise CatenaError(
        Diagnostic(
            "CAT-F001",
            "glb.banks: no row-stationary mapping of this link fits, the buffer is too small for the smallest tiles",
            "mapped",
            node,
            expected="" if least is None else f"at least {least} banks of {machine.glb.bank_words} words",
            found=str(machine.glb.banks),
            hint="give it more banks, or larger ones: glb.bank_words",
        )
    )


def best_mappings(
    spec: GConv,
    input_shape: tuple[int, ...],
    machine: Machine,
    count: int,
    objective: Objective = Objective.EDP,
    data: Sparsity = DENSE,
    should_stop: Callable[[], bool] = _never,
    extras: Sequence[tuple[int, ...]] = (),
    lookups: Lookups = IN_PLACE,
) -> list[Mapping]:
    """The best row-stationary mappings of a link, best first, at most `count`; none if none fits.

    Those are left out that hold smaller tiles in the buffer than fit. `should_stop` is as for `search`.
    """
    roles = assign_roles(spec)
    for whole_windows in (True, False) if _keeps_windows(machine) else (False,):
        for slide in _strips(spec, roles):
            tried = _Search(spec, input_shape, roles, machine, slide, whole_windows, data, extras, lookups)
            found, _ = tried.several(objective, count, should_stop)
            if found:
                return list(dict.fromkeys(build_mapping(spec, roles, each, machine) for _, each in found))
    return []


def _limit(found: list[_Priced], count: int) -> float:
    """The value that further candidates must not exceed to be among the best."""
    return found[-1][0][0] if len(found) == count else float(np.finfo(np.float64).max)


def _strips(spec: GConv, roles: Roles) -> Iterator[int]:
    """The whole sliding loop, if it is not spread over the array, and halvings of it."""
    slide = extent(spec, roles.slide) if roles.slide != roles.rows_out else 1
    yield slide
    while slide > 1:
        slide = -(-slide // 2)
        yield slide


class _Search:
    def __init__(
        self,
        spec: GConv,
        input_shape: tuple[int, ...],
        roles: Roles,
        machine: Machine,
        slide: int,
        whole_windows: bool,
        data: Sparsity,
        extras: Sequence[tuple[int, ...]],
        lookups: Lookups,
    ):
        self.spec, self.roles, self.machine = spec, roles, machine
        kernel_rows = even_tile(extent(spec, roles.rows_kernel), min(machine.limits.kernel_rows, machine.array.rows))
        limit = min(machine.limits.kernel_cols, machine.pe.input_words, machine.pe.kernel_words)
        kernel_cols = self._fitting_kernel_cols(even_tiles(extent(spec, roles.slide_kernel), limit))
        self.window = Window(slide, kernel_rows, kernel_cols, whole_windows)
        self.costs = ColumnCosts(spec, input_shape, roles, machine, self.window, data, extras, lookups)
        self.counts = self.costs.counts

    def _fitting_kernel_cols(self, tiles: list[int]) -> int:
        return next((tile for tile in tiles if self._held(tile) <= self.machine.pe.input_words), 1)

    def _held(self, kernel_cols: int) -> int:
        """Input words that an element keeps per channel while it slides."""
        dim = _dim_of(self.spec, self.roles.slide_kernel)
        if dim is None or dim.dilation == 1 or dim.opc == 1:
            return kernel_cols
        return (kernel_cols - 1) * dim.dilation + 1

    def several(
        self, objective: Objective, count: int, should_stop: Callable[[], bool] = _never
    ) -> tuple[list[_Priced], float]:
        """The best legal parameters, at most `count`, best first, and a lower bound of all values."""
        columns, is_needed = self._candidates()
        if not is_needed.any():
            return [], np.inf
        all_sets = replace(columns, t=columns.t[:1])
        floor = np.where(is_needed[:1], self.costs.floor(objective, all_sets), np.inf).reshape(-1)
        first = np.argpartition(floor, min(_FIRST, len(floor)) - 1)[:_FIRST]
        found = self._ranked(objective, columns, first[np.isfinite(floor[first])], count, np.inf)
        if found and should_stop():
            return found, min(float(floor.min()), found[0][0][0])
        limit = _limit(found, count)
        # Half the sets of filters take no fewer passes than all, so that their floor is no lower.
        halves = len(floor) + np.flatnonzero((floor <= limit) & is_needed[1].reshape(-1))
        floors_of_halves = self.costs.floor(objective, columns.take(halves))
        floor[first] = np.inf
        left = np.concatenate((np.arange(len(floor)), halves))
        floor = np.concatenate((floor, floors_of_halves))
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
                if bound[batch[0]] > _limit(found, count):
                    break
                if found and should_stop():
                    return found, min(float(bound[batch[0]]), others, found[0][0][0])
                better = self._ranked(objective, columns, near[batch], count, _limit(found, count))
                found = sorted([*found, *better], key=lambda each: each[0])[:count]
            rows = np.flatnonzero(floor <= _limit(found, count))
            left, floor = left[rows], floor[rows]
        return found, found[0][0][0] if found else np.inf

    def _bound(self, objective: Objective, c: Columns) -> tuple[Costs, npt.NDArray[np.bool_]]:
        """What a row of candidates costs at least, whatever the number of images at a time, and which may fit.

        With one image at a time there is room for the most filters.
        """
        m, _ = self._most_filters(replace(c, n=np.ones_like(c.n)))
        fits = m >= np.minimum(c.p * c.t, self.counts["filters"])
        price = self.costs.quick if self.counts["images"] == 1 else self.costs.bound
        return price(objective, c, np.maximum(m, 1)), fits

    def least_banks(self) -> int | None:
        """The banks of the buffer that the smallest tiles take; None if it is not them that are in the way."""
        columns, is_needed = self._candidates()
        columns = replace(columns, n=np.asarray(1))
        inputs, outputs = self.costs.buffer_words(columns)
        filters = np.minimum(columns.p * columns.t, self.counts["filters"])
        bank = self.machine.glb.bank_words
        banks = -(-inputs // bank) - (-outputs * filters // bank)
        possible = is_needed & (self.costs.input_scratchpad(columns) <= self.machine.pe.input_words)
        banks = np.broadcast_to(banks, possible.shape)[possible]
        return int(banks.min()) if banks.size else None

    def _ranked(
        self, objective: Objective, grid: Columns, places: npt.NDArray[np.intp], count: int, limit: float
    ) -> list[_Priced]:
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
        value = self.costs.value(objective, columns, m)
        active = self.window.kernel_rows * columns.e * columns.r * columns.t * columns.group_sets
        passes = self.costs.passes(columns, m)
        last = min(count, len(value)) - 1
        least = np.flatnonzero(value <= (np.partition(value, last)[last] if last else value.min()))
        ranked = least[np.lexsort((places[least], passes[least], -active[least], value[least]))[:count]]
        return [
            (
                (float(value[row]), -int(active[row]), int(passes[row]), int(places[row])),
                self._parameters(columns, m, int(row)),
            )
            for row in ranked
        ]

    def _parameters(self, columns: Columns, m: Column, row: int) -> Parameters:
        """One of the candidates with `m` filters in the buffer."""
        chosen = {field.name: int(getattr(columns, field.name)[row]) for field in fields(columns)}
        return Parameters(
            **chosen,
            m=_even_multiple(self.counts["filters"], int(m[row]), chosen["p"] * chosen["t"]),
            slide=self.window.slide,
            kernel_rows=self.window.kernel_rows,
            kernel_cols=self.window.kernel_cols,
            whole_windows=self.window.whole,
        )

    def _candidates(self) -> tuple[Columns, npt.NDArray[np.bool_]]:
        """Every way to fill elements and array, all images at once, and which are legal and not the same as another.

        Axes: all sets of filters that fit, or half of them; q; p; groups in an element; ways to fill the array. What
        depends on some of them alone is a column along these, so that few terms of a cost are as large as the product.
        """
        counts, limits, pe = self.counts, self.machine.limits, self.machine.pe
        q = _along(even_tiles(counts["channels"], max(1, pe.input_words // self.window.kernel_cols)), 4)
        p = _along(even_tiles(counts["filters"], pe.output_words), 3)
        groups = _along(halvings(counts["groups"]), 2)
        e, rows, r, group_sets, space = np.array(self._array_candidates(), np.int64).reshape(-1, 5).T
        sets = -(-counts["filters"] // p)
        most = np.maximum(np.minimum(space, np.minimum(sets, limits.filters // p)), 1)
        all_sets = -(-sets // -(-sets // most))
        t = np.stack((all_sets, -(-all_sets // 2)))[:, np.newaxis]
        kernel_words = p * q * groups * self.window.kernel_cols if self.spec.main != PASS else np.zeros(())
        is_needed = (
            ((r <= -(-counts["channels"] // q)) & (q * r <= limits.channels))
            & ((group_sets <= -(-counts["groups"] // groups)) & (p * all_sets <= limits.filters))
            & (kernel_words <= pe.kernel_words)
        )
        columns = Columns(np.asarray(counts["images"]), e, rows, p, q, r, t, groups, group_sets)
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
        for r in _shares(min(counts["channels"], machine.array.rows // self.window.kernel_rows)):
            chain = self.window.kernel_rows * r
            sets = most_sets(e, chain, machine)
            if sets == 0:
                continue
            for group_sets in even_tiles(counts["groups"], sets):
                filters = sets // group_sets
                while not fold(e, chain, filters, group_sets, machine).fits:
                    filters -= 1
                found.append((r, group_sets, filters))
        return found

    def _row_tiles(self) -> list[tuple[int, int]]:
        """(elements across, rows in each) for the output rows."""
        count = self.counts["rows_out"]
        most = self.machine.array.cols * (self.machine.array.rows // self.window.kernel_rows)
        copies = self.machine.limits.kernel_copies if self.spec.main != PASS else most
        chunks = halvings(count)
        if copies < most:
            # Kernels stay where they are while several rows pass by.
            return [(e, chunk) for chunk in chunks for e in even_tiles(-(-count // chunk), copies)]
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


def _keeps_windows(machine: Machine) -> bool:
    """Whether input tiles had better stay in the buffer for all kernel positions: elements keep no windows."""
    return machine.pe.input_words == 1


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
