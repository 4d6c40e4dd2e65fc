"""Tiles: the first turn of a layer's loops over time in which a wrong result is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from backends.program import GroupEntry, TensorEntry
from compiler.arrays import Array
from compiler.explanation.groups import fused_mappings
from compiler.explanation.layers import ExplainedLayer
from dialects.gconv import Dim, LoopKind, View
from dialects.gemm_mapping import GemmMapping
from dialects.schedule import Loop, Mapping, Node, Temporal

_OF_OUTPUT = (LoopKind.G, LoopKind.OP, LoopKind.OPC)


@dataclass(frozen=True)
class Tile:
    """Ranges of loops, as first and last index; how many results in them are wrong, of how many.

    On crossbars these are the core, columns of the matrix, and output vectors. Of a layer that is not known to take
    turns this `is_turn` of none: it has the ranges of the tensor's axes in which all wrong results lie, `axis 0` and
    so on.
    """

    ranges: tuple[tuple[str, int, int], ...]
    wrong: int
    elements: int
    is_turn: bool = True

    def __str__(self) -> str:
        shown = ", ".join(
            f"{name} {first}" + (f" to {last}" if last > first else "") for name, first, last in self.ranges
        )
        return f"{shown or 'the whole result'}: {self.wrong:,} of {self.elements:,} results wrong"


def first_wrong_tile(
    wrong: Array, tensor: TensorEntry, layer: ExplainedLayer | None, group: GroupEntry | None = None
) -> Tile:
    """The tile of the first wrong result in the order of execution; `wrong` is a mask of the tensor, some of it set.

    `group` is the one that the layer is in, if any.
    """
    nodes = None if layer is None else _turns(tensor, layer, group)
    results = None if layer is None or nodes is None else wrong_results(wrong, tensor, layer)
    if results is not None and nodes is not None:
        return _of_loops(results.wrong, results.indices, nodes, {dim.name: dim for dim in results.dims})
    places = np.argwhere(wrong)
    low, high = places.min(axis=0), places.max(axis=0)
    ranges = tuple((f"axis {axis}", int(low[axis]), int(high[axis])) for axis in range(wrong.ndim))
    box = wrong[tuple(slice(int(first), int(last) + 1) for first, last in zip(low, high, strict=True))]
    return Tile(ranges, int(wrong.sum()), int(box.size), is_turn=False)


@dataclass(frozen=True, eq=False)
class Results:
    """All results of a layer's loops, flat: which are wrong, and by loop the index of each."""

    wrong: Array
    indices: dict[Loop, Array]
    dims: tuple[Dim, ...]


def wrong_results(wrong: Array, tensor: TensorEntry, layer: ExplainedLayer) -> Results | None:
    """The results of a layer, of a mask of its tensor; None if none of them is wrong, or they are other elements."""
    if layer.work is None:
        return None
    dims = layer.work.spec.dims
    elements = _elements(dims, layer.work.views[-1], tensor)
    made = None if elements is None else wrong.reshape(-1)[elements]
    if made is None or not made.any():
        return None
    grid = np.indices([dim.output_extent for dim in dims]).reshape(len(dims), -1)
    return Results(made, dict(_split(dims, grid)), dims)


def _turns(tensor: TensorEntry, layer: ExplainedLayer, group: GroupEntry | None) -> tuple[Node, ...] | None:
    """The nodes of the mapping that makes a tensor, outermost first; None if several cores do, or it does not say.

    In a group its loops are around those of its last layer; earlier ones make other parts of their tensors in a turn.
    """
    if group is None:
        return None if layer.mapping is None else layer.mapping.nodes
    for mapping in fused_mappings(group):
        for number, (link, branch) in enumerate(mapping.branches, 1):
            if link in (tensor.name, tensor.onnx) and (number == len(mapping.branches) or not mapping.loops):
                return (*mapping.loops, *(branch.nodes if isinstance(branch, Mapping | GemmMapping) else ()))
    return None


def _elements(dims: tuple[Dim, ...], view: View, tensor: TensorEntry) -> Array | None:
    """For every result of the loops, in row-major order, the element of the tensor that it is; None if it has none."""
    extents = [dim.output_extent for dim in dims]
    if tuple(view.shape) != tuple(extents) or not tensor.words:
        return None
    addresses = _addresses(tensor.shape, tensor.strides, 0)
    wanted = _addresses(view.shape, view.strides, view.offset)
    order = np.argsort(addresses, kind="stable")
    found = np.searchsorted(addresses[order], wanted).clip(max=addresses.size - 1)
    elements = order[found]
    return elements if np.array_equal(addresses[elements], wanted) else None


def _addresses(shape: tuple[int, ...], strides: tuple[int, ...], offset: int) -> Array:
    """Where the elements of a strided view lie, in row-major order."""
    places = np.full(shape, offset, np.int64)
    for axis, (extent, stride) in enumerate(zip(shape, strides, strict=True)):
        places += (np.arange(extent) * stride).reshape([-1 if each == axis else 1 for each in range(len(shape))])
    return places.reshape(-1)


def _split(dims: tuple[Dim, ...], grid: Array) -> Iterator[tuple[Loop, Array]]:
    for axis, dim in enumerate(dims):
        yield Loop(dim.name, LoopKind.OPC), grid[axis] % dim.opc
        yield Loop(dim.name, LoopKind.OP), grid[axis] // dim.opc % dim.op
        yield Loop(dim.name, LoopKind.G), grid[axis] // (dim.opc * dim.op)


def _of_loops(wrong: Array, indices: dict[Loop, Array], nodes: tuple[Node, ...], dims: dict[str, Dim]) -> Tile:
    flat = wrong.reshape(-1)
    inside = np.ones(flat.shape, np.bool_)
    sizes = {loop: dims[loop.dim].count(loop.kind) for loop in indices}
    starts = dict.fromkeys(sizes, 0)
    for node in nodes:
        if isinstance(node, Temporal) and node.loop.kind in _OF_OUTPUT and node.loop in indices:
            loop, tile = node.loop, node.tile
            # The first turn that makes a wrong result, of those that are left.
            turn = (indices[loop] - starts[loop]) // tile
            first = int(turn[inside & flat].min())
            inside &= turn == first
            starts[loop] += first * tile
            sizes[loop] = min(tile, sizes[loop] - first * tile)
    ranges = tuple(
        (str(loop), starts[loop], starts[loop] + sizes[loop] - 1)
        for loop in indices
        if dims[loop.dim].count(loop.kind) > 1
    )
    return Tile(ranges, int((inside & flat).sum()), int(inside.sum()))
