"""Row-stationary mappings by plain loops: those of the stated space, and all that a machine takes.

What a search finds is compared with these; they share nothing with how it looks through its candidates.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from dialects.array_machine import Machine
from dialects.gconv import PASS, GConv
from dialects.schedule import Mapping
from passes.mapping.fit import violations
from passes.mapping.roles import assign_roles
from passes.mapping.row_stationary import Parameters, build_mapping, fold


def even_shares(extent: int, limit: int) -> list[int]:
    """All tiles up to `limit` that are the even share of some number of pieces."""
    return sorted({-(-extent // pieces) for pieces in range(1, extent + 1)} & set(range(1, limit + 1)))


def floors(whole: int) -> list[int]:
    """All, a half, a third ... of a number, rounded down."""
    return sorted({whole // parts for parts in range(1, whole + 1)})


def halves(extent: int) -> list[int]:
    return sorted({-(-extent // (1 << power)) for power in range(extent.bit_length() + 1)})


class StatedSpace:
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


def legal_mappings(spec: GConv, machine: Machine) -> set[Mapping]:
    """Every row-stationary mapping that a machine takes: all sizes of all parts, by plain loops."""
    roles = assign_roles(spec)

    def count(part: str) -> int:
        return StatedSpace(spec, machine).extent(part)

    def sizes(part: str) -> range:
        return range(1, count(part) + 1)

    def pairs(part: str) -> list[tuple[int, int]]:
        """Indices in an element, and as many elements as there are indices for."""
        return [(size, times) for size in sizes(part) for times in range(1, -(-count(part) // size) + 1)]

    slides = sizes("slide") if roles.slide != roles.rows_out else range(1, 2)
    every = itertools.product(
        sizes("filters"), sizes("images"), slides, sizes("rows_kernel"), sizes("slide_kernel"), (False, True),
        pairs("rows_out"), pairs("channels"), pairs("filters"), pairs("groups"),
    )  # fmt: skip
    mappings = {
        build_mapping(spec, roles, Parameters(m, n, e, p, q, r, t, rows, slide, up, along, g, sets, whole), machine)
        for m, n, slide, up, along, whole, (rows, e), (q, r), (p, t), (g, sets) in every
        if p * (t - 1) < m  # The place of sets that are not in the buffer stays empty: the same for more room.
    }
    return {mapping for mapping in mappings if not violations(spec, mapping, machine)}
