"""lower-onnx: ONNX ops into a chain of general convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, memory_for
from dialects.gconv.interpreter import result_names
from dialects.onnx import NoValueOp, OnnxOp
from dialects.weights import ConstantOp
from passes.constant_evaluation.budget import ConstantBudget, bytes_given
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.checking import STAGE, unsupported
from passes.lower_onnx.node import Node
from passes.lower_onnx.table import LOWERINGS
from passes.lower_onnx.tensor import Tensor

SHARE = 0.5
"""Of the room for made constants: others were made before."""


class LowerOnnxPass(ModulePass):
    """Turn every ONNX op into links, views and concatenations.

    Data movement becomes views wherever a strided view can express it. A link that computes an ONNX tensor carries
    its name; every op keeps the location of the node it came from.
    """

    name = "lower-onnx"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Lower every function.

        Raises `CatenaError` (CAT-U001, CAT-U002, CAT-U005) naming all unsupported nodes; nothing is changed then.
        """
        problems = unsupported(op)
        if problems:
            raise CatenaError(problems)
        budget = ConstantBudget(bytes_given(op), SHARE)
        for function in op.walk():
            if isinstance(function, FuncOp):
                for block in function.body.blocks:
                    _lower_block(block, result_names(function), budget)


def _lower_block(block: Block, names: Sequence[str], budget: ConstantBudget) -> None:
    chain = Chain(block, budget)
    lowered: list[OnnxOp | NoValueOp] = []
    for op in list(block.ops):
        if isinstance(op, OnnxOp):
            chain.stand_at(op)
            _lower(op, chain)
            lowered.append(op)
        elif isinstance(op, NoValueOp):
            lowered.append(op)
        elif isinstance(op, ReturnOp):
            chain.stand_at(op)
            op.operands = [chain.result(value, name) for value, name in zip(op.operands, names, strict=True)]
    for op in reversed(lowered):
        op.detach()
        op.erase()
    for op in list(block.ops):
        if isinstance(op, ConstantOp) and not op.result.uses.get_length():
            op.detach()
            op.erase()


def _lower(op: OnnxOp, chain: Chain) -> None:
    node = Node(op)
    with memory_for(node.name, STAGE):
        emitted = LOWERINGS[op.op_type].emit(node, chain)
    tensors = [emitted] if isinstance(emitted, Tensor) else emitted
    for result, name, tensor in zip(op.results, op.output_names, tensors, strict=False):
        if tensor is not None and name:
            chain.define(result, tensor, name)
