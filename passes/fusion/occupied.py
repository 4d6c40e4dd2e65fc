"""In which words of its memories the elements of a placed group ever lie: predicted, from what comes in which turn.

A hold has as many indices of every axis as are ever needed at a time, so that it has words without an element where
what is needed is no product of ranges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dialects.gconv.spec import Dim, LoopKind
from dialects.groups import FetchOp, GroupOp, HoldOp, RunOp
from dialects.spatial import integer
from dialects.turn_box import Numbers, TurnBox
from passes.fusion.placed import hold_of, kept_by
from passes.fusion.region import Table


@dataclass(frozen=True)
class _Arrival:
    """What brings elements into a hold in turns: a fetch of elements or, with `dims`, a run of a layer of these."""

    turns: tuple[int, ...]
    box: TurnBox
    dims: tuple[Dim, ...] | None = None

    def indices(self) -> Iterator[Sequence[Numbers]]:
        """The different products of indices that come in a turn; those of the first turn before others are made."""
        first = self.box.at([0] * len(self.turns))
        if all(map(len, first)):
            yield self._of(first)
        for place, _ in self.box.places(self.turns):
            yield self._of(place)

    def _of(self, ranges: Sequence[range]) -> Sequence[Numbers]:
        found = [np.asarray(each) for each in ranges]
        return found if self.dims is None else [_results(dim, *found[at : at + 3]) for dim, at in self._places]

    @property
    def _places(self) -> Iterator[tuple[Dim, int]]:
        """Dimensions, and where the ranges of (g, op, opc, ks) of each begin."""
        return ((dim, len(LoopKind) * number) for number, dim in enumerate(self.dims or ()))


def words_held(group: GroupOp) -> dict[str, int]:
    """By memory, the words in which elements of tensors ever lie."""
    if not group.steps():
        return _filled(group)
    arrivals = _arrivals(group)
    ends: dict[str, int] = {}
    for hold in arrivals:
        memory = hold.memory.data
        ends[memory] = max(ends.get(memory, 0), integer(hold.address) + hold.elements)
    words: dict[str, Table] = {memory: np.zeros(end, np.bool_) for memory, end in ends.items()}
    for hold, arriving in arrivals.items():
        start = integer(hold.address)
        words[hold.memory.data][start : start + hold.elements] |= _occupied(hold, arriving).ravel()
    return {memory: int(np.count_nonzero(table)) for memory, table in words.items()}


def _filled(group: GroupOp) -> dict[str, int]:
    """The same where layers run whole, on cores of their own: each fills its hold, more than once."""
    found: dict[str, int] = {}
    for hold in group.holds:
        found[hold.memory.data] = found.get(hold.memory.data, 0) + hold.elements
    return found


def _arrivals(group: GroupOp) -> dict[HoldOp, list[_Arrival]]:
    """What comes into each hold."""
    layers = group.layers
    made = [kept_by(layer).get("O") for layer in layers]
    found: dict[HoldOp, list[_Arrival]] = {hold: [] for hold in group.holds}
    for turns, op in group.steps():
        if isinstance(op, FetchOp):
            found[hold_of(op)].append(_Arrival(turns, op.box.data))
        elif isinstance(op, RunOp) and (hold := made[integer(op.layer)]) is not None:
            found[hold].append(_Arrival(turns, op.box.data, layers[integer(op.layer)].spec.dims))
    return found


def _occupied(hold: HoldOp, arriving: Sequence[_Arrival]) -> Table:
    """In which words of a hold anything ever lies, with an axis for each of its own."""
    axes = hold.axes.data
    found: Table = np.zeros([axis.kept for axis in axes], np.bool_)
    for arrival in arriving:
        for indices in arrival.indices():
            pairs = zip(axes, indices, strict=True)
            found[np.ix_(*((index - axis.first) // axis.step % axis.kept for axis, index in pairs))] = True
            if found.all():
                return found
    return found


def _results(dim: Dim, g: Numbers, op: Numbers, opc: Numbers) -> Numbers:
    """Results of a dimension by their indices of g, op and opc."""
    return np.add.outer(np.add.outer(g * dim.op, op) * dim.opc, opc).ravel()
