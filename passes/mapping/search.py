"""The row-stationary mapper: the best mapping of a link in the row-stationary space of a machine.

Where there are few combinations of sizes (`passes.mapping.legal_space`) all are looked at: what is found is the best of
all row-stationary mappings. Where there are more it is the best of the *stated space*, or better: mappings are led to
better ones beside them (`passes.mapping.neighbours`), the first that is found at once and the last one at the end.

Combinations are priced as NumPy columns (`passes.mapping.column_costs`). The search of the stated space is a branch and
bound in three steps: every way to fill the array is given a floor, which looks at no tiles; those with the lowest
floors are bounded, some thousands at a time (all images in the buffer at once, and as many filters as fit with one);
then buffer tiles are tried for the most promising ones, until no floor and no bound is below the best mapping found.
The stated space: tiles that cut a loop into as few, even pieces as any tile between them would; sets of channels that
fill the rows of the array, or an even share of them; sets of filters that fill what is left, or half of it; images, and
rows in an element where it slides over no window or the target multicasts no kernels, in halvings, the latter over full
rows of the array or even shares of a row; the largest number of filters whose partial sums fit the buffer; the largest
part of a kernel that an element holds; and the whole sliding loop in a strip, or halvings of it until something fits.
Where elements keep no windows, input tiles serve all kernel positions, unless no such tile fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import PASS, Dim, GConv
from dialects.schedule import Loop, Mapping, Objective
from passes.mapping.best_of_row import best_of_row
from passes.mapping.column_costs import DENSE, ColumnCosts
from passes.mapping.columns import Column, Columns, Costs, halvings
from passes.mapping.data_events import Sparsity
from passes.mapping.legal_rows import fits_elements, most_filters
from passes.mapping.legal_space import is_small, legal_space
from passes.mapping.lookups import IN_PLACE, Lookups
from passes.mapping.neighbours import Neighbourhood
from passes.mapping.ranking import Priced, columns_of, limit_of, ranked
from passes.mapping.roles import Roles, assign_roles
from passes.mapping.row_stationary import Parameters, build_mapping, even_tile, even_tiles, extent, fold, most_sets

_LEAST_BANKS = 2
"""A word of input and one of output lie in banks of their own."""
_FIRST = 1024
"""Candidates that are priced first, for a bound on the others."""
_CHUNK = 16384
"""Candidates that are bounded at a time, those with the lowest floors first: the best of them tell on the others."""
_BATCH = 4096
"""Candidates that are priced at a time then: few calls, and columns of little memory."""


@dataclass(frozen=True)
class Best:
    """The best mapping found, its value, and what none has a value below: of all, or of those of the stated space."""

    mapping: Mapping
    value: float
    bound: float


def _never() -> bool:
    return False


def _as_it_is(found: Priced) -> Priced:
    return found


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
    link = Link(spec, input_shape, assign_roles(spec), machine, data, extras, lookups)
    found, bound = link.several(objective, 1, should_stop)
    for (value, *_), parameters in found:
        return Best(build_mapping(spec, link.roles, parameters, machine), value, bound)
    raise CatenaError(
        Diagnostic(
            "CAT-F001",
            "glb.banks: no row-stationary mapping of this link fits, the buffer is too small for the smallest tiles",
            "mapped",
            node,
            expected=f"at least {_LEAST_BANKS} banks of {machine.glb.bank_words} words",
            found=str(machine.glb.banks),
            hint="give it more banks, or larger ones: glb.bank_words",
        )
    )


def looks_at_all(spec: GConv, input_shape: tuple[int, ...], machine: Machine) -> bool:
    """Whether a search for a link looks at all row-stationary mappings, not only at the stated space and beside it."""
    return is_small(ColumnCosts(spec, input_shape, assign_roles(spec), machine))


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

    Where there are many, those are left out that hold smaller tiles in the buffer than fit, but for what was led to be
    the best one. `should_stop` is as for `search`.
    """
    link = Link(spec, input_shape, assign_roles(spec), machine, data, extras, lookups)
    found, _ = link.several(objective, count, should_stop)
    return list(dict.fromkeys(build_mapping(spec, link.roles, each, machine) for _, each in found))


@dataclass(frozen=True)
class Link:
    """A link that mappings are searched for, and what they depend on."""

    spec: GConv
    input_shape: tuple[int, ...]
    roles: Roles
    machine: Machine
    data: Sparsity
    extras: Sequence[tuple[int, ...]]
    lookups: Lookups

    def costs(self, whole_passes: bool) -> ColumnCosts:
        """What candidates cost, with whole passes of filters in the buffer or any number of them."""
        return ColumnCosts(
            self.spec, self.input_shape, self.roles, self.machine, self.data, self.extras, self.lookups, whole_passes
        )

    def several(self, objective: Objective, count: int, should_stop: Callable[[], bool]) -> tuple[list[Priced], float]:
        """The best parameters, at most `count`, best first; none of the space has a value below the bound."""
        costs = self.costs(whole_passes=False)
        if is_small(costs):
            return best_of_row(costs, objective, *legal_space(costs), count, should_stop)
        near = Neighbourhood(costs)

        def improved(priced: Priced) -> Priced:
            return near.improved(objective, priced, should_stop)

        found, bound = self.stated(objective, count, should_stop, improved)
        if not found:
            # Where nothing of the stated space fits, smaller tiles may; nothing is known of how good they are.
            found, bound = self.smallest(objective), 0.0
        if found and (better := improved(found[0])) is not found[0]:
            found = [better, *found][:count]
            bound = min(bound, better[0][0])
        return found, bound

    def stated(
        self,
        objective: Objective,
        count: int,
        should_stop: Callable[[], bool],
        improved: Callable[[Priced], Priced] = _as_it_is,
    ) -> tuple[list[Priced], float]:
        """As `several`, of the stated space, and what is made of the first that is found."""
        for tried in self._searches():
            found, bound = tried.several(objective, count, should_stop, improved)
            if found:
                return found, bound
        return [], np.inf

    def smallest(self, objective: Objective) -> list[Priced]:
        """One index of every loop at a time, if the machine takes that."""
        columns, m = columns_of([Parameters()])
        costs = self.costs(whole_passes=False)
        if not fits_elements(costs, columns)[0] or most_filters(costs, columns)[0] < 1:
            return []
        return ranked(costs, objective, columns, m, np.zeros(1, np.intp), 1)

    def _searches(self) -> Iterator[_Search]:
        """Those of the stated space: the next is of interest where the ones before find nothing."""
        costs = self.costs(whole_passes=True)
        for whole_windows in (True, False) if _keeps_windows(self.machine) else (False,):
            for slide in _strips(self.spec, self.roles):
                yield _Search(costs, slide, whole_windows)


def _strips(spec: GConv, roles: Roles) -> Iterator[int]:
    """The whole sliding loop, if it is not spread over the array, and halvings of it."""
    slide = extent(spec, roles.slide) if roles.slide != roles.rows_out else 1
    yield slide
    while slide > 1:
        slide = -(-slide // 2)
        yield slide


class _Search:
    """A search of the stated space with strips of `slide` sliding positions."""

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
        should_stop: Callable[[], bool] = _never,
        improved: Callable[[Priced], Priced] = _as_it_is,
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
