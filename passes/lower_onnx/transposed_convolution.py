"""ConvTranspose: a convolution of the input dilated by the stride, with the kernel flipped."""

from __future__ import annotations

from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.convolution import with_bias
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor
from passes.lower_onnx.windows import AUTO_PAD, SPATIAL_NAMES, spatial_rank


@lowering("ConvTranspose", constraints=(spatial_rank, AUTO_PAD))
def conv_transpose(node: Node, chain: Chain) -> Tensor:
    """one link whose input is dilated by the stride; the bias is a post step"""
    x, weights, bias = chain.input(node, 0), chain.input(node, 1), chain.optional_input(node, 2)
    groups = node.integer("group", 1)
    per_group = weights.shape[0] // groups, weights.shape[1]
    kernel_shape = weights.shape[2:]
    for axis, n in enumerate(kernel_shape):
        weights = weights.slice(2 + axis, n - 1, n, -1)
    spatial = _dims(node, kernel_shape, x.shape[2:], node.result_shape()[2:])
    flipped = chain.constant_of(weights)
    if flipped is not None:
        # The words of a constant are put in the order of a convolution's kernel: (group, output, input) channels.
        parts = flipped.reshape(groups, *per_group, *kernel_shape).swapaxes(1, 2)
        kernel = chain.constant(parts.reshape(1, -1, *kernel_shape))
        dims = (Dim("N", opc=x.shape[0]), Dim("C", g=groups, op=per_group[1], ks=per_group[0]), *spatial)
        return with_bias(chain, GConv(dims, "mul", Reduce.ADD), x, kernel, bias)
    return _dynamic(chain, x, chain.reshape(weights, (groups, *per_group, *kernel_shape)), bias, spatial)


def _dynamic(chain: Chain, x: Tensor, kernel: Tensor, bias: Tensor | None, spatial: tuple[Dim, ...]) -> Tensor:
    """The link for a kernel (group, input, output, spatial) computed at run time, in dimensions of their own."""
    groups, inputs, outputs = kernel.shape[:3]
    dims = (Dim("N", opc=x.shape[0]), Dim("G", g=groups), Dim("C", ks=inputs), Dim("M", op=outputs), *spatial)
    x = chain.reshape(x, (x.shape[0], groups, inputs, *x.shape[2:])).insert(3)
    extras = [] if bias is None else [chain.reshape(bias, (1, groups, 1, outputs, *(1 for _ in spatial)))]
    post = (Step("add", operand=0),) if extras else ()
    return chain.link(GConv(dims, "mul", Reduce.ADD, post=post), x, kernel.insert(0), extras)


def _dims(node: Node, kernel: tuple[int, ...], inputs: tuple[int, ...], outputs: tuple[int, ...]) -> tuple[Dim, ...]:
    """The spatial dimensions: word o of the result meets input word (o + low - k * dilation) / stride."""
    rank = len(kernel)
    strides = node.integers("strides") or (1,) * rank
    dilations = node.integers("dilations") or (1,) * rank
    lows = _low_pads(node, kernel, inputs, outputs, strides, dilations)
    return tuple(
        Dim(
            name,
            opc=outputs[axis],
            ks=kernel[axis],
            dilation=dilations[axis] if kernel[axis] > 1 else 1,
            pad=dilations[axis] * (kernel[axis] - 1) - lows[axis],
            up=strides[axis],
        )
        for axis, name in enumerate(SPATIAL_NAMES[rank])
    )


def _low_pads(
    node: Node,
    kernel: tuple[int, ...],
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[int, ...]:
    """Words cropped before the result. With `auto_pad` or `output_shape` the crop is what the result leaves over."""
    rank = len(kernel)
    mode = node.text("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID") and not node.has("output_shape"):
        return (node.integers("pads") or (0,) * rank)[:rank] if mode == "NOTSET" else (0,) * rank
    extra = node.integers("output_padding") or (0,) * rank
    lows: list[int] = []
    for axis in range(rank):
        full = strides[axis] * (inputs[axis] - 1) + extra[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        total = max(0, full - outputs[axis])
        lows.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
    return tuple(lows)
