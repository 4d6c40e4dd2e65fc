"""fold-quantization: links between dequantized operands and a quantized result compute in integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from dialects.dtypes import narrowest
from dialects.element_types import element_type_of
from dialects.gconv import GConv, LinkOp, Reduce, Step, element_type_of_value, shape_of
from dialects.gconv.interpreter import take_view
from dialects.gconv.scalar import Array
from dialects.weights import ConstantOp
from passes.chain_views import Source, constant_words, only_reader_of
from passes.dequantized import DequantizedOperand, dequantized, dequantized_operand
from passes.rewriting import chain_blocks, replace, require_bound_weights


class FoldQuantizationPass(ModulePass):
    """Let links read the integers that their operands were dequantized from.

    A link that dequantizes computes (x - zero) * scale of an integer tensor x with constants. A link that reads its
    result reads x instead, where what it does can be said in integers:
    - a multiply-add link whose kernel is a dequantized constant accumulates products of integers, exactly; the zero
      point is what padding reads as, its share of each sum is a constant that is added, an int32 bias joins that, and
      a post step multiplies by both scales;
    - a multiply-add link of two tensors does so likewise, of which each has lost its zero point in a link of its own;
    - a sum without a kernel accumulates integers likewise;
    - a maximum, minimum or copy of integers is dequantized afterwards, if the scale is positive and one for all.
    Rounding to the result's type stays with the quantizing link behind it, which fuse-elementwise absorbs. Run it
    before evaluate-constants, which would dequantize constant kernels.
    """

    name = "fold-quantization"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function.

        Raises `CatenaError` for functions of several blocks (CAT-R003) and words that are not at hand (CAT-R004).
        """
        for block in chain_blocks(op, self.name):
            links = [link for link in block.ops if isinstance(link, LinkOp) and link.mapping is None]
            if any(dequantized(link) is not None for link in links):
                require_bound_weights(block, self.name)
                _fold_block(block, links)


def _fold_block(block: Block, links: Sequence[LinkOp]) -> None:
    for link in links:
        if link.parent is not block:
            continue
        input = dequantized_operand(link.input)
        if input is None or link.pre or link.mid or link.spec.acc is not None:
            continue
        folded = _with_kernel(link, input) if link.kernel is not None else _without_kernel(link, input)
        if folded is not None:
            folded.put(link)


@dataclass(frozen=True)
class _Folded:
    """The integer link that takes the place of another: what it reads, and constants for its first post steps."""

    spec: GConv
    input: Source
    kernel: Source | Array | None
    constants: tuple[Array, ...]
    sources: tuple[Operation, ...]
    before: tuple[Operation, ...] = ()

    def put(self, link: LinkOp) -> None:
        """Replace `link`; the operands of its own steps come after the constants."""
        ops = list(self.before)
        views, input = self.input.materialise()
        ops += views
        kernel: SSAValue | None = None
        if isinstance(self.kernel, Source):
            views, kernel = self.kernel.materialise()
            ops += views
        elif self.kernel is not None:
            constant = ConstantOp.of(self.kernel)
            ops.append(constant)
            kernel = constant.result
        constants = [ConstantOp.of(array) for array in self.constants]
        extras = [*(constant.result for constant in constants), *link.extras]
        used = {step.operand for step in self.spec.post if step.operand is not None}
        kept = [index for index in range(len(extras)) if index in used]
        post = tuple(
            step if step.operand is None else replaced(step, operand=kept.index(step.operand))
            for step in self.spec.post
        )
        new = LinkOp.of(
            replaced(self.spec, post=post),
            input,
            kernel,
            [extras[index] for index in kept],
            tensor=link.tensor.data if link.tensor else None,
            element_type=element_type_of_value(link.result),
        )
        replace(link, [*ops, *constants, new], new.result, self.sources)


def _moved(steps: Sequence[Step], count: int) -> tuple[Step, ...]:
    """Steps whose operands come `count` places later."""
    return tuple(step if step.operand is None else replaced(step, operand=step.operand + count) for step in steps)


def _with_kernel(link: LinkOp, x: DequantizedOperand) -> _Folded | None:
    """A multiply-add link on integers."""
    spec = link.spec
    assert link.kernel is not None
    w = dequantized_operand(link.kernel)
    if w is None or not spec.is_multiply_accumulate or not x.made_by.is_uniform or spec.pad_value not in (None, 0.0):
        return None
    words = constant_words(w.integers.base)
    if words is None:
        return _of_two_tensors(link, x, w)
    per_output = _scale_per_output(spec, w)
    if per_output is None:
        return None
    x_zero, x_scale = int(x.made_by.zero[0]), float(x.made_by.scale[0])
    integers, zero = take_view(w.integers.view, words), w.zero
    # Zeros are not subtracted: kernels are large.
    centred = integers - zero if zero.any() else integers
    kernel = w.integers if centred is integers else narrowest(centred)
    acc = "int32" if max(x.dtype.itemsize, w.dtype.itemsize) == 1 else "int64"
    scale = per_output * x_scale
    offset = -x_zero * _per_output_sum(spec, centred)
    post, bias = list(spec.post), _integer_bias(link, scale)
    sources: list[Operation] = [x.made_by.link, w.made_by.link]
    if bias is not None:
        offset, made_by = offset + bias[0], bias[1]
        post = post[1:]
        sources.append(made_by)
    constants: list[Array] = []
    steps: list[Step] = []
    if offset.any():
        if np.abs(offset).max() >= 1 << 31 and acc == "int32":
            return None
        steps.append(Step("add", operand=len(constants)))
        constants.append(_lean(offset).astype(acc))
    steps.append(Step("to_float32"))
    steps += _multiplied(scale.astype(np.float32), constants)
    new = replaced(
        spec,
        acc=acc,
        pad_value=float(x_zero) if x_zero and _pads(spec, shape_of(link.input)) else None,
        post=(*steps, *_moved(post, len(constants))),
    )
    return _Folded(new, x.integers, kernel, tuple(constants), tuple(sources))


def _of_two_tensors(link: LinkOp, x: DequantizedOperand, w: DequantizedOperand) -> _Folded | None:
    """A product of two tensors, neither of them a constant, each without its zero point."""
    if not w.made_by.is_uniform:
        return None
    found = [_centred(operand, link) for operand in (x, w)]
    operands = [each for each in found if each is not None]
    if len(operands) < len(found):
        return None
    largest = math.prod(1 << 8 * operand.dtype.itemsize for operand in (x, w))
    acc = "int32" if largest * math.prod(dim.ks for dim in link.spec.dims) < 1 << 31 else "int64"
    scale = float(x.made_by.scale[0]) * float(w.made_by.scale[0])
    # Where x is padded, it is with zeros, which are what is left of zero points.
    spec = replaced(link.spec, acc=acc, post=(Step("to_float32"), Step("affine", (scale, 0.0)), *link.spec.post))
    (input, _), (kernel, _) = operands
    ops = [op for _, op in operands if op is not None]
    return _Folded(spec, input, kernel, (), (x.made_by.link, w.made_by.link), tuple(ops))


def _centred(operand: DequantizedOperand, reader: LinkOp) -> tuple[Source, LinkOp | None] | None:
    """The integers without their zero point, and the link that subtracts it, in place of the one that dequantizes.

    None if others read what that one makes, too: the link would be one more.
    """
    zero, link = int(operand.made_by.zero[0]), operand.made_by.link
    if not zero:
        return operand.integers, None
    if only_reader_of(link.result) is not reader:
        return None
    wide = {1: "int16", 2: "int32"}.get(operand.dtype.itemsize, "int64")
    spec = replaced(link.spec, acc=wide, post=(Step("affine", (1.0, float(-zero))),))
    moved = LinkOp.of(spec, link.input, element_type=element_type_of(wide))
    return Source(moved.result, operand.view), moved


def _multiplied(scale: Array, constants: list[Array]) -> list[Step]:
    """The step that multiplies by a scale for each output, or one for all."""
    scale = _lean(scale)
    if scale.size == 1:
        return [Step("affine", (float(scale.reshape(-1)[0]), 0.0))]
    constants.append(scale)
    return [Step("mul", operand=len(constants) - 1)]


def _lean(array: Array) -> Array:
    """One word, of the same rank, where all are the same."""
    first = array.reshape(-1)[0]
    return array.reshape(-1)[:1].reshape((1,) * array.ndim) if (array == first).all() else array


def _loops(spec: GConv) -> tuple[int, ...]:
    """The shape of a kernel as (g * op, ks) of every dimension."""
    return tuple(n for dim in spec.dims for n in (dim.g * dim.op, dim.ks))


def _scale_per_output(spec: GConv, kernel: DequantizedOperand) -> Array | None:
    """The scale of a kernel as one over the result; None if it changes along ks."""
    shape = _loops(spec)
    scale = kernel.scale_over(shape)
    if scale.ndim == 0:
        return scale.reshape((1,) * len(spec.dims))
    first = scale[(slice(None), slice(0, 1)) * len(spec.dims)]
    if not (scale == first).all():
        return None
    outputs = shape[::2]
    return _over_result(spec, np.broadcast_to(first, [n for output in outputs for n in (output, 1)]).reshape(outputs))


def _per_output_sum(spec: GConv, array: Array) -> Array:
    """The sum over ks of an array over the kernel, as one over the result."""
    loops = array.reshape(_loops(spec))
    return _over_result(spec, loops.sum(axis=tuple(range(1, loops.ndim, 2)), dtype=np.int64))


def _over_result(spec: GConv, array: Array) -> Array:
    """An array with one word an index of g and op of every dimension, as it broadcasts to the result."""
    for axis, dim in enumerate(spec.dims):
        if dim.opc > 1 and array.shape[axis] > 1:
            array = np.repeat(array, dim.opc, axis)
    return array


def _pads(spec: GConv, shape: Sequence[int]) -> bool:
    """Whether a link reads positions that are no words of its input."""
    for dim, extent in zip(spec.dims, shape, strict=True):
        low, high = dim.window
        if low < 0 or high > (extent // dim.g - 1) * dim.up or dim.up > 1:
            return True
    return False


def _integer_bias(link: LinkOp, scale: Array) -> tuple[Array, Operation] | None:
    """The integers of a bias that the first post step adds, if in units of `scale`, and what dequantized them."""
    step = link.spec.post[0] if link.spec.post else None
    if step is None or step.function != "add" or step.operand is None:
        return None
    if sum(other.operand == step.operand for other in link.spec.post) > 1:
        return None
    bias = dequantized_operand(link.extras[step.operand])
    words = None if bias is None else constant_words(bias.integers.base)
    if bias is None or words is None or bias.zero.any():
        return None
    units = np.broadcast_to(bias.scale, np.broadcast_shapes(bias.scale.shape, scale.shape))
    if not np.allclose(units, scale, rtol=1e-6, atol=0):
        return None
    return take_view(bias.integers.view, words).astype(np.int64), bias.made_by.link


def _without_kernel(link: LinkOp, x: DequantizedOperand) -> _Folded | None:
    """A sum, maximum, minimum or copy of integers, dequantized afterwards."""
    spec = link.spec
    if not x.made_by.is_uniform or not _only_reads(link):
        return None
    zero, scale = int(x.made_by.zero[0]), float(x.made_by.scale[0])
    count, acc = 1, None
    if spec.reduce is Reduce.ADD:
        count, acc = math.prod(dim.ks for dim in spec.dims), "int32" if x.dtype.itemsize == 1 else "int64"
        pad = float(zero) if zero and _pads(spec, shape_of(link.input)) else None
        if spec.pad_value not in (None, 0.0):
            return None
    elif spec.pad_value is None and spec.reduce in (Reduce.MAX, Reduce.MIN, Reduce.NONE):
        if spec.reduce is Reduce.NONE and _pads(spec, shape_of(link.input)):
            return None
        pad = None
    else:
        return None
    shift = (Step("affine", (1.0, float(-zero * count))),) if zero else ()
    post = (Step("to_float32"), *shift, Step("affine", (scale, 0.0)), *spec.post)
    new = replaced(spec, acc=acc, pad_value=pad, post=post)
    return _Folded(new, x.integers, None, (), (x.made_by.link,))


def _only_reads(link: LinkOp) -> bool:
    """Whether a link does more than dequantized words would have done for themselves: it reduces or moves them."""
    spec = link.spec
    return any(dim.ks > 1 for dim in spec.dims) or (not spec.post and spec.flow("float32") == "float32")
