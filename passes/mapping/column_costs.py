"""What the candidates of a row-stationary search cost: events and cycles in closed form over columns of parameters.

The counts equal those that `passes.mapping.cost.predict` gives for the mapping that `build_mapping` makes of the same
parameters, post operands left out; there they follow from any mapping, here from the parameters alone, for thousands of
candidates at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import partial

import numpy as np
import numpy.typing as npt

from dialects.events import LEVELS
from dialects.gconv import PASS, Dim, GConv, LoopKind
from dialects.schedule import Loop, Operand
from dialects.target import Machine
from passes.mapping.fit import RELEVANT
from passes.mapping.roles import Roles
from passes.mapping.row_stationary import extent
from passes.mapping.tiling import Pieces, cut, distinct_positions, real_positions

Column = npt.NDArray[np.int64]
Costs = npt.NDArray[np.float64]
_PARTS = ("images", "rows_out", "rows_kernel", "slide", "slide_kernel", "channels", "filters", "groups")


class Objective(StrEnum):
    """What a search minimises: energy and latency as `passes.mapping.cost.price` has them, or their product.

    Latency takes the passes of a link together: the longest of all computing, all feeding and all moving of sums.
    """

    ENERGY = "energy"
    LATENCY = "latency"
    EDP = "edp"


@dataclass(frozen=True)
class Columns:
    """One column per parameter of `Parameters` that is searched; `m` follows from the others."""

    n: Column
    e: Column
    rows: Column
    p: Column
    q: Column
    r: Column
    t: Column
    groups: Column
    group_sets: Column

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Columns:
        """Some of the candidates."""
        return Columns(*(getattr(self, field.name)[index] for field in fields(self)))

    def join(self, other: Columns) -> Columns:
        """These candidates and then the others."""
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return Columns(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True)
class Window:
    """What all candidates of a search share: sliding positions in a strip, kernel rows and columns of a pass.

    With `whole` an input tile serves all kernel positions, not only those of a pass.
    """

    slide: int
    kernel_rows: int
    kernel_cols: int
    whole: bool = False


class ColumnCosts:
    """Prices candidates for one link on one machine."""

    def __init__(self, spec: GConv, input_shape: tuple[int, ...], roles: Roles, machine: Machine, window: Window):
        self.spec, self.roles, self.machine, self.window = spec, roles, machine, window
        self.extents = [extent // dim.g for dim, extent in zip(spec.dims, input_shape, strict=True)]
        self.counts = {part: extent(spec, getattr(roles, part)) for part in _PARTS}
        self.sums = math.prod(spec.worked(dim, kind) for dim in spec.dims for kind in RELEVANT[Operand.OUTPUT])
        self.shared_slide = roles.slide is not None and roles.slide == roles.rows_out

    def value(self, objective: Objective, c: Columns, m: Column) -> Costs:
        """What the objective is for candidates with `m` filters in the buffer."""
        return self._value(objective, c, self._events(c, m))

    def bound(self, objective: Objective, c: Columns) -> Costs:
        """A lower bound whatever m and n are: all filters and images in the buffer at once, kernels fetched once."""
        m = np.full_like(c.n, self.counts["filters"])
        return self._value(objective, c, self._events(c, m, bound=True))

    def floor(self, objective: Objective, c: Columns) -> Costs:
        """A quick lower bound: every input word goes to the array once per tile of filters and kernels once at all."""
        folds = -(-self.counts["channels"] // (c.q * c.r)) * self._rest(LoopKind.KS)
        inputs = self._fewest_inputs() * -(-self.counts["filters"] // (c.p * c.t)) * self._rest(LoopKind.OP)
        events: dict[str, Column | int] = {
            **self._constant_events(),
            "glb.input.read": inputs,
            "dram.input.read": 0,
            "glb.output.read": self.sums * (folds - 1),
            "glb.output.write": self.sums * (folds - 1),
            "array.output.out": self.sums * folds,
        }
        if self.spec.main != PASS:
            once = math.prod(self.spec.kernel_shape)
            events |= {"dram.kernel.read": once, "array.kernel.deliver": once, "spad.kernel.write": once}
        return self._value(objective, c, events)

    def _fewest_inputs(self) -> int:
        """A lower bound of the input words that all passes over one tile of filters take from the buffer."""
        if not self.machine.counting.padding_in_buffer:
            return 0
        return math.prod(dim.g * min(dim.opc, (dim.opc - 1) * dim.stride + 1) for dim in self.spec.dims)

    def passes(self, c: Columns, m: Column) -> Column:
        """Processing passes."""
        trips = self._trips(c, m)
        del trips["m"]  # counted within "filters"
        return np.prod(np.array(list(trips.values())), axis=0)

    def buffer_words(self, c: Columns) -> tuple[Column, Column]:
        """Words of an input tile, and of an output tile with a single filter, in the buffer."""
        tiles, one = self._buffer_tiles(c), np.ones_like(c.n)
        inputs, outputs = one.copy(), one.copy()
        for dim in self.spec.dims:
            g, opc, ks = (tiles.get(Loop(dim.name, k), (one, one))[0] for k in (LoopKind.G, LoopKind.OPC, LoopKind.KS))
            inputs *= g * ((opc - 1) * dim.stride + (ks - 1) * dim.dilation + 1)
            outputs *= g * opc
        return inputs, outputs

    def input_scratchpad(self, c: Columns) -> Column:
        """Input words that an element holds at a time."""
        tiles, one = self._tiles(c), np.ones_like(c.n)
        words = one.copy()
        for dim, slides in zip(self.spec.dims, self._sliding(c), strict=True):
            _, kernels = tiles.get(Loop(dim.name, LoopKind.KS), (one, one))
            words *= np.where(slides, (kernels - 1) * dim.dilation + 1, kernels) if dim.dilation > 1 else kernels
        return words

    # Loops ------------------------------------------------------------------------------------------------------------

    def _tiles(self, c: Columns) -> dict[Loop, tuple[Column, Column]]:
        """Tiles of every loop with a part, filters aside: in a pass (and an input tile), and in an element."""
        roles, window = self.roles, self.window
        entries: list[tuple[Loop | None, Column | int, Column | int]] = [
            (roles.images, c.n, c.n),
            (roles.slide, window.slide, window.slide),
            (roles.rows_out, c.e * c.rows, c.rows),
            (roles.rows_kernel, window.kernel_rows, 1),
            (roles.slide_kernel, window.kernel_cols, window.kernel_cols),
            (roles.channels, c.q * c.r, c.q),
            (roles.groups, c.groups * c.group_sets, c.groups),
        ]
        tiles: dict[Loop, tuple[Column, Column]] = {}
        for loop, outer, inner in entries:
            if loop is not None:
                whole = extent(self.spec, loop)
                tiles[loop] = (_column(np.minimum(outer, whole), c), _column(np.minimum(inner, whole), c))
        return tiles

    def _buffer_tiles(self, c: Columns) -> dict[Loop, tuple[Column, Column]]:
        """The tiles of an input tile, and in an element."""
        tiles = self._tiles(c)
        if self.window.whole:
            for loop in (self.roles.rows_kernel, self.roles.slide_kernel):
                if loop is not None:
                    tiles[loop] = (_column(extent(self.spec, loop), c), tiles[loop][1])
        return tiles

    def _trips(self, c: Columns, m: Column) -> dict[str, Column]:
        """How often each temporal loop of the mapping runs, per parameter; m is whole tiles of p*t, or all filters."""
        counts, window = self.counts, self.window
        slide = window.slide if not self.shared_slide else counts["slide"]
        return {
            "groups": -(-counts["groups"] // (c.groups * c.group_sets)),
            "m": -(-counts["filters"] // m),
            "images": -(-counts["images"] // c.n),
            "rows": -(-counts["rows_out"] // (c.e * c.rows)),
            "slide": np.full_like(m, -(-counts["slide"] // slide)),
            "kernel_rows": np.full_like(m, -(-counts["rows_kernel"] // window.kernel_rows)),
            "kernel_cols": np.full_like(m, -(-counts["slide_kernel"] // window.kernel_cols)),
            "channels": -(-counts["channels"] // (c.q * c.r)),
            "filters": -(-counts["filters"] // (c.p * c.t)),
            **{f"rest_{kind}": np.full_like(m, self._rest(kind)) for kind in LoopKind},
        }

    def _rest(self, kind: LoopKind) -> int:
        return math.prod(extent(self.spec, loop) for loop in self.roles.rest if loop.kind is kind)

    # Cycles and energy ------------------------------------------------------------------------------------------------

    def _value(self, objective: Objective, c: Columns, events: dict[str, Column | int]) -> Costs:
        match objective:
            case Objective.ENERGY:
                return self._energy(events, len(c.n))
            case Objective.LATENCY:
                return self._latency(c, events)
            case Objective.EDP:
                return self._energy(events, len(c.n)) * self._latency(c, events)

    def _latency(self, c: Columns, events: dict[str, Column | int]) -> Costs:
        """Cycles: the array at work, kernels fetched meanwhile, other words on the off-chip link before and after."""
        links = self.machine.links
        kernels = np.asarray(events.get("dram.kernel.read", 0))
        feed = np.asarray(events["glb.input.read"]) / links.input_bus
        sums = np.asarray(events["array.output.out"]) / links.output_bus
        array = np.maximum(np.maximum(self._compute_cycles(c), feed), sums) + kernels / links.kernel_bus
        others = np.asarray(events["dram.input.read"]) + np.asarray(events["dram.output.write"])
        return np.maximum(array, kernels / links.dram) + others / links.dram

    def _compute_cycles(self, c: Columns) -> Column:
        """Cycles of all passes as their busiest element needs them: the product of every loop's share."""
        counts, window = self.counts, self.window
        cycles = np.full_like(c.n, math.prod(extent(self.spec, loop) for loop in self.roles.rest))
        cycles *= _longest(counts["groups"], c.groups * c.group_sets, c.groups)
        cycles *= counts["images"]
        cycles *= _longest(counts["rows_out"], c.e * c.rows, c.rows)
        cycles *= _longest(counts["channels"], c.q * c.r, c.q)
        cycles *= _longest(counts["filters"], c.p * c.t, c.p)
        if not self.shared_slide:
            cycles *= counts["slide"]
        return cycles * -(-counts["rows_kernel"] // window.kernel_rows) * counts["slide_kernel"]

    def _energy(self, events: dict[str, Column | int], candidates: int) -> Costs:
        """Charged energy in units of the machine; an event that is not counted here is charged nothing."""
        energy = np.full(candidates, float(self.spec.trips * self.machine.energy.operation))
        for level in LEVELS:
            cost = getattr(self.machine.energy, level)
            for name in getattr(self.machine.counting, level):
                energy += events.get(name, 0) * cost
        return energy

    # Events -----------------------------------------------------------------------------------------------------------

    def _constant_events(self) -> dict[str, int]:
        """Events that are as many whatever the mapping."""
        trips, outputs = self.spec.trips, math.prod(self.spec.output_shape)
        return {
            "spad.input.read": trips,
            "spad.kernel.read": trips if self.spec.main != PASS else 0,
            "spad.output.read": trips,
            "spad.output.write": trips,
            "glb.output.first": self.sums,
            "glb.output.last": self.sums,
            "glb.output.drain": outputs,
            "dram.output.write": outputs,
        }

    def _events(self, c: Columns, m: Column, bound: bool = False) -> dict[str, Column | int]:
        """Every event but those of post operands; with `bound` none has more in any candidate of other m and n."""
        trips = self._trips(c, m)
        folds = trips["kernel_rows"] * trips["kernel_cols"] * trips["channels"] * trips["rest_ks"]
        strips = trips["images"] * trips["rows"] * trips["slide"]
        events: dict[str, Column | int] = {
            **self._constant_events(),
            **self._input_events(c, trips, (self._input_folds(trips) == 1) & (strips == 1), bound),
            "glb.output.read": self.sums * (folds - 1),
            "glb.output.write": self.sums * (folds - 1),
            "array.output.in": self.sums * (folds - 1),
            "array.output.out": self.sums * folds,
            "array.output.hop": self.sums * (self._chains(c, trips) - folds),
        }
        if self.spec.main != PASS:
            events |= self._kernel_events(c, trips, folds, strips, bound)
        return events

    def _input_events(
        self, c: Columns, trips: dict[str, Column], still: npt.NDArray[np.bool_], bound: bool
    ) -> dict[str, Column]:
        """`still` are candidates with one strip and one fold: their input tile stays while other filters come."""
        real, padded = self._loaded(c, self._buffer_tiles(c), bound)
        in_passes = self._loaded(c, self._tiles(c), bound) if self.window.whole else (real, padded)
        is_padded = self.machine.counting.padding_in_buffer
        repeats = np.where(still, np.where(trips["groups"] == 1, 1, trips["rest_op"]), trips["m"] * trips["rest_op"])
        delivered = self._delivered(c, bound) * -(-self.counts["filters"] // c.p) * trips["rest_op"]
        return {
            "dram.input.read": real * repeats,
            "dram.input.padding": (padded - real) * repeats,
            "glb.input.fill": (padded if is_padded else real) * repeats,
            "glb.input.read": in_passes[int(is_padded)] * trips["filters"] * trips["rest_op"],
            "array.input.deliver": delivered,
            "spad.input.write": delivered,
        }

    def _input_folds(self, trips: dict[str, Column]) -> Column:
        """Input tiles that are folded into the same sums."""
        windows = 1 if self.window.whole else trips["kernel_rows"] * trips["kernel_cols"]
        return trips["channels"] * trips["rest_ks"] * windows

    def _kernel_events(
        self, c: Columns, trips: dict[str, Column], folds: Column, strips: Column, once: bool
    ) -> dict[str, Column]:
        words = math.prod(self.spec.kernel_shape)
        kept = ((trips["filters"] == trips["m"]) & (folds == 1)) | once
        alone = (trips["m"] == 1) & (trips["groups"] == 1) & (trips["rest_g"] * trips["rest_op"] == 1)
        kept_long = (kept & alone) | once
        repeats = np.where(kept, 1, strips) * np.where(kept_long, 1, trips["rest_opc"])
        across = np.where(
            kept,
            np.minimum(c.e, -(-self.counts["rows_out"] // c.rows)),
            strips // trips["rows"] * -(-self.counts["rows_out"] // c.rows),
        ) * np.where(kept_long, 1, trips["rest_opc"])
        return {
            "dram.kernel.read": words * repeats,
            "array.kernel.deliver": words * across,
            "spad.kernel.write": words * across,
        }

    def _chains(self, c: Columns, trips: dict[str, Column]) -> Column:
        """Elements that an output word passes through, over all passes."""
        channels = -(-self.counts["channels"] // c.q)
        return self.counts["rows_kernel"] * trips["kernel_cols"] * channels * trips["rest_ks"]

    # Input words ------------------------------------------------------------------------------------------------------

    def _loaded(self, c: Columns, tiles: dict[Loop, tuple[Column, Column]], bound: bool) -> tuple[Column, Column]:
        """Words of all input tiles of some size, real ones and with padding, for one tile of filters."""
        real, padded, one = np.ones_like(c.n), np.ones_like(c.n), np.ones_like(c.n)
        for dim, size in zip(self.spec.dims, self.extents, strict=True):
            outs = Loop(dim.name, LoopKind.OPC)
            kernels, _ = tiles.get(Loop(dim.name, LoopKind.KS), (one, one))
            outputs = [tiles.get(outs, (one, one))[0]]
            if bound and outs == self.roles.images and dim.stride > 1:
                # Fewer images in a tile can mean fewer words: the gaps between tiles are not fetched.
                outputs = [_column(n, c) for n in halvings(self.counts["images"])]
            words = [_dim_words(dim, size, each, kernels) for each in outputs]
            real *= dim.g * np.min([each[0] for each in words], axis=0)
            padded *= dim.g * np.min([each[1] for each in words], axis=0)
        return real, padded

    def _delivered(self, c: Columns, bound: bool) -> Column:
        """Words that elements receive for one tile of filters; a sliding window keeps what neighbours share."""
        tiles, one = self._tiles(c), np.ones_like(c.n)
        total = one.copy()
        for dim, slides in zip(self.spec.dims, self._sliding(c), strict=True):
            outputs = tiles.get(Loop(dim.name, LoopKind.OPC), (one, one))
            kernels = tiles.get(Loop(dim.name, LoopKind.KS), (one, one))
            words = _column(dim.opc * dim.ks, c)
            if dim.is_window and (bound or slides.any()) and outputs[1].max() > 1 and kernels[1].max() > 1:
                shared = _tabulate(partial(_shared_words, dim), *outputs, *kernels)
                words = shared if bound else np.where(slides, shared, words)
            total *= dim.g * words
        return total

    def _sliding(self, c: Columns) -> list[npt.NDArray[np.bool_]]:
        """Per dimension, the candidates whose elements slide their window along it (`Tiling.sliding`)."""
        tiles, one = self._tiles(c), np.ones_like(c.n)
        undecided = np.ones(len(c.n), np.bool_)
        found: list[npt.NDArray[np.bool_]] = []
        for dim in reversed(self.spec.dims):
            _, outputs = tiles.get(Loop(dim.name, LoopKind.OPC), (one, one))
            _, groups = tiles.get(Loop(dim.name, LoopKind.G), (one, one))
            found.append(undecided & (outputs > 1))
            undecided = undecided & (outputs == 1) & (groups == 1)
        return found[::-1]


def halvings(extent: int) -> list[int]:
    """The tiles that cut a loop into 1, 2, 4 ... pieces, down to 1."""
    return sorted({-(-extent // (1 << k)) for k in range(extent.bit_length() + 1)})


def _column(value: Column | int, c: Columns) -> Column:
    return np.broadcast_to(np.asarray(value, np.int64), c.n.shape)


def _tabulate(function: Callable[..., int], *columns: Column) -> Column:
    """`function` of every row of some columns, worked out once per distinct row."""
    code = np.zeros_like(columns[0])
    for column in columns:
        values, index = np.unique(column, return_inverse=True)
        code = code * len(values) + index
    _, first, index = np.unique(code, return_index=True, return_inverse=True)
    results = [function(*(int(column[row]) for column in columns)) for row in first]
    return np.array(results, np.int64)[index]


def _dim_words(dim: Dim, extent: int, outputs: Column, kernels: Column) -> tuple[Column, Column]:
    """Real and padded positions of one dimension in all its input tiles of `outputs` by `kernels` indices."""
    out_pieces, kernel_pieces = -(-dim.opc // outputs), -(-dim.ks // kernels)
    padded = (
        kernel_pieces * dim.stride * (dim.opc - out_pieces)
        + out_pieces * dim.dilation * (dim.ks - kernel_pieces)
        + out_pieces * kernel_pieces
    )
    low, high = dim.window
    if low >= 0 and high < extent and dim.up == 1:
        return padded, padded

    return _tabulate(partial(_real_words, dim, extent), outputs, kernels), padded


def _real_words(dim: Dim, extent: int, out_tile: int, kernel_tile: int) -> int:
    """Positions of one dimension in all its input tiles that are in DRAM."""
    return real_positions(dim, extent, _starts(dim.opc, out_tile), _starts(dim.ks, kernel_tile))


def _starts(extent: int, tile: int) -> Column:
    """(first index, size) of every piece of a loop."""
    first = np.arange(0, extent, tile, dtype=np.int64)
    return np.stack((first, np.minimum(tile, extent - first)), axis=1)


def _shared_words(dim: Dim, out_pass: int, out_element: int, kernel_pass: int, kernel_element: int) -> int:
    """Positions of one dimension that all elements receive that slide along it."""

    def pieces(extent: int, in_pass: int, in_element: int) -> Pieces:
        return cut(cut({extent: 1}, in_pass), in_element)

    return sum(
        n * k * distinct_positions(a, b, dim.stride, dim.dilation)
        for a, n in pieces(dim.opc, out_pass, out_element).items()
        for b, k in pieces(dim.ks, kernel_pass, kernel_element).items()
    )


def _longest(extent: int, outer: Column, inner: Column) -> Column:
    """Indices that the busiest element works through when a loop runs in `outer` tiles spread in `inner` ones."""
    whole, rest = extent // outer, extent % outer
    return whole * np.minimum(outer, inner) + np.minimum(rest, inner)
