"""The effects of a nest that is computed a block at a time: which of its instructions brings, makes and sends what.

What memories further in hold is made of the same words; a block has no other.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager

from backends.effects import Effects, Shown, by_kind
from backends.fields import Array
from backends.generic.nest import FillNode, KeepNode, NestLayer, OpenNode
from backends.generic.offchip import OffChip
from backends.spatial.codes import Kind, Tensor
from backends.spatial.cuts import cut_at_work, cut_of_results, goes_on
from backends.spatial.defects import DEFECTS
from backends.spatial.layer import input_tile
from backends.spatial.memory import Fault, MemoryBank


class ShownOffChip(OffChip):
    """The outermost memory as a layer sees it, which shows what comes from there, and what goes there."""

    def __init__(self, layer: NestLayer, dram: MemoryBank, effects: Effects):
        super().__init__(layer, dram)
        self._nest, self._effects = layer, effects

    def input(self) -> Array:
        with self._stopping(self._bringing(Tensor.INPUT)):
            words = super().input()
        firsts, address = tuple(first for first, _ in input_tile(self._nest).positions), self._bringing(Tensor.INPUT)
        self._effects.show(Shown.TILE, cut_at_work(self._nest), words, address=address, firsts=firsts)
        return words

    def kernel(self) -> Array:
        with self._stopping(self._bringing(Tensor.KERNEL)):
            words = super().kernel()
        sizes = [[size[kind] for size in self._nest.sizes] for kind in (Kind.G, Kind.OP, Kind.KS)]
        shape, address = [math.prod(each) for each in sizes], self._bringing(Tensor.KERNEL)
        self._effects.show(Shown.KERNEL, cut_at_work(self._nest), words.reshape(shape), address=address)
        return words

    def write(self, sums: Array) -> None:
        self._show_sums(sums)
        with self._stopping(self._sending()):
            super().write(sums)
        self._show_results()

    def hold_sums(self, sums: Array) -> None:
        self._show_sums(sums)
        super().hold_sums(sums)

    @contextmanager
    def _stopping(self, address: int | None) -> Generator[None]:
        """Where the emulator stops meanwhile, it does so at another instruction than the one that it is at."""
        try:
            yield
        except (Fault, *DEFECTS):
            self._effects.show(Shown.STOP, cut_at_work(self._nest), address=address)
            raise

    def _show_sums(self, sums: Array) -> None:
        """What the array made, with what an earlier turn left."""
        values = by_kind(sums, len(self._nest.dims))
        self._effects.show(Shown.SUMS, cut_at_work(self._nest), values, goes_on=goes_on(self._nest))

    def _show_results(self) -> None:
        cut, address = cut_of_results(self._nest), self._sending()
        if Tensor.OUTPUT in self._nest.keeps:
            self._effects.show(Shown.FLOW, cut, self.held_results(), address=address)
        else:
            self._effects.show(Shown.RESULT, cut, address=address)

    def _bringing(self, tensor: Tensor) -> int | None:
        """The instruction that brings a tensor from the outermost memory; None if the array reads it there itself."""
        found = (each for each in self._nest.nodes if isinstance(each, FillNode | KeepNode) and each.tensor is tensor)
        return next((each.pc for each in found), None)

    def _sending(self) -> int | None:
        """The instruction that sends results to the outermost memory; None if the array does."""
        found = (each for each in self._nest.nodes if isinstance(each, OpenNode) and each.target == 0)
        return next((each.drain_pc for each in found), None)
