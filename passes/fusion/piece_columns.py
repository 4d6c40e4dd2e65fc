"""How much less room links need if what lies within them comes in the pieces of `own_nests`: columns of numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from dialects.fused_mapping import FusedMapping
from dialects.schedule import Loop
from passes.fusion.factors import Mask, Placed
from passes.fusion.model import FusedCosts
from passes.fusion.own_nests import OwnNests, indices
from passes.fusion.rows import Numbers, Rows


@dataclass(frozen=True)
class Uses:
    """What links use: tensors and links by number, for every use; the last is that of the head's result."""

    names: Sequence[str]
    tensors: Sequence[int]
    links: Sequence[int]

    def words(self, costs: FusedCosts) -> Numbers:
        """What links hold at most of what they use, where no such tensor has a place above them."""
        links = costs.group.links
        pairs = zip(self.tensors, self.links, strict=True)
        return np.array([costs.used(self.names[tensor])[links[link].name] for tensor, link in pairs], np.float64)


class PieceColumns:
    """What own loops leave of what links use, in rows of parts of mappings.

    `loops` are those of the head that `factors` tabulate; `words` are those of each tensor that all turns need.
    """

    def __init__(self, own: OwnNests, uses: Uses, factors: Sequence[Placed], loops: Sequence[Loop], words: Numbers):
        self.own, self._factors, self._loops = own, factors, loops
        group, head = own.group, own.group.head
        self._input, self._channels = own.inputs.get(head.name, ("", ()))
        self._head_input: int | None = None
        self.parts = np.ones(len(uses.tensors))
        """What part of each use is left, whatever the head's loops."""
        self.least = np.ones(len(uses.tensors))
        """What part of each use is left at least."""
        for use, (tensor, user) in enumerate(zip(uses.tensors, uses.links, strict=True)):
            name, link = uses.names[tensor], group.links[user]
            streamed, cut = own.inputs.get(link.name, ("", ()))
            if group.is_kernel_alone(name):
                # of a kernel nothing may be needed, where all windows lie in padding
                self.parts[use] = self.least[use] = 1 / max(words[tensor], 1)
            elif name == streamed:
                self.least[use] = 1 / indices(link, cut)
                if link is head:
                    self._head_input = use
                else:
                    self.parts[use] = self.least[use]
            elif name == head.result:
                self.least[use] = 1 / indices(head, own.result)
        self._uses, self._tensors = uses, uses.tensors

    def used(self, whole: Numbers) -> Numbers:
        """What links hold at most of what they use: (rows, uses); the head's input and result as they are."""
        return np.where(self.parts < 1, np.maximum(whole * self.parts, np.minimum(whole, 1)), whole)

    def saved(self, rows: Rows, used: Numbers) -> Numbers:
        """What less the head holds if its result, or its input, comes in pieces: (rows, 2)."""
        saved = np.zeros((len(rows), 2))
        for column, (use, cut) in enumerate(
            ((len(self.parts) - 1, self.own.result), (self._head_input, self._channels))
        ):
            if use is not None:
                saved[:, column] = used[:, use] - np.rint(used[:, use] / self._indices(rows, cut))
        return saved

    def possible(self, saved: Numbers, open_: Mask) -> Numbers:
        """What of it can be saved where these tensors have no place above the links."""
        uses = (len(self.parts) - 1, self._head_input)
        without = [open_[:, self._tensors[use]] if use is not None else np.zeros(len(saved), np.bool_) for use in uses]
        return saved * np.stack(without, axis=1)

    def one_by_one(self, mapping: FusedMapping) -> tuple[Numbers, Numbers]:
        """What `used` and `saved` have of any mapping with these tensors within its links: (uses,), (2,)."""
        by_result, by_input = (
            self._uses.words(FusedCosts(self.own.group, self.own.on(mapping, by_result=way))) for way in (True, False)
        )
        saved = np.zeros(2)
        for column, (use, less) in enumerate(((len(by_input) - 1, by_result), (self._head_input, by_input))):
            if use is not None:
                saved[column] = max(by_result[use], by_input[use]) - less[use]
        return np.maximum(by_result, by_input), saved

    def _indices(self, rows: Rows, loops: Collection[Loop]) -> Numbers:
        """How many indices of some loops of the head the largest turn has."""
        tabulated = {self._loops[loop] for placed in self._factors for loop in placed.loops}
        count = np.full(len(rows), float(indices(self.own.group.head, {*loops} - tabulated)))
        for index, placed in enumerate(self._factors):
            mine = tuple(place for place, loop in enumerate(placed.loops) if self._loops[loop] in loops)
            if mine:
                count *= placed.factor.indices(mine)[rows.states[:, index]]
        return count
