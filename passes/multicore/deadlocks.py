"""Why cores wait for ever: who should have signalled, after which turn, behind which op."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dialects.diagnostics import Diagnostic
from dialects.locations import describe
from dialects.multicore import FetchOp, LoadOp, StoreOp
from passes.multicore.accesses import Block
from passes.multicore.clocks import Clocks, Register, Signals, Stuck
from passes.multicore.naming import between, numbered, place_of, signal_of


def deadlocks(
    stuck: Sequence[Stuck], signals: Mapping[Register, Signals], blocks: Sequence[Block], clocks: Clocks
) -> list[Diagnostic]:
    """Every block that waits for ever, those first that others do not merely wait for (CAT-R006)."""
    done = _turns_done(stuck, blocks, clocks)
    ranked = sorted(stuck, key=lambda each: _rank(each, signals, done))
    return [_deadlock(each, signals, blocks, done) for each in ranked]


def _rank(stuck: Stuck, signals: Mapping[Register, Signals], done: Mapping[int, int]) -> int:
    """Who waits for what was done and not signalled comes first, then who waits for what never comes; others wait for
    these."""
    wait, wanted = stuck.wait, int(stuck.wait.values[stuck.turn])
    given = signals.get(wait.register)
    producer = wait.producer if given is None else given.core
    if producer is not None and done.get(producer, 0) >= wanted:
        return 0
    return 2 if given is not None and int(given.values[-1]) >= wanted else 1


def _turns_done(stuck: Sequence[Stuck], blocks: Sequence[Block], clocks: Clocks) -> dict[int, int]:
    """By core, the turns that are over when nobody gets any further."""
    done = {block.core: int(clocks.known_at_end(block.core)[block.core]) for block in blocks}
    for each in stuck:
        done[each.block.core] += each.turn
    return done


def _deadlock(
    stuck: Stuck, signals: Mapping[Register, Signals], blocks: Sequence[Block], done: Mapping[int, int]
) -> Diagnostic:
    """Who waits for what, and which core does not signal it, after which turn, or does and does not get so far."""
    block, wait = stuck.block, stuck.wait
    given = signals.get(wait.register)
    wanted = int(wait.values[stuck.turn])
    producer = wait.producer if given is None else given.core
    should = _awaited(producer, wanted, blocks)
    if given is None:
        other, turn = should or (block, 0)
        whom = "nobody signals to it"
        if should is not None:
            whom += f": {place_of(other)}, should after turn {turn}, behind {_last_move(other)}"
    else:
        number = min(int(np.searchsorted(given.values, wanted)), len(given.values) - 1)
        other, turn, value = blocks[int(given.blocks[number])], int(given.turns[number]), int(given.values[number])
        by = f"by {signal_of(other, wait.register)}"
        if should is not None and done[given.core] >= wanted and value >= wanted:
            (other, over), later = should, other
            whom = f"{place_of(other)}, is over turn {over} and does not signal behind {_last_move(other)}; "
            whom += f"its next signal is after turn {turn} of {describe(later.layer)!r}, {by}"
        elif value >= wanted:
            whom = f"{place_of(other)} signals that after turn {turn}, {by}, and waits itself"
        else:
            whom = f"{place_of(other)} signals {value} after turn {turn} at most, {by}"
    message = f"{place_of(block)}, waits for ever in turn {stuck.turn}: {wait.what}"
    expected = f"register {wait.register[1]} of core {block.core} at least {wanted}"
    return between("CAT-R006", message, block, other, expected, whom)


def _last_move(block: Block) -> str:
    """The last op of a turn of a block that moves anything, as `numbered`: behind it belongs a signal."""
    moves = [op for op in block.runs[-1].body.walk() if isinstance(op, LoadOp | FetchOp | StoreOp)]
    return numbered(block, moves[-1]) if moves else "its last op"


def _awaited(producer: int | None, wanted: int, blocks: Sequence[Block]) -> tuple[Block, int] | None:
    """The block of a core, and its turn, after which it has done `wanted` turns, or else its last."""
    found, done = None, 0
    for block in (each for each in blocks if each.core == producer):
        found = block, min(wanted - done, block.turns) - 1
        done += block.turns
        if done >= wanted:
            break
    return found
