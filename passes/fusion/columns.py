"""What the tensors of parts of mappings hold and move, and what their links work: columns of numbers.

From tables of factors where the numbers are products, and else from `FusedCosts` of each part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from dialects.fused_mapping import FusedMapping, Stages
from dialects.gconv.spec import PASS
from dialects.schedule import Loop
from passes.fusion.axis_tables import Tabulation
from passes.fusion.factors import Factor, Ids, Mask, Placed
from passes.fusion.front import Costs
from passes.fusion.model import FusedCosts
from passes.fusion.own_nests import OwnNests
from passes.fusion.piece_columns import PieceColumns, Uses
from passes.fusion.rows import WITHIN, Numbers, Rows, Small

ROUNDING = 1e-6
"""Sums of parts of words are off by less."""
PIECE = 300
"""A mapping that is priced on its own takes as long as so many rows."""


@dataclass
class Columns:
    """Numbers of parts of mappings, as if each tensor without a place had one below all loops."""

    held: Numbers
    """What the place of each tensor holds at most: (rows, tensors)."""
    moved: Numbers
    """What goes over the off-chip link for each tensor: (rows, tensors)."""
    worked: Numbers
    """The operations for each tensor that is made: (rows, tensors)."""


@dataclass
class Within:
    """Numbers of parts of mappings, as if each tensor from off-chip without a place lay within the links."""

    moved: Numbers
    """What goes over the off-chip link for each tensor: (rows, tensors)."""
    used: Numbers
    """What links hold of tensors at most: (rows, uses)."""
    saved: Numbers
    """What less the head holds if its result, or its input, comes in pieces: (rows, 2)."""


class Pricing:
    """The numbers of parts of mappings of one group.

    `mapping` makes the mapping of a row, with tensors without a place within the links or, if asked to, right below all
    loops. Within links tensors come in the pieces of `own` nests; `loops` are those of the head.
    """

    def __init__(
        self,
        tabulation: Tabulation,
        factors: Sequence[Placed],
        stages: Stages,
        mapping: Callable[[Rows, int, bool], FusedMapping],
        resident: Collection[int] = (),
        loops: Sequence[Loop] = (),
        own: OwnNests | None = None,
    ):
        self.group = group = tabulation.group
        self.tabulation, self.factors, self.stages, self.mapping = tabulation, factors, stages, mapping
        self.names = [tensor.name for tensor in group.tensors]
        self.result = self.names.index(group.head.result)
        self.intermediates = [self.names.index(name) for name in group.intermediates]
        links = [link.name for link in group.links]
        self.links = [links.index(group.makers[name].name) for name in group.intermediates]
        self.readings = [(links.index(link), self.names.index(name)) for link, name in tabulation.readings]
        self.needed = np.array([tabulation.elements(name) for name in self.names])
        self.work = np.array([tabulation.operations(link) for link in links])
        self.read = np.array([tabulation.elements_read(each) for each in tabulation.readings])
        self.made_here = np.isin(np.arange(len(self.names)), self.intermediates).astype(np.float64)
        """1 for intermediates, 0 for other tensors."""
        self.late = np.array([self._is_late(name) for name in self.names])
        """Tensors whose makers' operations depend on all loops, also on those below a place."""
        self.exported = np.array([name in group.exported for name in group.intermediates], np.bool_)
        self.used_tensors = [*(tensor for _, tensor in self.readings), self.result]
        users = [*(link for link, _ in self.readings), len(links) - 1]
        self.user = np.equal.outer(users, np.arange(len(links))).astype(np.float64)
        """Which link uses a tensor, for every use: (uses, links)."""
        self.only_user = np.zeros((len(self.names), len(links)))
        """The link that uses a tensor from off-chip, unless several do: (tensors, links)."""
        for tensor, link in zip(self.used_tensors, users, strict=True):
            self.only_user[tensor, link] = self.used_tensors.count(tensor) == 1
        self.off_chip = np.array([index not in resident for index in range(len(self.names))])
        """Tensors that lie off-chip before or after the group, or would."""
        self.minimal = self._minimal()
        self.uses = Uses(self.names, self.used_tensors, users)
        self.pieces = PieceColumns(own, self.uses, factors, loops, self.needed) if own else None
        if self.pieces:
            for tensor, least in zip(self.used_tensors, self.pieces.least, strict=True):
                self.only_user[tensor] *= least

    def _is_late(self, tensor: str) -> bool:
        """A link without a kernel that repeats results works once for all that a turn makes, however often it does."""
        maker = self.group.makers.get(tensor)
        return maker is not None and maker.spec.main == PASS and any(dim.op > 1 for dim in maker.spec.dims)

    def _minimal(self) -> Numbers:
        """What part of each tensor every place holds at least, by factor: (factors, tensors)."""
        return np.array([each.factor.least() for each in self.factors]).reshape(-1, len(self.names))

    def too_large(self, rows: Rows) -> Mask:
        """Whether so many turns decide the numbers of rows that nobody looks at them."""
        states = zip(self.factors, rows.states.T, strict=True)
        none = np.zeros(len(rows), np.bool_)
        return np.logical_or.reduce([none, *(each.factor.too_large[column] for each, column in states)])

    def product(self, rows: Rows) -> Mask:
        """Whether the numbers of rows are products of those of factors.

        A union of two products is one if either holds the other, or if they differ along a single axis, which one
        factor alone moves: loops that move an axis of what any reader reads are in one factor.
        """
        valid = np.ones(len(rows), np.bool_)
        unions = self.tabulation.whole.unions
        if not unions:
            for index, placed in enumerate(self.factors):
                valid &= placed.factor.valid[rows.states[:, index]]
            return valid
        # Where no loop can be cut there are no factors, and unions are what they are without.
        within = np.tile(np.array([bool(each.first_in_second[0]) for each in unions], np.bool_), (len(rows), 1))
        around = np.tile(np.array([bool(each.second_in_first[0]) for each in unions], np.bool_), (len(rows), 1))
        differing = np.tile(np.array([int(each.differing[0]) for each in unions], np.int64), (len(rows), 1))
        for index, placed in enumerate(self.factors):
            states, factor = rows.states[:, index], placed.factor
            valid &= factor.valid[states]
            within &= factor.within[states]
            around &= factor.around[states]
            differing |= placed.differing(states)
        one_axis = (differing & (differing - 1)) == 0
        return valid & (within | around | one_axis).all(axis=1)

    def columns(self, rows: Rows) -> Columns:
        """The numbers of rows whose numbers are products."""
        count = len(rows)
        held, total, made, worked = self.needed, self.needed, self.needed[self.intermediates], self.work
        cut = list(self._cut(rows))
        for states, _, factor in cut:
            held = held * factor.most.take(states, axis=0)
            total = total * factor.common[states, factor.turns_code(states)]
            made = made * factor.made.take(states, axis=0)
            worked = worked * factor.work.take(states, axis=0)
        if not cut:
            held, total, made, worked = (np.tile(each, (count, 1)) for each in (held, total, made, worked))
        moved = total - self._shared(rows, cut)
        moved[:, self.intermediates] = made * self.exported
        moved[:, self.result] = 2 * moved[:, self.result] - self.needed[self.result]
        work = np.zeros_like(held)
        work[:, [*self.intermediates, self.result]] = worked[:, [*self.links, -1]]
        return Columns(np.rint(held), np.rint(moved), np.rint(work))

    def within(self, rows: Rows) -> Within:
        """The numbers of rows whose numbers are products, for tensors within the links."""
        count = len(rows)
        read, most_read, result = self.read, self.read, np.full(count, self.needed[self.result])
        cut = list(self._cut(rows))
        for states, _, factor in cut:
            read = read * factor.read.take(states, axis=0)
            most_read = most_read * factor.most_read.take(states, axis=0)
            result *= factor.common[states, factor.turns_code(states), self.result]
        if not cut:
            read, most_read = np.tile(read, (count, 1)), np.tile(most_read, (count, 1))
        moved = np.zeros((count, len(self.names)))
        for reading, (_, tensor) in enumerate(self.readings):
            moved[:, tensor] += read[:, reading]
        moved[:, self.result] = 2 * result - self.needed[self.result]
        used = np.concatenate([most_read, rows.held[:, [self.result]]], axis=1)
        if self.pieces:
            used = np.rint(self.pieces.used(used))
            return Within(np.rint(moved), used, self.pieces.saved(rows, used))
        return Within(np.rint(moved), np.rint(used), np.zeros((count, 2)))

    def _cut(self, rows: Rows) -> Iterator[tuple[Ids, Small, Factor]]:
        """The factors of which any row cuts loops, with their states and the positions of their loops."""
        for index, placed in enumerate(self.factors):
            positions = rows.positions[:, list(placed.loops)]
            if (positions >= 0).any():
                yield rows.states[:, index], positions, placed.factor

    def _shared(self, rows: Rows, cut: Sequence[tuple[Ids, Small, Factor]]) -> Numbers:
        """What places have already when something is to come in, in all turns."""
        loops = int(rows.positions.max(initial=-1)) + 1
        shared = np.zeros((len(rows), len(self.names)))
        for stepping in range(loops):
            part = self.needed
            for states, positions, factor in cut:
                outer = ((positions >= 0) & (positions < stepping)).sum(axis=1)
                codes = 2 * outer + (positions == stepping).any(axis=1)
                part = part * factor.common[states, codes]
            shared += part
        return shared

    def least(self, rows: Rows, open_: set[int], leave: int | None = None) -> Numbers:
        """What a place of each tensor holds at least, if only loops of some factors are still cut: (rows, tensors).

        Without what the factor to `leave` out has to do with it.
        """
        least = np.tile(self.needed, (len(rows), 1))
        for index, placed in enumerate(self.factors):
            if index == leave:
                continue
            states, factor = rows.states[:, index], placed.factor
            # A product of unions is more than a union of products.
            held = factor.first if self.tabulation.whole.unions else factor.most
            if index not in open_:
                least *= held[states]
            elif len(placed.loops) == 1 and (rows.positions[:, placed.loops[0]] < 0).all():
                least *= self.minimal[index]
            else:
                least *= np.where(factor.complete(states)[:, np.newaxis], held[states], self.minimal[index])
        return least

    def working(self, worked: Numbers, open_: Mask) -> Numbers:
        """The operations of rows that are not among the costs of those tensors that have places."""
        return dot(worked, open_ | self.late)

    def further(self, moved: Numbers, worked: Numbers, open_: Mask) -> Costs:
        """What rows cost at least besides their places, without room for more."""
        costs = np.zeros((len(moved), 3), np.int64)
        costs[:, 1] = dot(moved, open_)
        costs[:, 2] = self.working(worked, open_)
        return costs

    def place(self, rows: Rows, tensor: int) -> Costs:
        """What a place for a tensor below all loops of rows costs."""
        worked = rows.worked[:, tensor] * (not self.late[tensor])
        moved = rows.moved[:, tensor] * self.off_chip[tensor]
        return np.stack([rows.held[:, tensor], moved, worked], axis=1).astype(np.int64)

    def room(self, least: Numbers) -> Numbers:
        """What tensors without a place will take at least, if their places hold so much at least: (rows, tensors)."""
        return np.floor(least @ self.made_here + self._staged(least @ self.only_user) + ROUNDING)

    def _staged(self, local: Numbers) -> Numbers:
        return reduce(np.add if self.stages is Stages.PIPELINE else np.maximum, local.T)

    def finished(self, rows: Rows, within: Within) -> Costs:
        """Whole costs of rows, if tensors without a place lie within the links, or are made anew in every turn."""
        open_ = rows.levels == WITHIN
        lasting = (rows.held * open_) @ self.made_here
        moved = dot(np.where(self.made_here, rows.moved, within.moved), open_)
        local = (within.used * open_[:, self.used_tensors]) @ self.user
        if self.pieces:
            local[:, -1] -= self.pieces.possible(within.saved, open_).max(axis=1)
        further = (lasting + self._staged(local), moved, self.working(rows.worked, open_))
        return rows.costs + np.stack(further, axis=1).astype(np.int64)

    # One by one -------------------------------------------------------------------------------------------------------

    def columns_one_by_one(self, rows: Rows) -> Columns:
        """The numbers of rows whatever they are."""
        shape = (len(rows), len(self.names))
        found = Columns(np.zeros(shape), np.zeros(shape), np.zeros(shape))
        for row in range(len(rows)):
            costs = FusedCosts(self.group, self.mapping(rows, row, True))
            for index, name in enumerate(self.names):
                found.held[row, index] = costs.occupancy[name]
                found.moved[row, index] = costs.reads.get(name, 0) + costs.writes.get(name, 0)
            for tensor, link in zip([*self.intermediates, self.result], [*self.links, -1], strict=True):
                found.worked[row, tensor] = costs.work[self.group.links[link].name].operations
        return found

    def within_one_by_one(self, rows: Rows) -> Within:
        """The numbers of rows for tensors within the links, whatever they are."""
        shapes = ((len(rows), count) for count in (len(self.names), len(self.used_tensors), 2))
        found = Within(*(np.zeros(shape) for shape in shapes))
        for row in range(len(rows)):
            mapping = self.mapping(rows, row, False)
            costs = FusedCosts(self.group, mapping)
            for index, name in enumerate(self.names):
                found.moved[row, index] = costs.reads.get(name, 0) + costs.writes.get(name, 0)
            if self.pieces:
                found.used[row], found.saved[row] = self.pieces.one_by_one(mapping)
            else:
                found.used[row] = self.uses.words(costs)
        return found


def dot(numbers: Numbers, which: Mask) -> Numbers:
    """The sum of some numbers of each row."""
    return np.einsum("ij,ij->i", numbers, which.astype(np.float64))
