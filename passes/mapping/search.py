"""The row-stationary mapper: the best mapping of a link in the row-stationary space of a machine.

Combinations of parameters are priced as NumPy columns, with the events of the cost model in closed form over the
parameters. The search is a branch and bound in two steps: first every way to fill the array is given a lower bound (the
whole layer in the buffer at once, kernels fetched once), then buffer tiles are tried for the most promising ones until
no bound is below the best mapping found. It is exact over the stated space: tiles that cut a loop into as few, even
pieces as any tile between them would; sets of elements that fill the array, or half of it; images and rows in an
element in halvings; and the largest number of filters whose partial sums fit the buffer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import PASS, Dim, GConv, LoopKind
from dialects.schedule import Loop, Mapping
from dialects.target import Machine
from passes.mapping.roles import Roles, assign_roles
from passes.mapping.row_stationary import Parameters, build_mapping, even_tile, extent, fold
from passes.mapping.tiling import cut, distinct_positions

Column = npt.NDArray[np.int64]
Costs = npt.NDArray[np.float64]
_BATCH = 1024


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


class Objective(StrEnum):
    """What a search minimises; latency is counted in compute cycles, energy as in `passes.mapping.cost.price`."""

    ENERGY = "energy"
    LATENCY = "latency"
    EDP = "edp"


def best_mapping(spec: GConv, machine: Machine, objective: Objective = Objective.EDP, node: str = "") -> Mapping:
    """The best row-stationary mapping of a link; ties go to more active elements, then to fewer passes.

    Raises `CatenaError` (CAT-F001) if no mapping of the space fits the machine.
    """
    roles = assign_roles(spec)
    slide = extent(spec, roles.slide) if roles.slide != roles.rows_out else 1
    while True:
        found = _Search(spec, roles, machine, slide).best(objective)
        if found is not None:
            return build_mapping(spec, roles, found, machine)
        if slide == 1:
            raise CatenaError(
                Diagnostic(
                    "CAT-F001",
                    "no row-stationary mapping of this link fits the machine",
                    "mapped",
                    node,
                    expected=f"{machine.glb.banks} buffer banks, {machine.array.rows} x {machine.array.cols} elements",
                    found=" ".join(f"{dim.name}({dim.g},{dim.op},{dim.opc},{dim.ks})" for dim in spec.dims),
                )
            )
        slide = -(-slide // 2)


@dataclass(frozen=True)
class _Columns:
    """One column per parameter of `Parameters` that is searched."""

    n: Column
    e: Column
    rows: Column
    p: Column
    q: Column
    r: Column
    t: Column
    groups: Column
    group_sets: Column

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> _Columns:
        return _Columns(*(getattr(self, field.name)[index] for field in fields(self)))

    def join(self, other: _Columns) -> _Columns:
        """These candidates and then the others."""
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return _Columns(*(np.concatenate(pair) for pair in pairs))


class _Search:
    def __init__(self, spec: GConv, roles: Roles, machine: Machine, slide: int):
        self.spec, self.roles, self.machine = spec, roles, machine
        self.slide = slide
        self.kernel_rows = even_tile(
            extent(spec, roles.rows_kernel), min(machine.limits.kernel_rows, machine.array.rows)
        )
        limit = min(machine.limits.kernel_cols, machine.pe.input_words, machine.pe.kernel_words)
        self.kernel_cols = self._fitting_kernel_cols(even_tiles(extent(spec, roles.slide_kernel), limit))
        self.counts = {
            part: extent(spec, getattr(roles, part))
            for part in ("images", "rows_out", "rows_kernel", "slide", "slide_kernel", "channels", "filters", "groups")
        }
        self.shared_slide = roles.slide is not None and roles.slide == roles.rows_out

    def _fitting_kernel_cols(self, tiles: list[int]) -> int:
        return next((tile for tile in tiles if self._held(tile) <= self.machine.pe.input_words), 1)

    def _held(self, kernel_cols: int) -> int:
        """Input words that an element keeps per channel while it slides."""
        dim = _dim_of(self.spec, self.roles.slide_kernel)
        if dim is None or dim.dilation == 1 or dim.opc == 1:
            return kernel_cols
        return (kernel_cols - 1) * dim.dilation + 1

    def best(self, objective: Objective) -> Parameters | None:
        """The best legal parameters, or None."""
        columns = self._candidates()
        floor = self._floor(objective, columns)
        first = np.argsort(floor, kind="stable")[:_BATCH]
        found = self._best_of(objective, columns.take(first))
        if found is not None:
            columns = columns.take(floor <= found[0][0])
        whole = np.full_like(columns.n, self.counts["filters"])
        bound = self._value(objective, columns, whole, kernels_once=True)
        order = np.argsort(bound, kind="stable")
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            if found is not None and bound[batch[0]] > found[0][0]:
                break
            better = self._best_of(objective, columns.take(batch))
            if better is not None and (found is None or better[0] < found[0]):
                found = better
        return None if found is None else found[1]

    def _floor(self, objective: Objective, c: _Columns) -> Costs:
        """A quick lower bound: compute cycles, times the energy that every mapping of the link spends."""
        cycles = self._compute_cycles(c, np.full_like(c.n, self.counts["filters"])).astype(np.float64)
        words = math.prod(self.spec.output_shape)
        if self.spec.main != PASS:
            words += math.prod(self.spec.kernel_shape)
        energy = self._element_energy() + words * self.machine.energy.dram
        match objective:
            case Objective.ENERGY:
                return np.full(len(cycles), energy)
            case Objective.LATENCY:
                return cycles
            case Objective.EDP:
                return cycles * energy

    def _element_energy(self) -> float:
        """What operations and scratchpad accesses cost whatever the mapping."""
        each = self.machine.energy.operation + len(self._spad_events()) * self.machine.energy.spad
        return each * self.spec.trips

    def _spad_events(self) -> list[str]:
        """The charged scratchpad events that happen once in every operation."""
        always = ["spad.input.read", "spad.output.read", "spad.output.write"]
        always += ["spad.kernel.read"] if self.spec.main != PASS else []
        return [name for name in self.machine.counting.spad if name in always]

    def _best_of(self, objective: Objective, columns: _Columns) -> tuple[tuple[float, int, int], Parameters] | None:
        """The best of some candidates over all numbers of images: (value, -active elements, passes), parameters."""
        images = np.array(_halvings(self.counts["images"]), np.int64)
        index = np.repeat(np.arange(len(columns.n)), len(images))
        columns = replace(columns.take(index), n=np.tile(images, len(columns.n)))
        m, fits = self._most_filters(columns)
        if not fits.any():
            return None
        columns, m = columns.take(fits), m[fits]
        value = self._value(objective, columns, m)
        active = self.kernel_rows * columns.e * columns.r * columns.t * columns.group_sets
        passes = self._passes(columns, m)
        best = int(np.lexsort((passes, -active, value))[0])
        chosen = {field.name: int(getattr(columns, field.name)[best]) for field in fields(columns)}
        parameters = Parameters(
            **chosen,
            m=_even_multiple(self.counts["filters"], int(m[best]), chosen["p"] * chosen["t"]),
            slide=self.slide,
            kernel_rows=self.kernel_rows,
            kernel_cols=self.kernel_cols,
        )
        return (float(value[best]), -int(active[best]), int(passes[best])), parameters

    def _candidates(self) -> _Columns:
        """Every way to fill elements and array, all images at once."""
        left = np.array(self._element_candidates(), np.int64).reshape(-1, 3)
        right = np.array(self._array_candidates(), np.int64).reshape(-1, 5)
        i, j = (x.ravel() for x in np.meshgrid(np.arange(len(left)), np.arange(len(right)), indexing="ij"))
        p, q, groups = left[i].T
        e, rows, r, group_sets, space = right[j].T
        counts, limits = self.counts, self.machine.limits
        sets = -(-counts["filters"] // p)
        most = np.maximum(np.minimum(np.minimum(space, sets), limits.filters // p), 1)
        t = -(-sets // -(-sets // most))
        columns = _Columns(np.full_like(p, counts["images"]), e, rows, p, q, r, t, groups, group_sets)
        needed = (
            (r <= -(-counts["channels"] // q))
            & (group_sets <= -(-counts["groups"] // groups))
            & (q * r <= limits.channels)
            & (p * t <= limits.filters)
        )
        columns = columns.take(needed)
        half = columns.take(columns.t > 1)
        return columns.join(replace(half, t=-(-half.t // 2)))

    def _element_candidates(self) -> list[tuple[int, int, int]]:
        """(p, q, groups) that the scratchpads of an element hold."""
        machine, counts = self.machine, self.counts
        held = self._held(self.kernel_cols)
        kernel_words = machine.pe.kernel_words if self.spec.main != PASS else 1 << 62
        return [
            (p, q, groups)
            for q in even_tiles(counts["channels"], max(1, machine.pe.input_words // held))
            for p in even_tiles(counts["filters"], machine.pe.output_words)
            for groups in _halvings(counts["groups"])
            if p * q * self.kernel_cols * groups <= kernel_words
        ]

    def _array_candidates(self) -> list[tuple[int, int, int, int, int]]:
        """(e, rows, r, group sets, sets of filters that still fit) on the array."""
        machine, counts = self.machine, self.counts
        pes = machine.array.rows * machine.array.cols
        found: list[tuple[int, int, int, int, int]] = []
        for e, rows in self._row_tiles():
            for r in even_tiles(counts["channels"], machine.array.rows // self.kernel_rows):
                chain = self.kernel_rows * r
                sets = self._most_sets(e, chain, pes // (chain * e))
                if sets == 0:
                    continue
                for group_sets in even_tiles(counts["groups"], sets):
                    filters = sets // group_sets
                    while not fold(e, chain, filters, group_sets, machine).fits:
                        filters -= 1
                    found.append((e, rows, r, group_sets, filters))
        return found

    def _most_sets(self, e: int, chain: int, limit: int) -> int:
        """How many sets of a shape the array holds."""
        while limit and not fold(e, chain, limit, 1, self.machine).fits:
            limit -= 1
        return limit

    def _row_tiles(self) -> list[tuple[int, int]]:
        """(elements across, rows in each) for the output rows."""
        count = self.counts["rows_out"]
        most = self.machine.array.cols * (self.machine.array.rows // self.kernel_rows)
        if not self.shared_slide and self.roles.slide is not None:
            return [(e, 1) for e in even_tiles(count, most)]
        chunks = _halvings(count)
        return [(e, chunk) for chunk in chunks for e in even_tiles(-(-count // chunk), most)]

    def _tiles(self, c: _Columns, filters: Column | int) -> dict[Loop, Column]:
        """The tile of every loop that has a part, as columns, for a tile in the buffer with `filters` filters."""
        roles = self.roles
        tiles: dict[Loop, Column] = {}
        entries: list[tuple[Loop | None, Column | int]] = [
            (roles.images, c.n),
            (roles.slide, self.slide),
            (roles.rows_out, c.e * c.rows),
            (roles.rows_kernel, self.kernel_rows),
            (roles.slide_kernel, self.kernel_cols),
            (roles.channels, c.q * c.r),
            (roles.filters, filters),
            (roles.groups, c.groups * c.group_sets),
        ]
        for loop, tile in entries:
            if loop is not None:
                tiles[loop] = np.minimum(
                    np.broadcast_to(np.asarray(tile, np.int64), c.n.shape), extent(self.spec, loop)
                )
        return tiles

    def _most_filters(self, c: _Columns) -> tuple[Column, npt.NDArray[np.bool_]]:
        """The largest number of filters in the buffer, in whole passes, and which candidates fit at all."""
        bank, filters = self.machine.glb.bank_words, self.counts["filters"]
        tiles = self._tiles(c, 1)
        one = np.ones_like(c.n)
        inputs, outputs = one.copy(), one.copy()
        for dim in self.spec.dims:
            g, op, opc, ks = (tiles.get(Loop(dim.name, kind), one) for kind in LoopKind)
            inputs *= g * ((opc - 1) * dim.stride + (ks - 1) * dim.dilation + 1)
            outputs *= g * op * opc
        words = (self.machine.glb.banks - -(-inputs // bank)) * bank
        most = np.maximum(words, 0) // outputs
        inner = c.p * c.t
        m = np.where(most >= filters, filters, most // inner * inner)
        return m, m >= np.minimum(inner, filters)

    def _trips(self, c: _Columns, m: Column) -> dict[str, Column]:
        """How often each temporal loop of the mapping runs, per parameter."""
        counts = self.counts
        slide = self.slide if not self.shared_slide else counts["slide"]
        return {
            "groups": -(-counts["groups"] // (c.groups * c.group_sets)),
            "m": -(-counts["filters"] // m),
            "images": -(-counts["images"] // c.n),
            "rows": -(-counts["rows_out"] // (c.e * c.rows)),
            "slide": np.full_like(m, -(-counts["slide"] // slide)),
            "kernel_rows": np.full_like(m, -(-counts["rows_kernel"] // self.kernel_rows)),
            "kernel_cols": np.full_like(m, -(-counts["slide_kernel"] // self.kernel_cols)),
            "channels": -(-counts["channels"] // (c.q * c.r)),
            "filters": _nested(counts["filters"], m, c.p * c.t),
            **{f"rest_{kind}": np.full_like(m, self._rest(kind)) for kind in LoopKind},
        }

    def _rest(self, kind: LoopKind) -> int:
        return math.prod(extent(self.spec, loop) for loop in self.roles.rest if loop.kind is kind)

    def _passes(self, c: _Columns, m: Column) -> Column:
        trips = self._trips(c, m)
        del trips["m"]  # counted within "filters"
        return np.prod(np.array(list(trips.values())), axis=0)

    def _value(self, objective: Objective, c: _Columns, m: Column, kernels_once: bool = False) -> Costs:
        match objective:
            case Objective.ENERGY:
                return self._energy(c, m, kernels_once)
            case Objective.LATENCY:
                return self._compute_cycles(c, m).astype(np.float64)
            case Objective.EDP:
                return self._energy(c, m, kernels_once) * self._compute_cycles(c, m)

    def _compute_cycles(self, c: _Columns, m: Column) -> Column:
        """Cycles of all passes as their busiest element needs them: the product of every loop's share."""
        counts = self.counts
        cycles = np.full_like(m, math.prod(extent(self.spec, loop) for loop in self.roles.rest))
        cycles *= _longest(counts["groups"], c.groups * c.group_sets, c.groups)
        cycles *= _longest(counts["images"], c.n, c.n)
        cycles *= _longest(counts["rows_out"], c.e * c.rows, c.rows)
        cycles *= _longest(counts["channels"], c.q * c.r, c.q)
        whole, rest = counts["filters"] // m, counts["filters"] % m
        cycles *= whole * _longest(m, c.p * c.t, c.p) + _longest(rest, c.p * c.t, c.p)
        if not self.shared_slide:
            cycles *= counts["slide"]
        return cycles * -(-counts["rows_kernel"] // self.kernel_rows) * counts["slide_kernel"]

    def _energy(self, c: _Columns, m: Column, kernels_once: bool) -> Costs:
        """Charged energy in units of the machine; a lower bound if kernels are taken to be fetched once."""
        events = self._events(c, m, kernels_once)
        energy = np.full(len(m), self._element_energy())
        for level in ("dram", "glb", "array", "spad"):
            cost = getattr(self.machine.energy, level)
            for name in getattr(self.machine.counting, level):
                if name in events:
                    energy += events[name] * cost
        return energy

    def _events(self, c: _Columns, m: Column, kernels_once: bool) -> dict[str, Column]:
        spec, trips = self.spec, self._trips(c, m)
        folds = trips["kernel_rows"] * trips["kernel_cols"] * trips["channels"] * trips["rest_ks"]
        strips = trips["images"] * trips["rows"] * trips["slide"]
        loads, passes, delivered = self._input_words(c, trips)
        outside = trips["m"] * trips["rest_op"]
        still = (folds == 1) & (strips == 1)
        outside = np.where(still, np.where(trips["groups"] == 1, 1, trips["rest_op"]), outside)
        outputs = math.prod(spec.output_shape)
        events = {
            "dram.input.read": loads * outside,
            "glb.input.fill": loads * outside,
            "glb.input.read": passes * trips["filters"] * trips["rest_op"],
            "array.input.deliver": delivered * _nested(self.counts["filters"], m, c.p * c.t, c.p) * trips["rest_op"],
            "glb.output.first": np.full_like(m, outputs),
            "glb.output.read": outputs * (folds - 1),
            "glb.output.write": outputs * (folds - 1),
            "glb.output.last": np.full_like(m, outputs),
            "array.output.hop": outputs * (self._chains(c, trips) - folds),
        }
        events["spad.input.write"] = events["array.input.deliver"]
        if spec.main != PASS:
            events |= self._kernel_events(c, trips, folds, strips, kernels_once)
        return events

    def _kernel_events(
        self, c: _Columns, trips: dict[str, Column], folds: Column, strips: Column, once: bool
    ) -> dict[str, Column]:
        words = math.prod(self.spec.kernel_shape)
        kept = ((trips["filters"] == trips["m"]) & (folds == 1)) | once
        alone = (trips["m"] == 1) & (trips["groups"] == 1) & (trips["rest_g"] * trips["rest_op"] == 1)
        kept_long = (kept & alone) | once
        repeats = np.where(kept, 1, strips) * np.where(kept_long, 1, trips["rest_opc"])
        across = np.where(
            kept,
            np.minimum(c.e, -(-self.counts["rows_out"] // c.rows)),
            strips // trips["rows"] * _nested(self.counts["rows_out"], c.e * c.rows, c.rows),
        ) * np.where(kept_long, 1, trips["rest_opc"])
        return {
            "dram.kernel.read": words * repeats,
            "array.kernel.deliver": words * across,
            "spad.kernel.write": words * across,
        }

    def _chains(self, c: _Columns, trips: dict[str, Column]) -> Column:
        rows = self.counts["rows_kernel"]
        channels = _nested(self.counts["channels"], c.q * c.r, c.q)
        return rows * trips["kernel_cols"] * channels * trips["rest_ks"]

    def _input_words(self, c: _Columns, trips: dict[str, Column]) -> tuple[Column, Column, Column]:
        """Input words per filter tile: in buffer tiles, in passes (equal), and delivered to elements."""
        tiles = self._tiles(c, 1)
        buffer = np.ones_like(c.n)
        delivered = np.ones_like(c.n)
        for dim in self.spec.dims:
            outs, kernels = Loop(dim.name, LoopKind.OPC), Loop(dim.name, LoopKind.KS)
            one = np.ones_like(c.n)
            out_pieces = -(-dim.opc // tiles.get(outs, one))
            kernel_pieces = -(-dim.ks // tiles.get(kernels, one))
            buffer *= dim.g * (
                kernel_pieces * dim.stride * (dim.opc - out_pieces)
                + out_pieces * dim.dilation * (dim.ks - kernel_pieces)
                + out_pieces * kernel_pieces
            )
            delivered *= dim.g * self._delivered(dim, outs, kernels)
        return buffer, buffer, delivered

    def _delivered(self, dim: Dim, outs: Loop, kernels: Loop) -> int:
        """Words of one dimension that elements receive: shared by neighbouring outputs only where the window slides."""
        if outs != self.roles.slide or kernels != self.roles.slide_kernel:
            return dim.opc * dim.ks
        strips, parts = cut({dim.opc: 1}, self.slide), cut({dim.ks: 1}, self.kernel_cols)
        return sum(
            n * k * distinct_positions(a, b, dim.stride, dim.dilation)
            for a, n in strips.items()
            for b, k in parts.items()
        )


def _even_multiple(extent: int, limit: int, unit: int) -> int:
    """The smallest multiple of `unit` (or the whole loop) that cuts a loop into as few tiles as `limit` does."""
    share = even_tile(extent, limit)
    return min(extent, -(-share // unit) * unit)


def _dim_of(spec: GConv, loop: Loop | None) -> Dim | None:
    return None if loop is None else next(dim for dim in spec.dims if dim.name == loop.dim)


def _halvings(extent: int) -> list[int]:
    """The tiles that cut a loop into 1, 2, 4 ... pieces, down to 1."""
    return sorted({-(-extent // (1 << k)) for k in range(extent.bit_length() + 1)})


def _longest(extent: int | Column, outer: Column, inner: Column) -> Column:
    """Indices that the busiest element works through when a loop runs in `outer` tiles spread in `inner` ones."""
    whole, rest = extent // outer, extent % outer
    return whole * np.minimum(outer, inner) + np.minimum(rest, inner)


def _nested(extent: int, outer: Column, *inner: Column) -> Column:
    """How many pieces a loop has when it is cut into `outer` tiles and each of those further."""
    whole, rest = extent // outer, extent % outer
    return whole * _pieces(outer, *inner) + np.where(rest > 0, _pieces(rest, *inner), 0)


def _pieces(size: Column, *tiles: Column) -> Column:
    tile, *further = tiles
    if not further:
        return -(-size // tile)
    whole, rest = size // tile, size % tile
    return whole * _pieces(tile, *further) + np.where(rest > 0, _pieces(rest, *further), 0)
