"""Gather: indices known at compile time become views, others a selection by comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import i1, i64

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Reduce, Step, View
from passes.lower_onnx.broadcasting import binary, chosen, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import constant_input
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.reduction import along
from passes.lower_onnx.tensor import Tensor

_MOST_PARTS = 16
"""Up to this many runs of indices are put side by side; more are selected by a matrix."""


@lowering("Gather")
def gather(node: Node, chain: Chain) -> Tensor:
    """views for constant indices, a product with a constant selection if they are irregular; else three links"""
    x, indices = chain.input(node, 0), chain.input(node, 1)
    axis = node.integer("axis", 0) % x.rank
    extent = x.shape[axis]
    known = node.constant_integers(1)
    if known is None:
        return _selected(chain, x, axis, _one_hot(chain, indices, extent, x))
    places = [index % extent for index in known]
    regular = _grid(x, axis, places)
    if regular is not None:
        return regular
    runs = even_runs(places)
    if len(runs) <= _MOST_PARTS:
        return chain.concat([x.slice(axis, *run) for run in runs], axis)
    return _selected(chain, x, axis, chain.constant(np.eye(extent, dtype=numpy_dtype_of(x.element_type))[places]))


def even_runs(indices: Sequence[int]) -> list[tuple[int, int, int]]:
    """The indices as (start, size, step) runs, from left to right, each as long as it can be."""
    runs: list[tuple[int, int, int]] = []
    for index in indices:
        start, size, step = runs[-1] if runs else (0, 0, 0)
        if size == 1 and index != start:
            runs[-1] = (start, 2, index - start)
        elif size > 1 and index == start + size * step:
            runs[-1] = (start, size + 1, step)
        else:
            runs.append((index, 1, 1))
    return runs


def _grid(x: Tensor, axis: int, indices: list[int]) -> Tensor | None:
    """One view, if the indices are start + i * outer + j * inner; its `axis` is split in two dimensions (i, j)."""
    array = np.array(indices)
    for columns in (n for n in range(len(indices), 0, -1) if len(indices) % n == 0):
        table = array.reshape(-1, columns)
        inner = int(table[0, 1] - table[0, 0]) if columns > 1 else 0
        outer = int(table[1, 0] - table[0, 0]) if len(table) > 1 else 0
        expected = table[0, 0] + np.arange(len(table))[:, np.newaxis] * outer + np.arange(columns) * inner
        if (table == expected).all():
            view, stride = x.view, x.view.strides[axis]
            return Tensor(
                x.base,
                View(
                    (*view.shape[:axis], *table.shape, *view.shape[axis + 1 :]),
                    (*view.strides[:axis], outer * stride, inner * stride, *view.strides[axis + 1 :]),
                    view.offset + int(array[0]) * stride,
                ),
            )
    return None


def _one_hot(chain: Chain, indices: Tensor, extent: int, like: Tensor) -> Tensor:
    """For every index a row with 1 at the place it names, 0 elsewhere, in the element type of `like`."""
    dtype = numpy_dtype_of(indices.element_type)
    column = chain.reshape(indices, (indices.size, 1))
    # Negative indices count from the end.
    wrapped = binary(chain, "mod", column, chain.constant(np.array([[extent]], dtype)))
    places = chain.constant(np.arange(extent, dtype=dtype)[np.newaxis])
    return binary(chain, "eq", wrapped, places, element_type=like.element_type)


def _selected(chain: Chain, x: Tensor, axis: int, rows: Tensor) -> Tensor:
    """The product of `rows` (selections, extent) with `x` along `axis`."""
    dims = [Dim(f"X{a}", op=n) for a, n in enumerate(x.shape)]
    dims[axis : axis + 1] = [Dim("P", opc=rows.shape[0]), Dim("V", ks=rows.shape[1])]
    others = [a for a in range(x.rank + 1) if a not in (axis, axis + 1)]
    return chain.link(GConv(tuple(dims), "mul", Reduce.ADD), rows.insert(*others), x.insert(axis))


@lowering("Compress", constraints=(constant_input(1, "condition"),))
def compress(node: Node, chain: Chain) -> Tensor:
    """views side by side"""
    x = chain.input(node, 0)
    if node.has("axis"):
        axis = node.integer("axis") % x.rank
    else:
        x, axis = chain.reshape(x, (x.size,)), 0
    kept = np.flatnonzero(np.array(node.constant_integers(1)))
    return chain.concat([x.slice(axis, *run) for run in even_runs([int(place) for place in kept])], axis)


@constraint()
def known_depth(node: Node) -> str | None:
    """`depth` is a constant"""
    return "depth computed at run time" if node.constant(1) is None else None


@lowering("OneHot", constraints=(known_depth,))
def one_hot(node: Node, chain: Chain) -> Tensor:
    """four links: indices compared with places from the start and from the end, the two choices; another for a cast"""
    indices, values = chain.input(node, 0), chain.input(node, 2)
    depth = (node.constant_integers(1) or (1,))[0]
    rank = indices.rank + 1
    axis = node.integer("axis", -1) % rank
    if node.dtype(0).name not in ("int32", "int64"):
        indices = chain.reshape(unary(chain, indices, (), i64), node.shape(0))
    places = np.arange(depth, dtype=numpy_dtype_of(indices.element_type))
    # Indices outside [-depth, depth) match no place.
    first = binary(chain, "eq", indices.insert(axis), chain.constant(along(rank, axis, places)))
    post = (Step("or", operand=0),)
    from_end = chain.constant(along(rank, axis, places - depth))
    hit = binary(chain, "eq", indices.insert(axis), from_end, post, [first], element_type=i1)
    off, on = (chain.reshape(values.slice(0, place, 1), (1,) * rank) for place in (0, 1))
    return chosen(chain, hit, on, off, node.result_shape())


GATHERING = (*gather, *compress, *one_hot)
