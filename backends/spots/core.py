"""The sequencer of machines with im2col units: configuration, hardware loops, one engine a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backends.effects import Told
from backends.fields import Array
from backends.spatial.codes import Fold, Kind, Slot, Tensor
from backends.spatial.core import SegmentRun
from backends.spatial.groups import Member, Memory, Transfer
from backends.spatial.holds import HoldState
from backends.spatial.loops import LoopSequencer
from backends.spatial.memory import Fault, MemoryBank
from backends.spots.accumulators import Accumulators
from backends.spots.configuration import configuration_of_gemm
from backends.spots.counters import GemmCounters
from backends.spots.engine import GemmEngine, GemmLayer, GemmPlace
from backends.spots.kernels import BlocksConfig
from backends.spots.shown import ShownTiles
from dialects.events import EVENTS, Counts
from dialects.gemm_machine import STREAM_WORD_BITS, GemmMachine, Srams

HELD: dict[int, Callable[[Srams], tuple[str, int]]] = {
    1: lambda sram: ("input", sram.input_words),
    2: lambda sram: ("kernel", sram.kernel_words),
    3: lambda sram: ("bitmap", sram.bitmap_words or 0),
}
"""The memories that holds of groups may lie in, by number: names and words."""
OWN_MEMORY = {Tensor.INPUT: 1, Tensor.KERNEL: 2}
"""Which of them tensors are read from."""
_BITMAPS = 3


class GemmSequencer(LoopSequencer[GemmLayer]):
    """Executes a program instruction by instruction (`backends.spots.isa.GemmCore`)."""

    _counters: GemmCounters
    more_kept = frozenset((Tensor.BITMAPS,))

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

    def new_layer(self, index: int, main: str | None, fold: Fold, padding: float, acc: Any) -> GemmLayer:
        """A layer that nothing has configured yet."""
        return GemmLayer(index, main, fold, padding, acc)

    def new_counters(self) -> GemmCounters:
        """Counters at zero."""
        return GemmCounters(self.machine)

    @property
    def is_running(self) -> bool:
        """Whether the layer's loops have begun."""
        return self._engine is not None or (self._layer is not None and bool(self._layer.body))

    def memories(self) -> dict[str, Array]:
        """Copies of the tiles on chip of the layer that runs, by name."""
        return {} if self._engine is None else self._engine.memories()

    def finish_loops(self) -> None:
        """Everything has been done as it came."""
        self._engine = None

    # Groups -----------------------------------------------------------------------------------------------------------

    def hold_memory(self, number: int) -> Memory:
        """The memory of a number. Raises `Fault` if holds cannot lie there."""
        if number not in HELD:
            numbers = " or ".join(map(str, HELD))
            raise Fault("CAT-E003", f"holds do not lie in memory {number}", f"memory {numbers}")
        return Memory(*HELD[number](self.machine.sram))

    def kept(self, layer: GemmLayer, tensor: Tensor, hold: HoldState) -> None:
        """Im2col units read inputs from their memory only, the array kernels and bitmaps from theirs."""
        others = hold.memory if hold.memory != _BITMAPS else OWN_MEMORY[Tensor.INPUT]
        wanted = _BITMAPS if tensor is Tensor.BITMAPS else OWN_MEMORY.get(tensor, others)
        if hold.memory != wanted:
            message = f"{tensor.name} lies in a memory that it is not read from"
            raise Fault("CAT-E003", message, f"memory {wanted}", str(hold.memory))

    def begin_member(self, layer: GemmLayer) -> Counts:
        """Check that a layer can take part in a group; its counts at zero."""
        if any(layer.terms.values()) or layer.update is not Fold.NONE:
            raise Fault("CAT-E003", "a layer of a group has computed addresses")
        held = {Tensor.KERNEL, Tensor.BITMAPS} & layer.keeps.keys()
        if layer.blocks is not None and len(held) < len((Tensor.KERNEL, Tensor.BITMAPS)):
            raise Fault("CAT-E003", "a layer of a group has a kernel in blocks that lies, or its bitmaps, in no hold")
        return Counts(dict.fromkeys(EVENTS, 0), cycles=0)

    def run_link(self, layer: GemmLayer, box: list[tuple[range, ...]], member: Member) -> None:
        """Run a layer's loops on a box; count what they do. Tiles take words twice, in both halves."""
        for tensor, place in layer.tiles.items():
            if tensor in OWN_MEMORY:
                self.take_words(member, OWN_MEMORY[tensor], place.address, 2 * place.words)
        layer.work_on(box)
        counters = GemmCounters(self.machine)
        self._engine = self._engine_kind(layer, self.machine, self.dram, counters)
        self.repeat_loops(layer)
        self._engine = None
        member.counts.add(counters.result())

    def count_fetch(self, transfer: Transfer) -> None:
        """Count what comes from off-chip."""
        events = f"dram.{transfer.name}.read", f"glb.{transfer.name}.fill"
        if transfer.tensor is Tensor.BITMAPS:
            events = "dram.kernel.bitmap", "bitmap.kernel.fill"
        self._count_transfer(transfer, *events)

    def count_send(self, transfer: Transfer) -> None:
        """Count what goes off-chip."""
        self._count_transfer(transfer, "dram.output.write", "glb.output.send")

    def _count_transfer(self, transfer: Transfer, outer: str, inner: str) -> None:
        transfer.member.count(outer, transfer.words.size)
        transfer.member.count(inner, transfer.words.size)
        transfer.member.transfer_words += transfer.words.size

    def finished(self, member: Member) -> Counts:
        """The counts of a layer when its group has ended, with the cycles of its transfers."""
        member.counts.cycles = (member.counts.cycles or 0) + self.machine.dram.cycles(member.transfer_words)
        return member.counts

    # Configuration ----------------------------------------------------------------------------------------------------

    def configuration(self) -> dict[str, Told]:
        """What the code has said so far, with what only these machines have."""
        found = super().configuration()
        return found if self._layer is None else found | configuration_of_gemm(self._layer)

    def compress(self, tensor: Tensor) -> None:
        raise Fault("CAT-E003", f"{tensor.name} is compressed on a machine without a code for it")

    def configure(self, split: int, ring: bool, reserved: int, resumes: bool, rewinds: bool) -> None:
        if split not in self.machine.array.splits:
            splits = " or ".join(map(str, self.machine.array.splits))
            raise Fault("CAT-E003", "the array does not divide into so many", splits, str(split))
        if rewinds and not resumes:
            raise Fault("CAT-E003", "what passes do not go on from is not kept for others")
        layer = self.configured()
        layer.split, layer.reserved = split, reserved if ring else None
        layer.resumes, layer.rewinds = resumes, rewinds

    def set_place(self, tensor: Tensor, address: int, words: int) -> None:
        sram = self.machine.sram
        sizes = {Tensor.INPUT: sram.input_words, Tensor.KERNEL: sram.kernel_words, Tensor.OUTPUT: sram.output_words}
        if tensor not in sizes:
            raise Fault("CAT-E003", f"there is no memory for {tensor.name} on the chip")
        end = address + 2 * words
        if end > sizes[tensor]:
            message, found = f"a place and its other half lie outside of the memory of {tensor.name}", f"{end} words"
            raise Fault("CAT-E001", message, f"{sizes[tensor]} words", found)
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

    # Transfers and passes ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the engine of the layer that runs."""
        self._running()

    def _running(self) -> GemmEngine:
        if self._engine is None:
            self._engine = self._engine_kind(self.layer, self.machine, self.dram, self._counters)
        return self._engine

    def open_output(self) -> None:
        if not self.is_read():
            self._running().open_output()
            self._show(ShownTiles.opened)

    def load(self, tensor: Tensor) -> None:
        if tensor in OWN_MEMORY and self.is_read():
            return
        match tensor:
            case Tensor.INPUT:
                self._running().load_input()
                self._show(ShownTiles.input)
            case Tensor.KERNEL:
                self._running().load_kernel(self._tile_number())
                self._show(ShownTiles.kernel)
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
        if not self.is_read():
            self._running().multiply(self._tile_number())
            self._show(ShownTiles.sums)

    def store(self) -> None:
        if not self.is_read():
            self._running().store()
            self._show(ShownTiles.results)

    def _show(self, what: Callable[[ShownTiles], None]) -> None:
        """Show what the engine just did, if anybody looks."""
        effects = self.effects(self.layer)
        if effects is not None:
            what(ShownTiles(self._running(), self.dram, effects))
