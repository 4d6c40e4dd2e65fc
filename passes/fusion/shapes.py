"""How large the parts of a link are that the turns of a group work on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from dialects.gconv.spec import Dim, GConv, LoopKind

KINDS = tuple(LoopKind)

Shape = tuple[int, ...]
"""How many indices of (g, op, opc, ks) of every dimension in turn."""


def largest(shapes: Iterable[Shape]) -> Shape:
    """The smallest shape that holds all of these."""
    return tuple(max(sizes) for sizes in zip(*shapes, strict=True))


def part_of(spec: GConv, shape: Shape) -> GConv:
    """A link as large as a turn's part of it."""
    dims = [_part(dim, shape[4 * place : 4 * place + 4]) for place, dim in enumerate(spec.dims)]
    return replace(spec, dims=tuple(dims))


def _part(dim: Dim, sizes: Sequence[int]) -> Dim:
    g, op, opc, ks = sizes
    return replace(dim, g=g, op=op, opc=opc, ks=ks)
