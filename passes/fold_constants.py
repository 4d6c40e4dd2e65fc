"""`fold-constants`: replace ONNX ops by what is known of their results at compile time."""

from __future__ import annotations

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.traits import Pure

from dialects.diagnostics import CatenaError
from dialects.locations import node_location
from dialects.onnx import NoValueOp, OnnxOp
from dialects.onnx.translation import known_value, onnx_attributes, value_type_of
from dialects.onnx.values import Array
from dialects.weights import ConstantOp
from passes.constant_evaluation import ConstantBudget, Node, fold

SHARE = 0.25
"""Of the room for made constants. The importer has folded most; what it had no room for must not be made here."""


class FoldConstantsPass(ModulePass):
    """Fold ONNX ops with constant inputs into weights; drop what no result needs.

    `Shape` and `Size` of a static tensor are constants; `Identity`, `Dropout` at inference and casts to the same
    type give way to their input. Quantization of weights stays: it says how a quantized model stores them. Ops
    whose weights are not at hand stay as well.
    """

    name = "fold-constants"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        budget = ConstantBudget(share=SHARE)
        for each in list(op.walk()):
            if isinstance(each, OnnxOp):
                _fold_op(each, budget)
        for each in list(op.walk(reverse=True, region_first=True)):
            if _is_dead(each):
                each.detach()
                each.erase()


def _fold_op(op: OnnxOp, budget: ConstantBudget) -> None:
    node = _node_of(op)
    folded = None if node is None else fold(node, budget)
    if folded is None:
        return
    for name, result, value in zip(op.output_names, op.results, folded, strict=True):
        if result.first_use is None:
            continue
        replacement = op.operands[value] if isinstance(value, int) else _constant_before(op, name, value)
        result.replace_all_uses_with(replacement)


def _constant_before(op: OnnxOp, name: str, array: Array) -> SSAValue:
    constant = ConstantOp.of(array)
    constant.location = node_location(name)
    block = op.parent
    assert block is not None
    block.insert_op_before(constant, op)
    return constant.result


def _node_of(op: OnnxOp) -> Node | None:
    """What `fold` may know of an op; None if it has element types or weights that evaluation cannot hold."""
    try:
        return Node(
            op_type=op.op_type,
            since_version=op.since_version,
            attributes=onnx_attributes(op),
            inputs=tuple(known_value(operand) for operand in op.operands),
            results=tuple(value_type_of(kind) for kind in op.result_types),
        )
    except (CatenaError, TypeError):
        return None


def _is_dead(op: Operation) -> bool:
    removable = isinstance(op, ConstantOp | NoValueOp) or (isinstance(op, OnnxOp) and op.has_trait(Pure))
    return removable and all(result.first_use is None for result in op.results)
