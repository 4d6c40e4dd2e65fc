"""Which words of a layer its current ranges are about, in the terms of effects."""

from __future__ import annotations

from backends.effects import Cut, cut_of
from backends.spatial.codes import Kind
from backends.spatial.layer import LayerState


def cut_at_work(layer: LayerState) -> Cut:
    """That of operands and sums."""
    return cut_of(layer.dims, layer.starts, layer.sizes)


def cut_of_results(layer: LayerState) -> Cut:
    """That of results: sums of a layer without a kernel are repeated on their way out."""
    sizes = [list(size) for size in layer.sizes]
    for dim, size in enumerate(sizes):
        size[Kind.OP] = len(layer.repeated(dim)) if layer.main is None else size[Kind.OP]
    return cut_of(layer.dims, layer.starts, sizes)


def goes_on(layer: LayerState) -> bool:
    """Whether sums of the current ranges have terms already."""
    return any(start[Kind.KS] for start in layer.starts)
