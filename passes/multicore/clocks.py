"""What every turn knows to have happened, however fast cores are: vector clocks of all turns, without time.

A turn knows what its core did before, and of every wait that it passed what the core that signalled knew when it did.
Registers only grow and have one writer, so a wait passes at the earliest with the first signal that is large enough:
what a turn knows from that one is certain. Because signals are never taken back, running every core as far as it gets,
in any order, ends in the same state as any timing does: if cores are stuck then, they are stuck always.

Cores that overlap turns of a matrix bring inputs while they finish sums of turns before: what they wait for behind a
product says nothing of inputs. They wait for no more than cores do that overlap nothing, so that they are not stuck
where these are not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from xdsl.ir import Operation

from passes.multicore.accesses import Block
from passes.multicore.known import ANY, Known, Row, Rows
from passes.multicore.tables import Ints, Point

Register = tuple[int, int]
"""A core, and the number of one of its registers."""


@dataclass(frozen=True)
class Signals:
    """Signals of a core to one register in the order of sending: values, and after which turn of a block."""

    core: int
    values: Ints
    blocks: Ints
    turns: Ints

    @cached_property
    def pieces(self) -> list[tuple[int, int, int]]:
        """Blocks in their order, each with its first signal and the one behind its last."""
        if not len(self.blocks):
            return []
        starts = [0, *(np.flatnonzero(np.diff(self.blocks)) + 1).tolist()]
        return [
            (int(self.blocks[at]), at, end) for at, end in zip(starts, [*starts[1:], len(self.blocks)], strict=True)
        ]

    def passing(self, values: Ints) -> Ints:
        """The numbers of the first signals that are at least these values, zeros among which are left out."""
        return np.searchsorted(np.maximum.accumulate(self.values), values[values > 0])

    def sent(self, progress: Mapping[int, int]) -> int:
        """How many were sent, given how many turns blocks have done; blocks that are not mentioned are over."""
        for block, start, end in self.pieces:
            if block in progress:
                count = int(np.searchsorted(self.turns[start:end], progress[block]))
                if count < end - start:
                    return start + count
        return len(self.values)


@dataclass(frozen=True)
class Wait:
    """What a block waits for in each of its turns: values of a register, 0 for none.

    `what` names it in messages; `producer` is the core that should signal, if the wait says so.
    """

    register: Register
    point: Point
    values: Ints
    what: Operation | str = ""
    producer: int | None = None


@dataclass(frozen=True)
class Stuck:
    """A block that waits for ever, in this turn."""

    block: Block
    turn: int
    wait: Wait


@dataclass(frozen=True)
class _Told:
    """What waits that a block passes tell it: in which of its turns, and of which cores how many turns are over."""

    point: Point
    turns: Ints
    cores: Ints
    rows: Rows


class Clocks:
    """Vector clocks of blocks; `base` has the turns that a block's core did before it, `overlap` is that of cores."""

    def __init__(self, cores: int, *, overlap: bool):
        self._overlap = overlap
        self._final = np.zeros((cores, cores), np.int32)
        self._done = np.zeros(cores, np.int64)
        self._known: dict[int, Known] = {}
        self._last: dict[int, Block] = {}
        self._before: dict[int, Block | None] = {}
        self.base: dict[int, int] = {}

    def run(
        self, blocks: Sequence[Block], waits: Mapping[int, Sequence[Wait]], signals: Mapping[Register, Signals]
    ) -> list[Stuck]:
        """Run blocks, those of a core one after another; whoever is stuck at the end."""
        queues: dict[int, list[Block]] = {}
        for block in blocks:
            queues.setdefault(block.core, []).append(block)
        # Of every wait and turn, the number of the signal that lets it pass; one more than there are if none does.
        passing = {
            (number, index): np.where(wait.values > 0, _first(signals.get(wait.register), wait.values), -1)
            for number, several in waits.items()
            for index, wait in enumerate(several)
        }
        progress: dict[int, int] = {block.number: 0 for block in blocks}
        moved = True
        while moved:
            moved = False
            for queue in queues.values():
                while queue:
                    block = queue[0]
                    given = waits.get(block.number, ())
                    start = progress[block.number]
                    end = block.turns
                    for index, wait in enumerate(given):
                        wanted = passing[block.number, index]
                        late = wanted[start:end] >= _sent(signals.get(wait.register), progress)
                        end = start + int(late.argmax()) if late.any() else end
                    if end > start:
                        wanted = [passing[block.number, index] for index in range(len(given))]
                        self._extend(block, start, end, given, wanted, signals)
                        progress[block.number] = end
                        moved = True
                    if end < block.turns:
                        break
                    queue.pop(0)
                    self._finish(block)
        return [_stuck(queue[0], progress, waits, passing, signals) for queue in queues.values() if queue]

    def _extend(
        self,
        block: Block,
        start: int,
        end: int,
        waits: Sequence[Wait],
        passing: Sequence[Ints],
        signals: Mapping[Register, Signals],
    ) -> None:
        if start == 0:
            self.base[block.number] = int(self._done[block.core])
            self._before[block.number] = self._last.get(block.core)
            self._last[block.core] = block
            self._known[block.number] = self._begun(self._final[block.core].copy(), waits, passing, signals)
        self._learn(block, start, end, waits, passing, signals)

    def _learn(
        self,
        block: Block,
        start: int,
        end: int,
        waits: Sequence[Wait],
        passing: Sequence[Ints],
        signals: Mapping[Register, Signals],
    ) -> None:
        """Add what the turns from `start` to `end` learn of waits after the first turn of a block."""
        known = self._known[block.number]
        told = [
            each
            for wait, wanted in zip(waits, passing, strict=True)
            for each in self._told(known, wait.point, signals.get(wait.register), wanted, start, end)
        ]
        if told:
            cores = np.zeros(len(self._final), np.bool_)
            for each in told:
                cores[each.cores] = True
            known.widen(cores, block.turns)
        if not len(known.cores):
            return
        joined = np.zeros((end - start, 2, len(known.cores)), np.int32)
        overlaps = self._overlap and block.is_matrix
        for point in Point if overlaps or start == 0 else (Point.LOAD,):
            before = known.of(point if overlaps else Point.STORE)
            joined[0, int(point)] = known.always[point][known.cores] if start == 0 else before[start - 1]
        for each in told:
            at, of_point = np.ix_(each.turns, np.searchsorted(known.cores, each.cores)), joined[:, int(each.point)]
            of_point[at] = np.maximum(of_point[at], each.rows)
        if overlaps:
            load, store = np.maximum.accumulate(joined, axis=0).swapaxes(0, 1)
            known.load[start:end], known.store[start:end] = load, np.maximum(load, store)
            return
        flat = np.maximum.accumulate(joined.reshape(-1, len(known.cores)), axis=0).reshape(joined.shape)
        known.load[start:end], known.store[start:end] = flat[:, 0], flat[:, 1]

    def _begun(
        self, row: Row, waits: Sequence[Wait], passing: Sequence[Ints], signals: Mapping[Register, Signals]
    ) -> Known:
        """What a block that knows `row` before knows in its first turn, and in all if it learns nothing in others."""
        rows: list[Row] = []
        is_constant = not any(wanted[1:].max(initial=-1) >= 0 for wanted in passing)
        for point in Point:
            for wait, wanted in zip(waits, passing, strict=True):
                if wait.point is point and wanted[0] >= 0 and (is_constant or point is Point.LOAD):
                    row = np.maximum(row, self._payload(signals[wait.register], int(wanted[0])))
            rows.append(row)
        return Known.constant(*rows)

    def _payload(self, signals: Signals, number: int) -> Row:
        """What was known when a signal was sent, the turns before it included."""
        block, turn = int(signals.blocks[number]), int(signals.turns[number])
        row = self._known[block].row(Point.STORE, turn)
        row[signals.core] = self.base[block] + turn + 1
        return row

    def _told(
        self, known: Known, point: Point, signals: Signals | None, wanted: Ints, start: int, end: int
    ) -> Iterator[_Told]:
        """What signals tell the turns from `start` to `end` beyond what all of them know."""
        turns = np.flatnonzero(wanted[start:end] >= 0)
        if signals is None or not len(turns):
            return
        numbers = wanted[start:end][turns]
        blocks, sent = signals.blocks[numbers], signals.turns[numbers]
        for first, stop in pairwise([0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), len(blocks)]):
            block, at = int(blocks[first]), sent[first:stop]
            theirs = self._known[block]
            news = theirs.always[Point.STORE] > known.always[point]
            news[theirs.cores] = True
            news[signals.core] = True
            cores = np.flatnonzero(news)
            rows = np.broadcast_to(theirs.always[Point.STORE][cores], (len(at), len(cores))).copy()
            if len(theirs.cores):
                rows[:, np.searchsorted(cores, theirs.cores)] = theirs.store[at]
            rows[:, np.searchsorted(cores, signals.core)] = self.base[block] + at + 1
            new = rows.max(axis=0) > known.always[point][cores]
            if new.any():
                yield _Told(point, turns[first:stop], cores[new], rows[:, new])

    def _finish(self, block: Block) -> None:
        self._done[block.core] += block.turns
        self._final[block.core] = self._at_end(block)

    def _at_end(self, block: Block) -> Row:
        row = self._known[block.number].row(Point.STORE, block.turns - 1)
        row[block.core] = self.base[block.number] + block.turns
        return row

    def again(self, block: Block, waits: Sequence[Wait], signals: Mapping[Register, Signals]) -> Known | None:
        """Find again what a block that ran knows, by its waits and what others know; the state before if it changes.

        Signals are those of the run, and waits no more.
        """
        old = self._known[block.number]
        passing = [np.where(wait.values > 0, _first(signals.get(wait.register), wait.values), -1) for wait in waits]
        self._known[block.number] = self._begun(self.known_before(block), waits, passing, signals)
        self._learn(block, 0, block.turns, waits, passing, signals)
        return None if self._known[block.number].same(old) else old

    def known_before(self, block: Block) -> Row:
        """How many turns of every core are known to be over before a block that ran waits for anything."""
        before = self._before[block.number]
        return np.zeros(len(self._final), np.int32) if before is None else self._at_end(before)

    def restore(self, states: Mapping[int, Known]) -> None:
        """Let blocks know what they did before, by their numbers."""
        self._known.update(states)

    def known_at_end(self, core: int) -> Row:
        """How many turns of every core are known to be over when all blocks of a core that ran are."""
        return self._final[core]

    def row(self, block: Block, point: Point, turn: int) -> Row:
        """How many turns of every core are known to be over in a turn of a block."""
        return self._known[block.number].row(point, turn)

    def may_tell(self, block: Block) -> Row:
        """Of every core, how many turns signals of a block that ran may tell of; of its own, of any."""
        row = self._known[block.number].at_most()
        row[block.core] = ANY
        return row

    def knows(self, block: Block, point: Point, turns: Ints | Row, core: int) -> Row:
        """How many turns of a core are known to be over in some turns of a block."""
        return self._known[block.number].column(point, turns, core)


def _first(signals: Signals | None, values: Ints) -> Ints:
    """The number of the first signal with at least each of these values."""
    if signals is None:
        return np.zeros(len(values), np.int64)
    return np.searchsorted(np.maximum.accumulate(signals.values), values).astype(np.int64)


def _sent(signals: Signals | None, progress: Mapping[int, int]) -> int:
    return 0 if signals is None else signals.sent(progress)


def _stuck(
    block: Block,
    progress: Mapping[int, int],
    waits: Mapping[int, Sequence[Wait]],
    passing: Mapping[tuple[int, int], Ints],
    signals: Mapping[Register, Signals],
) -> Stuck:
    turn = progress[block.number]
    for index, wait in enumerate(waits[block.number]):
        if passing[block.number, index][turn] >= _sent(signals.get(wait.register), progress):
            return Stuck(block, turn, wait)
    raise AssertionError("a block that waits for nothing is not stuck")
