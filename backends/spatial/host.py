"""The host core: executes an offloaded layer on tensors in DRAM, kernel word by kernel word, and counts what it does.

Nothing of the array takes part. The core reads every tensor once into memory of its own, walks over the kernel
positions with all outputs side by side, as a vector unit would, and writes the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from backends.fields import Array
from backends.spatial.addresses import UPDATES, Walk, computed_addresses
from backends.spatial.codes import Fold, Kind, Slot, Tensor
from backends.spatial.layer import Existing, LayerState, ScalarStep, input_tile
from backends.spatial.memory import Fault, MemoryBank
from dialects.gconv.function_classes import function_class
from dialects.gconv.scalar import apply, scalar_of

_FOLD_FUNCTION = {Fold.ADD: "add", Fold.MAX: "max", Fold.MIN: "min", Fold.MUL: "mul"}


class EventCounter(Protocol):
    """What counts events of a layer."""

    def add(self, name: str, count: int) -> None:
        """Count an event."""
        ...


def execute_on_host(layer: LayerState, dram: MemoryBank, counters: EventCounter) -> None:
    """Execute a configured layer whole.

    Raises `Fault`: CAT-E001 and CAT-E002 for words that cannot be read or written, CAT-E003 for a layer without the
    tensors or the reduction that it needs.
    """
    _HostRun(layer, dram, counters).run()


class _HostRun:
    def __init__(self, layer: LayerState, dram: MemoryBank, counters: EventCounter):
        self._layer, self._dram, self._counters = layer, dram, counters
        # One axis for each of g, op and opc of every dimension, as in the result.
        self._shape = [dim.counts[kind] for dim in layer.dims for kind in (Kind.G, Kind.OP, Kind.OPC)]
        # Without a kernel, op only repeats sums: that is no work before post.
        self._sums = [1 if layer.main is None and axis % 3 == 1 else n for axis, n in enumerate(self._shape)]

    def run(self) -> None:
        layer = self._layer
        taps = list(itertools.product(*(range(dim.counts[Kind.KS]) for dim in layer.dims)))
        if layer.fold is Fold.NONE and len(taps) > 1:
            raise Fault("CAT-E003", "kernel loops need a reduction")
        inputs = self._padded_input()
        kernel = self._kernel()
        total: Array | None = None
        for tap in taps:
            value = self._input_at(inputs, tap)
            if kernel is not None:
                assert layer.main is not None
                value = self._apply(ScalarStep(layer.main, (), None), value, self._kernel_at(kernel, tap))
            value = self._steps(Slot.MID, value)
            if total is None:
                total = value
            else:
                total = self._apply(ScalarStep(_FOLD_FUNCTION[layer.fold], (), None), total, value)
        assert total is not None
        self._store(self._steps(Slot.POST, np.broadcast_to(total.astype(layer.acc, copy=False), self._shape)))

    def _apply(self, step: ScalarStep, value: Array, *operands: Array) -> Array:
        """One scalar function on every element, counted under its class."""
        self._counters.add(f"host.{function_class(step.name)}", value.size)
        return apply(step.name, value, *operands, parameters=step.parameters)

    def _steps(self, slot: Slot, value: Array) -> Array:
        for step in self._layer.steps[slot]:
            operands = () if step.operand is None else (self._extra(step.operand),)
            value = self._apply(step, value, *operands)
        return value

    def _read(self, tensor: Tensor, address: int, shape: Sequence[int], strides: Sequence[int]) -> Array:
        """Words of a tensor; where a stride of 0 repeats a word it is read once, and the axis has extent 1."""
        distinct = [min(size, 1) if stride == 0 else size for size, stride in zip(shape, strides, strict=True)]
        dtype = self._layer.address(tensor).dtype
        self._counters.add("host.read", math.prod(distinct))
        return self._dram.read(address, distinct, strides, dtype) if math.prod(distinct) else np.zeros(distinct, dtype)

    def _padded_input(self) -> Array:
        """The input after `pre`, as (groups, positions) per dimension, padding and gaps filled in."""
        layer = self._layer
        tile = input_tile(layer)
        there = Existing.of(layer, tile)
        words = self._steps(Slot.PRE, self._input_words(there.shape, there.firsts))
        padded = np.full(tile.shape, scalar_of(layer.padding, words.dtype), words.dtype)
        padded[there.inside] = words
        return padded.astype(layer.partial, copy=False)

    def _input_words(self, shape: Sequence[int], firsts: Sequence[int]) -> Array:
        """The input from the given position of every dimension, looked up if an index tensor makes its addresses."""
        words = self._input_walk(Tensor.INPUT, firsts)
        terms = self._layer.terms[Tensor.INPUT]
        if not terms or not math.prod(shape):
            return self._read(Tensor.INPUT, words.address, shape, words.strides)
        index = self._input_walk(Tensor.INPUT_INDEX, firsts)
        addresses, read = computed_addresses(self._dram, shape, words, index, terms)
        self._counters.add("host.read", read + addresses.size)
        return self._dram.gather(addresses, words.dtype)

    def _input_walk(self, tensor: Tensor, firsts: Sequence[int]) -> Walk:
        source = self._layer.address(tensor)
        address, strides = source.address, list[int]()
        for dim, stride, first in zip(self._layer.dims, self._layer.strides(tensor), firsts, strict=True):
            address += stride * first
            strides += [stride * dim.extent, stride]
        return Walk(address, strides, source.dtype)

    def _input_at(self, inputs: Array, tap: Sequence[int]) -> Array:
        """The input words that meet one kernel position, repeated for parallel kernels."""
        index: list[slice | None] = []
        for dim, position in zip(self._layer.dims, tap, strict=True):
            start = position * dim.dilation
            stop = start + (dim.counts[Kind.OPC] - 1) * dim.stride + 1
            index += [slice(None), None, slice(start, stop, dim.stride)]
        return np.broadcast_to(inputs[tuple(index)], self._sums)

    def _kernel(self) -> Array | None:
        """The kernel as (g, op, ks) per dimension, or None in a layer without one."""
        layer = self._layer
        if layer.main is None:
            return None
        shape: list[int] = []
        strides: list[int] = []
        for dim, stride in zip(layer.dims, layer.strides(Tensor.KERNEL), strict=True):
            groups, parallel, _, taps = dim.counts
            shape += [groups, parallel, taps]
            strides += [stride * parallel * taps, stride * taps, stride]
        words = self._read(Tensor.KERNEL, layer.address(Tensor.KERNEL).address, shape, strides)
        return words.astype(layer.partial, copy=False)

    def _kernel_at(self, kernel: Array, tap: Sequence[int]) -> Array:
        """The kernel words of one position, with an axis for the outputs that share them."""
        index: list[slice | int | None] = []
        for axis, position in enumerate(tap):
            index += [slice(None), slice(None), min(position, kernel.shape[3 * axis + 2] - 1), None]
        return kernel[tuple(index)]

    def _output_strides(self, tensor: Tensor) -> list[int]:
        strides: list[int] = []
        for dim, stride in zip(self._layer.dims, self._layer.strides(tensor), strict=True):
            _, parallel, positions, _ = dim.counts
            strides += [stride * parallel * positions, stride * positions, stride]
        return strides

    def _extra(self, tensor: Tensor) -> Array:
        return self._read(tensor, self._layer.address(tensor).address, self._shape, self._output_strides(tensor))

    def _store(self, value: Array) -> None:
        output = self._output_walk(Tensor.OUTPUT)
        terms, update = self._layer.terms[Tensor.OUTPUT], self._layer.update
        self._counters.add("host.write", value.size)
        if not terms:
            self._dram.window(output.address, self._shape, output.strides, output.dtype)[...] = value
            return
        index = self._output_walk(Tensor.OUTPUT_INDEX)
        addresses, read = computed_addresses(self._dram, self._shape, output, index, terms)
        self._counters.add("host.read", read)
        if update is not Fold.NONE:
            self._counters.add("host.read", addresses.size)
            self._counters.add(f"host.{function_class(_FOLD_FUNCTION[update])}", addresses.size)
        self._dram.scatter(addresses, value.astype(output.dtype), UPDATES[update])

    def _output_walk(self, tensor: Tensor) -> Walk:
        target = self._layer.address(tensor)
        return Walk(target.address, self._output_strides(tensor), target.dtype)
