"""The row-stationary search: prices that equal the cost model's, optima that equal an enumeration, the chip's table."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.gconv import PASS, GConv, LoopKind
from dialects.schedule import Loop, Mapping, Spatial, Storage
from dialects.target import Machine
from passes.mapping.column_costs import Objective
from passes.mapping.cost import predict, price
from passes.mapping.fit import violations
from passes.mapping.roles import assign_roles
from passes.mapping.row_stationary import Parameters, build_mapping, fold
from passes.mapping.search import best_mapping
from tests.passes.mapping.drawing import Shape, links, window_links
from tests.passes.mapping.latency import latency_of
from tests.passes.mapping.machines import MACHINES

ALL_CHECKS = list(HealthCheck)


def compute_cycles(spec: GConv, mapping: Mapping) -> int:
    """Operations of the busiest element, summed over all passes: a product over loops of a sum over pieces."""
    total = 1
    for dim, kind in itertools.product(spec.dims, LoopKind):
        pieces, spread = [dim.count(kind)], []
        for node in mapping.nodes:
            if not isinstance(node, Storage) and node.loop == Loop(dim.name, kind):
                if isinstance(node, Spatial):
                    spread.append(node.tile)
                else:
                    pieces = [min(node.tile, n - i) for n in pieces for i in range(0, n, node.tile)]
        total *= sum(min([piece, *spread]) for piece in pieces)
    return total


def value_of(spec: GConv, shape: Shape, mapping: Mapping, machine: Machine, objective: Objective) -> float:
    """What the search should have computed: the cost model's energy, the latency, or both multiplied."""
    counts = predict(spec, shape, mapping, machine)
    latency = latency_of(counts, compute_cycles(spec, mapping), machine)
    energy = price(counts, machine).total_energy
    return {Objective.ENERGY: energy, Objective.LATENCY: latency, Objective.EDP: energy * latency}[objective]


def even_shares(extent: int, limit: int) -> list[int]:
    """All tiles up to `limit` that are the even share of some number of pieces."""
    return sorted({-(-extent // pieces) for pieces in range(1, extent + 1)} & set(range(1, limit + 1)))


def floors(whole: int) -> list[int]:
    """All, a half, a third ... of a number, rounded down."""
    return sorted({whole // parts for parts in range(1, whole + 1)})


def halves(extent: int) -> list[int]:
    return sorted({-(-extent // (1 << power)) for power in range(extent.bit_length() + 1)})


class Space:
    """Every mapping of the stated space, by plain loops: legality is asked of `violations`, nothing is pruned."""

    def __init__(self, spec: GConv, machine: Machine):
        self.spec, self.machine, self.roles = spec, machine, assign_roles(spec)

    def extent(self, part: str) -> int:
        loop = getattr(self.roles, part)
        return 1 if loop is None else next(d for d in self.spec.dims if d.name == loop.dim).count(loop.kind)

    def mappings(self) -> list[Mapping]:
        """All legal mappings of the longest strip that has any."""
        slide = self.extent("slide") if self.roles.slide != self.roles.rows_out else 1
        while True:
            found = list(self._with_strip(slide))
            if found or slide == 1:
                return found
            slide = -(-slide // 2)

    def _with_strip(self, slide: int) -> Iterator[Mapping]:
        rows, cols = self._kernel_part()
        images = halves(self.extent("images"))
        for (p, q, groups), (e, chunk, r, group_sets, most), n in itertools.product(
            self._elements(cols), self._arrays(rows), images
        ):
            limits = self.machine.limits
            sets = -(-self.extent("filters") // p)
            most = max(1, min(most, sets, limits.filters // p))
            full = -(-sets // -(-sets // most))
            if q * r > limits.channels or r > -(-self.extent("channels") // q):
                continue
            if group_sets > -(-self.extent("groups") // groups):
                continue
            for t in {full, -(-full // 2)}:
                base = Parameters(1, n, e, p, q, r, t, chunk, slide, rows, cols, groups, group_sets)
                yield from self._most_filters(base)

    def _most_filters(self, x: Parameters) -> Iterator[Mapping]:
        """The mapping with most filters in the buffer: all of them, or whole passes of p * t."""
        filters, unit = self.extent("filters"), x.p * x.t
        for m in (filters, *range((filters - 1) // unit * unit, 0, -unit)):
            parameters = Parameters(**{**vars(x), "m": m})
            mapping = build_mapping(self.spec, self.roles, parameters, self.machine)
            if not violations(self.spec, mapping, self.machine):
                yield mapping
                return

    def _kernel_part(self) -> tuple[int, int]:
        machine, dims = self.machine, {dim.name: dim for dim in self.spec.dims}
        limit = min(machine.limits.kernel_rows, machine.array.rows)
        extent = self.extent("rows_kernel")
        rows = -(-extent // -(-extent // min(extent, limit)))
        limit = min(machine.limits.kernel_cols, machine.pe.input_words, machine.pe.kernel_words)
        dim = dims.get(self.roles.slide_kernel.dim) if self.roles.slide_kernel else None
        spread = dim.dilation if dim is not None and dim.opc > 1 else 1
        fitting = [
            tile
            for tile in even_shares(self.extent("slide_kernel"), limit)
            if (tile - 1) * spread + 1 <= machine.pe.input_words
        ]
        return rows, max(fitting, default=1)

    def _elements(self, cols: int) -> list[tuple[int, int, int]]:
        pe = self.machine.pe
        return [
            (p, q, groups)
            for q in even_shares(self.extent("channels"), max(1, pe.input_words // cols))
            for p in even_shares(self.extent("filters"), pe.output_words)
            for groups in halves(self.extent("groups"))
            if self.spec.main == PASS or p * q * cols * groups <= pe.kernel_words
        ]

    def _arrays(self, rows: int) -> Iterator[tuple[int, int, int, int, int]]:
        array = self.machine.array
        for (e, chunk), r in itertools.product(
            self._strips(rows), floors(min(self.extent("channels"), array.rows // rows))
        ):
            sizes = range(1, array.rows * array.cols + 1)
            fitting = [sets for sets in sizes if fold(e, rows * r, sets, 1, self.machine).fits]
            for group_sets in even_shares(self.extent("groups"), max(fitting, default=0)):
                filters = max(fitting) // group_sets
                while not fold(e, rows * r, filters, group_sets, self.machine).fits:
                    filters -= 1
                yield e, chunk, r, group_sets, filters

    def _strips(self, rows: int) -> list[tuple[int, int]]:
        """Elements across, and output rows in each."""
        array, roles = self.machine.array, self.roles
        count, most = self.extent("rows_out"), array.cols * (array.rows // rows)
        if roles.slide is not None and roles.slide != roles.rows_out:
            return [(e, 1) for e in even_shares(count, most)]
        found: list[tuple[int, int]] = []
        for chunk in halves(count):
            limit = min(-(-count // chunk), most)
            across = {limit, *floors(array.cols), *(array.cols * full for full in range(1, array.rows + 1))}
            found += [(e, chunk) for e in across if e <= limit]
        return found


@st.composite
def problems(draw: st.DrawFn, most_trips: int = 3000, largest: int = 9) -> tuple[GConv, Shape, Machine, Objective]:
    if draw(st.booleans()):
        spec, shape = draw(window_links())
    else:
        spec, shape, _ = draw(links(most_trips, largest))
    return spec, shape, draw(st.sampled_from(list(MACHINES.values()))), draw(st.sampled_from(Objective))


@settings(max_examples=50, derandomize=True, deadline=None, suppress_health_check=ALL_CHECKS)
@given(problems(most_trips=800, largest=6))
def test_the_best_mapping_is_the_best_of_an_enumeration(problem: tuple[GConv, Shape, Machine, Objective]) -> None:
    spec, shape, machine, objective = problem
    space = Space(spec, machine).mappings()
    if not space:
        with pytest.raises(CatenaError, match="CAT-F001"):
            best_mapping(spec, shape, machine, objective)
        return
    best = min(value_of(spec, shape, mapping, machine, objective) for mapping in space)
    found = best_mapping(spec, shape, machine, objective)
    assert value_of(spec, shape, found, machine, objective) == pytest.approx(best, rel=1e-9)
