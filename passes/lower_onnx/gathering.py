"""Reading at given places: indices known at compile time become views, others an indexed view of the input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.dialects.builtin import i1, i64

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Step, View
from passes.lower_onnx.arithmetic import Value
from passes.lower_onnx.broadcasting import binary, chosen, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.declared_results import unless
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.reduction import along
from passes.lower_onnx.tensor import Tensor

_MOST_PARTS = 16
"""Up to this many runs of constant indices are put side by side; more are looked up."""


@constraint()
def inside_axis(node: Node) -> str | None:
    """constant indices name existing places"""
    known = node.constant_integers(1)
    extent = node.shape(0)[node.integer("axis", 0)]
    outside = [index for index in known or () if not -extent <= index < extent]
    return f"index {outside[0]} along {extent} places" if outside else None


@lowering("Gather", constraints=(inside_axis,))
def gather(node: Node, chain: Chain) -> Tensor:
    """views for constant indices, one link if they are irregular; else one link that reads at computed addresses"""
    x = chain.input(node, 0)
    axis = node.integer("axis", 0) % x.rank
    known = node.constant_integers(1)
    if known is not None:
        return taken(chain, x, axis, [index % x.shape[axis] for index in known])
    return looked_up(chain, x, axis, chain.input(node, 1))


def taken(chain: Chain, x: Tensor, axis: int, places: Sequence[int]) -> Tensor:
    """The elements at known places along `axis`, one after another; a regular grid of places may split the axis."""
    regular = _grid(x, axis, places)
    if regular is not None:
        return regular
    runs = even_runs(places)
    if len(runs) <= _MOST_PARTS:
        return chain.concat([x.slice(axis, *run) for run in runs], axis)
    return looked_up(chain, x, axis, chain.constant(np.array(places, np.int32)))


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


def _grid(x: Tensor, axis: int, indices: Sequence[int]) -> Tensor | None:
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


def looked_up(chain: Chain, x: Tensor, axis: int, indices: Tensor) -> Tensor:
    """A copy of the elements at computed places along `axis`, in whose stead stand the dimensions of the indices."""
    reach = innermost(x.view, axis, indices.shape)
    before, after = range(axis), range(axis + indices.rank, x.rank - 1 + indices.rank)
    return chain.gather(Tensor(x.base, reach), indices.insert(*before, *after, x.rank - 1 + indices.rank))


def innermost(view: View, axis: int, repeated: Sequence[int]) -> View:
    """The view with `axis` last, and dimensions of the extents `repeated`, which repeat, in its place."""
    others = [a for a in range(len(view.shape)) if a != axis]
    moved = view.permute([*others, axis])
    for position in range(axis, axis + len(repeated)):
        moved = moved.insert(position)
    return moved.expand((*moved.shape[:axis], *repeated, *moved.shape[axis + len(repeated) :]))


@lowering("GatherElements")
def gather_elements(node: Node, chain: Chain) -> Tensor:
    """one link that reads at computed addresses"""
    x, indices = chain.input(node, 0), chain.input(node, 1)
    axis = node.integer("axis", 0) % x.rank
    return chain.gather(Tensor(x.base, elements_along(x.view, axis, indices.shape)), indices.insert(indices.rank))


def elements_along(view: View, axis: int, shape: Sequence[int]) -> View:
    """The elements that an index tensor of `shape` can name along `axis`, the other places being its own."""
    for other, size in enumerate(shape):
        if other != axis:
            view = view.slice(other, 0, size)
    return innermost(view, axis, (shape[axis],))


@lowering("GatherND")
def gather_nd(node: Node, chain: Chain) -> Tensor:
    """one link that reads at computed addresses"""
    x, indices = chain.input(node, 0), chain.input(node, 1)
    batch, components = node.integer("batch_dims", 0), indices.shape[-1]
    named = range(batch, batch + components)
    own = x.permute([a for a in range(x.rank) if a not in named] + list(named)).view
    repeated = indices.shape[batch:-1]
    for position in range(batch, batch + len(repeated)):
        own = own.insert(position)
    reach = own.expand((*own.shape[:batch], *repeated, *own.shape[batch + len(repeated) :]))
    inner = x.rank - batch - components
    return chain.gather(Tensor(x.base, reach), indices.insert(*range(indices.rank - 1, indices.rank - 1 + inner)))


@lowering("ReverseSequence")
def reverse_sequence(node: Node, chain: Chain) -> Tensor:
    """one link that reads at computed addresses; two links compute them from lengths that are not constant"""
    x, lengths = chain.input(node, 0), chain.input(node, 1)
    time, batch = node.integer("time_axis", 0), node.integer("batch_axis", 1)
    x = x.permute([time, batch, *range(2, x.rank)])
    steps = np.arange(x.shape[0])[:, np.newaxis]
    known = node.constant(1)
    if known is not None:
        indices = chain.constant(np.where(steps < known, known - 1 - steps, steps).astype(np.int32))
    else:
        # With 1 for the steps to reverse and 0 for the others: t + within * (length - 1 - 2 * t).
        now, twice = (
            chain.constant(array.astype(numpy_dtype_of(lengths.element_type))) for array in (steps, 2 * steps + 1)
        )
        within = binary(chain, "gt", lengths, now)
        indices = binary(chain, "sub", lengths, twice, (Step("mul", operand=0), Step("add", operand=1)), (within, now))
    result = chain.gather(Tensor(x.base, elements_along(x.view, 0, x.shape)), indices.insert(*range(2, x.rank), x.rank))
    return result.permute([time, batch, *range(2, x.rank)])


@constraint(hint="the number of results would depend on data")
def known_condition(node: Node) -> str | None:
    """`condition` is a constant that chooses something"""
    condition = node.constant(1)
    return "condition computed at run time" if condition is None else None if condition.any() else "nothing chosen"


@lowering("Compress", constraints=(known_condition,))
def compress(node: Node, chain: Chain) -> Tensor:
    """views, or one link if the chosen places are irregular"""
    x, condition = chain.input(node, 0), node.constant(1)
    assert condition is not None
    places = [int(place) for place in np.flatnonzero(condition)]
    if not node.has("axis"):
        return taken(chain, chain.reshape(x, (x.size,)), 0, places)
    return taken(chain, x, node.integer("axis") % x.rank, places)


@lowering("OneHot", declared_extents=True)
def one_hot(node: Node, chain: Chain) -> Tensor:
    """four links: indices compared with places from the start and from the end, the two choices; another for a cast,
    and a few that check a depth computed at run time"""
    indices = chain.input(node, 0)
    rank = indices.rank + 1
    axis = node.integer("axis", -1) % rank
    depth = node.result_shape()[axis]
    is_other = 1 - Value.input(chain, node, 1).as_type(np.int64).equals(depth)
    values = unless(chain, is_other, chain.input(node, 2))
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


GATHERING = (*gather, *gather_elements, *gather_nd, *reverse_sequence, *compress, *one_hot)
