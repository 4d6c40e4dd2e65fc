"""A vector unit at work: tiles of tensors from the shared memory, a general convolution on them, results back."""

from __future__ import annotations

import math

import numpy as np

from backends.fields import Array
from backends.generic.nest import NestLayer
from backends.generic.offchip import OffChip
from backends.generic.values import sums_of
from backends.rram.buffers import Buffer
from backends.rram.counting import Cycles, LayerCounters, Way, Ways
from backends.rram.streams import Box
from backends.spatial.codes import INDICES, Fold, Kind, Slot, Tensor
from backends.spatial.layer import Existing, InputTile, input_tile
from backends.spatial.memory import Fault, MemoryBank
from dialects.multicore_machine import MulticoreMachine


class _Loaded(OffChip):
    """The shared memory as a core sees it in a turn: what it has loaded, and nothing else."""

    def __init__(self, layer: NestLayer, dram: MemoryBank):
        super().__init__(layer, dram)
        self.inputs: Array | None = None
        self.kernels: Array | None = None
        self.extras: dict[Tensor, Array] = {}

    def take_input(self) -> None:
        """Load the input."""
        self.inputs = np.array(super().input())

    def take_kernel(self) -> None:
        """Load the kernel."""
        self.kernels = np.array(super().kernel())

    def take_extra(self, tensor: Tensor) -> Array:
        """Load an operand of `post`."""
        self.extras[tensor] = np.array(super()._extra(tensor))
        return self.extras[tensor]

    def input(self) -> Array:
        return _there(self.inputs, "the input")

    def kernel(self) -> Array:
        return _there(self.kernels, "the kernel")

    def _extra(self, tensor: Tensor) -> Array:
        return _there(self.extras.get(tensor), tensor.name)


def _moved(way: Way, size: int) -> Cycles:
    return way.moved(np.array([size]))


def _there(words: Array | None, what: str) -> Array:
    if words is None:
        raise Fault("CAT-E003", f"{what} was not loaded")
    return words


class VectorTile:
    """The tiles of one turn."""

    def __init__(
        self, layer: NestLayer, machine: MulticoreMachine, dram: MemoryBank, counters: LayerCounters, ways: Ways
    ):
        self._ways = ways
        self.layer, self._machine, self._dram, self._counters = layer, machine, dram, counters
        self._loaded = _Loaded(layer, dram)
        self._sums: Array | None = None
        self.buffer = Buffer(counters, machine.cores.buffer_bytes)

    def begin(self, box: Box) -> None:
        """Work on these ranges, with nothing loaded."""
        self.layer.work_on(box)
        self._loaded = _Loaded(self.layer, self._dram)
        self._sums = None
        self.buffer.clear()

    def _hold(self, what: str, size: int) -> None:
        """Updates in order are streamed through the buffer."""
        self.buffer.hold(what, size, is_streamed=bool(self.layer.terms[Tensor.OUTPUT]))

    def load_input(self) -> Cycles:
        """Bring the input of the ranges."""
        layer = self.layer
        shape = self._touched(input_tile(layer))
        dtype = layer.address(Tensor.INPUT).dtype
        self._loaded.take_input()
        words = self._repeated_once(Tensor.INPUT, shape)
        self._counters.add("memory.input.read", words)
        self._hold("input", words * dtype.itemsize)
        return _moved(self._ways.load, words * dtype.itemsize + self._index_bytes(Tensor.INPUT, shape))

    def _touched(self, tile: InputTile) -> tuple[int, ...]:
        """Groups and positions that exist; windows that are all as far apart leave out what lies between."""
        layer = self.layer
        shape = list(Existing.of(layer, tile).shape)
        for d, (dim, sizes, (low, length)) in enumerate(zip(layer.dims, layer.sizes, tile.positions, strict=True)):
            if dim.up > 1:
                continue
            starts, taps = np.ogrid[: sizes[Kind.OPC], : sizes[Kind.KS]]
            gaps = np.gcd.reduce((starts * dim.stride + taps * dim.dilation).reshape(-1))
            places = np.arange(low, low + length, max(int(gaps), 1))
            shape[2 * d + 1] = int(((places >= 0) & (places < dim.extent)).sum())
        return tuple(shape)

    def _repeated_once(self, tensor: Tensor, shape: tuple[int, ...]) -> int:
        """Words of a tile laid out as (groups, positions): those that repeat along a dimension count once."""
        strides = self.layer.strides(tensor)
        total = 1
        for d, stride in enumerate(strides):
            total *= shape[2 * d] * shape[2 * d + 1] if stride or self.layer.dims[d].extent * shape[2 * d] == 1 else 1
        return total if math.prod(shape) else 0

    def _index_bytes(self, tensor: Tensor, shape: tuple[int, ...]) -> int:
        terms = len(self.layer.terms[tensor])
        if not terms:
            return 0
        index = INDICES[tensor]
        words = self._repeated_once(index, shape) * terms
        self._counters.add("memory.index.read", words)
        return words * self.layer.address(index).dtype.itemsize

    def load_kernel(self) -> Cycles:
        """Bring the kernel of the ranges."""
        self._loaded.take_kernel()
        words = self._loaded.kernel()
        self._counters.add("memory.kernel.read", words.size)
        self._hold("kernel", words.nbytes)
        return _moved(self._ways.load, words.nbytes)

    def load_extras(self) -> Cycles:
        """Bring all operands of `post` of the ranges."""
        size = 0
        tensors = dict.fromkeys(step.operand for step in self.layer.steps[Slot.POST] if step.operand is not None)
        for tensor in tensors:
            words = self._loaded.take_extra(tensor)
            self._counters.add("memory.extra.read", words.size)
            size += words.nbytes
        self._hold("extras", size)
        return _moved(self._ways.load, size)

    def compute(self) -> Cycles:
        """Sums of the ranges."""
        layer = self.layer
        self._sums = sums_of(layer, self._loaded)
        trips = math.prod(math.prod(sizes) for sizes in layer.sizes)
        self._counters.operate("operation.mac" if layer.is_multiply_accumulate else "operation.other", trips)
        width = max(layer.acc.itemsize, layer.address(Tensor.OUTPUT).dtype.itemsize)
        self._hold("sums", math.prod(layer.drained(layer.sizes)) * width)
        return np.array([self._machine.vector_cycles(trips)])

    def activate(self) -> Cycles:
        """What `post` costs; it is applied on the way out."""
        steps = math.prod(self.layer.drained(self.layer.sizes)) * len(self.layer.steps[Slot.POST])
        self._counters.operate("operation.post", steps)
        return np.array([self._machine.vector_cycles(steps)])

    def store(self) -> Cycles:
        """Write the results."""
        layer = self.layer
        sums = self._sums
        if sums is None:
            raise Fault("CAT-E003", "results are wanted that nothing has made")
        self._loaded.write(sums)
        shape = layer.drained(layer.sizes)
        words = math.prod(shape)
        self._counters.add("memory.output.write", words)
        size = words * layer.address(Tensor.OUTPUT).dtype.itemsize
        if layer.terms[Tensor.OUTPUT]:
            if layer.update is not Fold.NONE:
                self._counters.add("memory.output.read", words)
                size *= 2
            strides = layer.strides(Tensor.OUTPUT_INDEX)
            kinds = len(shape) // len(strides)
            read = math.prod(
                math.prod(shape[d * kinds : (d + 1) * kinds]) for d, stride in enumerate(strides) if stride
            ) * len(layer.terms[Tensor.OUTPUT])
            self._counters.add("memory.index.read", read)
            size += read * layer.address(Tensor.OUTPUT_INDEX).dtype.itemsize
        return _moved(self._ways.store, size)
