"""Evaluators of element-wise arithmetic, comparisons, casts and reductions."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dialects.onnx.values import Array
from passes.constant_evaluation.node import CannotEvaluateError, Evaluator, Node
from passes.constant_evaluation.shapes import axes_of


def _unary(function: Callable[[Array], Array]) -> Evaluator:
    return lambda node: [function(node.array(0))]


def _binary(function: Callable[[Array, Array], Array]) -> Evaluator:
    def evaluate(node: Node) -> Sequence[Array]:
        if "axis" in node.attributes:
            raise CannotEvaluateError("broadcasting before version 7 is not that of NumPy")
        return [function(node.array(0), node.array(1))]

    return evaluate


def _folded(function: Callable[[Array, Array], Array]) -> Evaluator:
    return lambda node: [functools.reduce(function, node.arrays())]


def _divide(left: Array, right: Array) -> Array:
    if left.dtype.kind not in "iu":
        return np.divide(left, right)
    if not np.all(right):
        raise CannotEvaluateError("an integer is divided by zero")
    # ONNX truncates towards zero, NumPy rounds down.
    quotient = np.abs(left) // np.abs(right)
    return np.where((left < 0) != (right < 0), -quotient, quotient).astype(left.dtype)


def _modulo(node: Node) -> Sequence[Array]:
    left, right = node.array(0), node.array(1)
    if left.dtype.kind in "iu" and not np.all(right):
        raise CannotEvaluateError("an integer is divided by zero")
    return [np.fmod(left, right) if node.integer("fmod") else np.mod(left, right)]


def _power(base: Array, exponent: Array) -> Array:
    if base.dtype.kind in "iu" and exponent.dtype.kind in "iu" and np.any(exponent < 0):
        raise CannotEvaluateError("an integer is raised to a negative power")
    return np.power(base, exponent).astype(base.dtype)


def _cast(node: Node) -> Sequence[Array]:
    result = node.results[0]
    data = node.array(0)
    if result is None or result.dtype.kind not in "fiub" or data.dtype.kind not in "fiub":
        raise CannotEvaluateError("not a cast between numbers")
    return [data.astype(result.dtype)]


def _where(node: Node) -> Sequence[Array]:
    return [np.where(node.array(0), node.array(1), node.array(2))]


def _extreme(function: Callable[..., Array], of_nothing: float) -> Callable[..., Array]:
    """A maximum or minimum: of no values it is the infinity, or the limit of integers, nearest to `of_nothing`."""

    def reduce(data: Array, axis: tuple[int, ...] | None, keepdims: bool) -> Array:
        if data.dtype.kind in "iu":
            initial: Any = np.iinfo(data.dtype).min if of_nothing < 0 else np.iinfo(data.dtype).max
        else:
            initial = of_nothing > 0 if data.dtype.kind == "b" else of_nothing
        return function(data, axis=axis, keepdims=keepdims, initial=initial)

    return reduce


def _reduction(function: Callable[..., Array]) -> Evaluator:
    def evaluate(node: Node) -> Sequence[Array]:
        data, axes = node.array(0), axes_of(node, 1)
        if not axes and node.integer("noop_with_empty_axes"):
            return [data]
        keep = bool(node.integer("keepdims", 1))
        return [np.asarray(function(data, axis=axes or None, keepdims=keep)).astype(data.dtype)]

    return evaluate


EVALUATORS: Mapping[str, Evaluator] = {
    "Abs": _unary(np.abs),
    "Add": _binary(np.add),
    "And": _binary(np.logical_and),
    "Cast": _cast,
    "Ceil": _unary(np.ceil),
    "Div": _binary(_divide),
    "Equal": _binary(np.equal),
    "Exp": _unary(np.exp),
    "Floor": _unary(np.floor),
    "Greater": _binary(np.greater),
    "GreaterOrEqual": _binary(np.greater_equal),
    "Less": _binary(np.less),
    "LessOrEqual": _binary(np.less_equal),
    "Max": _folded(np.maximum),
    "Min": _folded(np.minimum),
    "Mod": _modulo,
    "Mul": _binary(np.multiply),
    "Neg": _unary(np.negative),
    "Not": _unary(np.logical_not),
    "Or": _binary(np.logical_or),
    "Pow": _binary(_power),
    "Reciprocal": _unary(np.reciprocal),
    "ReduceMax": _reduction(_extreme(np.amax, -np.inf)),
    "ReduceMin": _reduction(_extreme(np.amin, np.inf)),
    "ReduceProd": _reduction(np.prod),
    "ReduceSum": _reduction(np.sum),
    "Round": _unary(np.round),
    "Sqrt": _unary(np.sqrt),
    "Sub": _binary(np.subtract),
    "Sum": _folded(np.add),
    "Where": _where,
    "Xor": _binary(np.logical_xor),
}
