"""How few rows of what lies between the links of a group have to be kept, so that no core waits for ever.

A tensor needs room at least for what a turn of a reader needs, as its waits say it. Whether cores get to the end with
so little is found by running them without time: whoever waits for ever to write gets room for a row more. That is so
where a tensor is read again later, behind links that take rows of their own. Then come the rows that makers are ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dialects.groups import GroupOp, HoldOp, PlacedAxis
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarsAttr
from dialects.spatial import LayerOp
from passes.multicore.accesses import Block, blocks_of
from passes.multicore.needs import Circle, Edge, needed, reuse_edges, ring_edges
from passes.multicore.tables import Access, Point
from passes.multicore.tokens import MOST_TURNS

Numbers = npt.NDArray[np.int64]


def bounds(group: GroupOp, machine: MulticoreMachine) -> dict[HoldOp, int]:
    """How many rows each hold of a group keeps; no more than it has rows."""
    blocks = blocks_of(group.layers)
    edges = _edges(group, blocks, machine)
    (mapping,) = group.mappings
    (loop,) = mapping.data.loops
    tensors = _runnable([_Tensor.of(hold, blocks, edges) for hold in group.holds], blocks, edges)
    ahead = [each.larger(loop.tile) for each in tensors]
    return {each.hold: each.kept for each in _runnable(ahead, blocks, edges)}


def _runnable(tensors: list[_Tensor], blocks: Sequence[Block], edges: Sequence[Edge]) -> list[_Tensor]:
    """The tensors with more rows wherever cores wait for ever for room."""
    reuse = [list(reuse_edges([each.circle], blocks)) for each in tensors]
    while stuck := _without_room(blocks, edges, [edge for each in reuse for edge in each]):
        for index, tensor in enumerate(tensors):
            if tensor.makers & stuck and reuse[index]:
                tensors[index] = tensor.larger(1)
                reuse[index] = list(reuse_edges([tensors[index].circle], blocks))
    return tensors


def _edges(group: GroupOp, blocks: Sequence[Block], machine: MulticoreMachine) -> list[Edge]:
    """What blocks wait for of each other, but for room."""
    found: list[Edge] = []
    of_layer: dict[LayerOp, list[Block]] = {}
    for block in blocks:
        of_layer.setdefault(block.layer, []).append(block)
    for layer in group.layers:
        found += ring_edges(layer, of_layer.get(layer, []), machine)
    for index, block in enumerate(blocks):
        for other in blocks[:index]:
            if other.layer is block.layer:
                continue
            pairs = [(mine, each) for mine in block.accesses for each in other.accesses if _conflict(mine, each)]
            needs = needed(block, pairs)
            if needs is not None:
                found.append(Edge(other, block, Point.STORE, needs))
    return found


def _conflict(access: Access, other: Access) -> bool:
    meets = access.low <= other.high and other.low <= access.high
    return access.memory == other.memory and (access.writes or other.writes) and meets


@dataclass(frozen=True)
class _Tensor:
    """A tensor of a group, and how many of its rows are kept.

    `copies` of its maker write rows by turns, in so many `turns` at most.
    """

    hold: HoldOp
    makers: frozenset[int]
    copies: int
    turns: int
    kept: int

    @classmethod
    def of(cls, hold: HoldOp, blocks: Sequence[Block], edges: Sequence[Edge]) -> _Tensor:
        """With the rows that a turn of a reader, in all of its cores, needs if others needed none."""
        rows, whole = hold.axes.data[0], Circle.of(hold)
        touched = [(block, each) for block in blocks for each in whole.touched(block)]
        made = {block.number: _newest(each, block.turns, whole, rows) for block, each in touched if each.writes}
        read = {block.number: _oldest(each, block.turns, whole, rows) for block, each in touched if not each.writes}
        turns = max((block.turns for block in blocks), default=1)
        newest: dict[LayerOp, Numbers] = {}
        oldest: dict[LayerOp, Numbers] = {}
        for edge in edges:
            maker, reader = edge.producer.number, edge.consumer
            if maker in made and reader.number in read:
                until = newest.setdefault(reader.layer, np.zeros(turns, np.int64))[: reader.turns]
                np.maximum(until, made[maker][edge.signalled], out=until)
                since = oldest.setdefault(reader.layer, np.full(turns, rows.extent, np.int64))[: reader.turns]
                np.minimum(since, read[reader.number], out=since)
        kept = max((int(np.max(newest[layer] - oldest[layer])) for layer in newest), default=1)
        makers = [block for block in blocks if block.number in made]
        copies = max((_copies(block.layer) for block in makers), default=1)
        turns = max((block.turns for block in makers), default=1)
        return cls(hold, frozenset(made), copies, turns, 0)._keeping(kept)

    def _keeping(self, rows: int) -> _Tensor:
        """With so many rows, or some more: copies of the maker write the same words again, and need not wait."""
        extent = self.hold.axes.data[0].extent
        kept = -(-max(rows, 1) // self.copies) * self.copies
        # A wait cannot begin later than its field says.
        fits = kept < extent and self.turns * kept <= MOST_TURNS * extent
        return replace(self, kept=kept if fits else extent)

    def larger(self, rows: int) -> _Tensor:
        """With some rows more."""
        return self._keeping(self.kept + rows)

    @property
    def circle(self) -> Circle:
        """The words that share a place."""
        whole = Circle.of(self.hold)
        return replace(whole, distance=self.kept * self.hold.axes.data[0].pitch)


def _copies(layer: LayerOp) -> int:
    return layer.mapping.data.copies if isinstance(layer.mapping, CrossbarsAttr) else 1


def _newest(access: Access, turns: int, whole: Circle, rows: PlacedAxis) -> Numbers:
    """After each number of turns, from none on, the row behind the newest one that was written."""
    found = np.zeros(turns + 1, np.int64)
    touched = np.flatnonzero(access.last >= 0)
    np.maximum.at(found, access.first[touched] + 1, (access.low + touched - whole.first) // rows.pitch + 1)
    return np.maximum.accumulate(found)


def _oldest(access: Access, turns: int, whole: Circle, rows: PlacedAxis) -> Numbers:
    """In each turn, the oldest row that is still to be read."""
    found = np.full(turns, rows.extent, np.int64)
    touched = np.flatnonzero(access.last >= 0)
    np.minimum.at(found, access.last[touched], (access.low + touched - whole.first) // rows.pitch)
    return np.minimum.accumulate(found[::-1])[::-1]


def _without_room(blocks: Sequence[Block], edges: Sequence[Edge], reuse: Sequence[Edge]) -> set[int]:
    """The blocks that wait for ever to write words again.

    A register only grows, so that running every core as far as it gets ends as any timing does.
    """
    before: dict[int, list[Edge]] = {}
    after: dict[int, set[int]] = {}
    for edge in (*edges, *reuse):
        before.setdefault(edge.consumer.number, []).append(edge)
        after.setdefault(edge.producer.number, set()).add(edge.consumer.number)
    turns = {block.number: block.turns for block in blocks}
    done = dict.fromkeys(turns, 0)
    waiting = deque(turns)

    def told(edge: Edge) -> int:
        return edge.turns_told(done[edge.producer.number])

    while waiting:
        number = waiting.popleft()
        end = min((told(each) for each in before.get(number, ())), default=turns[number])
        if end > done[number]:
            done[number] = end
            waiting.extend(after.get(number, ()))
    stuck = {edge.consumer.number for edge in reuse if done[edge.consumer.number] == told(edge)}
    return {number for number in stuck if done[number] < turns[number]}
