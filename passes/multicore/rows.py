"""Rows of what a link makes: how its words lie if one row after another is to be complete."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dialects.gconv import LinkOp
from dialects.multicore_mapping import CrossbarMapping, VectorMapping
from passes.multicore.tiles import row_loop

SHARED = "shared"
"""What mappings and holds call the memory that all cores see."""


@dataclass(frozen=True)
class Rows:
    """`count` rows of `words` words each, if dimensions lie in `order`, outermost first."""

    order: tuple[int, ...]
    count: int
    words: int


def rows_of(link: LinkOp, mapping: CrossbarMapping | VectorMapping) -> Rows | None:
    """The rows of a link's result in the order in which cores make them; None if they are no index of a dimension.

    Crossbars take output positions in row-major order, those of all images; vector units a row of all images at a time.
    """
    spec = link.spec
    row = row_loop(spec)
    if row is None:
        return None
    at = [dim.name for dim in spec.dims].index(row.dim)
    is_flat = isinstance(mapping, CrossbarMapping)
    outer = [d for d, dim in enumerate(spec.dims) if d == at or (is_flat and d < at and dim.opc > 1)]
    if any(spec.dims[d].g * spec.dims[d].op > 1 for d in outer):
        return None
    count = math.prod(spec.dims[d].opc for d in outer)
    inner = [d for d in range(len(spec.dims)) if d not in outer]
    return Rows((*outer, *inner), count, math.prod(spec.output_shape) // count)
