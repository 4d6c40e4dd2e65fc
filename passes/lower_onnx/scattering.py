"""Writing at computed places: the data with updates stored at the addresses that indices give."""

from __future__ import annotations

import numpy as np

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Reduce, View
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import attribute_is
from passes.lower_onnx.gathering import elements_along
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor


@constraint()
def numeric_reduction(node: Node) -> str | None:
    """`reduction` is one of none, add, mul, max and min, and not of booleans unless none"""
    name = node.text("reduction", "none")
    if name not in set(Reduce):
        return f"reduction = {name!r}"
    return f"{name} of booleans" if name != "none" and node.dtype(0).kind == "b" else None


@lowering("Scatter", "ScatterElements", constraints=(numeric_reduction,))
def scatter_elements(node: Node, chain: Chain) -> Tensor:
    """one link that writes at computed addresses, after a copy of the data if others read it too"""
    data, indices, updates = (chain.input(node, index) for index in range(3))
    axis = node.integer("axis", 0) % data.rank
    reach = elements_along(View.dense(data.shape), axis, indices.shape)
    return chain.scatter(updates, indices.insert(indices.rank), reach, data, Reduce(node.text("reduction", "none")))


@lowering("ScatterND", constraints=(numeric_reduction,))
def scatter_nd(node: Node, chain: Chain) -> Tensor:
    """one link that writes at computed addresses, after a copy of the data if others read it too"""
    data, indices, updates = (chain.input(node, index) for index in range(3))
    repeated, components = indices.shape[:-1], indices.shape[-1]
    own = View.dense(data.shape).permute([*range(components, data.rank), *range(components)])
    for position in range(len(repeated)):
        own = own.insert(position)
    reach = own.expand((*repeated, *own.shape[len(repeated) :]))
    inner = range(indices.rank - 1, indices.rank - 1 + data.rank - components)
    return chain.scatter(updates, indices.insert(*inner), reach, data, Reduce(node.text("reduction", "none")))


@lowering("TensorScatter", constraints=(attribute_is("mode", "linear", "circular"),))
def tensor_scatter(node: Node, chain: Chain) -> Tensor:
    """one link that writes at computed addresses, after a copy of the data; one more for circular places"""
    data, updates = chain.input(node, 0), chain.input(node, 1)
    axis = node.integer("axis", -2) % data.rank
    batch, extent, length = data.shape[0], data.shape[axis], updates.shape[axis]
    given = chain.optional_input(node, 2)
    start = chain.constant(np.zeros(batch, np.int32)) if given is None else given
    others = [1] * (data.rank - 1)
    if node.text("mode", "linear") == "linear":
        # The first place is an index, the others follow it.
        whole = View.dense(data.shape)
        own = whole.slice(axis, 0, length)
        last = whole.slice(axis, 0, extent - length + 1)
        reach = View((*own.shape, last.shape[axis]), (*own.strides, last.strides[axis]), 0)
        return chain.scatter(updates, chain.reshape(start, (batch, *others, 1)), reach, data)
    dtype = numpy_dtype_of(start.element_type)
    along = np.arange(length, dtype=dtype).reshape([length if a == axis else 1 for a in range(data.rank)])
    places = binary(chain, "add", chain.reshape(start, (batch, *others)), chain.constant(along))
    index = binary(chain, "mod", places, chain.constant(np.full([1] * data.rank, extent, dtype)))
    return chain.scatter(
        updates, index.insert(data.rank), elements_along(View.dense(data.shape), axis, updates.shape), data
    )


SCATTERING = (*scatter_elements, *scatter_nd, *tensor_scatter)
