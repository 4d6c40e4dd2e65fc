"""Turns of vector units: ranges of loops whose words fit the buffer of a core."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.ir import SSAValue

from dialects.dtypes import dtype_named
from dialects.element_types import numpy_dtype_of
from dialects.gconv import PASS, Dim, GConv, LinkOp, LoopKind, element_type_of_value, shape_of
from dialects.schedule import Loop

Sizes = dict[Loop, int]


def loops_of(spec: GConv) -> list[Loop]:
    """The loops that a link may be cut along: those of its results."""
    kinds = [LoopKind.G, *([LoopKind.OP] if spec.main != PASS else []), LoopKind.OPC]
    return [Loop(dim.name, kind) for dim in spec.dims for kind in kinds if dim.count(kind) > 1]


def row_loop(spec: GConv) -> Loop | None:
    """The loop whose turns are rows of the output, one before the last of its positions; None if it has no rows."""
    found = [Loop(dim.name, LoopKind.OPC) for dim in spec.dims if dim.opc > 1]
    return found[-2] if len(found) > 1 else None


def tiles_for(link: LinkOp, sizes: Sizes, limit: int, row: Loop | None = None) -> Sizes | None:
    """Tiles of the loops, halved from the largest on until a turn's tensors fit `limit` bytes; None if none do.

    With `row` the turns of that loop come first, one for each of its indices.
    """
    tiles = dict(sizes) if row is None else {row: 1, **{loop: size for loop, size in sizes.items() if loop != row}}
    while bytes_of(link, tiles) > limit:
        loop = max(tiles, key=lambda each: tiles[each], default=None)
        if loop is None or tiles[loop] == 1:
            return None
        tiles[loop] = -(-tiles[loop] // 2)
    return {loop: tile for loop, tile in tiles.items() if tile < sizes[loop]}


def bytes_of(link: LinkOp, tiles: Sizes) -> int:
    """Bytes of all tensors of a turn: input, kernel, operands of `post`, sums or results."""
    spec = link.spec
    words = [_words(spec, tiles, tensor) for tensor in ("input", "kernel", "output")]
    sums = _bytes(link.input) if spec.acc is None else dtype_named(spec.acc).itemsize
    total = words[0] * _bytes(link.input) + words[2] * max(_bytes(link.result), sums)
    if link.kernel is not None:
        total += words[1] * _bytes(link.kernel)
    return total + sum(min(words[2], math.prod(shape_of(extra))) * _bytes(extra) for extra in link.extras)


def distance(dim: Dim, positions: int, taps: int) -> int:
    """How far apart input positions are that windows touch; what lies between is not brought."""
    steps = [step for step, count in ((dim.stride, positions), (dim.dilation, taps)) if count > 1]
    return math.gcd(*steps) if steps else 1


def _bytes(value: SSAValue) -> int:
    return numpy_dtype_of(element_type_of_value(value)).itemsize


def _words(spec: GConv, tiles: Sizes, tensor: str) -> int:
    total = 1
    for dim in spec.dims:
        g, op, opc, ks = (tiles.get(Loop(dim.name, kind), dim.count(kind)) for kind in _KINDS)
        match tensor:
            case "input":
                reach = (opc - 1) * dim.stride + (ks - 1) * dim.dilation
                total *= g * (reach // (dim.up if dim.up > 1 else distance(dim, opc, ks)) + 1)
            case "kernel":
                total *= g * op * ks
            case _:
                total *= g * op * opc
    return total


_KINDS: Sequence[LoopKind] = (LoopKind.G, LoopKind.OP, LoopKind.OPC, LoopKind.KS)
