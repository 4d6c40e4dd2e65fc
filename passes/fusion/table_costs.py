"""What whole mappings of a group cost, from the tables of its searches: nobody walks turns that were tabulated."""

from __future__ import annotations

import numpy as np

from dialects.fused_mapping import FusedMapping, Stages
from passes.fusion.columns import Pricing
from passes.fusion.factors import GroupTables
from passes.fusion.rows import WITHIN, Rows


class TableCosts:
    """The costs of mappings that search for a group: all places in `memory`, links without nests."""

    def __init__(self, tables: GroupTables, memory: str):
        self._tables, self._memory = tables, memory
        self._names = [tensor.name for tensor in tables.group.tensors]
        self._factor_of = {loop: index for index, placed in enumerate(tables.factors) for loop in placed.loops}
        self._pricings: dict[tuple[Stages, tuple[int, ...]], Pricing] = {}
        self._found: dict[FusedMapping, tuple[int, int, int] | None] = {}

    def of(self, mapping: FusedMapping) -> tuple[int, int, int] | None:
        """Words of the buffer, words off-chip, and operations, as `FusedCosts` has them; None if no table says."""
        # plans are made again and again of mappings that were looked at
        if mapping not in self._found:
            self._found[mapping] = self._costs(mapping)
        return self._found[mapping]

    def _costs(self, mapping: FusedMapping) -> tuple[int, int, int] | None:
        tables, loops = self._tables, self._tables.loops
        if tables.space.pieces or mapping.branches or any(node.loop not in loops for node in mapping.loops):
            return None
        if (levels := self._levels(mapping)) is None:
            return None
        pricing = self._pricing(mapping)
        rows = Rows.root(len(tables.factors), len(self._names), len(loops))
        for depth in range(len(mapping.loops) + 1):
            if depth and not self._cut(pricing, rows, mapping, depth - 1):
                return None
            here = [index for index, level in enumerate(levels) if level == depth]
            for number, tensor in enumerate(pricing.intermediates):
                if tensor in here and depth:
                    factor = self._factor_of[loops.index(mapping.loops[depth - 1].loop)]
                    rows.states[:, factor] = tables.factors[factor].factor.slid(rows.states[:, factor], number)
            rows.levels[:, here] = depth
            if not pricing.product(rows).all():
                return None
            if here or depth == len(mapping.loops):
                columns = pricing.columns(rows)
                rows.held, rows.moved, rows.worked = columns.held, columns.moved, columns.worked
            for tensor in here:
                rows.costs += pricing.place(rows, tensor)
        capacity, traffic, operations = pricing.finished(rows, pricing.within(rows))[0].tolist()
        return capacity, traffic, operations

    def _pricing(self, mapping: FusedMapping) -> Pricing:
        """The numbers of mappings with such stages, in which the same tensors stay."""
        resident = tuple(index for index, name in enumerate(self._names) if mapping.retention(name).resident)
        key = mapping.stages, resident
        if key not in self._pricings:
            tables = self._tables
            self._pricings[key] = Pricing(
                tables.tabulation, tables.factors, mapping.stages, _no_mapping, resident, tables.loops
            )
        return self._pricings[key]

    def _levels(self, mapping: FusedMapping) -> list[int] | None:
        """The level of every tensor as searches say it; None if they know no such places."""
        levels: list[int] = []
        for name in self._names:
            each, is_made = mapping.retention(name), name in self._tables.group.intermediates
            if each.memory != self._memory or (is_made and each.level is None):
                return None
            if each.reuse or each.level is None:
                levels.append(WITHIN if each.level is None else each.level)
            elif is_made and each.level == len(mapping.loops):
                levels.append(WITHIN)
            else:
                return None
        return levels

    def _cut(self, pricing: Pricing, rows: Rows, mapping: FusedMapping, position: int) -> bool:
        """Cut the loop at a position of a mapping, innermost; whether its tiles are in the table."""
        node = mapping.loops[position]
        loop = self._tables.loops.index(node.loop)
        index = self._factor_of[loop]
        placed = self._tables.factors[index]
        inner = placed.loops.index(loop)
        sizes = placed.factor.cuts[inner].tiles
        if node.tile not in sizes:
            return False
        bits = np.array([1 << number for number in range(len(pricing.intermediates))], np.int64)
        above = (rows.levels[:, pricing.intermediates] != WITHIN) @ bits
        rows.states[:, index] = placed.factor.extended(rows.states[:, index], above, inner)[:, sizes.index(node.tile)]
        rows.positions[:, loop] = position
        return True


def _no_mapping(rows: Rows, row: int, placed: bool) -> FusedMapping:
    raise AssertionError("numbers that tables have are those of no mapping in particular")
