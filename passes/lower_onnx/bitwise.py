"""Operators on the bits of integers."""

from __future__ import annotations

from dialects.gconv import Step
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import attribute_is
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

_BINARY = {"BitwiseAnd": "bit_and", "BitwiseOr": "bit_or", "BitwiseXor": "bit_xor"}


@lowering(*_BINARY)
def bitwise_function(node: Node, chain: Chain) -> Tensor:
    """one link"""
    a, b = chain.inputs(node)
    return binary(chain, _BINARY[node.op_type], a, b)


@lowering("BitwiseNot")
def bitwise_not(node: Node, chain: Chain) -> Tensor:
    """one link"""
    return unary(chain, chain.input(node, 0), (Step("bit_not"),))


@lowering("BitShift", constraints=(attribute_is("direction", "LEFT", "RIGHT"),))
def bit_shift(node: Node, chain: Chain) -> Tensor:
    """one link"""
    a, b = chain.inputs(node)
    return binary(chain, "shift_left" if node.text("direction") == "LEFT" else "shift_right", a, b)


BITWISE = (*bitwise_function, *bitwise_not, *bit_shift)
