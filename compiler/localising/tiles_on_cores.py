"""Tiles of layers over several cores: what a core makes of some columns of a matrix, or of a loop, in one turn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from backends.program import TensorEntry
from compiler.arrays import Array
from compiler.explanation.layers import ExplainedLayer
from compiler.localising.tiles import Tile, wrong_results
from dialects.accelerator import Accelerator
from dialects.gconv import GConv, LoopKind
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarMapping, VectorMapping, share
from dialects.schedule import Loop
from passes.multicore.matrix import Grid, Matrix, Part
from passes.multicore.rounds import rounds

Indices = dict[Loop, Array]
"""By loop, its index for every result."""


def first_wrong_tile_on_cores(
    wrong: Array, tensor: TensorEntry, layer: ExplainedLayer | None, machine: Accelerator
) -> Tile | None:
    """The tile of the first wrong result of a layer over several cores; None if it is not known to be over any.

    On crossbars it is what a core makes of its columns for the output vectors of a turn, by the number of the turn in
    which it ends their sums; on vector units what the first core makes that makes a wrong result.
    """
    if layer is None or layer.work is None or layer.on_cores is None or not isinstance(machine, MulticoreMachine):
        return None
    found, spec, mapping = wrong_results(wrong, tensor, layer), layer.work.spec, layer.on_cores
    if found is None or not found.indices:
        return None
    if isinstance(mapping, VectorMapping):
        return _on_vector_units(found.wrong, found.indices, spec, mapping)
    return _on_crossbars(found.wrong, found.indices, spec, mapping, machine)


def _on_vector_units(wrong: Array, indices: Indices, spec: GConv, mapping: VectorMapping) -> Tile | None:
    if mapping.loop is None:
        return _tile([("core", mapping.cores[0], mapping.cores[0])], wrong, np.ones(wrong.shape, np.bool_))
    dim = next((dim for dim in spec.dims if dim.name == mapping.loop.dim), None)
    if dim is None:
        # The mapping is another layer's.
        return None
    extent, index = dim.count(mapping.loop.kind), indices[mapping.loop]
    for number, core in enumerate(mapping.cores):
        part = share(extent, number, len(mapping.cores))
        inside = (index >= part.start) & (index < part.stop)
        if (wrong & inside).any():
            return _tile([("core", core, core), (str(mapping.loop), part.start, part.stop - 1)], wrong, inside)
    return None


def _on_crossbars(
    wrong: Array, indices: Indices, spec: GConv, mapping: CrossbarMapping, machine: MulticoreMachine
) -> Tile | None:
    group, column, vector = (_flattened(indices, spec, kind) for kind in (LoopKind.G, LoopKind.OP, LoopKind.OPC))
    best: tuple[int, Part, Array] | None = None
    matrix = Matrix.of(spec)
    for part in Grid.of(matrix, mapping, machine).parts():
        inside = wrong & _within(group, part.groups) & _within(column, part.columns)
        for step, vectors in _ended(part, mapping) if inside.any() else ():
            if best is not None and step >= best[0]:
                break
            if (inside & np.isin(vector, vectors)).any():
                best = step, part, vectors
                break
    if best is None:
        return None
    _, part, vectors = best
    core = mapping.cores[part.number]
    ranges = [("core", core, core)]
    ranges += [("group", part.groups[0], part.groups[-1])] if matrix.groups > 1 else []
    ranges += [("column", part.columns[0], part.columns[-1]), ("vector", int(vectors[0]), int(vectors[-1]))]
    inside = _within(group, part.groups) & _within(column, part.columns) & np.isin(vector, vectors)
    return _tile(ranges, wrong, inside)


def _ended(part: Part, mapping: CrossbarMapping) -> Iterator[tuple[int, Array]]:
    """The vectors whose sums a part ends, turn by turn, with the number of the turn among all of the part's."""
    step = 0
    for each in rounds(part, mapping.scheme):
        for turn in range(each.turns):
            if each.is_last:
                place = (each.start + turn) % part.vectors.turns
                yield step, part.vectors.of_turns(np.asarray([place]))
            step += 1


def _flattened(indices: Indices, spec: GConv, kind: LoopKind) -> Array:
    """The index of all loops of a kind together, in the order of the dimensions."""
    found = np.zeros(next(iter(indices.values())).shape, np.int64)
    for dim in spec.dims:
        found = found * dim.count(kind) + indices[Loop(dim.name, kind)]
    return found


def _within(values: Array, wanted: range) -> Array:
    return (values >= wanted.start) & (values < wanted.stop)


def _tile(ranges: list[tuple[str, int, int]], wrong: Array, inside: Array) -> Tile:
    return Tile(tuple(ranges), int((wrong & inside).sum()), int(inside.sum()))
