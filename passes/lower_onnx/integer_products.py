"""Convolutions and matrix products of integers: an exact i32 accumulator, requantized on the way out.

A zero point of the input that is known is what padding reads as, and its share of every sum goes into a constant that
is added; zero points that are known later, and those of kernels, are subtracted before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from xdsl.dialects.builtin import i32
from xdsl.ir import Attribute

from dialects.dtypes import narrowest
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.convolution import convolution
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.matmul import product
from passes.lower_onnx.node import Node
from passes.lower_onnx.requantization import StepList, elementwise_link, is_zero, saturated
from passes.lower_onnx.tensor import Tensor
from passes.lower_onnx.windows import AUTO_PAD, spatial_rank


@dataclass(frozen=True)
class _Operand:
    """An integer tensor, its zero point and its scale; either may be left out."""

    words: Tensor
    zero: Tensor | None = None
    scale: Tensor | None = None


def _centred(chain: Chain, operand: _Operand, zero: Tensor | None) -> Tensor:
    """Words minus a zero point that broadcasts to them: a constant in the narrowest type, else a link in i32."""
    words = operand.words
    if zero is None or is_zero(chain, zero):
        return words
    known, shift = chain.constant_of(words), chain.constant_of(zero)
    if known is not None and shift is not None:
        return chain.constant(narrowest(known.astype(np.int32) - shift.astype(np.int32)))
    steps = StepList(chain).read("sub", zero)
    return elementwise_link(chain, words, steps, i32, "int32")


def _scalar_of(chain: Chain, x: Tensor | None) -> int | None:
    """The only word of a constant, 0 for none; None if there are several or they are not known."""
    if x is None:
        return 0
    words = chain.constant_of(x)
    return None if words is None or words.size != 1 else int(words.reshape(-1)[0])


def _requantized(
    steps: StepList, chain: Chain, scales: tuple[Tensor, Tensor, Tensor], zero: Tensor | None, target: Attribute
) -> None:
    """From an i32 sum to words: times x scale * w scale / y scale, rounded, moved, saturated.

    `scales` broadcast to the result; their quotient is one constant in f32 if all are known.
    """
    steps.plain("to_float32")
    known = [chain.constant_of(scale) for scale in scales]
    x, w, y = known
    if x is not None and w is not None and y is not None:
        steps.read("mul", chain.constant((x * w / y).astype(np.float32)))
    else:
        steps.read("mul", scales[0]).read("mul", scales[1]).read("div", scales[2])
    saturated(steps, chain, zero, target)


def _spread(chain: Chain, values: Tensor, rank: int, axis: int) -> Tensor:
    """One value, or one an index of `axis`, as an operand of `rank` dimensions."""
    return chain.reshape(values, [values.size if a == axis else 1 for a in range(rank)])


def _convolved(
    node: Node, chain: Chain, x: _Operand, w: _Operand, bias: Tensor | None, finish: StepList, target: Attribute
) -> Tensor:
    """An integer convolution of zero-centred operands, then the bias and the steps of `finish`."""
    rank = x.words.rank
    zero = None if w.zero is None else _spread(chain, w.zero, rank, 0)
    kernel = _centred(chain, w, zero)
    words, shift, known = x.words, _scalar_of(chain, x.zero), chain.constant_of(kernel)
    steps = StepList(chain)
    pad_value = None
    if shift and known is not None:
        pad_value = float(shift)
        share = known.astype(np.int32).sum(axis=tuple(range(1, rank))) * np.int32(shift)
        own = None if bias is None else chain.constant_of(bias)
        if bias is None or own is not None:
            bias = chain.constant((-share if own is None else own - share).astype(np.int32))
        else:
            steps.read("sub", _spread(chain, chain.constant(share.astype(np.int32)), rank, 1))
    elif shift != 0:
        assert x.zero is not None
        words = _centred(chain, x, _spread(chain, x.zero, rank, 1))
    if bias is not None:
        steps.read("add", _spread(chain, bias, rank, 1))
    offset = len(steps.extras)
    moved = [each if each.operand is None else replace(each, operand=each.operand + offset) for each in finish.steps]
    post, extras = (*steps.steps, *moved), (*steps.extras, *finish.extras)
    return convolution(node, chain, words, kernel, post, extras, acc="int32", pad_value=pad_value, element_type=target)


@constraint()
def tensor_zero_point(node: Node) -> str | None:
    """the zero point of the input is one for the whole tensor"""
    index = 2 if node.op_type in ("ConvInteger", "QLinearConv") else 0
    given = node.input(index)
    return None if given is None or math.prod(node.shape(index)) == 1 else f"shape {list(node.shape(index))}"


@lowering("ConvInteger", constraints=(spatial_rank, AUTO_PAD, tensor_zero_point))
def conv_integer(node: Node, chain: Chain) -> Tensor:
    """one link that accumulates in i32; one more for every zero point computed at run time"""
    x = _Operand(chain.input(node, 0), chain.optional_input(node, 2))
    w = _Operand(chain.input(node, 1), chain.optional_input(node, 3))
    return _convolved(node, chain, x, w, None, StepList(chain), i32)


@lowering("QLinearConv", constraints=(spatial_rank, AUTO_PAD, tensor_zero_point))
def qlinear_conv(node: Node, chain: Chain) -> Tensor:
    """one link that accumulates in i32 and requantizes; one more for every zero point computed at run time"""
    x = _Operand(chain.input(node, 0), chain.input(node, 2), chain.input(node, 1))
    w = _Operand(chain.input(node, 3), chain.input(node, 5), chain.input(node, 4))
    y_scale, y_zero = chain.input(node, 6), chain.input(node, 7)
    assert x.scale is not None
    assert w.scale is not None
    rank, target = x.words.rank, node.result_type()
    scales = (
        _spread(chain, x.scale, rank, 1), _spread(chain, w.scale, rank, 1), _spread(chain, y_scale, rank, 1)
    )  # fmt: skip
    finish = StepList(chain)
    _requantized(finish, chain, scales, _spread(chain, y_zero, rank, 1), target)
    return _convolved(node, chain, x, w, chain.optional_input(node, 8), finish, target)


def _multiplied(chain: Chain, a: _Operand, b: _Operand, finish: StepList, target: Attribute) -> Tensor:
    """An integer matrix product of zero-centred operands, then the steps of `finish`, whose operands have its rank."""
    # A zero point for every row of a and every column of b, or one for all.
    rows = None if a.zero is None else _of_matrix(chain, a.zero, a.words, -2)
    columns = None if b.zero is None else _of_matrix(chain, b.zero, b.words, -1)
    kernel = _centred(chain, b, columns)
    shift, known = _scalar_of(chain, a.zero), chain.constant_of(kernel)
    steps = StepList(chain)
    words = a.words
    if shift and known is not None:
        share = known.astype(np.int32).sum(axis=-2, keepdims=True) * np.int32(-shift)
        steps.read("add", chain.constant(share.astype(np.int32)))
    elif shift != 0:
        words = _centred(chain, a, rows)
    offset = len(steps.extras)
    moved = [each if each.operand is None else replace(each, operand=each.operand + offset) for each in finish.steps]
    rank = max(words.rank, kernel.rank)
    extras = [extra.with_rank(rank).insert(rank - 1) for extra in (*steps.extras, *finish.extras)]
    return product(chain, words, kernel, (*steps.steps, *moved), tuple(extras), acc="int32", element_type=target)


def _of_matrix(chain: Chain, values: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Values of a matrix operand, one for all or one an index of `axis`, or already in its rank."""
    if values.rank == matrix.rank and values.rank > 1:
        return values
    if values.size == 1:
        return chain.reshape(values, (1,) * matrix.rank)
    axis %= matrix.rank
    return chain.reshape(values, [values.size if a == axis else 1 for a in range(matrix.rank)])


@constraint(hint="multiply matrices")
def has_matrices(node: Node) -> str | None:
    """both operands have at least two dimensions"""
    index = 3 if node.op_type == "QLinearMatMul" else 1
    ranks = (len(node.shape(0)), len(node.shape(index)))
    return None if min(ranks) >= 2 else f"ranks {ranks[0]} and {ranks[1]}"


@lowering("MatMulInteger", constraints=(has_matrices,))
def matmul_integer(node: Node, chain: Chain) -> Tensor:
    """one link that accumulates in i32; one more for every zero point computed at run time"""
    a = _Operand(chain.input(node, 0), chain.optional_input(node, 2))
    b = _Operand(chain.input(node, 1), chain.optional_input(node, 3))
    return _multiplied(chain, a, b, StepList(chain), i32)


@lowering("QLinearMatMul", constraints=(has_matrices,))
def qlinear_matmul(node: Node, chain: Chain) -> Tensor:
    """one link that accumulates in i32 and requantizes; one more for every zero point computed at run time"""
    a = _Operand(chain.input(node, 0), chain.input(node, 2), chain.input(node, 1))
    b = _Operand(chain.input(node, 3), chain.input(node, 5), chain.input(node, 4))
    y_scale, y_zero = chain.input(node, 6), chain.input(node, 7)
    assert a.scale is not None
    assert b.scale is not None
    result = Tensor.whole(node.op.results[0])
    scales = (
        _of_matrix(chain, a.scale, a.words, -2),
        _of_matrix(chain, b.scale, b.words, -1),
        _of_matrix(chain, y_scale, result, -2),
    )
    finish = StepList(chain)
    _requantized(finish, chain, scales, _of_matrix(chain, y_zero, result, -2), node.result_type())
    return _multiplied(chain, a, b, finish, node.result_type())


INTEGER_PRODUCTS = (*qlinear_conv, *conv_integer, *qlinear_matmul, *matmul_integer)
