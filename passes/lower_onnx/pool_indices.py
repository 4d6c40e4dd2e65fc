"""Where a maximum pool found its maxima, and the way back: MaxPool's second result and MaxUnpool.

An index is a word's place in the whole tensor in row-major order, or with the spatial dimensions in column-major order
(`storage_order` 1). Of equal maxima the first in row-major order counts; padding never does. A NaN is the maximum of
its windows, as in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Reduce, Step, View
from dialects.gconv.scalar import Array
from dialects.gconv.view import row_major
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import constant_input, floating
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.padding import padded
from passes.lower_onnx.tensor import Tensor
from passes.lower_onnx.windows import Window


def indices_of_maxima(chain: Chain, x: Tensor, maxima: Tensor, windows: Sequence[Window], node: Node) -> Tensor:
    """The place of every maximum of a pool over `windows` of `x` (N, C, ...), as the second result of `node`."""
    element_type = node.result_type(1)
    planes, rank = x.shape[0] * x.shape[1], len(windows)
    inner = tuple(range(2 + rank, 2 + 2 * rank))
    occurs = binary(chain, "same", unfolded(chain, x, windows), maxima.insert(*inner), element_type=element_type)
    places = _places(windows)
    # The first place is found as the largest distance from the end.
    end = math.prod(x.shape[2:])
    distance = np.where(places < 0, 0, end - places).astype(np.int64)
    outputs, words = distance.shape
    dims = (Dim("N", opc=planes), Dim("O", g=outputs), Dim("W", ks=words))
    starts = end * np.arange(planes, dtype=np.int64).reshape(planes, 1, 1)
    in_columns = bool(node.integer("storage_order"))
    first = chain.link(
        GConv(dims, "mul", Reduce.MAX, post=(Step("rsub", operand=0),)),
        chain.reshape(occurs, (planes, outputs, words)),
        chain.constant(distance[np.newaxis]),
        [chain.constant(np.full((1, 1, 1), end) if in_columns else starts + end)],
    )
    return _in_column_major_order(chain, first, x.shape[2:], starts) if in_columns else first


def unfolded(chain: Chain, x: Tensor, windows: Sequence[Window]) -> Tensor:
    """The words of every window as an overlapping view: (N, C, outputs..., kernels...)."""
    spans = [(w.output - 1) * w.stride + (w.kernel - 1) * w.dilation + 1 for w in windows]
    ends = [span - w.low - w.input for w, span in zip(windows, spans, strict=True)]
    if any(window.low > 0 for window in windows) or any(end > 0 for end in ends):
        pads = [(window.low, end) for window, end in zip(windows, ends, strict=True)]
        x = padded(chain, x, [(0, 0), (0, 0), *pads], -math.inf)
    view = x.view
    strides = view.strides[2:]
    return Tensor(
        x.base,
        View(
            (*view.shape[:2], *(w.output for w in windows), *(w.kernel for w in windows)),
            (
                *view.strides[:2],
                *(stride * w.stride for stride, w in zip(strides, windows, strict=True)),
                *(stride * w.dilation for stride, w in zip(strides, windows, strict=True)),
            ),
            view.offset,
        ),
    )


def _places(windows: Sequence[Window]) -> Array:
    """The place in its plane of every word (column) of every window (row), -1 for padding."""
    rank = len(windows)
    places = np.zeros((1,) * (2 * rank), np.int64)
    inside = np.ones_like(places, np.bool_)
    for axis, (window, step) in enumerate(zip(windows, row_major([w.input for w in windows]), strict=True)):
        starts = np.arange(window.output) * window.stride - window.low
        along = starts[:, np.newaxis] + np.arange(window.kernel) * window.dilation
        along = np.expand_dims(along, [a for a in range(2 * rank) if a % rank != axis])
        places = places + along * step
        inside = inside & (along >= 0) & (along < window.input)
    outputs = math.prod(window.output for window in windows)
    return np.where(inside, places, -1).reshape(outputs, -1)


def _in_column_major_order(chain: Chain, places: Tensor, extents: Sequence[int], starts: Array) -> Tensor:
    """Places in row-major order turned into places in column-major order, behind the start of each plane.

    With quotients q[a] = place / stride[a], the coordinates are q[a] - q[a - 1] * extent[a]: the result is a weighted
    sum of the quotients.
    """
    columns = [math.prod(extents[:axis]) for axis in range(len(extents))]
    post, extras = [Step("add", operand=0)], [chain.constant(starts)]
    for axis, stride in enumerate(row_major(extents)[:-1]):
        weight = _number(chain, columns[axis] - columns[axis + 1] * extents[axis + 1])
        post.append(Step("add", operand=len(extras)))
        extras.append(binary(chain, "div", places, _number(chain, stride), (Step("mul", operand=0),), [weight]))
    return binary(chain, "mul", places, _number(chain, columns[-1]), post, extras)


def _number(chain: Chain, value: int) -> Tensor:
    return chain.constant(np.full((1, 1, 1), value, np.int64))


@lowering("MaxUnpool", constraints=(constant_input(2, "output_shape"), floating()))
def max_unpool(node: Node, chain: Chain) -> Tensor:
    """one link that writes at computed addresses, after a copy of zeros; one more if the output is larger"""
    x, indices = chain.input(node, 0), chain.input(node, 1)
    extents = _unpooled_extents(node, x.shape[2:])
    places = math.prod((*x.shape[:2], *extents))
    zero = chain.constant(np.zeros(1, numpy_dtype_of(x.element_type)))
    # Windows that overlap name a place several times, with the same word.
    result = chain.scatter(
        chain.reshape(x, (x.size,)),
        chain.reshape(indices, (x.size, 1)),
        View((x.size, places), (0, 1)),
        zero.expand((places,)),
    )
    plane = chain.reshape(result, (*x.shape[:2], *extents))
    ends = [(0, n - m) for n, m in zip(node.result_shape()[2:], extents, strict=True)]
    return plane if not any(end for _, end in ends) else padded(chain, plane, [(0, 0), (0, 0), *ends], 0.0)


def _unpooled_extents(node: Node, inputs: Sequence[int]) -> list[int]:
    """The spatial extents that the indices count in: those of the pool's input, were its windows to fill it."""
    rank = len(inputs)
    kernel = node.integers("kernel_shape")
    strides = node.integers("strides") or (1,) * rank
    pads = node.integers("pads") or (0,) * (2 * rank)
    return [(n - 1) * strides[axis] + kernel[axis] - pads[axis] - pads[rank + axis] for axis, n in enumerate(inputs)]


POOL_INDICES = (*max_unpool,)
