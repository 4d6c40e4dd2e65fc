"""The effects of transfers and passes of the spatial machine, looked up where they left their words."""

from __future__ import annotations

import numpy as np

from backends.effects import Effects, Shown, by_kind
from backends.fields import Array
from backends.spatial.blocks import BlockEngine
from backends.spatial.codes import Kind, Memory, Tensor
from backends.spatial.cuts import cut_at_work, cut_of_results, goes_on
from backends.spatial.layer import InputTile
from backends.spatial.memory import MemoryBank


class ShownPasses:
    """Shows what the engine of a layer just did, on the ranges at work."""

    def __init__(self, engine: BlockEngine, effects: Effects):
        self._engine, self._effects, self._layer = engine, effects, engine.layer

    def opened(self) -> None:
        """That a tile of sums began."""
        self._effects.show(Shown.OPENED, cut_at_work(self._layer))

    def input(self) -> None:
        """The input tile, as it lies in the buffer."""
        tile = self._engine.input
        assert tile is not None
        bank = self._engine.glb.of(self._layer.address(Tensor.INPUT).dtype)
        self._tile(bank, self._layer.place(Tensor.INPUT, Memory.GLB).address, tile)

    def held_input(self) -> None:
        """The part of a hold that a pass is about, if the input lies in one."""
        tile, bank = self._engine.input, self._engine.held
        if bank is not None and tile is not None:
            self._tile(bank, 0, tile)

    def _tile(self, bank: MemoryBank, address: int, tile: InputTile) -> None:
        words = _words(bank, address, tile.words).reshape(tile.shape)
        cut = cut_at_work(self._layer)
        for dim, (have, start) in enumerate(zip(tile.groups, self._layer.starts, strict=True)):
            skipped = start[Kind.G] - have[0]
            words = words[(*[slice(None)] * (2 * dim), slice(skipped, None))]
        self._effects.show(Shown.TILE, cut, words, firsts=tuple(first for first, _ in tile.positions))

    def kernel(self) -> None:
        """The words that scratchpads have."""
        kernel = self._engine.kernel
        assert kernel is not None
        self._effects.show(Shown.KERNEL, cut_at_work(self._layer), kernel.words)

    def sums(self) -> None:
        """The sums that a pass left in the buffer."""
        self.held_input()
        layer, opened = self._layer, self._engine.output
        assert opened is not None
        kinds = Kind.G, Kind.OP, Kind.OPC
        shape = [size[kind] for size in opened.sizes for kind in kinds]
        bank = self._engine.glb.of(layer.partial)
        tile = _words(bank, layer.place(Tensor.OUTPUT, Memory.GLB).address, int(np.prod(shape))).reshape(shape)
        inside = tuple(
            slice(now[kind] - start[kind], now[kind] - start[kind] + size[kind])
            for now, start, size in zip(layer.starts, opened.starts, layer.sizes, strict=True)
            for kind in kinds
        )
        values = by_kind(tile[inside], len(layer.dims))
        self._effects.show(Shown.SUMS, cut_at_work(layer), values, goes_on=goes_on(layer))

    def results(self) -> None:
        """What was stored: off-chip, or in a hold."""
        layer = self._layer
        if not layer.finishes_sums:
            return
        cut, hold = cut_of_results(layer), layer.keeps.get(Tensor.OUTPUT)
        if hold is None:
            self._effects.show(Shown.RESULT, cut)
            return
        address, strides = self._engine.output_address(Tensor.OUTPUT)
        shape = layer.drained(layer.sizes)
        words = hold.read(address, shape, strides, layer.address(Tensor.OUTPUT).dtype)
        self._effects.show(Shown.FLOW, cut, by_kind(words, len(layer.dims)))


def _words(bank: MemoryBank, address: int, count: int) -> Array:
    """Words of a memory on chip, whether anything has written them or not."""
    (segment,) = bank.segments
    return segment.words[address : address + count]
