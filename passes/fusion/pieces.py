"""What links bring in pieces: tensors whose places stand within a link, below loops of its own.

In a turn a link's own loops, those of its mapping above the `store` that gives a tensor its place, cut what the turn
works, from the lowest index on; tiles without work are left out. The place holds a piece; a piece that is there already
is not brought again, and when the link's part of the turn is over nothing stays. Pieces never overlap: own loops that
would make them (rows whose windows do) are refused, so that numbers follow from how many turns own loops make.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dialects.fused_mapping import FusedMapping
from dialects.gconv.spec import Dim, LoopKind
from dialects.schedule import Loop, Spatial, Storage, Temporal
from dialects.schedule import Operand as Part
from passes.fusion.group import Group, GroupLink, Operand, Role
from passes.fusion.inference import Tiles, infer
from passes.fusion.region import Box, Counts, Region, Table, any_of

IGNORED = {Part.INPUT: LoopKind.OP, Part.KERNEL: LoopKind.OPC, Part.OUTPUT: LoopKind.KS}
"""The loops that make no difference to which elements of an operand are used."""
RESULTS = (LoopKind.G, LoopKind.OP, LoopKind.OPC)
_ROLES = {Role.INPUT: Part.INPUT, Role.KERNEL: Part.KERNEL}


@dataclass(frozen=True)
class Use:
    """What a link uses of a tensor in a place of its own: the words of it in every turn, and those moved in all."""

    counts: Counts
    """An extent of 1 where a loop around the group makes no difference."""
    moved: int

    @staticmethod
    def whole(region: Region) -> Use:
        """The place holds all that a turn uses."""
        return Use(region.counts, region.total)

    @property
    def largest(self) -> int:
        """The words of the place."""
        return int(self.counts.max())


def own_loops(mapping: FusedMapping, link: GroupLink, tensor: str) -> tuple[Temporal | Spatial, ...]:
    """The loops of a link above its own place of a tensor; none where the place holds all that a turn uses."""
    retention, operand = mapping.retention(tensor), part_of_link(link, tensor)
    nest = mapping.nests.get(link.name)
    if nest is None or operand is None or retention.level is not None:
        return ()
    above: list[Temporal | Spatial] = []
    for node in nest.nodes:
        if not isinstance(node, Storage):
            above.append(node)
        elif node.memory == retention.memory and operand in node.operands:
            return tuple(above)
    return ()


def has_pieces(group: Group, mapping: FusedMapping) -> bool:
    """Whether any link brings a tensor in pieces."""
    return any(own_loops(mapping, link, tensor) for link in group.links for tensor in _tensors(link))


def part_of_link(link: GroupLink, tensor: str) -> Part | None:
    """What a tensor is to a link that uses it once: its input, kernel or result, as mappings call it."""
    if link.result == tensor:
        return Part.OUTPUT
    roles = [operand.role for operand in link.operands if operand.tensor == tensor]
    return _ROLES.get(roles[0]) if len(roles) == 1 else None


def piece_problems(group: Group, mapping: FusedMapping) -> Iterator[tuple[str, str, str]]:
    """Own loops whose pieces this model cannot tell apart: link, what is wrong, and a hint."""
    hint = "store the tensor above this loop, or leave it off-chip in the group's mapping"
    cut = [link for link in group.links if any(own_loops(mapping, link, name) for name in _tensors(link))]
    tiles = infer(group, mapping) if cut else None
    for link in cut:
        if tiles is not None and not is_product(link, tiles.made[link.result]):
            message = f"{link.name}: what a turn makes is no product of ranges, and cannot be cut"
            yield link.name, message, hint
    for link in group.links:
        for tensor in _tensors(link):
            nodes = own_loops(mapping, link, tensor)
            loops = [node.loop for node in nodes]
            for number, node in enumerate(nodes):
                if isinstance(node, Spatial):
                    yield link.name, f"{node} stands above the place of {tensor}", hint
                elif node.loop in loops[:number]:
                    yield link.name, f"{node}: two loops above the place of {tensor} cut {node.loop}", hint
                elif _axis_of(group, link, tensor, node) is None:
                    yield link.name, f"{node}: pieces of {tensor} would overlap", hint


def is_cut_evenly(group: Group, link: GroupLink, tensor: str, loop: Loop) -> bool:
    """Whether a loop of a link cuts what it uses of a tensor into equal pieces that do not overlap, none in padding."""
    axis = _axis_of(group, link, tensor, Temporal(loop, 1))
    if axis is None or axis is _NONE:
        return False
    count = next(dim.count(loop.kind) for dim in link.spec.dims if dim.name == loop.dim)
    sizes = np.bincount(axis[1][axis[1] >= 0], minlength=count)
    return int(sizes.min()) == int(sizes.max()) > 0


def _tensors(link: GroupLink) -> list[str]:
    return list(dict.fromkeys([*(operand.tensor for operand in link.operands), link.result]))


def pieces(tiles: Tiles, link: GroupLink, tensor: str, loops: tuple[Temporal, ...]) -> Use:
    """What a link uses of a tensor whose place stands below own loops of the link, which have no `piece_problems`."""
    group = tiles.group
    region = tiles.made[tensor] if link.result == tensor else tiles.reads[link.name, tensor]
    ranges = [_worked(tiles, link, node) for node in loops]
    axes = [_axis_of(group, link, tensor, node) for node in loops]
    again: Counts = np.ones((1,) * len(tiles.turns), np.int64)
    inner: Counts = again
    for (_, count), axis in zip(reversed(ranges), reversed(axes), strict=True):
        if axis is _NONE:
            again = again * np.where(inner > 1, np.maximum(count, 1), 1)
        else:
            inner = inner * np.maximum(count, 1)
    cuts = [
        _Cut(axis[0], axis[1], low, node.tile)
        for node, (low, _), axis in zip(loops, ranges, axes, strict=True)
        if axis is not None and axis is not _NONE
    ]
    moved = int(np.broadcast_to(region.counts * again, tiles.turns).sum())
    return Use(_largest_pieces(region, cuts), moved)


# Which indices of a tensor belong to which index of a loop ------------------------------------------------------------

Indices = npt.NDArray[np.int64]
_Axis = tuple[int, Indices]
"""An axis of a tensor's region, and the index of a loop that each of its indices belongs to, -1 for none."""
_NONE: _Axis = (-1, np.zeros(0, np.int64))
"""The loop makes no difference."""


@dataclass(frozen=True)
class _Cut:
    """A loop that cuts an axis: the index of the loop by that of the axis, the lowest in every turn, the tile."""

    axis: int
    indices: Indices
    low: Indices
    tile: int


def _axis_of(group: Group, link: GroupLink, tensor: str, node: Temporal) -> _Axis | None:
    """The axis that an own loop cuts; `_NONE` if there is none, None if pieces would not be apart."""
    operand = part_of_link(link, tensor)
    assert operand is not None
    place = next(index for index, dim in enumerate(link.spec.dims) if dim.name == node.loop.dim)
    dim, kind = link.spec.dims[place], node.loop.kind
    if kind is IGNORED[operand] or dim.count(kind) == 1:
        return _NONE
    if operand is Part.OUTPUT:
        return place, _results(dim, kind)
    if group.is_kernel_alone(tensor):
        results = np.arange(dim.g * dim.op)
        return (2 * place + 1, np.arange(dim.ks)) if kind is LoopKind.KS else (
            2 * place, results // dim.op if kind is LoopKind.G else results % dim.op
        )  # fmt: skip
    read = next(each for each in link.operands if each.tensor == tensor)
    return _through(read, place, _operand_indices(dim, kind, read, place), group.tensor(tensor).shape)


def _results(dim: Dim, kind: LoopKind) -> Indices:
    at = np.unravel_index(np.arange(dim.output_extent), (dim.g, dim.op, dim.opc))
    return at[RESULTS.index(kind)]


def _operand_indices(dim: Dim, kind: LoopKind, operand: Operand, place: int) -> Indices | None:
    """The index of a loop that every index of an operand's dimension belongs to."""
    extent = operand.shape[place]
    index = np.arange(extent)
    if operand.role is Role.KERNEL:
        at = np.unravel_index(index, (dim.g, dim.op, dim.ks))
        return at[(LoopKind.G, LoopKind.OP, LoopKind.KS).index(kind)]
    group = extent // dim.g
    if kind is LoopKind.G:
        return index // group
    if dim.opc > 1 and dim.ks > 1:
        return None
    step = dim.dilation if kind is LoopKind.KS else dim.stride
    position = index % group * dim.up + dim.pad
    found = position // step
    return np.where((position % step == 0) & (found >= 0) & (found < dim.count(kind)), found, -1)


def _through(operand: Operand, place: int, indices: Indices | None, shape: tuple[int, ...]) -> _Axis | None:
    """Indices of an operand's dimension as those of the tensor's axis that it alone moves."""
    moved = [axis for axis, index in enumerate(operand.axes) if any(dim == place for dim, _ in index.terms)]
    if not moved:
        return _NONE
    if indices is None or len(moved) > 1 or len(operand.axes[moved[0]].terms) > 1:
        return None
    (axis,), found = moved, np.full(shape[moved[0]], -1, np.int64)
    ((_, step),) = operand.axes[axis].terms
    found[operand.axes[axis].offset + step * np.arange(operand.shape[place])] = indices
    return axis, found


# How many turns own loops make, and how large pieces are --------------------------------------------------------------


def _worked(tiles: Tiles, link: GroupLink, node: Temporal) -> tuple[Indices, Indices]:
    """The lowest index of a loop that a link works in every turn, and in how many tiles from there on it works."""
    place = next(index for index, dim in enumerate(link.spec.dims) if dim.name == node.loop.dim)
    dim, kind = link.spec.dims[place], node.loop.kind
    count = dim.count(kind)
    worked: Table = np.zeros((1,) * len(tiles.turns) + (count,), np.bool_)
    for box in tiles.made[link.result].boxes:
        indices = np.ones_like(worked) if kind is LoopKind.KS else _indices_of(dim, kind, box[place])
        worked = np.asarray(worked | (indices & _is_there(box)), np.bool_)
    if kind is LoopKind.KS:
        # Its last axis for a dimension are the kernel positions (`access.operations`).
        every = [box[2 * place + 1] for box in tiles.worked[link.name].boxes]
        worked = np.asarray(_union(every) & worked, np.bool_) if every else worked
    low: Indices = np.argmax(worked, axis=-1)
    by_tile = _by_piece(worked, [_Cut(0, np.arange(count), low, node.tile)])
    return low, np.count_nonzero(by_tile, axis=-1)


def _indices_of(dim: Dim, kind: LoopKind, results: Table) -> Table:
    split = results.reshape(*results.shape[:-1], dim.g, dim.op, dim.opc)
    axis = RESULTS.index(kind) - 3
    return np.asarray(split.any(axis=tuple(each for each in (-3, -2, -1) if each != axis)), np.bool_)


def _is_there(box: Box) -> Table:
    """Whether there is anything of a box, in every turn."""
    return np.asarray(np.logical_and.reduce(np.broadcast_arrays(*(any_of(table, -1) for table in box))), np.bool_)


def _largest_pieces(region: Region, cuts: list[_Cut]) -> Counts:
    """The words of the largest piece in every turn, of what is a product in each."""
    if not region.boxes:
        return region.counts
    largest: Counts = np.ones((1,) * len(region.turns), np.int64)
    for axis, table in enumerate(_product_of(region)):
        largest = largest * _by_piece(table, [cut for cut in cuts if cut.axis == axis]).max(axis=-1)
    return largest


def _product_of(region: Region) -> Box:
    """The smallest box around what there is in every turn."""
    there = [tuple(table & _is_there(box) for table in box) for box in region.boxes]
    return tuple(_union(tables) for tables in zip(*there, strict=True))


def _union(tables: Sequence[Table]) -> Table:
    return np.asarray(np.logical_or.reduce(np.broadcast_arrays(*tables)), np.bool_)


def is_product(link: GroupLink, made: Region) -> bool:
    """Whether what a link makes is, in every turn, a product of indices of its loops."""
    words: Counts = np.ones((1,) * len(made.turns), np.int64)
    for dim, table in zip(link.spec.dims, _product_of(made), strict=False):
        for kind in RESULTS:
            words = words * np.count_nonzero(_indices_of(dim, kind, table), axis=-1)
    return not made.boxes or bool((words == made.counts).all())


def _by_piece(table: Table, cuts: list[_Cut]) -> Counts:
    """How many indices of an axis are in which piece, in every turn: (turns ..., pieces)."""
    if not cuts:
        return np.count_nonzero(table, axis=-1, keepdims=True).astype(np.int64)
    pieces_: Indices = np.zeros((1,) * table.ndim, np.int64)
    for cut in cuts:
        count = -(-(int(cut.indices.max()) + 1) // cut.tile)
        pieces_ = pieces_ * count + (cut.indices - cut.low[..., np.newaxis]) // cut.tile
    there, which = np.broadcast_arrays(table, pieces_)
    turns, count = there.shape[:-1], int(pieces_.max()) + 1
    flat = (np.arange(math.prod(turns)).reshape(*turns, 1) * count + which)[there]
    return np.bincount(flat, minlength=math.prod(turns) * count).reshape(*turns, count)
