"""What every turn knows to have happened, however fast cores are: vector clocks of all turns, without time.

A turn knows what its core did before, and of every wait that it passed what the core that signalled knew when it did.
Registers only grow and have one writer, so a wait passes at the earliest with the first signal that is large enough:
what a turn knows from that one is certain. Because signals are never taken back, running every core as far as it gets,
in any order, ends in the same state as any timing does: if cores are stuck then, they are stuck always.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from passes.multicore.accesses import Block
from passes.multicore.tables import Point

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]
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
    """What a block waits for in each of its turns: values of a register, 0 for none; `what` names it in messages."""

    register: Register
    point: Point
    values: Ints
    what: str = ""


@dataclass(frozen=True)
class Stuck:
    """A block that waits for ever, in this turn."""

    block: Block
    turn: int
    wait: Wait


@dataclass
class _Known:
    """Of a block, how many turns of every core each of its turns knows of, at both points."""

    load: Rows
    store: Rows


class Clocks:
    """Vector clocks of blocks; `base` has the turns that a block's core did before it."""

    def __init__(self, cores: int):
        self._final = np.zeros((cores, cores), np.int32)
        self._done = np.zeros(cores, np.int64)
        self._known: dict[int, _Known] = {}
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
        cores = len(self._final)
        before = self._final[block.core] if start == 0 else self._known[block.number].store[start - 1]
        if start == 0:
            self.base[block.number] = int(self._done[block.core])
        if start == 0 and end == block.turns and not any(wanted[1:].max(initial=-1) >= 0 for wanted in passing):
            # Everything is waited for in the first turn: all turns know the same.
            row = before.copy()
            at_load = row
            for point in Point:
                for wait, wanted in zip(waits, passing, strict=True):
                    if wait.point is point and wanted[0] >= 0:
                        row = np.maximum(row, self._payload(signals[wait.register], wanted[:1])[0])
                if point is Point.LOAD:
                    at_load = row
            shape = (block.turns, cores)
            self._known[block.number] = _Known(np.broadcast_to(at_load, shape), np.broadcast_to(row, shape))
            return
        if start == 0:
            shape = (block.turns, cores)
            self._known[block.number] = _Known(np.zeros(shape, np.int32), np.zeros(shape, np.int32))
        joined = np.zeros((end - start, 2, cores), np.int32)
        joined[0, 0] = before
        for wait, wanted in zip(waits, passing, strict=True):
            some = np.flatnonzero(wanted[start:end] >= 0)
            if len(some):
                payload = self._payload(signals[wait.register], wanted[start:end][some])
                joined[some, int(wait.point)] = np.maximum(joined[some, int(wait.point)], payload)
        flat = np.maximum.accumulate(joined.reshape(-1, cores), axis=0).reshape(joined.shape)
        known = self._known[block.number]
        known.load[start:end], known.store[start:end] = flat[:, 0], flat[:, 1]

    def _payload(self, signals: Signals, numbers: Ints) -> Rows:
        """What was known when these signals were sent, the turns before them included."""
        rows = np.zeros((len(numbers), len(self._final)), np.int32)
        blocks, turns = signals.blocks[numbers], signals.turns[numbers]
        bounds = [0, *(np.flatnonzero(np.diff(blocks)) + 1).tolist(), len(blocks)]
        for start, end in pairwise(bounds):
            block, at = int(blocks[start]), turns[start:end]
            rows[start:end] = self._known[block].store[at]
            rows[start:end, signals.core] = self.base[block] + at + 1
        return rows

    def _finish(self, block: Block) -> None:
        self._final[block.core] = self._known[block.number].store[-1]
        self._done[block.core] += block.turns
        self._final[block.core, block.core] = self._done[block.core]

    def known_at_end(self, core: int) -> Rows:
        """How many turns of every core are known to be over when all blocks of a core that ran are."""
        return self._final[core]

    def row(self, block: Block, point: Point, turn: int) -> Rows:
        """How many turns of every core are known to be over in a turn of a block."""
        known = self._known[block.number]
        return (known.load if point is Point.LOAD else known.store)[turn]

    def knows(self, block: Block, point: Point, turns: npt.NDArray[np.int32], core: int) -> npt.NDArray[np.int32]:
        """How many turns of a core are known to be over in some turns of a block."""
        known = self._known[block.number]
        return (known.load if point is Point.LOAD else known.store)[turns, core]


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
