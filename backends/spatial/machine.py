"""The machine that executes instructions: sequencer, hardware loops, memories, one engine per layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backends.spatial.blocks import BlockEngine, Counters
from backends.spatial.host import execute_on_host
from backends.spatial.isa import Axis, Executable, Fold, Kind, Memory, Slot, Tensor, Word
from backends.spatial.layer import (
    LayerState,
    PlaceConfig,
    SpreadConfig,
    TensorAddress,
    TermConfig,
    binary_function,
    scalar_step,
)
from backends.spatial.memory import Buffer, Fault, MemoryBank
from backends.spatial.words import dtype_of_word
from dialects.events import Counts
from dialects.target import Machine

SegmentRun = Callable[[int], tuple[int, int]]
"""Executes the host segment that is this layer; the words that it read from DRAM and wrote there."""

EngineFactory = Callable[[LayerState, Machine, MemoryBank, Buffer, Counters], BlockEngine]


@dataclass
class _Frame:
    """A running hardware loop: its body starts at `body`; `start` and `size` are the range that it cuts."""

    body: int
    dim: int
    kind: Kind
    tile: int
    start: int
    size: int


class SpatialCore:
    """Executes a program instruction by instruction (`backends.spatial.isa.Core`)."""

    def __init__(
        self,
        machine: Machine,
        dram: MemoryBank,
        glb: Buffer,
        engine: EngineFactory,
        segment: SegmentRun | None = None,
    ):
        self.machine, self.dram, self.glb = machine, dram, glb
        self.pc: int = 0
        self.counts: dict[int, Counts] = {}
        self._engine_factory = engine
        self._segment = segment
        self._layer: LayerState | None = None
        self._counters = Counters()
        self._engine: BlockEngine | None = None
        self._frames: list[_Frame] = []
        self._jump: int | None = None
        self._halted = False

    def run(self, code: Sequence[Executable], watch: Callable[[int, Executable], None] | None = None) -> None:
        """Execute from the first instruction to `halt`; `watch` sees every instruction before it is executed.

        Raises `Fault`; `pc` is then the instruction's address.
        """
        while not self._halted:
            if self.pc >= len(code):
                raise Fault("CAT-E001", "execution ran past the end of the code")
            instruction = code[self.pc]
            if watch is not None:
                watch(self.pc, instruction)
            self._jump = None
            instruction.execute(self)
            self.pc = self.pc + 1 if self._jump is None else self._jump

    # Configuration ----------------------------------------------------------------------------------------------------

    def begin_layer(self, index: int, main: int, fold: Fold, padding: float, acc: Word) -> None:
        """Close the layer before and forget its configuration."""
        if self._frames:
            raise Fault("CAT-E003", "a layer begins inside a loop")
        self.finish_layer()
        if index in self.counts:
            raise Fault("CAT-E003", f"layer {index} runs twice")
        self._layer = LayerState(index, binary_function(main) if main else None, fold, padding, dtype_of_word(acc))
        self._counters = Counters()
        self._engine = None

    def finish_layer(self) -> None:
        """Keep the counts of the layer that ran."""
        if self._layer is not None:
            self.counts[self._layer.index] = self._counters.result()
            self._layer = None

    @property
    def layer(self) -> LayerState:
        """The layer being configured or run."""
        if self._layer is None:
            raise Fault("CAT-E003", "no layer has begun")
        return self._layer

    def _configured(self) -> LayerState:
        if self._engine is not None:
            raise Fault("CAT-E003", "a layer is configured while it runs")
        return self.layer

    def set_counts(self, dim: int, counts: tuple[int, int, int, int]) -> None:
        self._configured().set_counts(dim, counts)

    def set_window(self, dim: int, stride: int, dilation: int, pad: int, up: int, extent: int) -> None:
        entry = self._configured().dimension(dim)
        entry.stride, entry.dilation, entry.pad, entry.up, entry.extent = stride, dilation, pad, up, extent

    def add_function(self, slot: Slot, code: int, first: float, second: float, operand: Tensor) -> None:
        self._configured().steps[slot].append(scalar_step(slot, code, first, second, operand))

    def set_tensor(self, tensor: Tensor, address: int, word: Word) -> None:
        self._configured().tensors[tensor] = TensorAddress(address, dtype_of_word(word))

    def set_stride(self, tensor: Tensor, dim: int, stride: int) -> None:
        self._configured().address(tensor).strides[dim] = stride

    def add_term(self, tensor: Tensor, place: int, step: int, extent: int) -> None:
        terms = self._configured().terms.get(tensor)
        if terms is None:
            raise Fault("CAT-E003", f"{tensor.name} cannot be addressed by an index")
        terms.append(TermConfig(place, step, extent))

    def set_update(self, fold: Fold) -> None:
        self._configured().update = fold

    def set_place(self, tensor: Tensor, memory: Memory, address: int, words: int) -> None:
        place = PlaceConfig(memory, address, words)
        if memory is Memory.GLB:
            self._check_banks(tensor, place)
        else:
            self._check_scratchpads(place)
        self._configured().places[tensor] = place

    def _check_scratchpads(self, place: PlaceConfig) -> None:
        """A kernel tile has at most as many distinct words as all scratchpads together."""
        words = self.machine.array.rows * self.machine.array.cols * self.machine.pe.kernel_words
        if place.end > words:
            raise Fault(
                "CAT-E001", "a place lies outside of the scratchpads", f"{words} words", f"words up to {place.end - 1}"
            )

    def _check_banks(self, tensor: Tensor, place: PlaceConfig) -> None:
        """A place lies in the buffer, in banks that hold words of no other tensor."""
        glb = self.machine.glb
        if place.end > glb.words:
            raise Fault(
                "CAT-E001", "a place lies outside of the buffer", f"{glb.words} words", f"words up to {place.end - 1}"
            )
        banks = place.banks(glb.bank_words)
        for other, taken in self.layer.places.items():
            if other is not tensor and taken.memory is Memory.GLB:
                shared = set(banks).intersection(taken.banks(glb.bank_words))
                if shared:
                    raise Fault("CAT-E003", f"{tensor.name} and {other.name} share bank {min(shared)} of the buffer")

    def add_spread(self, dim: int, kind: Kind, tile: int, axis: Axis) -> None:
        self._check_worked(self._configured(), kind)
        self._configured().spreads.append(SpreadConfig(dim, kind, tile, axis))

    def _check_worked(self, layer: LayerState, kind: Kind) -> None:
        """Without a kernel, op loops are not run: sums are repeated on their way out of the buffer."""
        if kind is Kind.OP and layer.main is None:
            raise Fault("CAT-E003", "a loop over parallel kernels is cut in a layer without a kernel")

    # Loops ------------------------------------------------------------------------------------------------------------

    def begin_loop(self, dim: int, kind: Kind, tile: int) -> None:
        layer = self._running().layer
        if dim >= len(layer.dims):
            raise Fault("CAT-E003", f"a loop runs over dimension {dim}, which the layer does not have")
        self._check_worked(layer, kind)
        start, size = layer.starts[dim][kind], layer.sizes[dim][kind]
        self._frames.append(_Frame(self.pc + 1, dim, kind, tile, start, size))
        layer.sizes[dim][kind] = min(tile, size)

    def end_loop(self) -> None:
        if not self._frames:
            raise Fault("CAT-E003", "an end without a loop")
        layer, frame = self.layer, self._frames[-1]
        starts, sizes = layer.starts[frame.dim], layer.sizes[frame.dim]
        following = starts[frame.kind] + frame.tile
        if following < frame.start + frame.size:
            starts[frame.kind] = following
            sizes[frame.kind] = min(frame.tile, frame.start + frame.size - following)
            self._jump = frame.body
        else:
            starts[frame.kind], sizes[frame.kind] = frame.start, frame.size
            self._frames.pop()

    def position(self) -> str:
        """The running loops and where they are, for traces."""
        if self._layer is None:
            return ""
        parts = [f"layer {self._layer.index}"]
        for frame in self._frames:
            start = self._layer.starts[frame.dim][frame.kind]
            parts.append(f"d{frame.dim}.{frame.kind.name.lower()}={start}")
        return " ".join(parts)

    # Transfers and passes ---------------------------------------------------------------------------------------------

    def _running(self) -> BlockEngine:
        if self._engine is None:
            self._engine = self._engine_factory(self.layer, self.machine, self.dram, self.glb, self._counters)
        return self._engine

    def open_output(self) -> None:
        self._running().open_output()

    def load(self, tensor: Tensor) -> None:
        match tensor:
            case Tensor.INPUT:
                self._running().load_input()
            case Tensor.KERNEL:
                self._running().load_kernel()
            case _:
                raise Fault("CAT-E003", f"{tensor.name} cannot be loaded")

    def process(self) -> None:
        self._running().process()

    def store(self) -> None:
        self._running().store()

    def offload(self) -> None:
        if self._frames:
            raise Fault("CAT-E003", "a layer is offloaded inside a loop")
        if self.machine.host is None:
            raise Fault("CAT-E003", "a layer is offloaded by a machine without a host")
        execute_on_host(self._configured(), self.dram, self._counters)

    def run_segment(self) -> None:
        if self._frames:
            raise Fault("CAT-E003", "a host segment begins inside a loop")
        index = self._configured().index
        if self._segment is None:
            raise Fault("CAT-E003", "a host segment without a runtime that executes it")
        read, written = self._segment(index)
        self._counters.add("segment.read", read)
        self._counters.add("segment.write", written)

    def halt(self) -> None:
        if self._frames:
            raise Fault("CAT-E003", "the program stops inside a loop")
        self.finish_layer()
        self._halted = True
