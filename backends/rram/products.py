"""A part of a matrix at work: vectors in, products in crossbars, sums and results out; many turns at once."""

from __future__ import annotations

from collections import deque
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from backends.fields import Array
from backends.rram.buffers import Buffer
from backends.rram.counting import Cycles, LayerCounters, Ways
from backends.rram.crossbar.settings import Settings
from backends.rram.crossbar.tiles import TiledMatrix
from backends.rram.isa import Made, What
from backends.rram.streams import Task
from backends.rram.units import DEPTH
from backends.spatial.codes import Kind, Slot, Tensor
from backends.spatial.holds import HoldState
from backends.spatial.layer import run_steps
from backends.spatial.memory import Fault, MemoryBank
from dialects.gconv.contraction import Factor, product
from dialects.gconv.scalar import scalar_of
from dialects.multicore_machine import MulticoreMachine
from dialects.vector_sets import VectorSet
from passes.crossbar_tiles import MatrixShape

Ints = npt.NDArray[np.int64]
Held = TypeVar("Held")
BLOCK = 1 << 22
"""Words of inputs that are gathered at a time, about."""
SUM_BYTES = 4
"""Bytes of a sum in the buffer of a core."""


class MatrixPart:
    """The part of a matrix that a core has, and what its registers hold between two actions of a turn.

    With `physics` its crossbars compute as such converters, cells and wires do.
    """

    def __init__(
        self,
        task: Task,
        machine: MulticoreMachine,
        dram: MemoryBank,
        sums: MemoryBank,
        counters: LayerCounters,
        ways: Ways,
        physics: Settings | None = None,
    ):
        self._physics, self._ways = physics, ways
        self._analog: dict[int, TiledMatrix] = {}
        """The crossbars of every copy that lies abreast."""
        self._shift = 0
        self._task, self._machine, self._dram, self._sums, self._counters = task, machine, dram, sums, counters
        layer = task.layer
        self.layer = layer
        self._group_count = len(task.groups)
        self.results = self._group_count * len(task.columns)
        self._of_group = self._unravel(np.array(task.groups), Kind.G)
        self._of_row = self._unravel(np.array(task.rows), Kind.KS)
        self._of_column = self._unravel(np.array(task.columns), Kind.OP)
        self._weights: Factor | None = None
        self.crossbars = range(0)
        self._inputs: deque[tuple[Array, Ints]] = deque()
        """Windows that were loaded and not yet multiplied, with the vectors that they are of."""
        self._made: deque[Array] = deque()
        """Sums that were made and not yet stored; what is done with sums is done with the first of them."""
        self._depth = DEPTH if machine.cores.overlap else 1
        doubled = frozenset(("input", "sums") if machine.cores.overlap else ())
        self.buffer = Buffer(counters, machine.cores.buffer_bytes, doubled)
        self._extras: dict[Tensor, Array] = {}

    def _unravel(self, flat: Ints, kind: Kind) -> list[Ints]:
        shape = [dim.counts[kind] for dim in self.layer.dims]
        return [each.astype(np.int64) for each in np.unravel_index(flat, shape)]

    @property
    def most_turns(self) -> int:
        """Turns at a time that take a moderate amount of the emulator's own memory."""
        return max(1, BLOCK // max(1, self._group_count * len(self._task.rows) * self.positions.abreast))

    def turns(self, start: int, turns: range) -> Ints:
        """Which turns of the part's vectors turns of a run from `start` are."""
        return (start + np.arange(turns.start, turns.stop)) % self.positions.turns

    @property
    def positions(self) -> VectorSet:
        """The vectors that the core works on. Raises `Fault` CAT-E003 if nothing said which."""
        if self._task.vectors is None:
            raise Fault("CAT-E003", "a part has no vectors")
        return self._task.vectors

    # Weights ----------------------------------------------------------------------------------------------------------

    def program(self, crossbars: range, shift: int, *, resident: bool) -> tuple[Cycles, int]:
        """Write the weights; the cycles that the bus takes, and then the crossbars, all of them at a time."""
        machine, task = self._machine, self._task
        format = machine.crossbar.weights
        if crossbars.stop > machine.cores.crossbars:
            limits = f"{machine.cores.crossbars} crossbars", f"crossbar {crossbars.stop - 1}"
            raise Fault("CAT-E001", "a part is written into crossbars that the core does not have", *limits)
        copies = self.positions.abreast
        tiles = self._tiles() * format.crossbars * copies
        if tiles > len(crossbars):
            raise Fault("CAT-E001", "a part does not fit its crossbars", f"{len(crossbars)} crossbars", str(tiles))
        addresses = self.kernel_addresses()
        words = self._dram.gather(addresses, self.layer.address(Tensor.KERNEL).dtype)
        low, high = format.range
        least, most = int(words.min()) - shift, int(words.max()) - shift
        if least < low or most > high:
            found = f"{least} to {most}"
            raise Fault("CAT-E003", "weights are beyond what cells can hold", f"{low} to {high}", found)
        self._weights, self._shift, self._analog = Factor(words, self.layer.acc), shift, {}
        self.crossbars = crossbars
        cells = copies * format.cells(words.shape[2], words.shape[0] * words.shape[1])
        self._counters.add("crossbar.cells", cells)
        if resident:
            return np.zeros(1, np.int64), 0
        self._counters.add("memory.kernel.read", words.size)
        self._counters.add("crossbar.rewrite", cells)
        cycles = self._ways.load.moved(np.array([words.size * words.itemsize]))
        rows = min(len(task.rows) * len(task.groups), machine.crossbar.rows)
        return cycles, rows * machine.crossbar.write_cycles

    def _tiles(self) -> int:
        """Crossbars that the part takes: groups in a diagonal, or tiles of each group."""
        shape = MatrixShape(self._group_count, len(self._task.rows), len(self._task.columns), len(self.positions))
        return shape.crossbars(self._machine.crossbar.rows, self._machine.weight_columns)

    def kernel_addresses(self) -> Ints:
        """Where the weights are, as (groups, columns, rows)."""
        layer = self.layer
        source = layer.address(Tensor.KERNEL)
        found = np.full((1, 1, 1), source.address, np.int64)
        for d, (dim, stride) in enumerate(zip(layer.dims, layer.strides(Tensor.KERNEL), strict=True)):
            parallel, taps = dim.counts[Kind.OP], dim.counts[Kind.KS]
            found = found + stride * (
                (self._of_group[d][:, None, None] * parallel + self._of_column[d][None, :, None]) * taps
                + self._of_row[d][None, None, :]
            )
        return found

    def _where(self, tensor: Tensor) -> MemoryBank | HoldState:
        """What has a tensor's words: the shared memory, or a hold in it."""
        return self.layer.keeps.get(tensor, self._dram)

    # Turns ------------------------------------------------------------------------------------------------------------

    def input_addresses(self, vectors: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Where the words of windows are, as (groups, rows, vectors), and which exist; others are padding."""
        layer = self.layer
        source = layer.address(Tensor.INPUT)
        shape = len(self._task.rows), len(vectors)
        of_vector = self._unravel(vectors, Kind.OPC)
        addresses = np.full(shape, source.address, np.int64)
        of_group = np.zeros(self._group_count, np.int64)
        exist = np.ones(shape, np.bool_)
        for d, (dim, stride) in enumerate(zip(layer.dims, layer.strides(Tensor.INPUT), strict=True)):
            if dim.up != 1:
                raise Fault("CAT-E003", "the input of crossbars is spread out")
            at_row, at_vector = self._of_row[d] * dim.dilation - dim.pad, of_vector[d] * dim.stride
            of_group += self._of_group[d] * dim.extent * stride
            if dim.counts[Kind.KS] == 1 and dim.counts[Kind.OPC] == 1 and not dim.pad:
                continue
            addresses += (at_row * stride)[:, None] + (at_vector * stride)[None, :]
            if at_row.min() + at_vector.min() < 0 or at_row.max() + at_vector.max() >= dim.extent:
                places = at_row[:, None] + at_vector[None, :]
                exist &= (places >= 0) & (places < dim.extent)
        return of_group[:, None, None] + addresses[None], exist

    def load_input(self, vectors: Ints) -> Cycles:
        """Bring the windows of vectors, as (groups, rows, vectors)."""
        layer = self.layer
        dtype, memory = layer.address(Tensor.INPUT).dtype, self._where(Tensor.INPUT)
        addresses, exist = self.input_addresses(vectors)
        if exist.all():
            words = run_steps(layer.steps[Slot.PRE], memory.gather(addresses, dtype))
        else:
            there = np.broadcast_to(exist, addresses.shape)
            found = None
            if there.any():
                found = run_steps(layer.steps[Slot.PRE], memory.gather(addresses[there], dtype))
            kind = dtype if found is None else found.dtype
            words = np.full(addresses.shape, scalar_of(layer.padding, kind), kind)
            if found is not None:
                words[there] = found
        self._hold(self._inputs, (words, vectors), "inputs")
        self.buffer.hold("input", self._of_turn(words.size * dtype.itemsize, vectors))
        counts = exist.sum(axis=0, dtype=np.int64) * self._group_count
        self._counters.add("memory.input.read", int(counts.sum()))
        return self._ways.load.moved(counts * dtype.itemsize)

    def load_extras(self, what: What, vectors: Ints) -> Cycles:
        """Bring operands of `post`: those that vary with the vector, or those that do not, once."""
        layer, turns = self.layer, len(vectors)
        sizes = 0
        for tensor in self.extras(what is What.EXTRAS):
            addresses = self.output_addresses(tensor, vectors if what is What.EXTRAS else vectors[:1])
            dtype = layer.address(tensor).dtype
            self._extras[tensor] = self._where(tensor).gather(addresses, dtype)
            words = len(np.unique(addresses[0]))
            self._counters.add("memory.extra.read", words * turns)
            sizes += words * dtype.itemsize
        abreast = self._of_turn(sizes * turns, vectors) if what is What.EXTRAS else sizes
        self.buffer.hold(what.name, abreast)
        return self._ways.load.moved(np.full(turns, sizes))

    def extras(self, varying: bool) -> list[Tensor]:
        """The operands of `post` that vary with the vector, or that do not."""
        layer = self.layer
        found: list[Tensor] = []
        for step in layer.steps[Slot.POST]:
            if step.operand is None or step.operand in found:
                continue
            strides = layer.strides(step.operand)
            varies = any(s and dim.counts[Kind.OPC] > 1 for s, dim in zip(strides, layer.dims, strict=True))
            if varies == varying:
                found.append(step.operand)
        return found

    def output_addresses(self, tensor: Tensor, vectors: Ints) -> Ints:
        """Where the words of a tensor in the shape of the output are, as (vectors, columns of all groups)."""
        layer = self.layer
        target = layer.address(tensor)
        of_vector = self._unravel(vectors, Kind.OPC)
        at = np.full(len(vectors), target.address, np.int64)
        across = np.zeros((self._group_count, len(self._task.columns)), np.int64)
        for d, (dim, stride) in enumerate(zip(layer.dims, layer.strides(tensor), strict=True)):
            _, parallel, positions, _ = dim.counts
            at += of_vector[d] * stride
            places = self._of_group[d][:, None] * parallel + self._of_column[d][None, :]
            across += places * positions * stride
        found: Ints = at[:, None] + across.reshape(1, -1)
        return found

    def multiply(self) -> Cycles:
        """Products of all vectors that were loaded; the cycles of adding up, for each, what tiles of a column give."""
        machine, task = self._machine, self._task
        if self._weights is None or not self._inputs:
            raise Fault("CAT-E003", "crossbars multiply without weights, or without an input")
        rows = len(task.rows)
        input, vectors = self._inputs.popleft()
        made: Array
        if self._physics is None:
            made = product(self._weights, Factor(input, self.layer.acc), rows)
        else:
            made = self._measured(self._weights.words, input, vectors, self._physics)
        count: int = input.shape[2]
        self._hold(self._made, made.transpose(2, 0, 1).reshape(count, self.results), "sums")
        self.buffer.hold("sums", self._of_turn(made.nbytes, vectors))
        self.buffer.release("input")
        added = (-(-rows // machine.crossbar.rows) - 1) * self.results if self._group_count == 1 else 0
        self._counters.add("crossbar.mvm", len(self.crossbars) // self.positions.abreast * count)
        self._counters.operate("operation.add", added * count)
        self._counters.add("operation.mac", self.results * rows * count)
        return np.full(count, machine.vector_cycles(added), np.int64)

    def _hold(self, buffers: deque[Held], held: Held, what: str) -> None:
        """Put something into the next buffer. Raises `Fault` CAT-E003 if there is none left."""
        if len(buffers) == self._depth:
            raise Fault("CAT-E003", f"{what} would be lost that nobody took", f"{self._depth} at a time")
        buffers.append(held)

    def _of_turn(self, size: int, vectors: Ints) -> int:
        """Bytes of the largest turn, of so many for all of some vectors."""
        return size // len(vectors) * min(self.positions.abreast, len(vectors))

    def _measured(self, weights: Array, input: Array, numbers: Ints, physics: Settings) -> Array:
        """Sums (groups, columns, vectors) that crossbars with physics make; what weights were shifted by is added."""
        vectors = np.swapaxes(input, 1, 2)
        shifted = self._shift * vectors.sum(axis=2, dtype=np.int64)[:, :, None]
        made = np.repeat(shifted, weights.shape[1], axis=2)
        of_copy = self.positions.copies(numbers)
        each = len(self.crossbars) // self.positions.abreast
        for copy in range(self.positions.abreast):
            chosen = np.flatnonzero(of_copy == copy)
            if not len(chosen):
                continue
            if copy not in self._analog:
                place = self._task.core, self.crossbars.start + copy * each, self.layer.index
                cells = np.swapaxes(weights, 1, 2) - self._shift
                self._analog[copy] = TiledMatrix(cells, physics, place, is_signed=input.dtype.kind == "i")
            made[:, chosen] += self._analog[copy].multiply(vectors[:, chosen])
        return np.swapaxes(made, 1, 2).astype(self.layer.acc)

    def made(self) -> Array:
        """The sums of the turns at work. Raises `Fault` CAT-E003 if there are none."""
        if not self._made:
            raise Fault("CAT-E003", "sums are wanted that nothing has made")
        return self._made[0]

    def sum_addresses(self, vectors: Ints) -> Ints:
        """Where partial sums are, as (vectors, columns)."""
        if self._task.sums is None:
            raise Fault("CAT-E003", "partial sums have no place")
        address, stride = self._task.sums
        return address + vectors[:, None] * stride + np.arange(self.results)[None, :]

    def fetch(self, vectors: Ints) -> Cycles:
        """Bring partial sums and add them."""
        made = self.made()
        with np.errstate(over="ignore"):
            self._made[0] = made + self._sums.gather(self.sum_addresses(vectors), np.dtype(np.int32))
        self.buffer.hold("fetched", self._of_turn(made.size * SUM_BYTES, vectors))
        self.buffer.release("fetched")
        self._counters.add("memory.sums.read", made.size)
        self._counters.operate("operation.add", made.size)
        sizes = np.full(len(vectors), self.results * self._machine.shared.sum_bytes)
        return self._ways.load.moved(sizes)

    @property
    def adding(self) -> int:
        """Cycles of adding the partial sums of a vector."""
        return self._machine.vector_cycles(self.results)

    def activate(self, vectors: Ints) -> Cycles:
        """Sums through `post`."""
        layer, made = self.layer, self.made()
        steps = layer.steps[Slot.POST]
        for step in steps:
            if step.operand is not None and step.operand not in self._extras:
                raise Fault("CAT-E003", f"{step.operand.name} was not loaded")
        self._made[0] = run_steps(steps, made, lambda tensor: self._extras[tensor])
        self._counters.operate("operation.post", made.size * len(steps))
        return np.full(len(vectors), self._machine.vector_cycles(self.results * len(steps)))

    def store(self, made: Made, vectors: Ints) -> Cycles:
        """Write partial sums, or results."""
        words = self.made()
        self._made.popleft()
        self.buffer.release("sums", What.EXTRAS.name)
        if made is Made.SUMS:
            self._sums.scatter(self.sum_addresses(vectors), words, None)
            self._counters.add("memory.sums.write", words.size)
            size = self._machine.shared.sum_bytes
        else:
            dtype = self.layer.address(Tensor.OUTPUT).dtype
            with np.errstate(invalid="ignore"):
                addresses = self.output_addresses(Tensor.OUTPUT, vectors)
                self._where(Tensor.OUTPUT).scatter(addresses, words.astype(dtype, copy=False), None)
            self._counters.add("memory.output.write", words.size)
            size = dtype.itemsize
        return self._ways.store.moved(np.full(len(vectors), self.results * size))
