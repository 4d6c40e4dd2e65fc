"""Words that turns of vector units touch, dimension by dimension: those of a walk over every index of every turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
import pytest

from dialects.gconv import PASS, GConv, LoopKind
from dialects.gconv.interpreter import main_function
from dialects.spatial import BufferOp, integer
from passes.multicore.accesses import Block, blocks_of, placed_layers
from passes.multicore.tables import NEVER, Access
from passes.multicore.vector_accesses import Ranges, turns_of
from tests.backends.rram.quantized import SMALL, Network, placed, residual


def _indices(spec: GConv, ranges: Ranges, tensor: str, extents: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Of every dimension, the index of a tensor's word in each innermost step of a turn."""
    of_dims: list[set[int]] = []
    for d, dim in enumerate(spec.dims):
        found: set[int] = set()
        loops = [list(ranges[d, kind]) for kind in (LoopKind.G, LoopKind.OP, LoopKind.OPC, LoopKind.KS)]
        if tensor != "I" and spec.main == PASS:
            loops[1] = list(range(dim.op))
        for g, op, opc, ks in product(*loops):
            place, up = divmod(opc * dim.stride + ks * dim.dilation - dim.pad, dim.up)
            size = extents[d] // dim.g
            if tensor != "I":
                found.add(0 if extents[d] == 1 else (g * dim.op + op) * dim.opc + opc)
            elif not up and 0 <= place < size:
                found.add(g * size + place)
        of_dims.append(found)
    return product(*of_dims)


def _walked(block: Block, number: int, tensor: str) -> Mapping[int, tuple[int, int]]:
    """First and last turn by word."""
    layer, view = block.layer, block.layer.views[number]
    owner = layer.tensors[number].owner
    assert isinstance(owner, BufferOp)
    strides = [stride if extent > 1 else 0 for stride, extent in zip(view.strides, view.shape, strict=True)]
    found: dict[int, tuple[int, int]] = {}
    for turn, ranges in enumerate(turns_of(layer.spec, block.stream)):
        for index in _indices(layer.spec, ranges, tensor, view.shape):
            steps = zip(index, strides, strict=True)
            word = integer(owner.address) + view.offset + sum(at * step for at, step in steps)
            found[word] = found.get(word, (turn, turn))[0], turn
    return found


def _table(access: Access) -> Mapping[int, tuple[int, int]]:
    there = np.flatnonzero(access.first != NEVER).tolist()
    return {access.low + at: (int(access.first[at]), int(access.last[at])) for at in there}


def _pooled() -> Network:
    network = Network(np.random.default_rng(1))
    first = network.conv("x", 6, 6, 3, 6, pads=[1, 1, 1, 1])
    network.node("MaxPool", [network.add(first, "x")], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return network


@pytest.mark.parametrize("buffer", [64, 65536])
@pytest.mark.parametrize("kind", ["residual", "pooled"])
def test_tables_are_those_of_a_walk(kind: str, buffer: int) -> None:
    pooled = _pooled()
    model = residual(2, 5) if kind == "residual" else pooled.model((1, 6, 7, 7), f"t{len(pooled.nodes) - 1}")
    module = placed(model, {**SMALL, "cores.count": "3", "cores.buffer_bytes": str(buffer)})
    checked = several = 0
    for block in blocks_of(placed_layers(main_function(module))):
        if block.is_matrix:
            continue
        numbers = {"I": [0], "O": [len(block.layer.views) - 1], "X": list(range(1, len(block.layer.views) - 1))}
        for access in block.accesses:
            expected = [_walked(block, number, access.tensor) for number in numbers[access.tensor]]
            assert _table(access) in expected
            checked += 1
            several += block.turns > 1
    assert checked > 3
    assert several or buffer == 65536
