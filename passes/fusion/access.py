"""Which elements the operands of a link read for a set of its results, axis by axis (`dialects.gconv.spec`)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dialects.gconv.spec import PASS, Dim
from passes.fusion.group import AxisIndex, GroupLink, Operand, Role
from passes.fusion.region import Box, Table, any_of, is_still

_KEPT = 1 << 12
"""Tables that no loop moves that are kept of each kind: most of those of a network."""

Window = tuple[Table, Table]
"""Of one dimension of a link: which results, and which kernel positions (`ks`) of each are worked through."""


def operations(link: GroupLink, tile: tuple[Window, ...]) -> Box:
    """The operations of a tile of a link as a box: results times kernel positions.

    Without a kernel `op` repeats results and is no work.
    """
    axes: list[Table] = []
    for dim, (results, positions) in zip(link.spec.dims, tile, strict=True):
        if link.spec.main == PASS and dim.op > 1:
            results = any_of(_split(results, dim), -2).reshape(*results.shape[:-1], dim.g * dim.opc)
        axes += [results, positions]
    return tuple(axes)


def accessed(operand: Operand, link: GroupLink, tile: tuple[Window, ...], shape: tuple[int, ...]) -> Box:
    """The elements of an operand's tensor, which has this shape, that a tile of its link reads."""
    dims = zip(link.spec.dims, operand.shape, tile, strict=True)
    indices = [_operand_indices(operand.role, dim, extent, window) for dim, extent, window in dims]
    axes = [_axis_indices(axis, extent, indices) for axis, extent in zip(operand.axes, shape, strict=True)]
    # Where a dimension that moves no axis has no index at all, nothing is read.
    moving = {dim for axis in operand.axes for dim, _ in axis.terms}
    for dim, table in enumerate(indices):
        if dim not in moving and not (is_still(table) and table.any()):
            axes[0] = axes[0] & any_of(table, -1)
    return tuple(axes)


def kernel_factors(link: GroupLink, tile: tuple[Window, ...]) -> Box:
    """The kernel of a link that a tile reads, with two axes for each dimension: (g, op) together, and ks.

    A kernel's one index for both would make tables of their product.
    """
    axes: list[Table] = []
    for dim, (results, positions) in zip(link.spec.dims, tile, strict=True):
        kernels = any_of(_split(results, dim), -1)
        axes += [kernels.reshape(*kernels.shape[:-3], dim.g * dim.op), positions]
    return tuple(axes)


def _split(results: Table, dim: Dim) -> Table:
    """Results of a dimension by their indices of g, op and opc."""
    return results.reshape(*results.shape[:-1], dim.g, dim.op, dim.opc)


def _operand_indices(role: Role, dim: Dim, extent: int, window: Window) -> Table:
    """Which of an operand's `extent` indices of one dimension are read."""
    results, positions = window
    if not (is_still(results) and is_still(positions)):
        return _indices_read(role, dim, extent, results, positions)
    # such tables are those of any other loops
    found = _still_indices(role, dim, extent, results.tobytes(), positions.tobytes())
    return found.reshape((1,) * (results.ndim - 1) + found.shape)


@lru_cache(_KEPT)
def _still_indices(role: Role, dim: Dim, extent: int, results: bytes, positions: bytes) -> Table:
    return _unchanging(
        _indices_read(role, dim, extent, *(np.frombuffer(each, np.bool_) for each in (results, positions)))
    )


def _unchanging(table: Table) -> Table:
    table.flags.writeable = False
    return table


def _indices_read(role: Role, dim: Dim, extent: int, results: Table, positions: Table) -> Table:
    match role:
        case Role.INPUT:
            return _input_indices(dim, extent, any_of(_split(results, dim), -2)[..., 0, :], positions)
        case Role.KERNEL:
            kernel = any_of(_split(results, dim), -1) & positions[..., np.newaxis, np.newaxis, :]
            return kernel.reshape(*kernel.shape[:-3], dim.kernel_extent)
        case Role.POST:
            return results if extent == dim.output_extent else any_of(results, -1)


def _input_indices(dim: Dim, extent: int, results: Table, positions: Table) -> Table:
    """Input indices that the windows of results (by g and opc) cover; what is padding is no index."""
    group = extent // dim.g
    loops = np.broadcast_shapes(results.shape[:-2], positions.shape[:-1])
    read = np.zeros((*loops, dim.g, group), np.bool_)
    starts, offsets = np.arange(dim.opc) * dim.stride - dim.pad, np.arange(dim.ks) * dim.dilation
    if dim.opc <= dim.ks:
        for opc, start in enumerate(starts):
            where, inside = _positions(offsets + start, dim.up, group)
            read[..., where] |= results[..., opc, np.newaxis] & positions[..., np.newaxis, inside]
    else:
        for ks, offset in enumerate(offsets):
            where, inside = _positions(starts + offset, dim.up, group)
            read[..., where] |= results[..., inside] & positions[..., np.newaxis, ks, np.newaxis]
    return read.reshape(*loops, dim.g * group)


Indices = slice | npt.NDArray[np.int64]


def _positions(dilated: npt.NDArray[np.int64], up: int, extent: int) -> tuple[Indices, Indices]:
    """The input indices of evenly rising positions in the dilated input, and which of the positions have one."""
    inside = np.flatnonzero((dilated >= 0) & (dilated % up == 0) & (dilated // up < extent))
    if up > 1 or not len(inside):
        return dilated[inside] // up, inside
    # slices are much faster
    first, last = int(inside[0]), int(inside[-1])
    step = int(dilated[1] - dilated[0]) if len(dilated) > 1 else 1
    return slice(int(dilated[first]), int(dilated[last]) + 1, step), slice(first, last + 1)


def _axis_indices(axis: AxisIndex, extent: int, indices: list[Table]) -> Table:
    """Which indices of a tensor's axis the indices of an operand's dimensions amount to."""
    tables = [indices[dim] for dim, _ in axis.terms]
    if axis.offset == 0 and [step for _, step in axis.terms] == [1] and tables[0].shape[-1] == extent:
        return tables[0]
    loops = indices[0].ndim - 1
    if not all(map(is_still, tables)):
        return _indices_together(axis, extent, loops, tables)
    found = _still_together(axis, extent, tuple(table.tobytes() for table in tables))
    return found.reshape((1,) * loops + found.shape)


@lru_cache(_KEPT)
def _still_together(axis: AxisIndex, extent: int, tables: tuple[bytes, ...]) -> Table:
    return _unchanging(_indices_together(axis, extent, 0, [np.frombuffer(table, np.bool_) for table in tables]))


def _indices_together(axis: AxisIndex, extent: int, loops: int, tables: list[Table]) -> Table:
    """The same of tables of some loops, one for each of the axis' terms."""
    sums: Table = np.ones((1,) * (loops + 1), np.bool_)
    where: npt.NDArray[np.int64] = np.full(1, axis.offset, np.int64)
    for (_, step), table in zip(axis.terms, tables, strict=True):
        sums = sums[..., :, np.newaxis] & table[..., np.newaxis, :]
        sums = sums.reshape(*sums.shape[:-2], sums.shape[-2] * sums.shape[-1])
        further: npt.NDArray[np.int64] = step * np.arange(table.shape[-1], dtype=np.int64)
        where = np.add.outer(where, further).ravel()
    if np.array_equal(where, np.arange(extent)):
        return sums
    read = np.zeros((*sums.shape[:-1], extent), np.bool_)
    if len(np.unique(where)) == len(where):
        read[..., where] = sums
    else:
        for index, position in enumerate(where.tolist()):
            read[..., position] |= sums[..., index]
    return read
