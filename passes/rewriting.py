"""What every rewrite of a gconv chain shares: replacing ops with their locations kept, erasing dead ones.

xDSL's own rewriter drops locations; these helpers fuse them, so that every op still names the ONNX nodes it came from.
Passes on chains are single sweeps over the ops of a block, in an order in which one rewrite never asks for another
behind it: they end by construction and take time linear in the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import ConcatOp, IndexedOp, LinkOp, ScatterOp, ViewOp
from dialects.locations import describe, fuse_locations
from dialects.weights import ConstantOp

CHAIN_OPS = (LinkOp, ViewOp, ConcatOp, IndexedOp, ScatterOp, ConstantOp)
"""The ops of a gconv chain: pure, one result each."""


def chain_functions(module: ModuleOp, pass_name: str) -> list[FuncOp]:
    """Every function of a module that has a body.

    Raises `CatenaError` (CAT-R003) naming each function with more than one block: a chain has no control flow.
    """
    functions = [op for op in module.ops if isinstance(op, FuncOp) and op.body.blocks]
    problems = [
        Diagnostic(
            "CAT-R003",
            f"{pass_name} rewrites functions of one block",
            where=f"@{function.sym_name.data}",
            found=f"{len(function.body.blocks)} blocks",
        )
        for function in functions
        if len(function.body.blocks) != 1
    ]
    if problems:
        raise CatenaError(problems)
    return functions


def chain_blocks(module: ModuleOp, pass_name: str) -> list[Block]:
    """The bodies of `chain_functions`."""
    return [function.body.block for function in chain_functions(module, pass_name)]


def insert_before(anchor: Operation, ops: Sequence[Operation], sources: Iterable[Operation]) -> None:
    """Put new ops before `anchor`, in order, located at all nodes that `sources` come from.

    Only new constants are located at constants: those are located at tensors, which are no nodes.
    """
    block = anchor.parent
    assert block is not None
    given = tuple(sources)
    everywhere = fuse_locations(source.location for source in given)
    nodes = fuse_locations(source.location for source in given if not isinstance(source, ConstantOp))
    for op in ops:
        op.location = everywhere if isinstance(op, ConstantOp) else nodes
        block.insert_op_before(op, anchor)


def replace(op: Operation, new_ops: Sequence[Operation], value: SSAValue, sources: Iterable[Operation] = ()) -> None:
    """Put `new_ops` in the place of `op`, whose only result becomes `value`, and erase it.

    Operands of `op` that nothing else uses are erased with it. The new ops name the nodes of `sources` and of `op`.
    """
    insert_before(op, new_ops, (*sources, op))
    op.results[0].replace_all_uses_with(value)
    erase_dead(op)


def erase_dead(op: Operation) -> None:
    """Erase a chain op without uses, then every op it alone kept alive."""
    pending = [op]
    while pending:
        dead = pending.pop()
        if dead.parent is None or not isinstance(dead, CHAIN_OPS) or dead.results[0].first_use is not None:
            continue
        producers = [operand.owner for operand in dead.operands]
        dead.parent.erase_op(dead)
        pending.extend(producer for producer in producers if isinstance(producer, Operation))


def erase_all_dead(block: Block) -> int:
    """Erase every chain op of a block whose result nothing uses, directly or through dead ops; returns how many."""
    count = 0
    for op in reversed(list(block.ops)):
        if isinstance(op, CHAIN_OPS) and op.results[0].first_use is None:
            block.erase_op(op)
            count += 1
    return count


def require_bound_weights(block: Block, pass_name: str) -> None:
    """Check that the words of every constant of a block are at hand.

    Raises `CatenaError` (CAT-R004) naming each that is not.
    """
    problems = [
        Diagnostic(
            "CAT-R004",
            f"{pass_name} computes with weight {op.value.data.digest[:16]}, which is not at hand",
            node=describe(op),
            hint="keep the weights/ folder beside the IR file",
        )
        for op in block.ops
        if isinstance(op, ConstantOp) and not op.value.data.is_bound
    ]
    if problems:
        raise CatenaError(problems)
