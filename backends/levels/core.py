"""What executes the programs of a machine with instructions of its own: tiles go on chip, are worked on, and leave.

Layers are configured, and loops over time run, as on every machine. Here is what crosses the off-chip link for the
ranges that loops have left, with its counts. What lies on chip, and what it costs to work on it, is the machine's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from backends.fields import Array
from backends.generic.counters import NestCounters
from backends.generic.offchip import OffChip
from backends.generic.values import as_results, kernel_matrices, reduced
from backends.levels.ungrouped import UngroupedSequencer
from backends.spatial.codes import Fold, Kind, Slot, Tensor
from backends.spatial.core import SegmentRun
from backends.spatial.layer import FOLDS
from backends.spatial.loops import Frame, LoopedLayer
from backends.spatial.memory import Buffer, Fault, MemoryBank
from dialects.gconv.contraction import Factor
from dialects.nest_machine import NestMachine

_RESULTS = (Kind.G, Kind.OP, Kind.OPC)
OPERANDS = {Tensor.INPUT: "input", Tensor.KERNEL: "kernel", Tensor.OUTPUT: "output"}
"""What events call the tensors that lie on chip."""


class TileCore(UngroupedSequencer):
    """The core of a machine; subclasses add methods that their instructions call.

    `memory` is the one on chip: so many words, of whatever types, which are only read where something wrote them.
    `places` says where in it tiles lie, `laid` how many positions along axes are in use, `counters` takes what the
    machine counts.
    """

    def __init__(self, machine: NestMachine, dram: MemoryBank, segment: SegmentRun | None = None):
        self.machine = machine
        super().__init__(dram, has_host=machine.host is not None, segment=segment)
        self._forget()

    def _forget(self) -> None:
        described = self.machine.memories[1]
        self.memory = Buffer(described.name, described.words or 0)
        self.places: dict[Tensor, tuple[int, int]] = {}
        self.laid: dict[int, int] = {}
        self._types: dict[Tensor, np.dtype[Any]] = {}
        self._waiting: dict[tuple[tuple[int, int], ...], Array] = {}
        self._room_outside = 0
        self._has_begun = False

    @property
    def counters(self) -> NestCounters:
        """What the layer has counted so far."""
        assert isinstance(self._counters, NestCounters)
        return self._counters

    # A layer ----------------------------------------------------------------------------------------------------------

    def new_layer(self, index: int, main: str | None, fold: Fold, padding: float, acc: Any) -> LoopedLayer:
        """A layer that nothing has configured yet, with nothing on chip."""
        self._forget()
        return LoopedLayer(index, main, fold, padding, acc)

    def new_counters(self) -> NestCounters:
        """Counters at zero."""
        return NestCounters(self.machine)

    @property
    def is_running(self) -> bool:
        """Whether the layer's loops have begun."""
        return self._has_begun

    def prepare(self) -> None:
        """The layer is configured."""
        self._has_begun = True

    def finish_loops(self) -> None:
        """Nothing is left to do: everything happened as it came."""
        if self._waiting:
            raise Fault("CAT-E003", "a layer ends with sums that are not finished")

    def count(self, event: str, times: int) -> None:
        """Count an event."""
        self.counters.add(event, times)

    def is_first(self, once: int) -> bool:
        """Whether the `once` innermost loops are in their first turns. Raises `Fault` CAT-E003 if there are fewer."""
        return all(self.layer.starts[each.dim][each.kind] == each.start for each in self._innermost(once))

    def is_last(self, once: int) -> bool:
        """Whether the `once` innermost loops are in their last turns. Raises `Fault` CAT-E003 if there are fewer."""
        return all(
            self.layer.starts[each.dim][each.kind] + each.tile >= each.start + each.size
            for each in self._innermost(once)
        )

    def _innermost(self, once: int) -> Sequence[Frame]:
        if once > len(self._frames):
            limits = f"at most {len(self._frames)}", f"{once}"
            raise Fault("CAT-E003", "words stay for more loops than there are", *limits)
        return self._frames[len(self._frames) - once :]

    def sizes(self, kind: Kind) -> list[int]:
        """The sizes of the current ranges of the loops of a kind, one per dimension."""
        return [size[kind] for size in self.layer.sizes]

    @property
    def operations(self) -> int:
        """Main operations of the current ranges."""
        return math.prod(size for sizes in self.layer.sizes for size in sizes)

    @property
    def elements(self) -> int:
        """Elements at work: positions that are in use along all axes together."""
        return math.prod(self.laid.values())

    # On chip ----------------------------------------------------------------------------------------------------------

    def place(self, tensor: Tensor, address: int, words: int, *, outside: bool = False) -> None:
        """Say where on chip the tile of a tensor lies, or off-chip the sums that are not finished.

        Raises `Fault`: CAT-E001 outside of the memory, CAT-E003 in words of another tensor, or after loops have begun.
        """
        self.configured()
        if outside:
            self._room_outside = words
            return
        if address + words > self.memory.capacity:
            limits = f"{self.memory.capacity} words", f"words up to {address + words - 1}"
            raise Fault("CAT-E001", f"a place lies outside of {self.memory.name}", *limits)
        for other, (start, length) in self.places.items():
            if start < address + words and address < start + length:
                raise Fault("CAT-E003", f"{tensor.name} and {other.name} share words of {self.memory.name}")
        self.places[tensor] = (address, words)

    def lay(self, axis: int, dim: int, kind: Kind) -> None:
        """Give every position along an axis an index of a loop's current range.

        Raises `Fault` CAT-E001 if there are fewer positions, CAT-E003 for a loop that the layer does not have.
        """
        if dim >= len(self.layer.dims):
            raise Fault("CAT-E003", f"a loop runs over dimension {dim}, which the layer does not have")
        self.check_worked(self.layer, kind)
        used, there = self.layer.sizes[dim][kind], self.machine.axes[axis].size
        if used > there:
            name = self.machine.axes[axis].name
            raise Fault("CAT-E001", f"more positions than axis {name} has", f"at most {there}", str(used))
        self.laid[axis] = used
        self.counters.use(axis, used)

    def bring(self, tensor: Tensor) -> None:
        """Bring the words of a tensor that the current ranges need into its place; count that."""
        words = self._needed(tensor)
        self._count_read(tensor, words.size)
        self.put(tensor, words)
        self.count(f"{self.memory.name}.{OPERANDS[tensor]}.fill", words.size)

    def put(self, tensor: Tensor, words: Array) -> None:
        """Write the tile of a tensor into its place. Raises `Fault` CAT-E001 if there is less room."""
        address, room = self._place(tensor)
        if words.size > room:
            raise Fault("CAT-E001", f"a tile of {tensor.name} overruns its place", f"{room} words", f"{words.size}")
        self.memory.of(words.dtype).window(address, (words.size,), (1,))[...] = words.reshape(-1)
        self.counters.hold(1, tensor, words.size)
        self._types[tensor] = words.dtype

    def take(self, tensor: Tensor, reads: int) -> Array:
        """The words of a tensor that the current ranges need, read so many times together from where they lie.

        That is its place, or off-chip without one. Raises `Fault` CAT-E002 for words that nothing has brought.
        """
        if tensor not in self.places:
            self._count_read(tensor, reads)
            return self._needed(tensor)
        self.count(f"{self.memory.name}.{OPERANDS[tensor]}.read", reads)
        return self._tile(tensor)

    def _tile(self, tensor: Tensor) -> Array:
        address, room = self._place(tensor)
        shape = self._shape(tensor)
        if tensor not in self._types:
            raise Fault("CAT-E002", f"{tensor.name} is wanted from {self.memory.name}, where nothing has brought it")
        if math.prod(shape) > room:
            limits = f"{room} words", f"{math.prod(shape)}"
            raise Fault("CAT-E001", f"a tile of {tensor.name} overruns its place", *limits)
        return self.memory.of(self._types[tensor]).read(address, (math.prod(shape),), (1,)).reshape(shape)

    def clear(self) -> None:
        """Begin a tile of sums: its words hold nothing."""
        self.memory.of(self.layer.partial).forget(*self._place(Tensor.OUTPUT))
        self._types.pop(Tensor.OUTPUT, None)

    def add_up(self, sums: Array) -> None:
        """Results of all operations of the current ranges arrive where the sums lie; count that, and operations.

        That is the tile of sums, or off-chip without one.
        """
        operations = self.operations
        self.count("operation.mac" if self.layer.is_multiply_accumulate else "operation.other", operations)
        self.count("operation.input.fill", operations)
        self.count("operation.kernel.fill", operations if self.layer.main else 0)
        self.counters.turns += 1
        self.counters.elements = max(self.counters.elements, self.elements)
        if Tensor.OUTPUT not in self.places:
            self._leave(sums, operations)
            return
        is_first, name = Tensor.OUTPUT not in self._types, f"{self.memory.name}.output"
        self.put(Tensor.OUTPUT, sums if is_first else FOLDS[self.layer.fold](self._tile(Tensor.OUTPUT), sums))
        self.count(f"{name}.update", operations)
        self.count(f"{name}.add", operations - sums.size * is_first)

    def _place(self, tensor: Tensor) -> tuple[int, int]:
        if tensor not in self.places:
            raise Fault("CAT-E003", f"{tensor.name} has no place on chip")
        return self.places[tensor]

    # Over the link ----------------------------------------------------------------------------------------------------

    def _needed(self, tensor: Tensor) -> Array:
        """The words of the input or the kernel that the current ranges need.

        Input words have gone through `pre`, by groups and positions of every dimension. Positions that nothing asks for
        are left out; padding is made up, and takes words like any other. Kernel words are (g..., op..., ks...).
        """
        outside = OffChip(self.layer, self.dram)
        if tensor is Tensor.KERNEL:
            return outside.kernel()
        if tensor is not Tensor.INPUT:
            raise Fault("CAT-E003", f"{tensor.name} is not brought on chip")
        words = outside.input()
        for axis, (dim, size) in enumerate(zip(self.layer.dims, self.layer.sizes, strict=True)):
            words = words.take(np.unique(_positions(dim.stride, dim.dilation, size)), axis=2 * axis + 1)
        return words

    def _count_read(self, tensor: Tensor, words: int) -> None:
        outer = self.machine.memories[0].name
        self.count(f"{outer}.{OPERANDS[tensor]}.read", words)
        if tensor in self.layer.terms:
            self.count(f"{outer}.index.read", words * len(self.layer.terms[tensor]))

    def send(self) -> None:
        """The tile of sums leaves: through `post` to the output, or to wait off-chip until the others have come."""
        sums = self._tile(Tensor.OUTPUT)
        self._leave(sums, sums.size)

    def _leave(self, sums: Array, words: int) -> None:
        """Sums of the current ranges arrive off-chip, as so many words."""
        layer, outer = self.layer, self.machine.memories[0].name
        ranges = tuple(
            (start[kind], size[kind])
            for start, size in zip(layer.starts, layer.sizes, strict=True)
            for kind in _RESULTS
        )
        self.count(f"{outer}.output.update", words)
        self.count(f"{outer}.output.add", words - sums.size)
        if ranges in self._waiting:
            self.count(f"{outer}.output.add", sums.size)
            sums = FOLDS[layer.fold](self._waiting.pop(ranges), sums)
        if not all(
            start[Kind.KS] + size[Kind.KS] == dim.counts[Kind.KS]
            for start, size, dim in zip(layer.starts, layer.sizes, layer.dims, strict=True)
        ):
            self._wait(ranges, sums)
            return
        OffChip(layer, self.dram).write(sums)
        self._count_results(outer, sums.size)

    def _wait(self, ranges: tuple[tuple[int, int], ...], sums: Array) -> None:
        """Sums that are not finished wait off-chip, in their place."""
        self._waiting[ranges] = sums.copy()
        taken = sum(each.size for each in self._waiting.values())
        if taken > self._room_outside:
            limits = f"{self._room_outside} words", f"{taken}"
            raise Fault("CAT-E003", "sums leave the chip unfinished and have no place to wait", *limits)

    def _count_results(self, outer: str, sums: int) -> None:
        layer = self.layer
        outputs = layer.drained(layer.sizes)
        words = math.prod(outputs)
        self.count(f"{outer}.output.repeat", words - sums)
        self.count("operation.post", words * len(layer.steps[Slot.POST]))
        self.count(f"{outer}.index.read", words * len(layer.terms[Tensor.OUTPUT]))
        if layer.update is not Fold.NONE:
            self.count(f"{outer}.output.read", words)
        for step in layer.steps[Slot.POST]:
            if step.operand is not None:
                strides = layer.strides(step.operand)
                extents = (outputs[3 * dim : 3 * dim + 3] if stride else [1] for dim, stride in enumerate(strides))
                self.count(f"{outer}.extra.read", math.prod(size for sizes in extents for size in sizes))

    # What elements do -------------------------------------------------------------------------------------------------

    def sums(self, inputs: Array, kernel: Array | None) -> Array:
        """Main operator, `mid` and reduction on words of the current ranges, in the type of partial sums."""
        layer, rank = self.layer, len(self.layer.dims)
        for axis in reversed(range(rank)):
            positions = _positions(layer.dims[axis].stride, layer.dims[axis].dilation, layer.sizes[axis])
            inputs = inputs.take(
                np.unique(positions, return_inverse=True)[1].reshape(positions.shape), axis=2 * axis + 1
            )
        order = [3 * axis + part for part in range(3) for axis in range(rank)]
        groups, terms, patches = (math.prod(self.sizes(kind)) for kind in (Kind.G, Kind.KS, Kind.OPC))
        windows = inputs.transpose(order).reshape(groups, terms, patches)
        values = Factor(np.ascontiguousarray(windows), layer.partial)
        return as_results(layer, reduced(layer, values, None if kernel is None else kernel_matrices(layer, kernel)))

    def _shape(self, tensor: Tensor) -> tuple[int, ...]:
        """The shape of what the current ranges need of a tensor, or make."""
        layer = self.layer
        if tensor is Tensor.KERNEL:
            return tuple(size for kind in (Kind.G, Kind.OP, Kind.KS) for size in self.sizes(kind))
        if tensor is Tensor.OUTPUT:
            return tuple(size[kind] for size in layer.sizes for kind in _RESULTS)
        shape: list[int] = []
        for dim, size in zip(layer.dims, layer.sizes, strict=True):
            shape += [size[Kind.G], np.unique(_positions(dim.stride, dim.dilation, size)).size]
        return tuple(shape)


def _positions(stride: int, dilation: int, sizes: Sequence[int]) -> npt.NDArray[np.int64]:
    """The positions of a range's input, from its first one, that outputs ask for: (ks, opc)."""
    taps, outputs = np.arange(sizes[Kind.KS]), np.arange(sizes[Kind.OPC])
    return taps[:, None] * dilation + outputs * stride
