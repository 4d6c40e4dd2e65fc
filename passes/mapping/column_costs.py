"""What the candidates of a row-stationary search cost: events and cycles in closed form over columns of parameters.

The counts equal those that `passes.mapping.cost.predict` gives for the mapping that `build_mapping` makes of the same
parameters; there they follow from any mapping, here from the parameters alone, for thousands of candidates at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce

import numpy as np
import numpy.typing as npt

from dialects.array_machine import Machine
from dialects.events import LEVELS
from dialects.gconv import PASS, Dim, GConv, LoopKind
from dialects.schedule import Loop, Objective, Operand
from passes.mapping.columns import Column, Columns, Costs, Tiles, filter_passes, halvings, pieces, tabulate
from passes.mapping.cost import FEATURES
from passes.mapping.data_events import Sparsity
from passes.mapping.fit import RELEVANT
from passes.mapping.input_columns import (
    fewest_real,
    positions_read,
    tiles_with_words,
    words_of_sliding,
    words_of_tiles,
)
from passes.mapping.lookups import IN_PLACE, Lookups
from passes.mapping.pass_columns import PassColumns
from passes.mapping.roles import Roles
from passes.mapping.row_stationary import extent
from passes.mapping.tiling import cut, distinct_positions, number

Events = dict[str, Column | Costs | int]
"""How often each event happens; what is not in it does not."""
DENSE = Sparsity()
_DOWN = 1 - 1e-12
"""What keeps bounds below what they are bounds of, however numbers are rounded."""
_PARTS = ("images", "rows_out", "rows_kernel", "slide", "slide_kernel", "channels", "filters", "groups")
_NOT_FOLDED = ("slide", "groups", "images", "rows", "filters")
"""Loops whose passes are not folded into the same sums."""


class ColumnCosts:
    """Prices candidates for one link on one machine.

    Energy, cycles and words on the off-chip link are those of `passes.mapping.cost.price`, but for machines that charge
    bursts, where words are counted, and those that compress, where `data` says what is left of words on average.
    `extras` are the shapes of the post operands, `lookups` what is read and written at computed addresses. With
    `whole_passes` the filters in the buffer are whole passes, or all filters: there is less to count.
    """

    def __init__(
        self,
        spec: GConv,
        input_shape: tuple[int, ...],
        roles: Roles,
        machine: Machine,
        data: Sparsity = DENSE,
        extras: Sequence[tuple[int, ...]] = (),
        lookups: Lookups = IN_PLACE,
        whole_passes: bool = True,
    ):
        self.link_words = {
            "dram.input.read": data.input,
            "dram.input.padding": data.input,
            "dram.output.write": data.output,
        }
        """Words on the off-chip link for each one that is moved, where these are not the same."""
        self.spent = 1 - (machine.energy.gating or 0) * (data.gated if spec.main != PASS else 0)
        self.spec, self.roles, self.machine = spec, roles, machine
        self.extras = list(zip(extras, data.extras or (1.0,) * len(extras), strict=True))
        """Shapes of post operands, and words on the off-chip link for each of their words."""
        self.lookups = lookups
        self.whole_passes = whole_passes
        self.extents = [extent // dim.g for dim, extent in zip(spec.dims, input_shape, strict=True)]
        self.counts = {part: extent(spec, getattr(roles, part)) for part in _PARTS}
        self.sums = math.prod(spec.worked(dim, kind) for dim in spec.dims for kind in RELEVANT[Operand.OUTPUT])
        self.shared_slide = roles.slide is not None and roles.slide == roles.rows_out
        self.rest = {
            kind: math.prod(extent(spec, loop) for loop in roles.rest if loop.kind is kind) for kind in LoopKind
        }
        self.operations, outputs = spec.trips, math.prod(spec.output_shape)
        self.constant_events = {
            "spad.input.read": self.operations,
            "spad.kernel.read": self.operations if spec.main != PASS else 0,
            "spad.output.read": self.operations,
            "spad.output.write": self.operations,
            "glb.output.first": self.sums,
            "glb.output.last": self.sums,
            "glb.output.drain": outputs,
            "dram.output.write": outputs,
            "dram.output.read": outputs if lookups.combines else 0,
            "dram.output.lookup": outputs if lookups.written is not None else 0,
        }
        """Events that are as many whatever the mapping."""
        self.array = PassColumns(spec, machine, self.rest)

    def value(self, objective: Objective, c: Columns, m: Column) -> Costs:
        """What the objective is for a row of candidates with `m` filters in the buffer."""
        trips = self._trips(c, m)
        events = self._events(c, trips)
        return self._value(objective, c, events, lambda: self._array_cycles(c, events, m))

    def quick(self, objective: Objective, c: Columns, m: Column) -> Costs:
        """A lower bound of `value`, which differs from it in time alone: that of all passes together."""
        trips = self._trips(c, m)
        return self._least(objective, c, trips, self._events(c, trips), m)

    def bound(self, objective: Objective, c: Columns, m: Column) -> Costs:
        """A lower bound for up to `m` filters in the buffer, whatever n is: with all images at once.

        Kernels are fetched once where nothing is folded, else once for every strip: then none stay. Only for
        filters in whole passes.
        """
        trips = self._trips(c, m)
        return self._least(objective, c, trips, self._events(c, trips, bound=True), m)

    def floor(self, objective: Objective, c: Columns, m: Column | None = None) -> Costs:
        """A quick lower bound, which does not look at how tiles overlap.

        What is read of the input comes into the buffer once, and to the array once per tile of filters; kernels are
        fetched as in `bound`; sums are counted exactly. With `m` filters in the buffer, of candidates with their own
        images, the input comes as often as it does, and kernels as well.
        """
        is_known = m is not None
        m = np.asarray(self.counts["filters"]) if m is None else m
        trips = self._trips(c, m)
        folds, strips = self._folds(trips), trips["images"] * trips["rows"] * trips["slide"]
        repeats = self._input_repeats(c, trips, strips) if is_known else np.asarray(1)
        dims, rest_op = self.spec.dims, self.rest[LoopKind.OP]
        real = math.prod(dim.g * fewest_real(dim, size) for dim, size in zip(dims, self.extents, strict=True))
        padded = math.prod(dim.g * positions_read(dim) for dim in dims)
        shared = math.prod(dim.g * (positions_read(dim) if dim.is_window else dim.opc * dim.ks) for dim in dims)
        buffered = padded if self.machine.counting.padding_in_buffer else real
        delivered = trips["filter_shares"] * (shared * rest_op)
        events: Events = {
            **self.constant_events,
            **self._sum_events(folds, self._chains(c, trips)),
            "dram.extra.read": self._extra_words(trips),
            "dram.input.read": real * repeats,
            "glb.input.fill": buffered * repeats,
            "glb.input.read": trips["filters"] * (buffered * rest_op),
            "array.input.deliver": delivered,
            "spad.input.write": delivered,
        }
        if self.spec.main != PASS:
            events |= self._kernel_events(c, trips, folds, strips, not is_known)
        return self._least(objective, c, trips, events, m)

    def passes(self, c: Columns, m: Column) -> Column:
        """Processing passes."""
        return np.broadcast_to(self._passes(self._trips(c, m)), c.shape)

    def _passes(self, trips: dict[str, Column]) -> Column:
        # Tiles of m filters are counted within those of a pass, which is shared out to elements.
        loops = (times for part, times in trips.items() if part not in ("m", "filter_shares"))
        return reduce(np.multiply, loops, np.asarray(math.prod(self.rest.values())))

    def buffer_words(self, c: Columns) -> tuple[Column, Column]:
        """Words of an input tile, and of an output tile with a single filter, in the buffer."""
        tiles, one = self._buffer_tiles(c, self._tiles(c)), np.asarray(1)
        inputs, outputs = np.ones(c.shape, np.int64), np.ones(c.shape, np.int64)
        for dim in self.spec.dims:
            g, opc, ks = (tiles.get(Loop(dim.name, k), (one, one))[0] for k in (LoopKind.G, LoopKind.OPC, LoopKind.KS))
            inputs *= g * ((opc - 1) * dim.stride + (ks - 1) * dim.dilation + 1)
            outputs *= g * opc
        return inputs, outputs

    def input_scratchpad(self, c: Columns) -> Column:
        """Input words that an element holds at a time."""
        tiles, one = self._tiles(c), np.asarray(1)
        words = np.ones(c.shape, np.int64)
        for dim, slides in zip(self.spec.dims, self._sliding(tiles), strict=True):
            _, kernels = tiles.get(Loop(dim.name, LoopKind.KS), (one, one))
            words *= np.where(slides, (kernels - 1) * dim.dilation + 1, kernels) if dim.dilation > 1 else kernels
        return words

    # Loops ------------------------------------------------------------------------------------------------------------

    def _tiles(self, c: Columns) -> Tiles:
        """Tiles of every loop with a part, filters aside: in a pass (and an input tile), and in an element."""
        entries: list[tuple[str, Column, Column | int]] = [
            ("images", c.n, c.n),
            ("slide", c.slide, c.slide),
            ("rows_out", c.e * c.rows, c.rows),
            ("rows_kernel", c.kernel_rows, 1),
            ("slide_kernel", c.kernel_cols, c.kernel_cols),
            ("channels", c.q * c.r, c.q),
            ("groups", c.groups * c.group_sets, c.groups),
        ]
        return {
            loop: (np.minimum(outer, self.counts[part]), np.minimum(inner, self.counts[part]))
            for part, outer, inner in entries
            if (loop := getattr(self.roles, part)) is not None
        }

    def _buffer_tiles(self, c: Columns, tiles: Tiles) -> Tiles:
        """The tiles of an input tile, and in an element, made of those in a pass."""
        if not c.whole.any():
            return tiles
        kernel = {getattr(self.roles, part): self.counts[part] for part in ("rows_kernel", "slide_kernel")}
        return {
            loop: (np.where(c.whole, kernel[loop], outer) if loop in kernel else outer, inner)
            for loop, (outer, inner) in tiles.items()
        }

    def _trips(self, c: Columns, m: Column) -> dict[str, Column]:
        """How often each temporal loop with a part runs, per parameter, and what passes give elements of filters."""
        counts = self.counts
        return {
            "slide": np.asarray(1) if self.shared_slide else pieces(counts["slide"], c.slide),
            "kernel_rows": pieces(counts["rows_kernel"], c.kernel_rows),
            "kernel_cols": pieces(counts["slide_kernel"], c.kernel_cols),
            "groups": pieces(counts["groups"], c.groups * c.group_sets),
            "m": pieces(counts["filters"], m),
            "images": pieces(counts["images"], c.n),
            "rows": pieces(counts["rows_out"], c.e * c.rows),
            "channels": pieces(counts["channels"], c.q * c.r),
            **self._filter_trips(c, m),
        }

    def _filter_trips(self, c: Columns, m: Column) -> dict[str, Column]:
        """Passes over filters, the shares of them that elements get, and filters of the busiest of these, summed."""
        filters = self.counts["filters"]
        if self.whole_passes:
            return {"filters": pieces(filters, c.p * c.t), "filter_shares": -(-filters // c.p)}
        sizes, times = filter_passes(filters, m, c.p * c.t)
        return {"filters": times.sum(axis=0), "filter_shares": (times * -(-sizes // c.p)).sum(axis=0)}

    def _busiest_filters(self, c: Columns, trips: dict[str, Column], m: Column) -> Column:
        """Filters that the busiest element works through in all passes."""
        filters = self.counts["filters"]
        if self.whole_passes:
            return _longest(filters, trips["filters"], c.t, c.p)
        sizes, times = filter_passes(filters, m, c.p * c.t)
        return (times * np.minimum(sizes, c.p)).sum(axis=0)

    def _folds(self, trips: dict[str, Column]) -> Column:
        """Passes that are folded into the same sums."""
        return trips["channels"] * (trips["kernel_rows"] * trips["kernel_cols"] * self.rest[LoopKind.KS])

    # Cycles and energy ------------------------------------------------------------------------------------------------

    def has_time(self, objective: Objective) -> bool:
        """Whether an objective depends on how long a candidate takes."""
        is_energy = objective is Objective.ENERGY and self.machine.energy.static_mw is not None
        return is_energy or objective in (Objective.LATENCY, Objective.EDP)

    def _least(self, objective: Objective, c: Columns, trips: dict[str, Column], events: Events, m: Column) -> Costs:
        """A lower bound of the objective, by lower bounds of events."""
        return self._value(objective, c, events, lambda: self._together(c, trips, events, m)) * _DOWN

    def _value(self, objective: Objective, c: Columns, events: Events, array_cycles: Callable[[], Costs]) -> Costs:
        match objective:
            case Objective.ENERGY:
                cycles = self._latency(array_cycles(), events) if self.has_time(objective) else np.zeros(())
                value = self._energy(events, cycles)
            case Objective.LATENCY:
                value = self._latency(array_cycles(), events)
            case Objective.EDP:
                cycles = self._latency(array_cycles(), events)
                value = self._energy(events, cycles) * cycles
            case Objective.TRAFFIC:
                value = self._feature_traffic(events) + events.get("dram.kernel.read", 0)
        return np.broadcast_to(value, c.shape)

    def _latency(self, array: Costs, events: Events) -> Costs:
        """Cycles: the array at work, kernels fetched meanwhile, other words on the off-chip link before and after."""
        link = self.machine.links.dram
        kernels = np.ceil(np.asarray(events.get("dram.kernel.read", 0)) / link)
        return np.maximum(array, kernels) + np.ceil(self._feature_traffic(events) / link)

    def _array_cycles(self, c: Columns, events: Events, m: Column) -> Costs:
        """Cycles of a row of candidates in which the array computes or is being filled."""
        kernels = events.get("dram.kernel.read")
        loads = None if kernels is None else np.asarray(kernels) // math.prod(self.spec.kernel_shape)
        tiles = self._tiles(c)
        if self.roles.filters is not None:
            filters = self.counts["filters"]
            tiles[self.roles.filters] = np.minimum(c.p * c.t, filters), np.minimum(c.p, filters)
        return self.array.cycles(tiles, loads, None if self.whole_passes else (self.roles.filters, m))

    def _together(self, c: Columns, trips: dict[str, Column], events: Events, m: Column) -> Costs:
        """A lower bound of these cycles: the longest of all computing, all feeding and all moving of sums."""
        links = self.machine.links
        feed = np.asarray(events["glb.input.read"]) / links.input_bus
        sums = np.asarray(events["array.output.out"]) / links.output_bus
        begin, end = self._pipeline_cycles(c, trips)
        longest = np.maximum(np.maximum(self._compute_cycles(c, trips, m) + begin, feed), sums)
        return np.ceil((longest + end + np.asarray(events.get("dram.kernel.read", 0)) / links.kernel_bus) * _DOWN)

    def _feature_traffic(self, events: Events) -> Costs:
        """Words on the off-chip link but for kernels, as it carries them."""
        moved = [*FEATURES, *(["dram.input.padding"] if self.machine.counting.padding_in_dram else [])]
        return sum((np.asarray(events.get(name, 0)) * self.link_words.get(name, 1) for name in moved), np.zeros(()))

    def _pipeline_cycles(self, c: Columns, trips: dict[str, Column]) -> tuple[Costs | float, Column | int]:
        """Cycles of all passes before their elements compute, and after their last sums."""
        pipeline = self.machine.pipeline
        if pipeline is None:
            return 0.0, 0
        tiles, one = self._tiles(c), np.asarray(1)
        words = trips["filters"] * self.rest[LoopKind.OP]
        for dim in self.spec.dims:
            groups, outputs, taps = (
                tiles.get(Loop(dim.name, kind), (one, one)) for kind in (LoopKind.G, LoopKind.OPC, LoopKind.KS)
            )
            words = words * tabulate(partial(_elements, dim.g), *groups)
            words = words * tabulate(partial(_first_words, dim), *outputs, taps[0])
        # A product of columns of which each varies with few parameters, and only the last is as large as all together.
        alike = [times for part, times in trips.items() if part in _NOT_FOLDED]
        rest = math.prod(times for kind, times in self.rest.items() if kind is not LoopKind.KS)
        folded = self._folds(trips) * (pipeline.stages - 1) + self._chains(c, trips)
        end = reduce(np.multiply, alike, np.asarray(rest)) * folded
        return words / self.machine.links.input_bus, end

    def _compute_cycles(self, c: Columns, trips: dict[str, Column], m: Column) -> Column:
        """Cycles of all passes as their busiest element needs them: the product of every loop's share."""
        counts = self.counts
        same = trips["kernel_rows"] * (counts["images"] * counts["slide_kernel"] * math.prod(self.rest.values()))
        if not self.shared_slide:
            same = same * counts["slide"]
        return (
            _longest(counts["rows_out"], trips["rows"], c.e, c.rows)
            * same
            * _longest(counts["groups"], trips["groups"], c.group_sets, c.groups)
            * _longest(counts["channels"], trips["channels"], c.r, c.q)
            * self._busiest_filters(c, trips, m)
        )

    def _energy(self, events: Events, cycles: Costs) -> Costs:
        """Charged energy in units of the machine; an event that is not counted here is charged nothing."""
        costs = self.machine.energy
        charged = [
            events[name] * (cost * self.link_words.get(name, 1))
            for level in LEVELS
            for cost in (getattr(costs, level) * (self.spent if level == "spad" else 1),)
            for name in getattr(self.machine.counting, level)
            if name in events
        ]
        if costs.static_mw is not None:
            per_cycle = costs.static_mw * 1e3 / self.machine.clock_mhz / costs.picojoules
            charged.append(per_cycle * cycles)
        return _sum(charged, float(self.operations * costs.operation * self.spent))

    # Events -----------------------------------------------------------------------------------------------------------

    def _events(self, c: Columns, trips: dict[str, Column], bound: bool = False) -> Events:
        """Every event; with `bound` none has more in any candidate of other m and n."""
        folds = self._folds(trips)
        strips = trips["images"] * trips["rows"] * trips["slide"]
        events: Events = {
            **self.constant_events,
            "dram.extra.read": self._extra_words(trips),
            **self._input_events(c, trips, strips, bound),
            **self._sum_events(folds, self._chains(c, trips)),
        }
        if self.spec.main != PASS:
            events |= self._kernel_events(c, trips, folds, strips, bound)
        return events

    def _output_pieces(self, trips: dict[str, Column]) -> dict[Loop | None, Column | int]:
        """How many tiles of outputs there are along every loop that they have."""
        roles = self.roles
        cut = {roles.groups: "groups", roles.filters: "m", roles.images: "images", roles.rows_out: "rows"}
        found: dict[Loop | None, Column | int] = {loop: trips[part] for loop, part in cut.items()}
        if not self.shared_slide:
            found[roles.slide] = trips["slide"]
        return found | {loop: extent(self.spec, loop) for loop in roles.rest}

    def _extra_words(self, trips: dict[str, Column]) -> Costs:
        """Words of post operands as they go over the off-chip link: each is read once for every tile of outputs."""
        pieces, total = self._output_pieces(trips), np.zeros(())
        for shape, on_link in self.extras:
            total = total + on_link * self._words_beside(shape, pieces)
        return total

    def _words_beside(self, shape: Sequence[int], pieces: dict[Loop | None, Column | int]) -> Column:
        """Words of a tensor that broadcasts to the output, read once for every tile of it."""
        words = np.asarray(1)
        for dim, size in zip(self.spec.dims, shape, strict=True):
            again = (pieces.get(Loop(dim.name, kind), 1) for kind in RELEVANT[Operand.OUTPUT])
            words = words * (math.prod(again, start=np.asarray(1)) if size == 1 else dim.output_extent)
        return words

    def _index_words(self, c: Columns, trips: dict[str, Column], repeats: Column) -> Column:
        """Words of indices: all components of those of a tile as often as it is loaded, none where it is padding."""
        pieces, total = self._output_pieces(trips), np.asarray(0)
        if self.lookups.written is not None:
            *shape, components = self.lookups.written
            total = total + components * self._words_beside(shape, pieces)
        if self.lookups.read is None:
            return total
        *shape, components = self.lookups.read
        tiles, one = self._buffer_tiles(c, self._tiles(c)), np.asarray(1)
        words = repeats * components
        for dim, inside, size in zip(self.spec.dims, self.extents, shape, strict=True):
            outputs, kernels = (tiles.get(Loop(dim.name, kind), (one, one))[0] for kind in (LoopKind.OPC, LoopKind.KS))
            if size > 1:
                words = words * (dim.g * words_of_tiles(dim, inside, outputs, kernels)[0])
            else:
                groups = pieces.get(Loop(dim.name, LoopKind.G), 1)
                words = words * (groups * tabulate(partial(tiles_with_words, dim, inside), outputs, kernels))
        return total + words

    def _sum_events(self, folds: Column, chains: Column) -> dict[str, Column]:
        """Every fold but the first reads sums back; `chains` are the elements that they pass through in all folds."""
        again = self.sums * (folds - 1)
        return {
            "glb.output.read": again,
            "glb.output.write": again,
            "array.output.in": again,
            "array.output.out": self.sums * folds,
            "array.output.hop": self.sums * (chains - folds),
        }

    def _input_events(self, c: Columns, trips: dict[str, Column], strips: Column, bound: bool) -> dict[str, Column]:
        tiles, rest_op = self._tiles(c), self.rest[LoopKind.OP]
        real, padded = self._loaded(c, self._buffer_tiles(c, tiles), bound)
        in_passes = self._loaded(c, tiles, bound) if c.whole.any() else (real, padded)
        is_padded = self.machine.counting.padding_in_buffer
        repeats = self._input_repeats(c, trips, strips)
        delivered = self._delivered(c, tiles, bound) * trips["filter_shares"] * rest_op
        return {
            "dram.index.read": np.asarray(0) if bound else self._index_words(c, trips, repeats),
            "dram.input.read": real * repeats,
            "dram.input.lookup": real * (repeats * (self.lookups.read is not None)),
            "dram.input.padding": (padded - real) * repeats,
            "glb.input.fill": (padded if is_padded else real) * repeats,
            "glb.input.read": in_passes[int(is_padded)] * trips["filters"] * rest_op,
            "array.input.deliver": delivered,
            "spad.input.write": delivered,
        }

    def _input_repeats(self, c: Columns, trips: dict[str, Column], strips: Column) -> Column:
        """How often the input comes: where there is one strip and one fold, a tile stays while other filters come."""
        still, rest_op = (self._input_folds(c, trips) == 1) & (strips == 1), self.rest[LoopKind.OP]
        return np.where(still, np.where(trips["groups"] == 1, 1, rest_op), trips["m"] * rest_op)

    def _input_folds(self, c: Columns, trips: dict[str, Column]) -> Column:
        """Input tiles that are folded into the same sums."""
        windows = np.where(c.whole, 1, trips["kernel_rows"] * trips["kernel_cols"])
        return trips["channels"] * (self.rest[LoopKind.KS] * windows)

    def _kernel_events(
        self, c: Columns, trips: dict[str, Column], folds: Column, strips: Column, once: bool
    ) -> dict[str, Column]:
        words, rest = math.prod(self.spec.kernel_shape), self.rest
        rows = -(-self.counts["rows_out"] // c.rows)
        kept = unrepeated = folds == 1
        if not once:
            kept = kept & (trips["filters"] == trips["m"])
            unrepeated = kept & (trips["m"] == 1) & (trips["groups"] == 1) & (rest[LoopKind.G] * rest[LoopKind.OP] == 1)
        repeated = np.where(unrepeated, 1, rest[LoopKind.OPC]) if rest[LoopKind.OPC] > 1 else 1
        delivered = words * np.where(kept, np.minimum(c.e, rows), strips // trips["rows"] * rows) * repeated
        return {
            "dram.kernel.read": words * np.where(kept, 1, strips) * repeated,
            "array.kernel.deliver": delivered,
            "spad.kernel.write": delivered,
        }

    def _chains(self, c: Columns, trips: dict[str, Column]) -> Column:
        """Elements that an output word passes through, over all passes."""
        same = trips["kernel_cols"] * (self.counts["rows_kernel"] * self.rest[LoopKind.KS])
        return -(-self.counts["channels"] // c.q) * same

    # Input words ------------------------------------------------------------------------------------------------------

    def _loaded(self, c: Columns, tiles: Tiles, bound: bool) -> tuple[Column, Column]:
        """Words of all input tiles of some size, real ones and with padding, for one tile of filters."""
        real, padded, one = np.ones(c.shape, np.int64), np.ones(c.shape, np.int64), np.asarray(1)
        for dim, size in zip(self.spec.dims, self.extents, strict=True):
            outs = Loop(dim.name, LoopKind.OPC)
            kernels, _ = tiles.get(Loop(dim.name, LoopKind.KS), (one, one))
            outputs = [tiles.get(outs, (one, one))[0]]
            if bound and outs == self.roles.images and dim.stride > 1:
                # Fewer images in a tile can mean fewer words: the gaps between tiles are not fetched.
                outputs = [np.asarray(n) for n in halvings(self.counts["images"])]
            words = [words_of_tiles(dim, size, each, kernels) for each in outputs]
            real *= dim.g * reduce(np.minimum, [each[0] for each in words])
            padded *= dim.g * reduce(np.minimum, [each[1] for each in words])
        return real, padded

    def _delivered(self, c: Columns, tiles: Tiles, bound: bool) -> Column:
        """Words that elements receive for one tile of filters; a sliding window keeps what neighbours share."""
        total, one = np.ones(c.shape, np.int64), np.asarray(1)
        for dim, slides in zip(self.spec.dims, self._sliding(tiles), strict=True):
            outputs = tiles.get(Loop(dim.name, LoopKind.OPC), (one, one))
            kernels = tiles.get(Loop(dim.name, LoopKind.KS), (one, one))
            words = dim.opc * dim.ks
            if dim.is_window and (bound or slides.any()) and outputs[1].max() > 1 and kernels[1].max() > 1:
                shared = tabulate(partial(words_of_sliding, dim), *outputs, *kernels)
                words = shared if bound else np.where(slides, shared, words)
            total *= dim.g * words
        return total

    def _sliding(self, tiles: Tiles) -> list[npt.NDArray[np.bool_]]:
        """Per dimension, the candidates whose elements slide their window along it (`Tiling.sliding`)."""
        one = np.asarray(1)
        undecided = np.asarray(True)
        found: list[npt.NDArray[np.bool_]] = []
        for dim in reversed(self.spec.dims):
            _, outputs = tiles.get(Loop(dim.name, LoopKind.OPC), (one, one))
            _, groups = tiles.get(Loop(dim.name, LoopKind.G), (one, one))
            found.append(undecided & (outputs > 1))
            undecided = undecided & (outputs == 1) & (groups == 1)
        return found[::-1]


def _sum(terms: Iterable[Column | Costs | float], start: float) -> Costs:
    """The sum of terms of many shapes, of which few meet the shape that all have together.

    The smallest go first, and those along another axis than what went before are added up by themselves.
    """
    alike: dict[tuple[int, ...], list[Column | Costs | float]] = {}
    for term in terms:
        alike.setdefault(np.shape(term), []).append(term)
    total: Costs = np.asarray(start)
    for shape in sorted(alike, key=math.prod):
        if np.broadcast_shapes(total.shape, shape) == shape:
            for term in alike[shape]:
                total = total + term
        else:
            total = total + sum(alike[shape])
    return total


def _elements(extent: int, in_pass: int, in_element: int) -> int:
    """Elements that the pieces of a loop lie on, in all passes."""
    return number(cut(cut({extent: 1}, in_pass), in_element))


def _first_words(dim: Dim, out_pass: int, out_element: int, kernel_pass: int) -> int:
    """Positions of one dimension that the elements of all passes begin with."""
    return sum(
        n * k * distinct_positions(-(-a // out_element), b, out_element * dim.stride, dim.dilation)
        for a, n in cut({dim.opc: 1}, out_pass).items()
        for b, k in cut({dim.ks: 1}, kernel_pass).items()
    )


def _longest(extent: int, trips: Column, elements: Column, inner: Column) -> Column:
    """Indices that the busiest element works through when a loop runs in `trips` tiles, each over some elements."""
    if extent == 1:
        return np.asarray(1)
    before = (trips - 1) * inner
    return before + np.minimum(extent - before * elements, inner)
