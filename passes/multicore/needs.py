"""How far other blocks have to be for the turns of a block, as waits say it: at least what the turn needs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from dialects.groups import GroupOp, HoldOp
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarsAttr, Scheme
from dialects.spatial import BufferOp, LayerOp, integer
from passes.multicore.accesses import Block
from passes.multicore.matrix import Grid, Matrix
from passes.multicore.rounds import predecessors
from passes.multicore.tables import Access, Ints, Point
from passes.multicore.tokens import Ramp


@dataclass(frozen=True)
class Edge:
    """A block waits for turns of another one: how many of them, in each of its own turns."""

    producer: Block
    consumer: Block
    point: Point
    needs: Ints
    is_ring: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether all is waited for before the first turn."""
        return int(self.needs[0]) == int(self.needs[-1])

    @property
    def stands_at(self) -> Point:
        """Where in a turn the wait stands: just before what it is for, but vector units wait before all of a turn."""
        return self.point if self.consumer.is_matrix else Point.LOAD

    @cached_property
    def every(self) -> int:
        """Turns of the producer to a signal: those of the scheme in a ring, else a row of its output."""
        producer = self.producer
        if self.is_whole:
            return producer.turns
        if not self.is_ring:
            return producer.row
        assert isinstance(producer.layer.mapping, CrossbarsAttr)
        every = producer.layer.mapping.data.every
        # A ring whose cores wait for more than what they begin with would wait for itself.
        return min(every, *(run.turns for run in producer.runs)) if len(producer.runs) > 1 else every

    @property
    def signalled(self) -> Ints:
        """How many turns of the producer are over, as far as signals say, when each turn begins."""
        return np.minimum(-(-self.needs // self.every) * self.every, self.producer.turns)

    @cached_property
    def steps(self) -> list[int]:
        """The needs, which do not fall, as plain numbers."""
        return self.needs.tolist()

    def turns_told(self, done: int) -> int:
        """How many turns the consumer may do once the producer has done so many."""
        told = done if done == self.producer.turns else done // self.every * self.every
        return bisect_right(self.steps, told)


def needed(block: Block, pairs: Iterable[tuple[Access, Access]]) -> Ints | None:
    """Turns of another block that each turn of this one needs, by what both touch; None if they touch no word both."""
    found: Ints | None = None
    for access, before in pairs:
        needs = access.needs(before, block.turns)
        if needs is not None:
            ramp = Ramp.over(np.maximum.accumulate(needs), block.row, 0).values(block.turns)
            found = ramp if found is None else np.maximum(found, ramp)
    return None if found is None else np.maximum(found, 0)


def ring_edges(layer: LayerOp, blocks: Sequence[Block], machine: MulticoreMachine) -> Iterator[Edge]:
    """The cores of a ring wait for each other as the scheme of the layer has them follow one another.

    One after the other they begin with nothing before the one ahead is done; else only sums are added up in order.
    """
    if not isinstance(layer.mapping, CrossbarsAttr):
        return
    mapping = layer.mapping.data
    parts = Grid.of(Matrix.of(layer.spec), mapping, machine).parts()
    point = Point.LOAD if mapping.scheme is Scheme.SEQUENTIAL else Point.STORE
    for part, block in zip(parts, blocks, strict=True):
        found = predecessors(part, mapping.scheme)
        if found is None:
            continue
        producer = blocks[part.ring[found[0]]]
        if producer.core != block.core:
            yield Edge(producer, block, point, found[1], is_ring=True)


# Words that are used again --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Circle:
    """A tensor of which rows lie around in circles: words `first` to `last` that are `distance` apart share one."""

    first: int
    last: int
    distance: int

    @classmethod
    def of(cls, hold: HoldOp) -> Circle:
        """Of a hold, whose first axis are the rows."""
        buffer = hold.buffer.owner
        assert isinstance(buffer, BufferOp)
        rows = hold.axes.data[0]
        first = integer(buffer.address) + integer(hold.offset)
        return cls(first, first + rows.extent * rows.pitch - 1, rows.kept * rows.pitch)

    def touched(self, block: Block) -> Iterator[Access]:
        """What a block touches of the tensor."""
        return (
            each
            for each in block.accesses
            if each.memory == "memory" and self.first <= each.low and each.high <= self.last
        )

    def replaced(self, write: Access, before: Access) -> tuple[Access, Access] | None:
        """An access that writes, and another as if it were to the words that come to lie where its own do."""
        moved = replace(before, low=before.low + self.distance)
        return (write, moved) if max(write.low, moved.low) <= min(write.high, moved.high) else None


def circles_of(group: GroupOp) -> list[Circle]:
    """The tensors of a group that lie in holds."""
    return [Circle.of(hold) for hold in group.holds]


def reuse_edges(circles: Iterable[Circle], blocks: Sequence[Block]) -> Iterator[Edge]:
    """Blocks that write words again wait for those that read or wrote what was there.

    A word that comes to lie in the place of another waits for accesses to that one alone: as every word of a tensor is
    written, those before it are over by then.
    """
    for circle in circles:
        touched = [(block, list(circle.touched(block))) for block in blocks]
        for block, accesses in touched:
            writes = [each for each in accesses if each.writes]
            for other, theirs in touched if writes else ():
                if other.core == block.core:
                    continue
                pairs = [circle.replaced(write, each) for write in writes for each in theirs]
                needs = _needed_again(block, [each for each in pairs if each is not None])
                if needs is not None:
                    yield Edge(other, block, Point.STORE, needs)


def _needed_again(block: Block, pairs: Iterable[tuple[Access, Access]]) -> Ints | None:
    """The same as `needed`, where the first turns need nothing."""
    found: Ints | None = None
    for access, before in pairs:
        needs = access.needs(before, block.turns)
        if needs is not None:
            ramp = Ramp.later(np.maximum.accumulate(needs), block.row).values(block.turns)
            found = ramp if found is None else np.maximum(found, ramp)
    return found
