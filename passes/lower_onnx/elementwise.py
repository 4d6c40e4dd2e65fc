"""Functions of several tensors, element by element, with NumPy broadcasting."""

from __future__ import annotations

import math

import numpy as np
from xdsl.dialects.builtin import f64

from dialects.gconv import Step
from passes.lower_onnx.broadcasting import binary, chosen, pointwise, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import constant_input, floating, table_within_limit
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

_BINARY = {
    # ONNX operator -> scalar function
    "Add": "add",
    "And": "and",
    "Div": "div",
    "Equal": "eq",
    "Greater": "gt",
    "GreaterOrEqual": "ge",
    "Less": "lt",
    "LessOrEqual": "le",
    "Mul": "mul",
    "Or": "or",
    "Sub": "sub",
    "Xor": "xor",
}


@lowering(*_BINARY)
def binary_function(node: Node, chain: Chain) -> Tensor:
    """one link; a constant scalar becomes a parameter of its post step where that rounds the same"""
    a, b = chain.inputs(node)
    return pointwise(chain, _BINARY[node.op_type], a, b, element_type=node.result_type())


@lowering("Pow")
def power(node: Node, chain: Chain) -> Tensor:
    """one link; two if whole numbers are raised to a power that need not be whole"""
    base, exponent = chain.inputs(node)
    if node.dtype(0).kind != "f" and node.dtype(1).kind == "f":
        base = unary(chain, base, (), f64)
    return pointwise(chain, "pow", base, exponent, element_type=node.result_type())


@lowering("Mod")
def modulo(node: Node, chain: Chain) -> Tensor:
    """one link"""
    a, b = chain.inputs(node)
    return binary(chain, "fmod" if node.integer("fmod") else "mod", a, b)


_VARIADIC = {"Max": "max", "Min": "min", "Sum": "add", "Mean": "add"}


@lowering(*_VARIADIC)
def variadic_function(node: Node, chain: Chain) -> Tensor:
    """one link for every operand after the first"""
    first, *others = chain.inputs(node)
    post = (Step("affine", (1 / (1 + len(others)), 0.0)),) if node.op_type == "Mean" else ()
    for index, other in enumerate(others):
        last = index == len(others) - 1
        first = pointwise(chain, _VARIADIC[node.op_type], first, other, post if last else ())
    return first


@lowering("PRelu")
def parametric_relu(node: Node, chain: Chain) -> Tensor:
    """one link"""
    return binary(chain, "prelu", chain.input(node, 0), chain.input(node, 1))


@lowering("Where")
def where(node: Node, chain: Chain) -> Tensor:
    """two links: the second choice where the condition fails, then the first choice added where it holds"""
    condition, first, second = chain.inputs(node)
    return chosen(chain, condition, first, second, node.result_shape())


@constraint()
def has_matrices(node: Node) -> str | None:
    """the input is a matrix or a stack of matrices"""
    rank = len(node.shape(0))
    return None if rank >= 2 else f"rank {rank}"


@lowering(
    "Trilu",
    constraints=(
        has_matrices,
        constant_input(1, "k"),
        table_within_limit("the triangle of a matrix", lambda node: math.prod(node.shape(0)[-2:])),
    ),
)
def triangle(node: Node, chain: Chain) -> Tensor:
    """one link that keeps what a constant mask allows"""
    x = chain.input(node, 0)
    rows, columns = x.shape[-2:]
    diagonal = (node.constant_integers(1) or (0,))[0]
    distance = np.arange(columns) - np.arange(rows)[:, np.newaxis]
    mask = distance >= diagonal if node.integer("upper", 1) else distance <= diagonal
    return binary(chain, "keep", x, chain.constant(mask))


@lowering("SwiGLU", constraints=(floating(),))
def swish_gated(node: Node, chain: Chain) -> Tensor:
    """two links: the swish of the first input, the product"""
    gate, x = chain.inputs(node)
    return binary(chain, "mul", unary(chain, gate, (Step("swish", (node.number("alpha", 1.0),)),)), x)


ELEMENTWISE = (
    *binary_function,
    *power,
    *modulo,
    *variadic_function,
    *parametric_relu,
    *where,
    *triangle,
    *swish_gated,
)
