"""What is kept between turns, and what is live in them, as sets of positions say it turn by turn."""

from __future__ import annotations

import random
from itertools import product

import pytest

from dialects.fused_mapping import FusedMapping, Retention
from dialects.gconv.spec import Dim, GConv, LoopKind, Reduce
from dialects.schedule import Loop, Temporal
from passes.fusion.group import Group, GroupLink, GroupTensor, Operand, Role
from passes.fusion.inference import Tiles, infer
from passes.fusion.keeping import kept, live

CHANNELS = 3


def _positions(dim: Dim, tile: int, turn: int, extent: int) -> set[int]:
    outputs = range(turn * tile, min((turn + 1) * tile, dim.opc))
    reads = {o * dim.stride + k * dim.dilation - dim.pad for o in outputs for k in range(dim.ks)}
    return {position for position in reads if 0 <= position < extent}


def _random_dim(name: str, random: random.Random) -> Dim:
    return Dim(
        name,
        opc=random.randint(1, 6),
        ks=random.randint(1, 4),
        stride=random.randint(1, 3),
        dilation=random.randint(1, 2),
        pad=random.randint(0, 2),
    )


@pytest.mark.parametrize("seed", range(60))
def test_kept_and_live_words_are_those_of_a_walk(seed: int) -> None:
    generator = random.Random(seed)
    dims = [_random_dim(name, generator) for name in "HW"]
    tiles = [generator.randint(1, dim.opc) for dim in dims]
    extents = [max(1, dim.window[1] + 1 - generator.randint(0, 2)) for dim in dims]
    found = _tiles(dims, tiles, extents)

    turns = list(product(*(range(-(-dim.opc // tile)) for dim, tile in zip(dims, tiles, strict=True))))
    needed = {
        turn: set(product(*(_positions(*each) for each in zip(dims, tiles, turn, extents, strict=True))))
        for turn in turns
    }
    rows = {row: set[tuple[int, ...]]().union(*(needed[turn] for turn in turns if turn[0] == row)) for row, _ in turns}
    between_rows = [rows[row] & rows[row + 1] for row in rows if row > 0 and row + 1 in rows]
    neighbours = [(turn, (turn[0], turn[1] + 1)) for turn in turns if min(turn) > 0]
    between_tiles = [needed[turn] & needed[after] for turn, after in neighbours if after in needed]
    lists = (between_rows, between_tiles)
    assert kept(found, "x") == tuple(CHANNELS * max(map(len, each), default=0) for each in lists)

    largest = 0
    for index in range(len(turns)):
        came = set[tuple[int, ...]]().union(*(needed[turn] for turn in turns[: index + 1]))
        comes = set[tuple[int, ...]]().union(*(needed[turn] for turn in turns[index:]))
        largest = max(largest, len(came & comes))
    assert live(found, "x").largest == CHANNELS * largest


def _tiles(dims: list[Dim], tiles: list[int], extents: list[int]) -> Tiles:
    spec = GConv((Dim("C", ks=CHANNELS), *dims), main="mul", reduce=Reduce.ADD)
    shape = (CHANNELS, *extents)
    operands = (Operand.whole(Role.INPUT, "x", shape), Operand.whole(Role.KERNEL, "w", spec.kernel_shape))
    tensors = (GroupTensor("x", shape), GroupTensor("w", spec.kernel_shape), GroupTensor("y", spec.output_shape))
    group = Group((GroupLink("conv", spec, operands, "y"),), tensors)
    loops = tuple(Temporal(Loop(dim.name, LoopKind.OPC), tile) for dim, tile in zip(dims, tiles, strict=True))
    return infer(group, FusedMapping(loops, tuple(Retention(each.name, "glb") for each in tensors)))
