"""The effects of what cores do: parts of matrices and tiles of vector units that show what they just did."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from backends.effects import Cut, Effects, Shown, by_kind
from backends.fields import Array
from backends.generic.nest import NestLayer
from backends.rram.counting import Cycles, LayerCounters, Ways
from backends.rram.isa import Made, What
from backends.rram.products import Ints, MatrixPart
from backends.rram.streams import Task
from backends.rram.tiles import VectorTile
from backends.spatial.codes import Kind, Tensor
from backends.spatial.cuts import cut_at_work, cut_of_results
from backends.spatial.layer import input_tile
from backends.spatial.memory import MemoryBank
from dialects.multicore_machine import MulticoreMachine


class ShownPart(MatrixPart):
    """A part of a matrix that shows its operands, its sums, and what becomes of them."""

    def __init__(
        self,
        task: Task,
        machine: MulticoreMachine,
        dram: MemoryBank,
        sums: MemoryBank,
        counters: LayerCounters,
        ways: Ways,
        effects: Effects,
    ):
        super().__init__(task, machine, dram, sums, counters, ways)
        self._effects = effects
        self._fetched: deque[bool] = deque()
        """Of sums that were made and not yet stored, whether earlier ones were added."""

    def program(self, crossbars: range, shift: int, *, resident: bool) -> tuple[Cycles, int]:
        cycles = super().program(crossbars, shift, resident=resident)
        assert self._weights is not None
        self._effects.show(Shown.KERNEL, self._cut(np.zeros(1, np.int64)), self._weights.words)
        return cycles

    def load_input(self, vectors: Ints) -> Cycles:
        cycles = super().load_input(vectors)
        self._effects.show(Shown.WINDOWS, self._cut(vectors), self._inputs[-1][0])
        return cycles

    def load_extras(self, what: What, vectors: Ints) -> Cycles:
        cycles = super().load_extras(what, vectors)
        cut = self._cut(vectors if what is What.EXTRAS else vectors[:1])
        for tensor in (each for each in self.extras(what is What.EXTRAS) if each in self._extras):
            words = self._by_kind(self._extras[tensor])
            self._effects.show(Shown.EXTRA, cut, words, extra=tensor - Tensor.EXTRA0)
        return cycles

    def multiply(self) -> Cycles:
        vectors = self._inputs[0][1] if self._inputs else np.zeros(0, np.int64)
        cycles = super().multiply()
        self._fetched.append(False)
        self._effects.show(Shown.TERMS, self._cut(vectors), self._by_kind(self._made[-1]))
        return cycles

    def fetch(self, vectors: Ints) -> Cycles:
        cycles = super().fetch(vectors)
        self._fetched[0] = True
        self._effects.show(Shown.SUMS, self._cut(vectors), self._by_kind(self.made()), goes_on=True, passes=True)
        return cycles

    def activate(self, vectors: Ints) -> Cycles:
        cycles = super().activate(vectors)
        self._effects.show(Shown.FLOW, self._cut(vectors), self._by_kind(self.made()))
        return cycles

    def store(self, made: Made, vectors: Ints) -> Cycles:
        cycles = super().store(made, vectors)
        has_more, cut = self._fetched.popleft(), self._cut(vectors)
        hold = self.layer.keeps.get(Tensor.OUTPUT)
        if made is Made.SUMS:
            self._effects.show(Shown.SUMS, cut, self._by_kind(self._stored(vectors)), goes_on=has_more)
        elif hold is None:
            self._effects.show(Shown.RESULT, cut)
        else:
            words = hold.gather(self.output_addresses(Tensor.OUTPUT, vectors), hold.dtype)
            self._effects.show(Shown.FLOW, cut, self._by_kind(words))
        return cycles

    def _stored(self, vectors: Ints) -> Array:
        """The partial sums that lie where the instruction `sums` says."""
        assert self._task.sums is not None
        (address, stride), (segment,) = self._task.sums, self._sums.segments
        return segment.words[address + vectors[:, None] * stride + np.arange(self.results) - segment.base]

    def _by_kind(self, words: Array) -> Array:
        """Words of (vectors, columns of all groups) as (groups, columns, vectors)."""
        return words.reshape(len(words), len(self._task.groups), -1).transpose(1, 2, 0)

    def _cut(self, vectors: Ints) -> Cut:
        task = self._task
        return Cut(np.array(task.groups), np.array(task.columns), vectors, np.array(task.rows))


class ShownTile(VectorTile):
    """A vector unit that shows its operands, sums and results."""

    def __init__(
        self,
        layer: NestLayer,
        machine: MulticoreMachine,
        dram: MemoryBank,
        counters: LayerCounters,
        ways: Ways,
        effects: Effects,
    ):
        super().__init__(layer, machine, dram, counters, ways)
        self._effects = effects

    def load_input(self) -> Cycles:
        cycles = super().load_input()
        firsts = tuple(first for first, _ in input_tile(self.layer).positions)
        self._effects.show(Shown.TILE, cut_at_work(self.layer), self._loaded.input(), firsts=firsts)
        return cycles

    def load_kernel(self) -> Cycles:
        cycles = super().load_kernel()
        shape = [math.prod(size[kind] for size in self.layer.sizes) for kind in (Kind.G, Kind.OP, Kind.KS)]
        self._effects.show(Shown.KERNEL, cut_at_work(self.layer), self._loaded.kernel().reshape(shape))
        return cycles

    def load_extras(self) -> Cycles:
        cycles = super().load_extras()
        shape, cut = self.layer.drained(self.layer.sizes), cut_of_results(self.layer)
        for tensor, words in self._loaded.extras.items():
            values = by_kind(np.broadcast_to(words, shape), len(self.layer.dims))
            self._effects.show(Shown.EXTRA, cut, values, extra=tensor - Tensor.EXTRA0)
        return cycles

    def compute(self) -> Cycles:
        cycles = super().compute()
        assert self._sums is not None
        self._effects.show(Shown.TERMS, cut_at_work(self.layer), by_kind(self._sums, len(self.layer.dims)))
        return cycles

    def store(self) -> Cycles:
        cycles = super().store()
        if Tensor.OUTPUT not in self.layer.keeps:
            self._effects.show(Shown.RESULT, cut_of_results(self.layer))
        else:
            self._effects.show(Shown.FLOW, cut_of_results(self.layer), self._loaded.held_results())
        return cycles
