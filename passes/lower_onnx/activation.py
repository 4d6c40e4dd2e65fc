"""Functions of one tensor, element by element."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from dialects.gconv import Step
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import attribute_is
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

_PLAIN = {
    # ONNX operator -> scalar function
    "Abs": "abs",
    "Acos": "acos",
    "Acosh": "acosh",
    "Asin": "asin",
    "Asinh": "asinh",
    "Atan": "atan",
    "Atanh": "atanh",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "HardSwish": "hard_swish",
    "IsNaN": "isnan",
    "Log": "log",
    "Mish": "mish",
    "Neg": "neg",
    "Not": "not",
    "Reciprocal": "reciprocal",
    "Relu": "relu",
    "Round": "round",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sqrt": "sqrt",
    "Tan": "tan",
    "Tanh": "tanh",
}

_WITH_PARAMETERS: dict[str, Callable[[Node], Step]] = {
    "Celu": lambda node: Step("celu", (node.number("alpha", 1.0),)),
    "Elu": lambda node: Step("elu", (node.number("alpha", 1.0),)),
    "HardSigmoid": lambda node: Step("hard_sigmoid", (node.number("alpha", 0.2), node.number("beta", 0.5))),
    "IsInf": lambda node: Step(
        "isinf", (float(node.integer("detect_positive", 1)), float(node.integer("detect_negative", 1)))
    ),
    "LeakyRelu": lambda node: Step("leaky_relu", (node.number("alpha", 0.01),)),
    "Selu": lambda node: Step("selu", (node.number("alpha"), node.number("gamma"))),
    "Shrink": lambda node: Step("shrink", (node.number("bias", 0.0), node.number("lambd", 0.5))),
    "Swish": lambda node: Step("swish", (node.number("alpha", 1.0),)),
    "ThresholdedRelu": lambda node: Step("thresholded_relu", (node.number("alpha", 1.0),)),
}


@lowering(*_PLAIN)
def plain_function(node: Node, chain: Chain) -> Tensor:
    """one link"""
    return unary(chain, chain.input(node, 0), (Step(_PLAIN[node.op_type]),), node.result_type())


@lowering(*_WITH_PARAMETERS)
def function_with_parameters(node: Node, chain: Chain) -> Tensor:
    """one link"""
    return unary(chain, chain.input(node, 0), (_WITH_PARAMETERS[node.op_type](node),), node.result_type())


@lowering("Gelu", constraints=(attribute_is("approximate", "none", "tanh"),))
def gelu(node: Node, chain: Chain) -> Tensor:
    """one link"""
    function = "gelu_tanh" if node.text("approximate", "none") == "tanh" else "gelu"
    return unary(chain, chain.input(node, 0), (Step(function),))


@lowering("Clip")
def clip(node: Node, chain: Chain) -> Tensor:
    """one link; one for every limit if one of them is computed at run time, or an integer of 64 bits"""
    x = chain.input(node, 0)
    if node.version < 11:
        limit = float(np.finfo(np.float32).max)
        return unary(chain, x, (Step("clip", (node.number("min", -limit), node.number("max", limit))),))
    low, high = (_limit(node, chain, index) for index in (1, 2))
    if not isinstance(low, Tensor) and not isinstance(high, Tensor):
        return unary(chain, x, (Step("clip", (-math.inf if low is None else low, math.inf if high is None else high)),))
    limits = [(function, chain.optional_input(node, index)) for function, index in (("max", 1), ("min", 2))]
    for function, limit in limits:
        x = x if limit is None else binary(chain, function, x, limit)
    return x


def _limit(node: Node, chain: Chain, index: int) -> float | Tensor | None:
    """A limit of Clip: a number if it is a constant that a float holds, None if it is left out."""
    constant = node.constant(index)
    if constant is None or constant.dtype.name in ("int64", "uint64"):
        return chain.optional_input(node, index)
    return float(constant.reshape(-1)[0])


ACTIVATION = (*plain_function, *function_with_parameters, *gelu, *clip)
