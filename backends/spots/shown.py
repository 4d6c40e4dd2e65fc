"""The effects of transfers and passes on machines with im2col units, looked up in the tiles on chip."""

from __future__ import annotations

from backends.effects import Effects, Shown
from backends.generic.offchip import OffChip
from backends.spatial.codes import Tensor
from backends.spatial.cuts import cut_at_work, cut_of_results, goes_on
from backends.spatial.memory import MemoryBank
from backends.spots.engine import GemmEngine


class ShownTiles:
    """Shows what the engine of a layer just did, on the ranges at work."""

    def __init__(self, engine: GemmEngine, dram: MemoryBank, effects: Effects):
        self._tiles, self._layer = engine.memories(), engine.layer
        self._dram, self._effects = dram, effects

    def opened(self) -> None:
        """That a tile of sums began."""
        self._effects.show(Shown.OPENED, cut_at_work(self._layer))

    def input(self) -> None:
        """The patches that im2col units make of an input tile."""
        self._effects.show(Shown.WINDOWS, cut_at_work(self._layer), self._tiles["patches"])

    def kernel(self) -> None:
        """A tile of kernels, as it was brought or decoded."""
        self._effects.show(Shown.KERNEL, cut_at_work(self._layer), self._tiles["kernels"])

    def sums(self) -> None:
        """Results so far, and of operands what a pass read in holds."""
        if Tensor.INPUT in self._layer.keeps:
            self.input()
        if Tensor.KERNEL in self._layer.keeps:
            self.kernel()
        self._effects.show(Shown.SUMS, cut_at_work(self._layer), self._tiles["sums"], goes_on=goes_on(self._layer))

    def results(self) -> None:
        """What was stored: off-chip, or in a hold."""
        layer = self._layer
        if not layer.finishes_sums:
            return
        if Tensor.OUTPUT in layer.keeps:
            self._effects.show(Shown.FLOW, cut_of_results(layer), OffChip(layer, self._dram).held_results())
        else:
            self._effects.show(Shown.RESULT, cut_of_results(layer))
