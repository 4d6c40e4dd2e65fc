"""Evaluation by ONNX's own reference implementation, for operators without an evaluator here."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from dialects.onnx.values import Array
from passes.constant_evaluation.node import CannotEvaluateError, Node

# fmt: off
_OPERATORS = frozenset({
    "Acos", "Acosh", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "BitShift", "BitwiseAnd",
    "BitwiseNot", "BitwiseOr", "BitwiseXor", "CastLike", "Celu", "Clip", "Compress", "Cos", "Cosh", "CumSum",
    "DepthToSpace", "Elu", "Erf", "GatherElements", "GatherND", "Gelu", "Gemm", "HardSigmoid",
    "HardSwish", "Hardmax", "IsInf", "IsNaN", "LayerNormalization", "LeakyRelu", "Log", "LogSoftmax", "MatMul",
    "Mean", "MelWeightMatrix", "Mish", "NonZero", "OneHot", "PRelu", "Pad", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceMean", "ReduceSumSquare", "Relu", "ReverseSequence", "Scatter", "ScatterElements",
    "ScatterND", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softmax", "Softplus", "Softsign",
    "SpaceToDepth", "Swish", "Tan", "Tanh", "ThresholdedRelu", "TopK", "Trilu", "Unique",
})
# fmt: on
"""Operators left to the reference: their cost is bounded by the sizes of their operands and results."""

_WRONG_BEFORE: dict[str, int] = {
    "Hardmax": 13,
    "LogSoftmax": 13,
    "Softmax": 13,
}
"""Operators whose reference implementation does not do what versions before this one ask: flatten to a matrix."""


def is_left_to_reference(node: Node) -> bool:
    """Whether the reference evaluates an operator of this version."""
    return node.op_type in _OPERATORS and node.since_version >= _WRONG_BEFORE.get(node.op_type, 0)


def evaluate_by_reference(node: Node) -> Sequence[Array]:
    """All outputs of a node with constant inputs. Raises `CannotEvaluateError` if the reference fails."""
    if not is_left_to_reference(node):
        raise CannotEvaluateError(f"{node.op_type} is not left to the reference implementation")
    from onnx import TensorProto, helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    names = [f"x{index}" if value is not None else "" for index, value in enumerate(node.inputs)]
    outputs = [f"y{index}" for index in range(len(node.results))]
    attributes = {
        name: numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        for name, value in node.attributes.items()
    }
    graph = helper.make_graph(
        [helper.make_node(node.op_type, names, outputs, **cast(Any, attributes))],
        "node",
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names if name],
        [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", node.since_version)])
    feeds = {name: node.array(index) for index, name in enumerate(names) if name}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference: Any = ReferenceEvaluator(model)
            found: list[Any] = reference.run(None, feeds)
    # The reference is plain Python: what it raises for an input it does not take is not declared anywhere.
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        ImportError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise CannotEvaluateError(f"{type(error).__name__}: {error}") from error
    results = [np.asarray(value) for value in found if not isinstance(value, list | dict)]
    if len(results) != len(node.results):
        raise CannotEvaluateError(f"{node.op_type} gives something else than tensors")
    return results
