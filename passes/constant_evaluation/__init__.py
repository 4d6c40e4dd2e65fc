"""Evaluation of ONNX nodes at compile time: shape arithmetic, and anything else with constant inputs.

`fold` is used by the importer to find shapes and by the `fold-constants` pass; there is no second implementation.
"""

from __future__ import annotations

import numpy as np

from dialects.onnx.values import Array
from passes.constant_evaluation import arithmetic, shapes
from passes.constant_evaluation.budget import BUDGET, ConstantBudget, bytes_given
from passes.constant_evaluation.node import FOLD_LIMIT, CannotEvaluateError, Node
from passes.constant_evaluation.reference import evaluate_by_reference, is_left_to_reference

__all__ = ["BUDGET", "FOLD_LIMIT", "ConstantBudget", "Node", "bytes_given", "fold", "too_large"]

_OPEN_LIMIT = FOLD_LIMIT >> 4
"""Elements of the operands where their values decide how large the result is: `NonZero` gives places of 64 bits."""

_EVALUATORS = {**shapes.EVALUATORS, **arithmetic.EVALUATORS}


def fold(node: Node, budget: ConstantBudget) -> tuple[Array | int, ...] | None:
    """What each output of a node is, if it needs no run-time operator: its words, or the index of an input.

    An input index means that the output is that input (Identity, Dropout at inference, a cast to the same type).
    Tensors without elements are constants whatever makes them.
    None if the node has to stay: random operators, those of quantization (they say how a model stores its weights)
    and those that no evaluator is made for. A folded tensor has the result type the node gives, at most `FOLD_LIMIT`
    elements, and room in the budget, which it takes.
    """
    forwarded = _forwarded(node)
    if forwarded is not None:
        return forwarded
    if all(result is not None and not result.size for result in node.results):
        return tuple(np.zeros(result.shape, result.dtype) for result in node.results if result is not None)
    if _excess(node, budget) is not None:
        return None
    if node.op_type in shapes.OF_TYPES:
        made = shapes.OF_TYPES[node.op_type](node)
        if made is not None:
            budget.take((made,))
        return None if made is None else (made,)
    if not node.is_constant:
        return None
    evaluate = _EVALUATORS.get(node.op_type, evaluate_by_reference)
    try:
        with np.errstate(all="ignore"):
            arrays = tuple(np.asarray(array) for array in evaluate(node))
    except (CannotEvaluateError, ArithmeticError, LookupError, TypeError, ValueError):
        # A node that cannot be computed stays; type inference and verification say what is wrong with it.
        return None
    if not _as_declared(node, arrays):
        return None
    budget.take(arrays, node.known_arrays)
    return arrays


def too_large(node: Node, budget: ConstantBudget) -> tuple[str, str] | None:
    """Why a node that could be folded is too large for it, as what is expected and found; None if it is not that."""
    is_evaluated = node.op_type in _EVALUATORS or is_left_to_reference(node)
    could_be = node.op_type in shapes.OF_TYPES or (node.is_constant and is_evaluated)
    return _excess(node, budget) if could_be else None


def _excess(node: Node, budget: ConstantBudget) -> tuple[str, str] | None:
    results = [result for result in node.results if result is not None]
    for result in results:
        if result.size > FOLD_LIMIT:
            return f"at most {FOLD_LIMIT} elements", f"{result.size} elements"
    if len(results) < len(node.results) and node.op_type != "Constant":
        # Nothing is known of the result's size but that it follows from those of the operands.
        words = sum(array.size for array in node.known_arrays)
        if words > _OPEN_LIMIT:
            return f"operands of at most {_OPEN_LIMIT} elements", f"{words} elements"
    size = sum(result.size * result.dtype.itemsize for result in results)
    if not budget.has(size):
        return BUDGET, f"{size} bytes more"
    return None


def _forwarded(node: Node) -> tuple[Array | int, ...] | None:
    data = node.inputs[0] if node.inputs else None
    if data is None:
        return None
    if node.op_type == "Identity":
        return (0,)
    if node.op_type in ("Cast", "CastLike"):
        result = node.results[0]
        return (0,) if result is not None and result.dtype == data.type.dtype else None
    if node.op_type == "Dropout" and _is_inference(node):
        masks = (np.ones((), bool if result is None else result.dtype) for result in node.results[1:])
        return (0, *(np.broadcast_to(mask, data.type.shape) for mask in masks))
    return None


def _is_inference(node: Node) -> bool:
    training = node.inputs[2] if len(node.inputs) > 2 else None
    if node.since_version < 7:
        return bool(node.integer("is_test"))
    return training is None or (training.array is not None and not training.array.any())


def _as_declared(node: Node, arrays: tuple[Array, ...]) -> bool:
    return len(arrays) == len(node.results) and all(
        result is None or (array.dtype == result.dtype and array.shape == result.shape)
        for array, result in zip(arrays, node.results, strict=True)
    )
