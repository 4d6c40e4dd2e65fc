"""Tokens of blocks, and blocks as messages name them."""

from __future__ import annotations

from collections.abc import Iterator

from dialects.diagnostics import Diagnostic
from dialects.locations import describe
from dialects.multicore import SignalOp, WaitOp
from passes.multicore.accesses import Block, Run


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


def between(code: str, message: str, one: Block, other: Block, expected: str, found: str = "") -> Diagnostic:
    nodes = dict.fromkeys((describe(one.layer), describe(other.layer)))
    return Diagnostic(code, message, "placed", " and ".join(nodes), expected=expected, found=found)
