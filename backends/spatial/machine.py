"""The machine that executes instructions: sequencer, hardware loops, memories, one engine per layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from backends.spatial.blocks import BlockEngine, Counters
from backends.spatial.codes import Axis, Fold, Kind, Memory, Tensor
from backends.spatial.core import LayerSequencer, SegmentRun
from backends.spatial.layer import LayerState, PlaceConfig, SpreadConfig
from backends.spatial.memory import Buffer, Fault, MemoryBank
from dialects.target import Machine

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


class SpatialCore(LayerSequencer[LayerState]):
    """Executes a program instruction by instruction (`backends.spatial.isa.Core`)."""

    _counters: Counters

    def __init__(
        self,
        machine: Machine,
        dram: MemoryBank,
        glb: Buffer,
        engine: EngineFactory,
        segment: SegmentRun | None = None,
    ):
        super().__init__(dram, has_host=machine.host is not None, segment=segment)
        self.machine, self.glb = machine, glb
        self._engine_factory = engine
        self._engine: BlockEngine | None = None
        self._frames: list[_Frame] = []

    def new_layer(self, index: int, main: str | None, fold: Fold, padding: float, acc: Any) -> LayerState:
        """A layer that nothing has configured yet."""
        return LayerState(index, main, fold, padding, acc)

    def new_counters(self) -> Counters:
        """Counters at zero."""
        return Counters()

    @property
    def is_running(self) -> bool:
        """Whether the layer's loops have begun."""
        return self._engine is not None

    @property
    def is_in_loop(self) -> bool:
        """Whether a loop is open."""
        return bool(self._frames)

    def finish_loops(self) -> None:
        """Everything has been done as it came."""
        self._engine = None

    # Configuration ----------------------------------------------------------------------------------------------------

    def compress(self, tensor: Tensor) -> None:
        if self.machine.dram.compression is None:
            raise Fault("CAT-E003", f"{tensor.name} is compressed on a machine without a code for it")
        self.configured().compressed.add(tensor)

    def set_place(self, tensor: Tensor, memory: Memory, address: int, words: int) -> None:
        place = PlaceConfig(memory, address, words)
        if memory is Memory.GLB:
            self._check_banks(tensor, place)
        else:
            self._check_scratchpads(place)
        self.configured().places[tensor] = place

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
        self.check_worked(self.configured(), kind)
        self.configured().spreads.append(SpreadConfig(dim, kind, tile, axis))

    # Loops ------------------------------------------------------------------------------------------------------------

    def begin_loop(self, dim: int, kind: Kind, tile: int) -> None:
        layer = self._running().layer
        if dim >= len(layer.dims):
            raise Fault("CAT-E003", f"a loop runs over dimension {dim}, which the layer does not have")
        self.check_worked(layer, kind)
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
