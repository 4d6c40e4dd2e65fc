"""Tokens as they stand in streams: what each turn waits for and where, and what is sent after which turn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.ir import Block as IrBlock
from xdsl.ir import Operation

from dialects.multicore import EXTRAS, FetchOp, LoadOp, RunOp, SignalOp, StoreOp, WaitOp
from dialects.spatial import ForOp, integer
from passes.multicore.accesses import Block
from passes.multicore.clocks import Register, Signals, Wait
from passes.multicore.naming import tokens_in
from passes.multicore.tables import Ints, Point
from passes.multicore.tokens import signalled, waited

MOVING = (LoadOp, FetchOp, StoreOp, RunOp, ForOp)
"""What moves words, or has ops inside that do."""


def beside(op: Operation, *, forwards: bool) -> Iterator[Operation]:
    """The ops behind or before one in its block."""
    each = op.next_op if forwards else op.prev_op
    while each is not None:
        yield each
        each = each.next_op if forwards else each.prev_op


def waits_of(block: Block, *, overlap: bool) -> Iterator[tuple[WaitOp, Wait]]:
    """The waits of a block, each with what it waits for in every turn; `overlap` is that of cores."""
    places: dict[IrBlock, dict[Operation, tuple[bool, bool]]] = {}
    for op, run in tokens_in(block):
        if not isinstance(op, WaitOp):
            continue
        values = np.zeros(block.turns, np.int64)
        around = op.parent_block()
        assert around is not None
        if around not in places:
            places[around] = dict(_waits_in(around))
        is_behind, is_late = places[around][op]
        if run is not None:
            of_run = waited(op, run.turns)
            # Behind what touches sums or results, a wait is one for the next turn.
            values[run.offset + is_late : run.offset + run.turns] = of_run[: run.turns - is_late]
        elif not is_behind:
            values[0] = waited(op, 1)[0]
        # Then it holds up inputs, too, unless cores bring these while they finish sums.
        is_inner = is_behind and (not is_late or (overlap and block.is_matrix))
        point = Point.STORE if is_inner else Point.LOAD
        producer = None if op.producer is None else integer(op.producer)
        yield op, Wait((block.core, integer(op.register)), point, values, op, producer)


def _waits_in(around: IrBlock) -> Iterator[tuple[Operation, tuple[bool, bool]]]:
    """The waits of a block of IR: whether they stand behind what moves words, and what touches sums or results."""
    is_behind = is_late = False
    for op in around.ops:
        if isinstance(op, WaitOp):
            yield op, (is_behind, is_late)
        elif isinstance(op, MOVING):
            is_behind, is_late = True, is_late or not _is_early(op)


def _is_early(op: Operation) -> bool:
    """Whether an op only brings what the product, or a vector unit, works on."""
    around = op.parent_op()
    return isinstance(op, LoadOp) and not (isinstance(around, RunOp) and op.tensor.data == EXTRAS)


@dataclass(frozen=True)
class Sending:
    """A signal op of a block: the values that it sends, and after which turns of the block."""

    block: Block
    op: SignalOp
    values: Ints
    turns: Ints


def sendings(blocks: Iterable[Block]) -> dict[Register, list[Sending]]:
    """All signals in program order, by the register that they go to."""
    found: dict[Register, list[Sending]] = {}
    for block in blocks:
        for op, run in tokens_in(block):
            if isinstance(op, SignalOp):
                sending = Sending(block, op, *signalled(op, run, block.turns - 1))
                found.setdefault((integer(op.core), integer(op.register)), []).append(sending)
    return found


def joined(several: Sequence[Sending]) -> Signals:
    """The signals to one register in the order of sending; ops of the same turns send by turns."""
    values, numbers, turns, _ = _in_order(several)
    return Signals(several[0].block.core, values, numbers, turns)


def sending_of(several: Sequence[Sending], number: int) -> Sending:
    """Which of them sends a signal, by its number in the order of sending."""
    return several[int(_in_order(several)[-1][number])]


def _in_order(several: Sequence[Sending]) -> tuple[Ints, Ints, Ints, Ints]:
    """By signal: value, number of the block, turn, and which op sends it."""
    ops = np.repeat(np.arange(len(several)), [len(each.values) for each in several])
    values = np.concatenate([each.values for each in several])
    numbers = np.array([each.block.number for each in several])[ops]
    turns = np.concatenate([each.turns for each in several])
    order = np.lexsort((ops, turns, numbers))
    return values[order], numbers[order], turns[order], ops[order]
