"""Quantized operators: integers in, an integer accumulator, requantization on the way out.

QuantizeLinear and DequantizeLinear are element-wise links; convolutions and products of integers accumulate exactly in
i32. A zero point of the input that is known is what padding reads as, and its share of every sum goes into a constant
that is added; zero points that are known later, and those of kernels, are subtracted before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from xdsl.dialects.builtin import f32, i32
from xdsl.ir import Attribute

from dialects.dtypes import NARROW_DTYPES
from dialects.element_types import element_type_of, numpy_dtype_of
from dialects.gconv import Dim, GConv, Reduce, Step
from dialects.gconv.scalar import Array
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.casting import limits_of
from passes.lower_onnx.chain import Chain, dimension_names
from passes.lower_onnx.convolution import convolution
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.matmul import product
from passes.lower_onnx.node import Node
from passes.lower_onnx.reduction import reduced
from passes.lower_onnx.tensor import Tensor
from passes.lower_onnx.windows import AUTO_PAD, spatial_rank


class _Steps:
    """Steps after a link, and the tensors they read; a constant of one word becomes a parameter where there is one."""

    def __init__(self, chain: Chain):
        self._chain = chain
        self.steps: list[Step] = []
        self.extras: list[Tensor] = []

    def plain(self, function: str, *parameters: float) -> _Steps:
        """A step without an operand."""
        self.steps.append(Step(function, parameters))
        return self

    def read(self, function: str, operand: Tensor) -> _Steps:
        """A step that reads a tensor."""
        word = self._chain.constant_of(operand) if operand.size == 1 else None
        parameters = None if word is None else _as_parameters(function, float(word.reshape(-1)[0]))
        if parameters is not None:
            return self.plain(*parameters)
        self.steps.append(Step(function, operand=len(self.extras)))
        self.extras.append(operand)
        return self


def _as_parameters(function: str, value: float) -> tuple[Any, ...] | None:
    """A binary step with a constant as a unary one, None if none rounds the same."""
    match function:
        case "add":
            return ("affine", 1.0, value)
        case "sub":
            return ("affine", 1.0, -value)
        case "mul":
            return ("affine", value, 0.0)
        case "div":
            return ("over", value)
        case _:
            return None


def _elementwise(chain: Chain, x: Tensor, steps: _Steps, element_type: Attribute, acc: str | None) -> Tensor:
    x = x.with_rank(max(1, x.rank))
    dims = tuple(Dim(name, opc=n) for name, n in zip(dimension_names(x.rank), x.shape, strict=True))
    own = numpy_dtype_of(x.element_type).name
    spec = GConv(dims, post=tuple(steps.steps), acc=None if acc == own else acc)
    extras = [extra.with_rank(x.rank).compact(range(x.rank)) for extra in steps.extras]
    return chain.link(spec, x, extras=extras, element_type=element_type)


def _along_axis(node: Node, chain: Chain, values: Tensor, shape: Sequence[int]) -> Tensor:
    """Scales or zero points as they meet a tensor of `shape`: one for all, one an index of `axis`, or one a block."""
    rank = len(shape)
    if values.size == 1:
        return chain.reshape(values, (1,) * rank)
    axis = node.integer("axis", 1) % rank
    if values.rank <= 1:
        return chain.reshape(values, [values.size if a == axis else 1 for a in range(rank)])
    blocks, block = values.shape[axis], node.integer("block_size")
    repeated = values.insert(axis + 1)
    repeated = repeated.expand([block if a == axis + 1 else n for a, n in enumerate(repeated.shape)])
    flat = chain.reshape(repeated, [blocks * block if a == axis else n for a, n in enumerate(values.shape)])
    return flat.slice(axis, 0, shape[axis])


def _is_float(element_type: Attribute) -> bool:
    return "float" in numpy_dtype_of(element_type).name


@constraint()
def known_block(node: Node) -> str | None:
    """blocks of `block_size` cover the axis"""
    scale = node.shape(1)
    if len(scale) <= 1 or math.prod(scale) == 1 or node.integer("block_size") > 0:
        return None
    return f"a scale of rank {len(scale)} and no block_size"


@lowering("DequantizeLinear", constraints=(known_block,))
def dequantize(node: Node, chain: Chain) -> Tensor:
    """one link: (x - zero point) * scale"""
    x, scale, zero = chain.input(node, 0), chain.input(node, 1), chain.optional_input(node, 2)
    dtype = numpy_dtype_of(x.element_type)
    steps = _Steps(chain)
    wide = dtype.itemsize > 2 and dtype.name not in NARROW_DTYPES
    if zero is not None and not _is_zero(chain, zero):
        zero = zero if not _is_narrow(zero) else _widened(chain, zero)
        steps.read("sub", _along_axis(node, chain, zero, x.shape))
    if wide:
        steps.plain("to_float32")
    steps.read("mul", _along_axis(node, chain, scale, x.shape))
    return _elementwise(chain, x, steps, f32, dtype.name if wide else "float32")


@lowering("QuantizeLinear", constraints=(known_block,))
def quantize(node: Node, chain: Chain) -> Tensor:
    """one link: round(x / scale) + zero point, saturated"""
    x, scale, zero = chain.input(node, 0), chain.input(node, 1), chain.optional_input(node, 2)
    steps = _Steps(chain).read("div", _along_axis(node, chain, scale, x.shape))
    placed = None if zero is None or _is_zero(chain, zero) else _along_axis(node, chain, zero, x.shape)
    _saturated(steps, chain, placed, node.result_type(), bool(node.integer("saturate", 1)))
    return _elementwise(chain, x, steps, node.result_type(), "float32")


def _saturated(steps: _Steps, chain: Chain, zero: Tensor | None, target: Attribute, saturates: bool = True) -> None:
    """From a quotient to words of the target type: rounded, moved by the zero point, within the type's limits."""
    if _is_float(target):
        if saturates:
            steps.plain("clip", *limits_of(target))
        return
    steps.plain("round")
    if zero is not None:
        steps.read("add", zero if not _is_narrow(zero) else _widened(chain, zero))
    steps.plain("clip", *limits_of(target))


def _is_zero(chain: Chain, zero: Tensor) -> bool:
    words = chain.constant_of(zero)
    return words is not None and not words.astype(np.float64).any()


def _is_narrow(x: Tensor) -> bool:
    return numpy_dtype_of(x.element_type).name in NARROW_DTYPES


def _widened(chain: Chain, x: Tensor) -> Tensor:
    """Words of a narrow type in one that steps can read."""
    words = chain.constant_of(x)
    if words is not None:
        return chain.constant(words.astype(np.float32))
    return _elementwise(chain, x, _Steps(chain), f32, "float32")


@dataclass(frozen=True)
class _Operand:
    """An integer tensor, its zero point and its scale; either may be left out."""

    words: Tensor
    zero: Tensor | None = None
    scale: Tensor | None = None


def _centred(chain: Chain, operand: _Operand, zero: Tensor | None) -> Tensor:
    """Words minus a zero point that broadcasts to them: a constant in the narrowest type, else a link in i32."""
    words = operand.words
    if zero is None or _is_zero(chain, zero):
        return words
    known, shift = chain.constant_of(words), chain.constant_of(zero)
    if known is not None and shift is not None:
        return chain.constant(narrowest(known.astype(np.int32) - shift.astype(np.int32)))
    steps = _Steps(chain).read("sub", zero)
    return _elementwise(chain, words, steps, i32, "int32")


def narrowest(words: Array) -> Array:
    """Integers in the narrowest signed type of 8, 16 or 32 bits that holds them."""
    low, high = (int(words.min()), int(words.max())) if words.size else (0, 0)
    for dtype in (np.int8, np.int16):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return words.astype(dtype)
    return words.astype(np.int32)


def _scalar_of(chain: Chain, x: Tensor | None) -> int | None:
    """The only word of a constant, 0 for none; None if there are several or they are not known."""
    if x is None:
        return 0
    words = chain.constant_of(x)
    return None if words is None or words.size != 1 else int(words.reshape(-1)[0])


def _requantized(
    steps: _Steps, chain: Chain, scales: tuple[Tensor, Tensor, Tensor], zero: Tensor | None, target: Attribute
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
    _saturated(steps, chain, zero, target)


def _spread(chain: Chain, values: Tensor, rank: int, axis: int) -> Tensor:
    """One value, or one an index of `axis`, as an operand of `rank` dimensions."""
    return chain.reshape(values, [values.size if a == axis else 1 for a in range(rank)])


def _convolved(
    node: Node, chain: Chain, x: _Operand, w: _Operand, bias: Tensor | None, finish: _Steps, target: Attribute
) -> Tensor:
    """An integer convolution of zero-centred operands, then the bias and the steps of `finish`."""
    rank = x.words.rank
    zero = None if w.zero is None else _spread(chain, w.zero, rank, 0)
    kernel = _centred(chain, w, zero)
    words, shift, known = x.words, _scalar_of(chain, x.zero), chain.constant_of(kernel)
    steps = _Steps(chain)
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
    return _convolved(node, chain, x, w, None, _Steps(chain), i32)


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
    finish = _Steps(chain)
    _requantized(finish, chain, scales, _spread(chain, y_zero, rank, 1), target)
    return _convolved(node, chain, x, w, chain.optional_input(node, 8), finish, target)


def _multiplied(chain: Chain, a: _Operand, b: _Operand, finish: _Steps, target: Attribute) -> Tensor:
    """An integer matrix product of zero-centred operands, then the steps of `finish`, whose operands have its rank."""
    # A zero point for every row of a and every column of b, or one for all.
    rows = None if a.zero is None else _of_matrix(chain, a.zero, a.words, -2)
    columns = None if b.zero is None else _of_matrix(chain, b.zero, b.words, -1)
    kernel = _centred(chain, b, columns)
    shift, known = _scalar_of(chain, a.zero), chain.constant_of(kernel)
    steps = _Steps(chain)
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
    return _multiplied(chain, a, b, _Steps(chain), i32)


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
    finish = _Steps(chain)
    _requantized(finish, chain, scales, _of_matrix(chain, y_zero, result, -2), node.result_type())
    return _multiplied(chain, a, b, finish, node.result_type())


@lowering("DynamicQuantizeLinear", results=3)
def dynamic_quantize(node: Node, chain: Chain) -> tuple[Tensor, ...]:
    """five links: largest and smallest value, scale, zero point, the quantized words"""
    x = chain.input(node, 0)
    x = x.with_rank(max(1, x.rank))
    axes = tuple(range(x.rank))
    high = reduced(chain, x, axes, Reduce.MAX, post=(Step("clip", (0.0, math.inf)),))
    low = reduced(chain, x, axes, Reduce.MIN, post=(Step("clip", (-math.inf, 0.0)),))
    # A tensor of zeros has no range: the smallest scale quantizes it to zeros.
    smallest = float(np.finfo(np.float32).tiny)
    scale = binary(chain, "sub", high, low, (Step("over", (255.0,)), Step("clip", (smallest, math.inf))))
    byte = element_type_of(np.uint8)
    post = (Step("neg"), Step("clip", (0.0, 255.0)), Step("round"))
    zero = binary(chain, "div", low, scale, post, element_type=byte)
    steps = _Steps(chain).read("div", scale)
    _saturated(steps, chain, zero, byte)
    return _elementwise(chain, x, steps, byte, "float32"), scale, zero


QUANTIZATION = (
    *quantize,
    *dequantize,
    *qlinear_conv,
    *conv_integer,
    *qlinear_matmul,
    *matmul_integer,
    *dynamic_quantize,
)
