"""DeformConv: a convolution whose windows read at positions moved by run-time offsets."""

from __future__ import annotations

import math

import numpy as np

from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import floating
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.sampling import linear_weights, sampled
from passes.lower_onnx.tensor import Tensor
from passes.lower_onnx.windows import Window, spatial_rank, windows_of


@lowering("DeformConv", constraints=(spatial_rank, floating()))
def deform_conv(node: Node, chain: Chain) -> Tensor:
    """for every spatial dimension positions, weights and a contraction; then the convolution of the samples"""
    x, kernel, offsets = (chain.input(node, index) for index in range(3))
    bias, mask = (chain.optional_input(node, index) for index in (3, 4))
    windows = windows_of(node, kernel.shape[2:], x.shape[2:], offsets.shape[2:])
    batch, channels = x.shape[:2]
    groups, shared = node.integer("group", 1), node.integer("offset_group", 1)
    points, outputs = math.prod(kernel.shape[2:]), math.prod(offsets.shape[2:])
    offsets = chain.reshape(offsets, (batch, shared, points, len(windows), outputs))
    weights: list[Tensor] = []
    for axis, window in enumerate(windows):
        places = chain.constant(_places(windows, axis).astype(node.dtype(2)))
        positions = chain.reshape(
            binary(chain, "add", offsets.select(3, axis), places), (batch, shared, points * outputs)
        )
        # The mask scales the samples: it goes into the weights of one dimension.
        scaling = mask is not None and axis == 0
        factors = chain.reshape(mask, (batch, shared, points * outputs)) if mask is not None and scaling else None
        weights.append(linear_weights(chain, positions, window.input, factors))
    split = chain.reshape(x, (batch, shared, channels // shared, *x.shape[2:]))
    samples = chain.reshape(sampled(chain, split, weights), (batch, groups, channels // groups, points, outputs))
    filters = kernel.shape[0] // groups
    dims = (
        Dim("N", opc=batch),
        Dim("G", g=groups),
        Dim("C", op=filters, ks=channels // groups),
        Dim("K", ks=points),
        Dim("P", opc=outputs),
    )
    kernel = chain.reshape(kernel, (1, groups, filters * (channels // groups), points, 1))
    post = () if bias is None else (Step("add", operand=0),)
    extras = [] if bias is None else [chain.reshape(bias, (1, groups, filters, 1, 1))]
    return chain.link(GConv(dims, "mul", Reduce.ADD, post=post), samples, kernel, extras)


def _places(windows: list[Window], axis: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Where, along one dimension, every point of the kernel (row) reads for every output (column) without offset."""
    window = windows[axis]
    starts = np.arange(window.output) * window.stride - window.low
    reads = np.arange(window.kernel)[:, np.newaxis] * window.dilation + starts
    rank = len(windows)
    grid = np.expand_dims(reads, [a for a in range(2 * rank) if a % rank != axis])
    shape = (*(w.kernel for w in windows), *(w.output for w in windows))
    points = math.prod(w.kernel for w in windows)
    return np.broadcast_to(grid, shape).reshape(points, -1).astype(np.float64)


DEFORMABLE_CONVOLUTION = (*deform_conv,)
