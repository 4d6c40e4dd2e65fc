"""order-segments: host segments stand after what makes their inputs and before what uses their outputs."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from dialects.host_segment import execution_order


class OrderSegmentsPass(ModulePass):
    """Put the ops of a function with host segments into the order in which they run.

    A segment is tied to the chain by the ports of the function alone, so that other passes need not know it: a link
    that makes one of its inputs may have come to stand behind it. Nothing else moves. Where results lie in place
    depends on the order, so this runs before copies are made for that, and again before addresses are given.
    """

    name = "order-segments"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Reorder every function."""
        for function in op.ops:
            if not isinstance(function, FuncOp) or not function.body.blocks:
                continue
            block = function.body.block
            order = execution_order(function)
            if order == list(block.ops):
                continue
            for each in order:
                each.detach()
            block.add_ops(order)
