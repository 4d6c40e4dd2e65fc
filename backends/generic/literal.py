"""Runs nests word by word, and shows what instructions do to single words if anybody looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backends.effects import Cut, Effects, Shown, by_kind, cut_of
from backends.fields import Array
from backends.generic.core import At
from backends.generic.counters import NestCounters
from backends.generic.nest import ComputeNode, FillNode, KeepNode, NestLayer
from backends.generic.ranges import LoopRanges
from backends.generic.words import Element, Place, Ranges, Walk, Word
from backends.spatial.codes import Kind, Tensor
from backends.spatial.memory import MemoryBank
from dialects.nest_machine import NestMachine


def run_words(
    layer: NestLayer,
    machine: NestMachine,
    ranges: LoopRanges,
    dram: MemoryBank,
    counters: NestCounters,
    at: At,
    effects: Effects | None = None,
) -> None:
    """Run a layer's nest."""
    if effects is None:
        Walk(layer, machine, dram, counters, at).run()
    else:
        _ShownWalk(layer, machine, dram, counters, at, effects).run()


class _ShownWalk(Walk):
    """Shows tiles that came, what an element makes of a term, every sum that grows, and results."""

    def __init__(
        self, layer: NestLayer, machine: NestMachine, dram: MemoryBank, counters: NestCounters, at: At, effects: Effects
    ):
        super().__init__(layer, machine, dram, counters, at)
        self._effects = effects
        self._ranges: dict[Place, Ranges] = {}
        """What elements work on in an operation."""

    def _fill(self, index: int, node: FillNode, elements: list[Element]) -> None:
        super()._fill(index, node, elements)
        self._show_tiles(node, elements)

    def _see(self, node: KeepNode, elements: list[Element]) -> None:
        super()._see(node, elements)
        self._show_tiles(node, elements)

    def _show_tiles(self, node: FillNode | KeepNode, elements: list[Element]) -> None:
        for each in elements:
            tile = self._tile(node.memory, node.tensor, each.place).words
            words = {word: tile[word] for word in self._words(node.tensor, each.ranges) if word in tile}
            if not words:
                continue
            values, firsts = _dense(words)
            if node.tensor is Tensor.KERNEL:
                self._effects.show(Shown.KERNEL, self._cut(each.ranges), by_kind(values, len(self._layer.dims)))
            else:
                self._effects.show(Shown.TILE, self._cut(each.ranges), values, firsts=firsts[1::2])

    def _operate(self, node: ComputeNode, elements: Sequence[Element], is_finished: bool) -> None:
        self._ranges = {each.place: each.ranges for each in elements}
        super()._operate(node, elements, is_finished)

    def _send(self, index: int, target: int, sums: dict[Place, dict[Word, Array]], is_finished: bool) -> None:
        if index == len(self._layer.nodes):
            for place, words in sums.items():
                for value in words.values():
                    self._effects.show(Shown.TERMS, self._cut(self._ranges[place]), np.reshape(value, (1, 1, 1)))
        super()._send(index, target, sums, is_finished)

    def _combined(self, word: Word, before: Array | None, value: Array) -> Array:
        after = super()._combined(word, before, value)
        given = (value,) if before is None else (before, value)
        values = np.stack([np.reshape(each, (1, 1, 1)) for each in (*given, after)])
        self._effects.show(Shown.ADDED, self._cut_of_words([word]), values)
        return after

    def _leave(self, words: list[Word], is_finished: bool) -> None:
        super()._leave(words, is_finished)
        if not is_finished or not self._layer.finishes_sums:
            return
        if Tensor.OUTPUT in self._layer.keeps:
            self._effects.show(Shown.FLOW, self._cut_of_words(words), self._held_results(words))
        else:
            self._effects.show(Shown.RESULT, self._cut_of_words(words))

    def _held_results(self, words: Sequence[Word]) -> Array:
        """What a hold has of results, as (groups, kernels, outputs)."""
        layer, (starts, sizes) = self._layer, self._box_around(words)
        output = layer.address(Tensor.OUTPUT)
        address, shape, strides = output.address, layer.drained(sizes), list[int]()
        for dim, step, (group, kernel, place, _) in zip(layer.dims, layer.strides(Tensor.OUTPUT), starts, strict=True):
            _, kernels, places, _ = dim.counts
            address += step * ((group * kernels + kernel) * places + place)
            strides += [step * kernels * places, step * places, step]
        return by_kind(layer.keeps[Tensor.OUTPUT].read(address, shape, strides, output.dtype), len(layer.dims))

    def _cut(self, ranges: Ranges) -> Cut:
        starts, sizes = ([[extent(each) for each in of_dim] for of_dim in ranges] for extent in (_first, len))
        return cut_of(self._layer.dims, starts, sizes)

    def _cut_of_words(self, words: Sequence[Word]) -> Cut:
        return cut_of(self._layer.dims, *self._box_around(words))

    def _box_around(self, words: Sequence[Word]) -> tuple[list[list[int]], list[list[int]]]:
        """The ranges of some results around them, as first indices and sizes: all that arrive together are a box."""
        columns = np.array(words, np.int64).reshape(len(words), -1, 3)
        low, high = columns.min(axis=0), columns.max(axis=0)
        starts = [[*of_dim, 0] for of_dim in low.tolist()]
        sizes = [[*of_dim, 1] for of_dim in (high - low + 1).tolist()]
        if self._layer.main is None:
            for dim, (start, size) in enumerate(zip(starts, sizes, strict=True)):
                repeated = self._layer.repeated(dim)
                start[Kind.OP], size[Kind.OP] = repeated.start, len(repeated)
        return starts, sizes


def _first(indices: range) -> int:
    return indices.start


def _dense(words: dict[Word, Array]) -> tuple[Array, tuple[int, ...]]:
    """Words in an array by their indices, and the first of these; what is not there is zero."""
    keys = np.array(list(words), np.int64)
    low, high = keys.min(axis=0), keys.max(axis=0)
    values = np.array(list(words.values()))
    dense = np.zeros(tuple(high - low + 1), values.dtype)
    dense[tuple((keys - low).T)] = values
    return dense, tuple(int(each) for each in low)
