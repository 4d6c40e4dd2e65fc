"""Pass `bound-buffers`: tensors between the links of a group keep no more rows than are needed at a time."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, i64
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv.interpreter import main_function
from dialects.groups import AxesAttr, GroupOp, HoldOp, PlacedAxis
from dialects.spatial import BufferOp, Role, integer
from dialects.target import require_multicore
from passes.multicore.bounds import bounds


class BoundBuffersPass(ModulePass):
    """Give every hold of a group as many rows as its cores need, and all tensors words that are then free.

    Rows lie around in circles: one takes the place of another that nobody needs any more. Elements of such a tensor
    keep addresses, behind those of all words, which are no more than names.
    """

    name = "bound-buffers"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "placed")
        function = main_function(op)
        groups = [each for each in function.body.block.ops if isinstance(each, GroupOp)]
        circles: dict[HoldOp, int] = {}
        for group in groups:
            circles |= bounds(group, machine)
        if groups:
            end = _pack(function, circles)
            if end > machine.shared.words:
                limits = f"at most {machine.shared.words} words", f"{end} words"
                message = "the network does not fit the shared memory"
                raise CatenaError(Diagnostic("CAT-F003", message, "placed", "", "", *limits))


def _pack(function: FuncOp, circles: dict[HoldOp, int]) -> int:
    """Move tensors together where words are no longer taken, holds behind them, and names behind all; the last word."""
    held = {hold.buffer.owner: hold for hold in circles}
    buffers = [op for op in function.body.block.ops if isinstance(op, BufferOp)]
    freed = sorted((integer(op.address), op.words) for op in buffers if op in held)
    end = 0
    for op in buffers:
        if op in held:
            continue
        if op.role.data != Role.CONSTANT:
            moved = sum(words for address, words in freed if address < integer(op.address))
            op.properties["address"] = IntegerAttr(integer(op.address) - moved, i64)
        end = max(end, integer(op.address) + op.words)
    for hold, rows in circles.items():
        whole, inner = hold.axes.data
        hold.properties["axes"] = AxesAttr((PlacedAxis(whole.extent, whole.pitch, rows), inner))
        hold.properties["address"] = IntegerAttr(end, i64)
        hold.properties["words"] = IntegerAttr(rows * whole.pitch, i64)
        end += rows * whole.pitch
    name = end
    for op in held:
        assert isinstance(op, BufferOp)
        op.properties["address"] = IntegerAttr(name, i64)
        name += op.words
    return end
