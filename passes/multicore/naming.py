"""Tokens of blocks; blocks, their ops and accesses as messages name them."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.ir import Operation

from dialects.diagnostics import Diagnostic
from dialects.locations import describe
from dialects.multicore import EXTRAS, FIXED, SUMS, FetchOp, LoadOp, RunOp, SignalOp, StoreOp, WaitOp
from dialects.spatial import integer
from passes.multicore.accesses import Block, Run
from passes.multicore.tables import Access


def tokens_in(block: Block) -> Iterator[tuple[WaitOp | SignalOp, Run | None]]:
    """Waits and signals of a block in their order, with the run they stand in."""
    runs = {run.body: run for run in block.runs}
    for op in block.stream.walk():
        if isinstance(op, WaitOp | SignalOp):
            around = op.parent_block()
            assert around is not None
            run = runs.get(around)
            yield op, None if run is None or (not block.is_matrix and around is block.stream.body.block) else run


def place_of(block: Block, what: str = "") -> str:
    return f"core {block.core}{what}, node {describe(block.layer)!r}"


def numbered(block: Block, op: Operation) -> str:
    """The text of an op of a block, and which op of the stream it is, from 1 on, ops in others counted with them."""
    number = next(n for n, each in enumerate(block.stream.walk()) if each is op)
    return f"{op!s} (op {number} of its stream)"


def accessing(block: Block, access: Access, turn: int) -> str:
    """The op of a block that does an access in a turn, as `numbered`."""
    ops = [op for op in block.stream.walk() if _does(op, access)]
    run = next(each for each in reversed(block.runs) if each.offset <= turn)
    # Runs differ in what they do; what stands in none of them belongs to all.
    here = [op for op in ops if op.parent_block() is run.body or not isinstance(op.parent_op(), RunOp)]
    return numbered(block, here[0]) if here else block.stream.name


def _does(op: Operation, access: Access) -> bool:
    match op:
        case StoreOp():
            # Results that are added to are read by the op that writes them; sums are fetched.
            return op.tensor.data == access.tensor and (access.writes or access.tensor != SUMS)
        case FetchOp():
            return access.tensor == SUMS and not access.writes
        case LoadOp():
            operands = (EXTRAS, FIXED)
            return op.tensor.data == access.tensor or (op.tensor.data in operands and access.tensor in operands)
        case _:
            return False


def signal_of(block: Block, register: tuple[int, int]) -> str:
    """The signal with which a block writes a register of a core, as `numbered`."""
    signals = (op for op, _ in tokens_in(block) if isinstance(op, SignalOp))
    return next(numbered(block, op) for op in signals if (integer(op.core), integer(op.register)) == register)


def between(code: str, message: str, one: Block, other: Block, expected: str, found: str = "") -> Diagnostic:
    nodes = dict.fromkeys((describe(one.layer), describe(other.layer)))
    return Diagnostic(code, message, "placed", " and ".join(nodes), expected=expected, found=found)
