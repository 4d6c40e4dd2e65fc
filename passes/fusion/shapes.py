"""How large the parts of a link are that the turns of a group work on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dialects.gconv.spec import Dim, GConv, LoopKind
from dialects.turn_box import TurnBox

KINDS = tuple(LoopKind)

Shape = tuple[int, ...]
"""How many indices of (g, op, opc, ks) of every dimension in turn."""


@dataclass(frozen=True)
class RunKind:
    """Runs that count the same: of one shape, whose sums begin and finish or go on from, or in, other turns."""

    shape: Shape
    begins: bool = True
    finishes: bool = True


def kinds_of(box: TurnBox, turns: Sequence[int], dims: Sequence[Dim]) -> Iterator[tuple[RunKind, int]]:
    """The kinds of runs of a link of these dimensions, and how many there are in turns of some loops."""
    taps = [axis.ends(turns) for axis in box.axes[len(KINDS) - 1 :: len(KINDS)]]
    begins, finishes = np.ones(1, np.int64), np.ones(1, np.int64)
    for dim, (low, high) in zip(dims, taps, strict=True):
        begins, finishes = begins * (low == 0), finishes * (high == dim.ks)
    for shape, (first, last), times in box.marked_shapes(turns, (begins, finishes)):
        yield RunKind(shape, bool(first), bool(last)), times


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
