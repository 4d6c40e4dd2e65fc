"""The sequencer of machines with im2col units: configuration, hardware loops, one engine a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backends.spatial.codes import Fold, Kind, Slot, Tensor
from backends.spatial.core import LayerSequencer, SegmentRun
from backends.spatial.memory import Fault, MemoryBank
from backends.spots.accumulators import Accumulators
from backends.spots.counters import GemmCounters
from backends.spots.engine import GemmEngine, GemmLayer, GemmPlace
from backends.spots.kernels import BlocksConfig
from dialects.gemm_machine import STREAM_WORD_BITS, GemmMachine


@dataclass
class _Frame:
    """A running hardware loop: its body starts at `body`; `start` and `size` are the range that it cuts."""

    body: int
    dim: int
    kind: Kind
    tile: int
    start: int
    size: int


class GemmSequencer(LayerSequencer[GemmLayer]):
    """Executes a program instruction by instruction (`backends.spots.isa.GemmCore`)."""

    _counters: GemmCounters

    def __init__(
        self,
        machine: GemmMachine,
        dram: MemoryBank,
        engine: type[GemmEngine] = GemmEngine,
        segment: SegmentRun | None = None,
    ):
        self._engine_kind = engine
        self.machine = machine
        super().__init__(dram, has_host=machine.host is not None, segment=segment)
        self._engine: GemmEngine | None = None
        self._frames: list[_Frame] = []

    def new_layer(self, index: int, main: str | None, fold: Fold, padding: float, acc: Any) -> GemmLayer:
        """A layer that nothing has configured yet."""
        return GemmLayer(index, main, fold, padding, acc)

    def new_counters(self) -> GemmCounters:
        """Counters at zero."""
        return GemmCounters(self.machine)

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

    def position(self) -> str:
        """The running loops and where they are, for traces."""
        if self._layer is None:
            return ""
        loops = (f"d{f.dim}.{f.kind.name.lower()}={self._layer.starts[f.dim][f.kind]}" for f in self._frames)
        return " ".join((f"layer {self._layer.index}", *loops))

    # Configuration ----------------------------------------------------------------------------------------------------

    def compress(self, tensor: Tensor) -> None:
        raise Fault("CAT-E003", f"{tensor.name} is compressed on a machine without a code for it")

    def configure(self, split: int, ring: bool, reserved: int, resumes: bool) -> None:
        if split not in self.machine.array.splits:
            splits = " or ".join(map(str, self.machine.array.splits))
            raise Fault("CAT-E003", "the array does not divide into so many", splits, str(split))
        layer = self.configured()
        layer.split, layer.reserved, layer.resumes = split, reserved if ring else None, resumes

    def set_place(self, tensor: Tensor, address: int, words: int) -> None:
        sram = self.machine.sram
        sizes = {Tensor.INPUT: sram.input_words, Tensor.KERNEL: sram.kernel_words, Tensor.OUTPUT: sram.output_words}
        if tensor not in sizes:
            raise Fault("CAT-E003", f"there is no memory for {tensor.name} on the chip")
        room = sizes[tensor] // 2
        if address + words > room:
            found = f"words up to {address + words - 1}"
            raise Fault(
                "CAT-E001", f"a place lies outside of half of the memory of {tensor.name}", f"{room} words", found
            )
        self.configured().tiles[tensor] = GemmPlace(address, words)

    def set_blocks(self, height: int, address: int, words: int) -> None:
        room = (self.machine.sram.bitmap_words or 0) // 2
        if words > room:
            message = "bitmaps of a tile take more than half of their memory"
            raise Fault("CAT-E001", message, f"{room} words", f"{words} words")
        if self.machine.word_bits not in STREAM_WORD_BITS:
            raise Fault("CAT-E003", f"words of {self.machine.word_bits} bits hold no streams of blocks")
        self.configured().blocks = BlocksConfig(height, address, words)

    def set_sums(self, bits: int, shift: int) -> None:
        if bits > self.machine.accumulator_bits:
            most = f"{self.machine.accumulator_bits} bits"
            raise Fault("CAT-E003", "sums are wider than accumulators", most, f"{bits} bits")
        layer = self.configured()
        if not layer.is_multiply_accumulate or layer.partial.kind not in "iu" or layer.steps[Slot.MID]:
            raise Fault("CAT-E003", "only integer products are added up in narrow accumulators")
        layer.accumulators = Accumulators(bits, shift)

    # Loops ------------------------------------------------------------------------------------------------------------

    def begin_loop(self, dim: int, kind: Kind, tile: int) -> None:
        layer = self.layer
        if dim >= len(layer.dims):
            raise Fault("CAT-E003", f"a loop runs over dimension {dim}, which the layer does not have")
        self.check_worked(layer, kind)
        self._running()
        start, size = layer.starts[dim][kind], layer.sizes[dim][kind]
        self._frames.append(_Frame(self.pc + 1, dim, kind, tile, start, size))
        layer.sizes[dim][kind] = min(tile, size)

    def end_loop(self) -> None:
        if not self._frames:
            raise Fault("CAT-E003", "an end without a loop")
        frame = self._frames[-1]
        starts, sizes = self.layer.starts[frame.dim], self.layer.sizes[frame.dim]
        following = starts[frame.kind] + frame.tile
        if following < frame.start + frame.size:
            starts[frame.kind] = following
            sizes[frame.kind] = min(frame.tile, frame.start + frame.size - following)
            self._jump = frame.body
        else:
            starts[frame.kind], sizes[frame.kind] = frame.start, frame.size
            self._frames.pop()

    # Transfers and passes ---------------------------------------------------------------------------------------------

    def _running(self) -> GemmEngine:
        if self._engine is None:
            self._engine = self._engine_kind(self.layer, self.machine, self.dram, self._counters)
        return self._engine

    def open_output(self) -> None:
        self._running().open_output()

    def load(self, tensor: Tensor) -> None:
        match tensor:
            case Tensor.INPUT:
                self._running().load_input()
            case Tensor.KERNEL:
                self._running().load_kernel(self._tile_number())
            case _:
                raise Fault("CAT-E003", f"{tensor.name} cannot be loaded")

    def _tile_number(self) -> int:
        """How many tiles of the kernel the running loops have made before."""
        number = 0
        for frame in self._frames:
            if frame.kind in (Kind.G, Kind.OP, Kind.KS):
                done = (self.layer.starts[frame.dim][frame.kind] - frame.start) // frame.tile
                number = number * -(-frame.size // frame.tile) + done
        return number

    def multiply(self) -> None:
        self._running().multiply()

    def store(self) -> None:
        self._running().store()
