"""Evaluation of ONNX nodes at compile time: shape arithmetic, and anything else with constant inputs.

`fold` is used by the importer to find shapes and by the `fold-constants` pass; there is no second implementation.
"""

from __future__ import annotations

import numpy as np

from dialects.onnx.values import Array
from passes.constant_evaluation import arithmetic, shapes
from passes.constant_evaluation.node import FOLD_LIMIT, CannotEvaluateError, Node
from passes.constant_evaluation.reference import evaluate_by_reference

__all__ = ["FOLD_LIMIT", "Node", "fold"]

_EVALUATORS = {**shapes.EVALUATORS, **arithmetic.EVALUATORS}


def fold(node: Node) -> tuple[Array | int, ...] | None:
    """What each output of a node is, if it needs no run-time operator: its words, or the index of an input.

    An input index means that the output is that input (Identity, Dropout at inference, a cast to the same type).
    Tensors without elements are constants whatever makes them.
    None if the node has to stay: random operators, those of quantization (they say how a model stores its weights)
    and those that no evaluator is made for. A folded tensor has the result type the node gives, and at most
    `FOLD_LIMIT` elements.
    """
    forwarded = _forwarded(node)
    if forwarded is not None:
        return forwarded
    if all(result is not None and not result.size for result in node.results):
        return tuple(np.zeros(result.shape, result.dtype) for result in node.results if result is not None)
    if node.op_type in shapes.OF_TYPES:
        made = shapes.OF_TYPES[node.op_type](node)
        return None if made is None else (made,)
    if not node.is_constant:
        return None
    if any(result is not None and result.size > FOLD_LIMIT for result in node.results):
        return None
    evaluate = _EVALUATORS.get(node.op_type, evaluate_by_reference)
    try:
        with np.errstate(all="ignore"):
            arrays = tuple(np.asarray(array) for array in evaluate(node))
    except (CannotEvaluateError, ArithmeticError, LookupError, TypeError, ValueError):
        # A node that cannot be computed stays; type inference and verification say what is wrong with it.
        return None
    return arrays if _as_declared(node, arrays) else None


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
