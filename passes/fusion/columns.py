"""What the tensors of parts of mappings hold and move, and what their links work: columns of numbers.

From tables of factors where the numbers are products, and else from `FusedCosts` of each part.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce

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
        self._any_late = bool(self.late.any())
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
        self._read_of = np.equal.outer([tensor for _, tensor in self.readings], np.arange(len(self.names))).astype(
            np.float64
        )
        """Of which tensor a reading is: (readings, tensors)."""
        self.uses = Uses(self.names, self.used_tensors, users)
        self.pieces = PieceColumns(own, self.uses, factors, loops, self.needed) if own else None
        if self.pieces:
            for tensor, least in zip(self.used_tensors, self.pieces.least, strict=True):
                self.only_user[tensor] *= least
        self._rooms = np.column_stack([self.only_user, self.made_here])
        """Which tensors without a place take room for which link and, last, for all of them: (tensors, links + 1)."""

    def _is_late(self, tensor: str) -> bool:
        """A link without a kernel that repeats results works once for all that a turn makes, however often it does."""
        maker = self.group.makers.get(tensor)
        return maker is not None and maker.spec.main == PASS and any(dim.op > 1 for dim in maker.spec.dims)

    @cached_property
    def minimal(self) -> Numbers:
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

    def worked(self, rows: Rows) -> Numbers:
        """The operations for each tensor that is made, of rows whose numbers are products: (rows, tensors)."""
        worked = np.tile(self.work, (len(rows), 1))
        for states, _, factor in self._cut(rows):
            worked *= factor.work.take(states, axis=0)
        work = np.zeros((len(rows), len(self.names)))
        work[:, [*self.intermediates, self.result]] = worked[:, [*self.links, -1]]
        return np.rint(work, out=work)

    def columns(self, rows: Rows, worked: Numbers | None = None) -> Columns:
        """The numbers of rows whose numbers are products, of which those that are `worked` may be known."""
        count = len(rows)
        held, total, made = self.needed, self.needed, self.needed[self.intermediates]
        cut = self._cut(rows)
        for states, positions, factor in cut:
            held = held * factor.most.take(states, axis=0)
            total = total * factor.common[states, _of_all_turns(positions)]
            made = made * factor.made.take(states, axis=0)
        if not cut:
            held, total, made = (np.tile(each, (count, 1)) for each in (held, total, made))
        moved = total - self._shared(rows, cut)
        if self.intermediates:
            moved[:, self.intermediates] = made * self.exported
        moved[:, self.result] = 2 * moved[:, self.result] - self.needed[self.result]
        worked = self.worked(rows) if worked is None else worked
        return Columns(np.rint(held, out=held), np.rint(moved, out=moved), worked)

    def within(self, rows: Rows) -> Within:
        """The numbers of rows whose numbers are products, for tensors within the links."""
        count = len(rows)
        read, most_read, result = self.read, self.read, np.full(count, self.needed[self.result])
        cut = self._cut(rows)
        for states, positions, factor in cut:
            read = read * factor.read.take(states, axis=0)
            most_read = most_read * factor.most_read.take(states, axis=0)
            result *= factor.common[states, _of_all_turns(positions), self.result]
        if not cut:
            read, most_read = np.tile(read, (count, 1)), np.tile(most_read, (count, 1))
        moved = read @ self._read_of
        moved[:, self.result] = 2 * result - self.needed[self.result]
        used = np.concatenate([most_read, rows.held[:, [self.result]]], axis=1)
        if self.pieces:
            used = np.rint(self.pieces.used(used))
            return Within(np.rint(moved), used, self.pieces.saved(rows, used))
        return Within(np.rint(moved), np.rint(used), np.zeros((count, 2)))

    def _cut(self, rows: Rows) -> list[tuple[Ids, Small, Factor]]:
        """The factors of which rows cut loops, with their states and the positions of their loops."""
        # all rows cut the same loops
        first: list[int] = rows.positions[0].tolist() if len(rows) else []
        return [
            (rows.states[:, index], rows.positions[:, list(placed.loops)], placed.factor)
            for index, placed in enumerate(self.factors)
            if first and any(first[loop] >= 0 for loop in placed.loops)
        ]

    def _shared(self, rows: Rows, cut: Sequence[tuple[Ids, Small, Factor]]) -> Numbers:
        """What places have already when something is to come in, in all turns."""
        loops = depth_of(rows)
        shared = np.zeros((len(rows), len(self.names)))
        for stepping in range(loops):
            part = self.needed
            for states, positions, factor in cut:
                part = part * factor.common[states, code_of(positions, stepping)]
            shared += part
        return shared

    def least(self, rows: Rows, open_: set[int], leave: int | None = None) -> Numbers:
        """What a place of each tensor holds at least, if only loops of some factors are still cut: (rows, tensors).

        Without what the factor to `leave` out has to do with it.
        """
        if not len(rows):
            return np.empty((0, len(self.needed)))
        first = rows.positions[0].tolist()
        least, complete = self.needed, list[Numbers]()
        for index, placed in enumerate(self.factors):
            if index == leave:
                continue
            # all rows cut the same loops
            if index in open_ and any(first[loop] < 0 for loop in placed.loops):
                least = least * self.minimal[index]
            else:
                # A product of unions is more than a union of products.
                held = placed.factor.first if self.tabulation.whole.unions else placed.factor.most
                complete.append(held.take(rows.states[:, index], axis=0))
        return reduce(np.multiply, complete, np.tile(least, (len(rows), 1)))

    def _not_yet(self, moved: Numbers, worked: Numbers, open_: Mask) -> tuple[Numbers, Numbers]:
        """Words and operations of rows that are not among the costs of those tensors that have places."""
        counted = open_.astype(np.float64)
        words = dot(moved, counted)
        return words, dot(worked, np.maximum(counted, self.late) if self._any_late else counted)

    def further(self, moved: Numbers, worked: Numbers, open_: Mask) -> Costs:
        """What rows cost at least besides their places, without room for more."""
        costs = np.zeros((len(moved), 3), np.int64)
        costs[:, 1], costs[:, 2] = self._not_yet(moved, worked, open_)
        return costs

    def place(self, rows: Rows, tensor: int) -> Costs:
        """What a place for a tensor below all loops of rows costs."""
        costs = np.zeros((len(rows), 3), np.int64)
        costs[:, 0] = rows.held[:, tensor]
        if self.off_chip[tensor]:
            costs[:, 1] = rows.moved[:, tensor]
        if not self.late[tensor]:
            costs[:, 2] = rows.worked[:, tensor]
        return costs

    def room(self, least: Numbers) -> Numbers:
        """What tensors without a place will take at least, if their places hold so much at least: (rows, tensors)."""
        return self._floor(least @ self._rooms)

    def room_of_parts(self, least: Numbers, parts: Numbers) -> Numbers:
        """The same of each of some `parts` (parts, tensors) of what places hold at least: (parts * rows)."""
        weights = (least[:, :, np.newaxis] * self._rooms).transpose(1, 0, 2).reshape(least.shape[1], -1)
        return self._floor((parts @ weights).reshape(len(parts) * len(least), -1))

    def _floor(self, rooms: Numbers) -> Numbers:
        """Room for each link, and last for all of them, as whole words."""
        room = self._staged(rooms[:, :-1]) + rooms[:, -1]
        room += ROUNDING
        return np.floor(room, out=room)

    def _staged(self, local: Numbers) -> Numbers:
        return reduce(np.add if self.stages is Stages.PIPELINE else np.maximum, local.T)

    def finished(self, rows: Rows, within: Within) -> Costs:
        """Whole costs of rows, if tensors without a place lie within the links, or are made anew in every turn."""
        open_ = rows.levels == WITHIN
        lasting = (rows.held * open_) @ self.made_here
        moved, worked = self._not_yet(np.where(self.made_here, rows.moved, within.moved), rows.worked, open_)
        local = (within.used * open_[:, self.used_tensors]) @ self.user
        if self.pieces:
            local[:, -1] -= self.pieces.possible(within.saved, open_).max(axis=1)
        costs = rows.costs.copy()
        for column, numbers in enumerate((lasting + self._staged(local), moved, worked)):
            costs[:, column] += numbers.astype(np.int64)
        return costs

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


def depth_of(rows: Rows) -> int:
    """How many loops rows cut, which are as many in all of them."""
    return max(rows.positions[0].tolist(), default=-1) + 1 if len(rows) else 0


def code_of(positions: Small, stepping: int) -> Ids:
    """The code of `AxisTable.common` where a loop at a position steps, by positions of the factor's loops."""
    if positions.shape[1] == 1:
        only = positions[:, 0]
        return 2 * ((only >= 0) & (only < stepping)) + (only == stepping)
    outer = ((positions >= 0) & (positions < stepping)).sum(axis=1)
    return 2 * outer + (positions == stepping).any(axis=1)


def _of_all_turns(positions: Small) -> int:
    """The code of `AxisTable.common` that stands for all turns: all rows cut as many loops of the factor."""
    return 2 * sum(position >= 0 for position in positions[0].tolist())


def dot(numbers: Numbers, which: Numbers) -> Numbers:
    """The sum of those numbers of each row that count, 1 for each of these."""
    return np.einsum("ij,ij->i", numbers, which)
