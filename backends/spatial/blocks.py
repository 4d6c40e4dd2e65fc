"""Block execution: a whole transfer or processing pass at a time, on bounded memories.

Shapes repeat, positions change: what depends only on the sizes of the ranges (shapes, strides, counts, cycles) is
worked out once per signature and kept for the layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backends.fields import Array
from backends.spatial.addresses import UPDATES, Walk, computed_addresses, input_walk
from backends.spatial.array import (
    Layout,
    busiest_cycles,
    chain_length,
    delivered_inputs,
    delivered_kernels,
    first_windows,
    layout,
    pass_cycles,
)
from backends.spatial.bursts import burst_words
from backends.spatial.codes import Fold, Kind, Memory, Slot, Tensor
from backends.spatial.held import held_input, touched
from backends.spatial.holds import grid
from backends.spatial.layer import (
    FOLDS,
    Existing,
    InputTile,
    LayerState,
    Ranges,
    input_tile,
    row_major,
    run_steps,
)
from backends.spatial.memory import Addresses, Buffer, Fault, MemoryBank
from dialects.array_machine import Machine
from dialects.events import COMPRESSED, EVENTS, Counts
from dialects.gconv.contraction import Factor, product
from dialects.gconv.scalar import apply, scalar_of

EVENT_INDEX = {name: index for index, name in enumerate(EVENTS)}
EventVector = npt.NDArray[np.int64]


def event_vector(counts: dict[str, int]) -> EventVector:
    """Event counts as a vector in the order of `EVENTS`."""
    vector = np.zeros(len(EVENTS), np.int64)
    for name, count in counts.items():
        vector[EVENT_INDEX[name]] = count
    return vector


class Counters:
    """The counts of one layer while it runs."""

    def __init__(self) -> None:
        self.events = np.zeros(len(EVENTS), np.int64)
        self.array_cycles = 0
        self.passes = 0
        self.peak_pes = 0

    def add(self, name: str, count: int) -> None:
        """Count an event."""
        self.events[EVENT_INDEX[name]] += count

    def result(self) -> Counts:
        """The counts so far."""
        events = {name: int(self.events[index]) for name, index in EVENT_INDEX.items()}
        return Counts(events, self.array_cycles, self.passes, self.peak_pes)


@dataclass(frozen=True)
class PassShape:
    """All of a pass that depends on sizes only."""

    layout: Layout
    input_axes: tuple[tuple[int, ...], tuple[int, ...]]  # shape and strides, (g..., ks..., opc...)
    output_axes: tuple[tuple[int, ...], tuple[int, ...]]  # shape and strides, (g..., op..., opc...)
    groups: int
    kernels: int
    terms: int
    outputs: int
    events: EventVector
    kernel_delivery: int
    cycles: int


class BlockEngine:
    """Executes the transfers and passes of one layer on the machine's memories."""

    def __init__(self, layer: LayerState, machine: Machine, dram: MemoryBank, glb: Buffer, counters: Counters):
        self.layer, self.machine = layer, machine
        self.dram, self.glb, self.counters = dram, glb, counters
        self.partial = layer.partial
        self.sums = glb.of(self.partial)
        compression = machine.dram.compression
        self.code = None if compression is None else compression.code(machine.word_bits)
        self.input: InputTile | None = None
        self.output: Ranges | None = None
        self.kernel: Factor | None = None
        self.kernel_ranges: tuple[int, ...] = ()
        self.kernel_is_fresh = False
        self._holders: list[set[int]] = []
        self._shapes: dict[tuple[object, ...], PassShape] = {}
        self._window: tuple[tuple[object, ...], Factor] | None = None
        self.held: MemoryBank | None = None
        """The input that lies in a hold, as passes read it."""

    def begin(self, counters: Counters) -> None:
        """Run on the layer's whole ranges, of a shape that the engine was made for: no tile is there of earlier runs.

        An input that lies in a hold comes from there as passes need it, through `pre`, padding filled in.
        """
        self.counters = counters
        self.input = self.output = self.kernel = self._window = None
        self.kernel_ranges, self.kernel_is_fresh = (), False
        if Tensor.INPUT not in self.layer.keeps:
            return
        tile = input_tile(self.layer)
        self.held = MemoryBank.blank("the input in its hold", tile.words, self.layer.address(Tensor.INPUT).dtype)
        self._fill(tile, self.held, 0, self._held_words)

    def _held_words(self, tile: InputTile, there: Existing) -> Array:
        return held_input(self.layer, there, [first for first, _ in tile.groups])

    # Transfers --------------------------------------------------------------------------------------------------------

    def load_input(self) -> None:
        """DRAM -> pre -> buffer; padding and positions between dilated words are filled in."""
        layer = self.layer
        if self.held is not None:
            raise Fault("CAT-E003", "an input is loaded that lies in a hold")
        place = layer.place(Tensor.INPUT, Memory.GLB)
        tile = input_tile(layer)
        if tile.words > place.words:
            raise Fault("CAT-E001", "an input tile overruns its place", f"at most {place.words}", str(tile.words))
        inputs = self._inputs()
        inputs.forget(place.address, place.words)
        words = self._fill(tile, inputs, place.address, self._loaded_words)
        if not words and self.machine.counting.padding_in_dram:
            padding = np.zeros(tile.shape, layer.address(Tensor.INPUT).dtype)
            self.through_link(Tensor.INPUT, COMPRESSED["dram.input.read"], padding)
        self.counters.add("dram.input.read", words)
        self.counters.add("dram.input.padding", tile.words - words)
        self.counters.add("glb.input.fill", tile.words if self.machine.counting.padding_in_buffer else words)

    def _fill(
        self, tile: InputTile, bank: MemoryBank, address: int, words_of: Callable[[InputTile, Existing], Array]
    ) -> int:
        """Put a tile into its words: what exists of it through `pre`, padding around it. How much of it exists."""
        layer, shape = self.layer, tile.shape
        target = bank.window(address, shape, row_major(shape))
        there = Existing.of(layer, tile)
        words = math.prod(there.shape)
        if words != tile.words:
            target[...] = scalar_of(layer.padding, target.dtype)
        if words:
            target[there.inside] = run_steps(layer.steps[Slot.PRE], words_of(tile, there))
        self.input = tile
        self._window = None
        return words

    def _loaded_words(self, tile: InputTile, there: Existing) -> Array:
        values = self._read_input(there.shape, [first for first, _ in tile.groups], there.firsts)
        return self._bring_input(tile, values, there.inside)

    def _bring_input(self, tile: InputTile, values: Array, inside: tuple[slice, ...]) -> Array:
        """Input words as they arrive over the link, with the padding around them if that lies in DRAM."""
        if not self.machine.counting.padding_in_dram:
            return self.through_link(Tensor.INPUT, COMPRESSED["dram.input.read"], values)
        stream = np.zeros(tile.shape, values.dtype)
        stream[inside] = values
        return self.through_link(Tensor.INPUT, COMPRESSED["dram.input.read"], stream)[inside]

    def through_link(self, tensor: Tensor, event: str, stream: Array) -> Array:
        """The words of a transfer as they arrive, and the count of what they take on a link that compresses."""
        if self.code is None:
            return stream
        if tensor not in self.layer.compressed:
            self.counters.add(event, stream.size)
            return stream
        self.counters.add(event, self.code.machine_words(stream))
        return stream

    def _inputs(self) -> MemoryBank:
        """The buffer as it holds input words."""
        return self.glb.of(self.layer.address(Tensor.INPUT).dtype)

    def _read_input(self, shape: Sequence[int], groups: Sequence[int], positions: Sequence[int]) -> Array:
        """Input words from the given groups and positions of each dimension, at computed addresses if it has terms."""
        words = input_walk(self.layer, Tensor.INPUT, groups, positions)
        terms = self.layer.terms[Tensor.INPUT]
        if not terms:
            self._count_bursts("dram.input.burst", shape, words.strides)
            return self.dram.read(words.address, shape, words.strides, words.dtype)
        index = input_walk(self.layer, Tensor.INPUT_INDEX, groups, positions)
        self._count_bursts("dram.input.burst", shape, words.strides, index.strides)
        addresses, read = computed_addresses(self.dram, shape, words, index, terms)
        self.counters.add("dram.index.read", read)
        self.counters.add("dram.input.lookup", addresses.size)
        return self.dram.gather(addresses, words.dtype)

    def load_kernel(self) -> None:
        """DRAM or hold -> scratchpads; kept here as one block (groups, kernels, terms) of distinct words."""
        layer = self.layer
        if layer.main is None:
            raise Fault("CAT-E003", "a kernel is loaded in a layer without one")
        place = layer.place(Tensor.KERNEL, Memory.SPAD)
        source = layer.address(Tensor.KERNEL)
        address = source.address
        shapes: list[list[int]] = [[], [], []]
        strides: list[list[int]] = [[], [], []]
        for dim, stride, start, size in zip(
            layer.dims, layer.strides(Tensor.KERNEL), layer.starts, layer.sizes, strict=True
        ):
            _, parallel, _, taps = dim.counts
            address += stride * ((start[Kind.G] * parallel + start[Kind.OP]) * taps + start[Kind.KS])
            for axis, (kind, step) in enumerate(((Kind.G, parallel * taps), (Kind.OP, taps), (Kind.KS, 1))):
                shapes[axis].append(size[kind])
                strides[axis].append(stride * step)
        words = math.prod(math.prod(shape) for shape in shapes)
        if words > place.words:
            raise Fault("CAT-E001", "a kernel tile overruns its place", f"at most {place.words}", str(words))
        shape, steps = [n for s in shapes for n in s], [n for s in strides for n in s]
        hold = layer.keeps.get(Tensor.KERNEL)
        if hold is None:
            self._count_bursts("dram.kernel.burst", shape, steps)
        block = (hold or self.dram).read(address, shape, steps, source.dtype)
        self.kernel = Factor(np.ascontiguousarray(block).reshape([math.prod(each) for each in shapes]), self.partial)
        self.kernel_ranges = self._kernel_ranges()
        self.kernel_is_fresh = True
        self.counters.add("dram.kernel.read" if hold is None else "glb.kernel.read", words)
        self.counters.array_cycles += math.ceil(words / self.machine.links.kernel_bus)

    def _kernel_ranges(self) -> tuple[int, ...]:
        kinds = (Kind.G, Kind.OP, Kind.KS)
        starts = (start[kind] for start in self.layer.starts for kind in kinds)
        return (*starts, *(size[kind] for size in self.layer.sizes for kind in kinds))

    def open_output(self) -> None:
        """Begin an output tile; sums that go on from an earlier turn are read from their hold, by the first passes."""
        place = self.layer.place(Tensor.OUTPUT, Memory.GLB)
        self.output = Ranges.of(self.layer)
        words = math.prod(self._output_extents(self.output))
        if words > place.words:
            raise Fault("CAT-E001", "an output tile overruns its place", f"at most {place.words}", str(words))
        self.sums.forget(place.address, place.words)
        if not self.layer.begins_sums:
            shape = self._tile_shape(self.output)
            there = self.layer.keeps[Tensor.OUTPUT].sums(self._sums_addresses(shape))
            self.sums.window(place.address, shape, row_major(shape))[...] = there

    def _tile_shape(self, ranges: Ranges) -> list[int]:
        """The tile of sums of some ranges, as (g, op, opc) of every dimension in turn."""
        return [size[kind] for size in ranges.sizes for kind in (Kind.G, Kind.OP, Kind.OPC)]

    def _sums_addresses(self, shape: Sequence[int]) -> Addresses:
        """Where unfinished sums of the current ranges lie: where the first of their results will."""
        address, strides = self.output_address(Tensor.OUTPUT)
        return grid(address, shape, strides)

    def _output_extents(self, ranges: Ranges) -> list[int]:
        return [size[Kind.G] * size[Kind.OP] * size[Kind.OPC] for size in ranges.sizes]

    def store(self) -> None:
        """Buffer -> post -> DRAM or hold; sums that parallel kernels would only repeat are repeated here.

        Sums that go on in a later turn stay in the hold as they are.
        """
        layer, tile = self.layer, self.output
        if tile is None or tile != Ranges.of(layer):
            raise Fault("CAT-E003", "the stored tile is not the one that was opened")
        if not layer.is_reduced():
            raise Fault("CAT-E003", "a tile is stored before its kernel loops have ended")
        place = layer.place(Tensor.OUTPUT, Memory.GLB)
        shape = self._tile_shape(tile)
        sums = self.sums.read(place.address, shape, row_major(shape))
        if not layer.finishes_sums:
            layer.keeps[Tensor.OUTPUT].put_sums(self._sums_addresses(shape), sums)
            self.counters.add("glb.output.drain", sums.size)
            self.counters.add("glb.output.hold", sums.size)
            return
        shape = layer.drained(tile.sizes)
        flowing = np.broadcast_to(sums.astype(layer.acc, copy=False), shape)
        values = run_steps(layer.steps[Slot.POST], flowing, self._read_extra)
        with np.errstate(invalid="ignore"):
            values = values.astype(layer.address(Tensor.OUTPUT).dtype, copy=False)
        words = math.prod(shape)
        hold = layer.keeps.get(Tensor.OUTPUT)
        if hold is None:
            self._write_output(self.through_link(Tensor.OUTPUT, COMPRESSED["dram.output.write"], values), shape)
        else:
            address, strides = self.output_address(Tensor.OUTPUT)
            hold.scatter(grid(address, shape, strides), np.broadcast_to(values, shape))
        self.counters.add("glb.output.drain", words)
        self.counters.add("dram.output.write" if hold is None else "glb.output.hold", words)
        self.counters.add("operation.post", words * len(layer.steps[Slot.POST]))

    def _write_output(self, values: Array, shape: list[int]) -> None:
        """Write the words of the current output tile to their place, or update those at computed addresses."""
        terms, update = self.layer.terms[Tensor.OUTPUT], self.layer.update
        words = Walk(*self.output_address(Tensor.OUTPUT), values.dtype)
        if not terms:
            if update is not Fold.NONE:
                raise Fault("CAT-E003", "an output is updated that has no computed addresses")
            self.dram.window(words.address, shape, words.strides, words.dtype)[...] = values
            self._count_bursts("dram.output.burst", shape, words.strides)
            return
        index_dtype = self.layer.address(Tensor.OUTPUT_INDEX).dtype
        index = Walk(*self.output_address(Tensor.OUTPUT_INDEX), index_dtype)
        addresses, read = computed_addresses(self.dram, shape, words, index, terms)
        self.dram.scatter(addresses, values, UPDATES[update])
        self._count_bursts("dram.output.burst", shape, words.strides, index.strides)
        self.counters.add("dram.index.read", read)
        self.counters.add("dram.output.lookup", addresses.size)
        if update is not Fold.NONE:
            self.counters.add("dram.output.read", addresses.size)

    def output_address(self, tensor: Tensor) -> tuple[int, list[int]]:
        """First word and strides (g, op, opc per dimension) of the current ranges of a tensor laid out like O."""
        address = self.layer.address(tensor).address
        strides: list[int] = []
        for dim, stride, start in zip(self.layer.dims, self.layer.strides(tensor), self.layer.starts, strict=True):
            _, parallel, positions, _ = dim.counts
            address += stride * ((start[Kind.G] * parallel + start[Kind.OP]) * positions + start[Kind.OPC])
            strides += [stride * parallel * positions, stride * positions, stride]
        return address, strides

    def _read_extra(self, tensor: Tensor) -> Array:
        """The words of an extra operand for the current output tile; words that repeat are read once."""
        address, strides = self.output_address(tensor)
        sizes = self.layer.drained(self.layer.sizes)
        shape = [1 if stride == 0 else size for size, stride in zip(sizes, strides, strict=True)]
        dtype, hold = self.layer.address(tensor).dtype, self.layer.keeps.get(tensor)
        if hold is not None:
            self.counters.add("glb.extra.read", math.prod(shape))
            return hold.read(address, shape, strides, dtype)
        self.counters.add("dram.extra.read", math.prod(shape))
        self._count_bursts("dram.extra.burst", shape, strides)
        words = self.dram.read(address, shape, strides, dtype)
        return self.through_link(tensor, COMPRESSED["dram.extra.read"], words)

    def _count_bursts(
        self, event: str, shape: Sequence[int], strides: Sequence[int], index: Sequence[int] | None = None
    ) -> None:
        """Count a transfer; with the strides of an index, one for each address that the index makes."""
        axes = list(zip(shape, strides, index or (0,) * len(shape), strict=True))
        times = math.prod(size for size, _, moves in axes if moves)
        rows = [(size, stride) for size, stride, moves in axes if not moves]
        words = burst_words(
            tuple(size for size, _ in rows), tuple(stride for _, stride in rows), self.machine.dram.burst_words
        )
        self.counters.add(event, times * words)

    # Processing passes ------------------------------------------------------------------------------------------------

    def process(self) -> None:
        """One pass: fold main(input, kernel) into the output tile."""
        shape = self.pass_shape()
        self._check_holders(shape)
        first = self.layer.is_first_pass()
        block = self.input_block(shape)
        if self.gates:
            self.counters.add("operation.gated", int((block == 0).sum()) * shape.kernels)
        result = self.fold_block(shape, block)
        output = self.output_block(shape, first)
        if first:
            output[...] = result.reshape(output.shape)
        else:
            FOLDS[self.layer.fold](output, result.reshape(output.shape), out=output)
        self.count_pass(shape, first)

    @property
    def gates(self) -> bool:
        """Whether operations on an input of zero are counted: where they multiply by a kernel, and energy is saved."""
        return self.machine.energy.gating is not None and self.layer.main is not None

    def _check_holders(self, shape: PassShape) -> None:
        """Kernels go to the elements of the first pass after a load; later passes may use those elements only."""
        if self.kernel is None:
            return
        starts = [{start for start, _ in of_dim[Kind.OPC]} for of_dim in shape.layout.pieces]
        if self.kernel_is_fresh:
            self._holders = starts
        elif any(not used <= held for used, held in zip(starts, self._holders, strict=True)):
            raise Fault("CAT-E002", "a pass uses elements that its kernel words were not delivered to")

    def count_pass(self, shape: PassShape, first: bool) -> None:
        """Count a pass and, with it, the delivery of kernels that were loaded since the last one."""
        counters, words = self.counters, shape.groups * shape.kernels * shape.outputs
        counters.events += shape.events
        for name in output_traffic(first, self.layer.is_last_pass()):
            counters.add(name, words)
        if self.held is not None:
            counters.add("glb.input.read", self._touched_words())
        elif not self.machine.counting.padding_in_buffer:
            counters.add("glb.input.read", self._existing_words())
        if self.kernel_is_fresh:
            counters.add("array.kernel.deliver", shape.kernel_delivery)
            counters.add("spad.kernel.write", shape.kernel_delivery)
            self.kernel_is_fresh = False
        counters.array_cycles += shape.cycles
        counters.passes += 1
        counters.peak_pes = max(counters.peak_pes, shape.layout.active)

    def input_block(self, shape: PassShape) -> Array:
        """The input words of the pass as a view (g..., ks..., opc...) of the buffer."""
        tile, layer = self.input, self.layer
        assert tile is not None
        address = 0 if self.held is not None else layer.place(Tensor.INPUT, Memory.GLB).address
        strides = row_major(tile.shape)
        wanted = input_tile(layer)
        for index, (have, want) in enumerate(zip(tile.groups, wanted.groups, strict=True)):
            address += _offset("groups", have, want) * strides[2 * index]
        for index, (have, want) in enumerate(zip(tile.positions, wanted.positions, strict=True)):
            address += _offset("input positions", have, want) * strides[2 * index + 1]
        return (self.held or self._inputs()).read(address, *shape.input_axes)

    def output_block(self, shape: PassShape, first: bool) -> Array:
        """The output words of the pass as a view (g..., op..., opc...) of the buffer."""
        tile, layer = self.output, self.layer
        assert tile is not None
        address = layer.place(Tensor.OUTPUT, Memory.GLB).address
        strides = row_major([s[kind] for s in tile.sizes for kind in (Kind.G, Kind.OP, Kind.OPC)])
        for index in range(len(layer.dims)):
            for position, kind in enumerate((Kind.G, Kind.OP, Kind.OPC)):
                have = (tile.starts[index][kind], tile.sizes[index][kind])
                want = (layer.starts[index][kind], layer.sizes[index][kind])
                address += _offset("outputs", have, want) * strides[3 * index + position]
        access: Callable[..., Array] = self.sums.window if first else self.sums.read
        return access(address, *shape.output_axes)

    def fold_block(self, shape: PassShape, inputs: Array) -> Array:
        """The block (groups, kernels, outputs) that the array computes in a pass."""
        layer = self.layer
        values = self._unrolled(shape, inputs)
        if layer.is_multiply_accumulate and not layer.steps[Slot.MID]:
            return product(self._kernel_block(), values, shape.terms)
        block = values.words[:, None]
        if layer.main is not None:
            kernel = self._kernel_block().words[..., None]
            wide = np.broadcast_to(block, (shape.groups, shape.kernels, shape.terms, shape.outputs))
            block = apply(layer.main, wide, kernel)
        block = run_steps(layer.steps[Slot.MID], block)
        return block[:, :, 0] if layer.fold is Fold.NONE else FOLDS[layer.fold].reduce(block, axis=2)

    def _unrolled(self, shape: PassShape, inputs: Array) -> Factor:
        """The input words as (groups, terms, outputs); kept while passes over other kernels read the same ones."""
        key = (inputs.ctypes.data, shape.input_axes)
        if self._window is None or self._window[0] != key:
            block = np.ascontiguousarray(inputs).reshape(shape.groups, shape.terms, shape.outputs)
            self._window = (key, Factor(block, self.partial))
        return self._window[1]

    def _kernel_block(self) -> Factor:
        if self.kernel is None or self.kernel_ranges != self._kernel_ranges():
            raise Fault("CAT-E002", "the elements do not hold the kernel words that a pass needs")
        return self.kernel

    def pass_shape(self) -> PassShape:
        """The shape of the current pass, worked out once per signature.

        Raises `Fault` if a tile is missing or the pass does not fit the array.
        """
        if self.input is None or self.output is None:
            raise Fault("CAT-E002", "a pass runs before its input and output tiles are there")
        key = (self.layer.signature(), self.input.shape, self.output.sizes)
        found = self._shapes.get(key)
        if found is None:
            found = self._shapes[key] = self._work_out(self.input, self.output)
        return found

    def _work_out(self, inputs: InputTile, outputs: Ranges) -> PassShape:
        layer, sizes = self.layer, self.layer.sizes
        earlier = next(iter(self._shapes.values()), None)
        found = layout(layer, self.machine, None if earlier is None else earlier.layout)
        in_strides = row_major(inputs.shape)
        in_axes = [(size[Kind.G], in_strides[2 * d]) for d, size in enumerate(sizes)]
        in_axes += [(size[Kind.KS], in_strides[2 * d + 1] * layer.dims[d].dilation) for d, size in enumerate(sizes)]
        in_axes += [(size[Kind.OPC], in_strides[2 * d + 1] * layer.dims[d].stride) for d, size in enumerate(sizes)]
        kinds = (Kind.G, Kind.OP, Kind.OPC)
        out_strides = row_major([s[kind] for s in outputs.sizes for kind in kinds])
        out_axes = [
            (size[kind], out_strides[3 * d + k]) for k, kind in enumerate(kinds) for d, size in enumerate(sizes)
        ]
        totals = {kind: math.prod(size[kind] for size in sizes) for kind in Kind}
        if layer.fold is Fold.NONE and totals[Kind.KS] != 1:
            raise Fault("CAT-E003", "kernel loops need a reduction")
        events, cycles = self._pass_counts(found, totals)
        return PassShape(
            found,
            _axes(in_axes),
            _axes(out_axes),
            totals[Kind.G],
            totals[Kind.OP],
            totals[Kind.KS],
            totals[Kind.OPC],
            event_vector(events),
            delivered_kernels(layer, found) if layer.main is not None else 0,
            cycles,
        )

    def _pass_counts(self, found: Layout, totals: dict[Kind, int]) -> tuple[dict[str, int], int]:
        """What every pass of this shape counts, and its cycles."""
        layer, machine = self.layer, self.machine
        operations = math.prod(totals.values())
        outputs = totals[Kind.G] * totals[Kind.OP] * totals[Kind.OPC]
        words = input_tile(layer).words
        delivered, chain = delivered_inputs(layer, found), chain_length(layer, found)
        events = {
            "glb.input.read": words if machine.counting.padding_in_buffer and self.held is None else 0,
            "array.input.deliver": delivered,
            "spad.input.write": delivered,
            "spad.input.read": operations,
            "spad.kernel.read": operations if layer.main is not None else 0,
            "spad.output.read": operations,
            "spad.output.write": operations,
            "array.output.hop": outputs * (chain - 1),
            "array.output.out": outputs,
            "operation.mac" if layer.is_multiply_accumulate else "operation.other": operations,
        }
        first = 0 if machine.pipeline is None else first_windows(layer, found)
        return events, pass_cycles(machine, busiest_cycles(layer, found), first, words, outputs, chain)

    def _touched_words(self) -> int:
        """Input words of the pass that windows touch and that exist: a hold has no others."""
        layer = self.layer
        return math.prod(
            size[Kind.G] * len(touched(dim, start, size))
            for dim, start, size in zip(layer.dims, layer.starts, layer.sizes, strict=True)
        )

    def _existing_words(self) -> int:
        """Input words of the pass without padding; unlike all other counts this depends on where the pass is."""
        total = 1
        tile = input_tile(self.layer)
        for dim, (_, groups), (low, length) in zip(self.layer.dims, tile.groups, tile.positions, strict=True):
            total *= groups * dim.existing(low, length)[1]
        return total


def output_traffic(first: bool, last: bool) -> tuple[str, ...]:
    """The events of every partial sum that a pass moves between buffer and array, besides leaving the array."""
    inward = ("glb.output.first",) if first else ("glb.output.read", "array.output.in")
    return (*inward, "glb.output.last" if last else "glb.output.write")


def _offset(what: str, have: tuple[int, int], want: tuple[int, int]) -> int:
    """Where a wanted range (start, size) begins in a kept one."""
    if want[0] < have[0] or want[0] + want[1] > have[0] + have[1]:
        raise Fault(
            "CAT-E002",
            f"a pass needs {what} that the tile in the buffer does not have",
            f"{have[0]} to {have[0] + have[1] - 1}",
            f"{want[0]} to {want[0] + want[1] - 1}",
        )
    return want[0] - have[0]


def _axes(pairs: list[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(n for n, _ in pairs), tuple(s for _, s in pairs)
