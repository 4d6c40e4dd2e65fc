"""Conv: one link, a group per `g`, output channels per `op`, input channels and kernel words per `ks`."""

from __future__ import annotations

from dataclasses import replace

from xdsl.ir import Attribute

from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor
from passes.lower_onnx.windows import AUTO_PAD, spatial_rank, windows_of


@lowering("Conv", constraints=(spatial_rank, AUTO_PAD))
def conv(node: Node, chain: Chain) -> Tensor:
    """one link; the bias is a post step"""
    x, weights, bias = chain.input(node, 0), chain.input(node, 1), chain.optional_input(node, 2)
    if bias is None:
        return convolution(node, chain, x, weights)
    extra = chain.reshape(bias, (1, bias.size, *(1 for _ in x.shape[2:])))
    return convolution(node, chain, x, weights, (Step("add", operand=0),), (extra,))


def convolution(
    node: Node,
    chain: Chain,
    x: Tensor,
    weights: Tensor,
    post: tuple[Step, ...] = (),
    extras: tuple[Tensor, ...] = (),
    *,
    acc: str | None = None,
    pad_value: float | None = None,
    element_type: Attribute | None = None,
) -> Tensor:
    """A convolution with the windows and groups of `node`; `extras`, read by `post`, have the rank of the result."""
    groups = node.integer("group", 1)
    outputs, inputs = weights.shape[:2]
    windows = windows_of(node, weights.shape[2:], x.shape[2:], node.result_shape()[2:])
    for axis, window in enumerate(windows):
        if window.is_strided_point:
            x = x.slice(2 + axis, 0, window.output, window.stride)
            windows[axis] = replace(window, stride=1)
    dims = (
        Dim("N", opc=x.shape[0]),
        Dim("C", g=groups, op=outputs // groups, ks=inputs),
        *(window.dim for window in windows),
    )
    kernel = chain.reshape(weights, (1, outputs * inputs, *weights.shape[2:]))
    spec = GConv(dims, "mul", Reduce.ADD, post=post, pad_value=pad_value, acc=acc)
    return chain.link(spec, x, kernel, extras, element_type)


def with_bias(chain: Chain, spec: GConv, x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """A link over (N, C, spatial) whose post step adds a bias per channel, if there is one."""
    if bias is None:
        return chain.link(spec, x, kernel)
    extra = chain.reshape(bias, (1, bias.size, *(1 for _ in spec.dims[2:])))
    return chain.link(replace(spec, post=(Step("add", operand=0),)), x, kernel, [extra])
