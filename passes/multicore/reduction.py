"""Waits that could each be left out without losing an order, and signals that nobody waits for, are taken out.

Tokens are chosen block by block, for rows of turns and as if every turn were signalled: some of them turn out to say
what others say. Here each wait of the streams is left out in turn. What its block knows without it, and all that know
it from there, is found again, up to those for whom nothing changes; if all of their accesses are ordered still, it
stays out. A wait that is needed is so whatever is left out later: what remains is minimal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.ir import Operation

from dialects.groups import GroupOp
from dialects.multicore import WaitOp
from dialects.multicore_machine import MulticoreMachine
from passes.multicore.accesses import Block
from passes.multicore.clocks import Clocks, Register, Signals, Wait
from passes.multicore.known import Known, Rows
from passes.multicore.needs import circles_of
from passes.multicore.reading import Sending, joined, sendings, waits_of
from passes.multicore.tables import NEVER, Access, Ints, Point, Touched

Knows = Callable[[Point, Ints], Ints]
"""How many turns of a core some turns of a block know to be over, at a point."""


def reduce_tokens(blocks: Sequence[Block], groups: Iterable[GroupOp], machine: MulticoreMachine) -> None:
    """Take out of the streams of a program what they do not need; streams that get stuck stay as they are."""
    sent = sendings(blocks)
    reduction = _Reduction(blocks, groups, machine, {register: joined(each) for register, each in sent.items()})
    if reduction.is_stuck:
        return
    for block in blocks:
        reduction.reduce(block)
    for op in _unused(sent, reduction.signals, reduction.waits.values()):
        _erase(op)


def _erase(op: Operation) -> None:
    op.detach()
    op.erase()


def _unused(
    sent: Mapping[Register, Sequence[Sending]], signals: Mapping[Register, Signals], waits: Iterable[Sequence[Wait]]
) -> Iterator[Operation]:
    """The signal ops with no signal that lets a wait pass."""
    passing: dict[Register, list[Ints]] = {}
    for wait in (wait for several in waits for wait in several):
        passing.setdefault(wait.register, []).append(signals[wait.register].passing(wait.values))
    for register, several in sent.items():
        used = np.unique(np.concatenate(passing.get(register, [np.zeros(0, np.int64)])))
        start = 0
        for sending in several:
            end = start + len(sending.values)
            if not ((used >= start) & (used < end)).any():
                yield sending.op
            start = end


@dataclass(frozen=True)
class _Conflict:
    """An access of a block and one of another that have to be ordered: this one behind it, or either if `any_order`."""

    access: Access
    other: Block
    before: Access
    any_order: bool


@dataclass(frozen=True)
class _Heard:
    """Signals of a block that let a wait pass: in which turns, and after which turns of that block they are sent."""

    producer: Block
    turns: Ints
    sent: Ints


@dataclass(frozen=True)
class _AllHeard:
    """What lets waits of a block pass, with the numbers of the waits; how many turns of each core it may tell of."""

    sources: list[tuple[int, _Heard]]
    at_most: Rows

    def of(self, core: int, known: int) -> Iterator[tuple[int, _Heard]]:
        """What may tell more of a core than is known."""
        return (self.sources[at] for at in np.flatnonzero(self.at_most[:, core] > known))


class _Reduction:
    """What blocks of a program know with the waits that are left, and which conflicts that has to order."""

    def __init__(
        self,
        blocks: Sequence[Block],
        groups: Iterable[GroupOp],
        machine: MulticoreMachine,
        signals: Mapping[Register, Signals],
    ):
        self.signals = signals
        self._overlap, self._cores = machine.cores.overlap, machine.cores.count
        self._blocks = {block.number: block for block in blocks}
        self._ops: dict[int, list[WaitOp]] = {}
        self.waits: dict[int, list[Wait]] = {}
        for block in blocks:
            found = list(waits_of(block, overlap=self._overlap))
            self._ops[block.number] = [op for op, _ in found]
            self.waits[block.number] = [wait for _, wait in found]
        self._clocks = Clocks(machine.cores.count, overlap=self._overlap)
        self.is_stuck = bool(self._clocks.run(blocks, self.waits, signals))
        self._next: dict[int, int] = {}
        last: dict[int, int] = {}
        for block in blocks:
            if block.core in last:
                self._next[last[block.core]] = block.number
            last[block.core] = block.number
        self._sources = {number: [*map(self._heard_by, several)] for number, several in self.waits.items()}
        self._readers: dict[int, set[int]] = {}
        for number, several in self._sources.items():
            for each in (each for heard in several for each in heard):
                self._readers.setdefault(each.producer.number, set()).add(number)
        self._conflicts: dict[int, dict[int, list[_Conflict]]] = {block.number: {} for block in blocks}
        self._as_other: dict[int, list[tuple[Block, _Conflict]]] = {block.number: [] for block in blocks}
        for block, conflict in _conflicts(blocks, groups):
            self._conflicts[block.number].setdefault(conflict.other.core, []).append(conflict)
            if conflict.any_order and conflict.other.layer is block.layer:
                self._as_other[conflict.other.number].append((block, conflict))

    def reduce(self, block: Block) -> None:
        """Leave out every wait of a block that can be left out beside what is left then."""
        ops, waits = self._ops[block.number], self.waits[block.number]
        sources = self._sources[block.number]
        index, heard = 0, self._all_heard(block)
        while index < len(waits):
            if self._is_needed_here(block, index, heard):
                index += 1
                continue
            wait = waits.pop(index)
            if self._stay_ordered(block):
                _erase(ops.pop(index))
                sources.pop(index)
                heard = self._all_heard(block)
            else:
                waits.insert(index, wait)
                index += 1

    def _all_heard(self, block: Block) -> _AllHeard:
        sources = [(number, each) for number, several in enumerate(self._sources[block.number]) for each in several]
        rows = [self._clocks.may_tell(each.producer) for _, each in sources]
        return _AllHeard(sources, np.stack(rows) if rows else np.zeros((0, self._cores), np.int32))

    def _is_needed_here(self, block: Block, index: int, heard: _AllHeard) -> bool:
        """Whether without a wait the block would not know enough of the core that signals, whatever else changes."""
        waits = self.waits[block.number]
        core = self.signals[waits[index].register].core
        load, store = (np.zeros(block.turns, np.int64) for _ in Point)
        load[0] = int(self._clocks.known_before(block)[core])
        known = int(load[0])
        conflicts, base = self._conflicts[block.number].get(core, ()), self._clocks.base
        # Who tells of no turn of any block that is not over yet orders nothing.
        open_ = [each for each in conflicts if base[each.other.number] + each.before.ends >= known]
        known = max(known, min((base[each.other.number] for each in open_), default=known))
        for number, each in heard.of(core, known):
            if number != index:
                column = (load, store)[waits[number].point]
                column[each.turns] = np.maximum(column[each.turns], self._told(each, core))
        if self._overlap and block.is_matrix:
            load = np.maximum.accumulate(load)
            store = np.maximum(np.maximum.accumulate(store), load)
        else:
            load, store = np.maximum.accumulate(np.stack((load, store), axis=1).reshape(-1)).reshape(-1, 2).T
        return not all(self._is_ordered(block, each, lambda point, at: (load, store)[point][at]) for each in open_)

    def _told(self, heard: _Heard, core: int) -> Ints:
        """What signals tell of turns of a core."""
        producer = heard.producer
        if producer.core == core:
            return self._clocks.base[producer.number] + heard.sent + 1
        return self._clocks.knows(producer, Point.STORE, heard.sent, core).astype(np.int64)

    def _heard_by(self, wait: Wait) -> list[_Heard]:
        """Whose signals let a wait pass."""
        given = self.signals.get(wait.register)
        if given is None:
            return []
        turns, passing = np.flatnonzero(wait.values > 0), given.passing(wait.values)
        blocks, sent = given.blocks[passing], given.turns[passing].astype(np.int64)
        return [
            _Heard(self._blocks[number], turns[blocks == number], sent[blocks == number])
            for number in np.unique(blocks).tolist()
        ]

    def _stay_ordered(self, first: Block) -> bool:
        """Find again what blocks know, from one whose waits changed on; if an order is lost, as it was before."""
        states: dict[int, Known] = {}
        waiting = {first.number}
        while waiting:
            number = min(waiting)
            waiting.discard(number)
            old = self._clocks.again(self._blocks[number], self.waits[number], self.signals)
            if old is None:
                continue
            states.setdefault(number, old)
            waiting |= self._readers.get(number, set())
            if number in self._next:
                waiting.add(self._next[number])
        if all(self._are_ordered(number) for number in states):
            return True
        self._clocks.restore(states)
        return False

    def _are_ordered(self, number: int) -> bool:
        """Whether what a block knows orders its accesses, and those that may come before them or behind."""
        pairs = [(self._blocks[number], each) for several in self._conflicts[number].values() for each in several]
        for block, conflict in (*pairs, *self._as_other[number]):
            core = conflict.other.core

            def knows(point: Point, turns: Ints, block: Block = block, core: int = core) -> Ints:
                return self._clocks.knows(block, point, turns.astype(np.int32), core).astype(np.int64)

            if not self._is_ordered(block, conflict, knows):
                return False
        return True

    def _is_ordered(self, block: Block, conflict: _Conflict, knows: Knows) -> bool:
        """Whether a block knows enough of the core of another one for an access to be behind one of the other's."""
        access, other, before = conflict.access, conflict.other, conflict.before
        base = self._clocks.base[other.number]
        if int(knows(access.point, np.array([access.begins]))[0]) >= base + before.ends + 1:
            return True
        needs = access.needs(before, block.turns)
        if needs is None:
            return True
        turns = np.flatnonzero(needs)
        if (knows(access.point, turns) >= base + needs[turns]).all():
            return True
        if not conflict.any_order:
            return False
        _, mine, theirs = access.beside(before)
        _, begun, over = before.beside(access)
        words = np.flatnonzero((mine != NEVER) & (theirs >= 0))
        ordered = knows(access.point, mine[words].astype(np.int64)) >= base + theirs[words] + 1
        known = self._clocks.knows(other, before.point, begun[words], block.core)
        return bool((ordered | (known >= self._clocks.base[block.number] + over[words] + 1)).all())


def _conflicts(blocks: Sequence[Block], groups: Iterable[GroupOp]) -> Iterator[tuple[Block, _Conflict]]:
    """Accesses of different cores to the same words, and to words that take the place of others in holds."""
    touched = Touched[Block]()
    for block in blocks:
        for access in block.accesses:
            for other, before in touched.conflicting(access):
                if other.core != block.core:
                    yield block, _Conflict(access, other, before, any_order=True)
        touched.add(block, block.accesses)
    for group in groups:
        members = set(group.layers)
        inside = [block for block in blocks if block.layer in members]
        for circle in circles_of(group):
            accesses = [(block, each) for block in inside for each in circle.touched(block)]
            for block, write in accesses:
                for other, before in accesses if write.writes else ():
                    pair = circle.replaced(write, before)
                    if pair is not None and other.core != block.core:
                        yield block, _Conflict(write, other, pair[1], any_order=False)
