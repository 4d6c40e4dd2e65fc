"""The machine that executes instructions: sequencer, hardware loops, memories, one engine per layer.

The loops of a layer run as they come; those of a layer of a fused group are read, and repeated in its turns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from backends.spatial.blocks import BlockEngine, Counters
from backends.spatial.bursts import burst_words
from backends.spatial.codes import BUFFER, Axis, Fold, Kind, Memory, Tensor
from backends.spatial.core import SegmentRun
from backends.spatial.groups import Member, Transfer
from backends.spatial.groups import Memory as HoldMemory
from backends.spatial.layer import LayerState, PlaceConfig, SpreadConfig
from backends.spatial.loops import LoopedLayer, LoopSequencer
from backends.spatial.memory import Buffer, Fault, MemoryBank
from backends.spatial.shown import ShownPasses
from dialects.array_machine import Machine
from dialects.events import BURSTS, COMPRESSED, Counts

EngineFactory = Callable[[LayerState, Machine, MemoryBank, Buffer, Counters], BlockEngine]


class SpatialLayer(LoopedLayer):
    """A layer; `engines` have run on ranges of some sizes in a group."""

    def __init__(self, index: int, main: str | None, fold: Fold, padding: float, acc: Any):
        super().__init__(index, main, fold, padding, acc)
        self.engines: dict[tuple[int, ...], BlockEngine] = {}


class SpatialCore(LoopSequencer[SpatialLayer]):
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

    def new_layer(self, index: int, main: str | None, fold: Fold, padding: float, acc: Any) -> SpatialLayer:
        """A layer that nothing has configured yet."""
        return SpatialLayer(index, main, fold, padding, acc)

    def new_counters(self) -> Counters:
        """Counters at zero."""
        return Counters()

    @property
    def is_running(self) -> bool:
        """Whether the layer's loops have begun."""
        return self._engine is not None or (self._layer is not None and bool(self._layer.body))

    def finish_loops(self) -> None:
        """Everything has been done as it came."""
        self._engine = None

    # Groups -----------------------------------------------------------------------------------------------------------

    def hold_memory(self, number: int) -> HoldMemory:
        """The memory of a number. Raises `Fault` if holds cannot lie there."""
        if number != BUFFER:
            raise Fault("CAT-E003", f"holds do not lie in memory {number}", f"memory {BUFFER}, the buffer")
        return HoldMemory("glb", self.machine.glb.words, self.machine.glb.bank_words)

    def begin_member(self, layer: SpatialLayer) -> Counts:
        """Check that a layer can take part in a group; its counts at zero."""
        if any(layer.terms.values()) or layer.update is not Fold.NONE:
            raise Fault("CAT-E003", "a layer of a group has computed addresses")
        return Counters().result()

    def run_link(self, layer: SpatialLayer, box: list[tuple[range, ...]], member: Member) -> None:
        """Run a layer's loops on a box; count what they do. Its tiles take whole banks of the buffer."""
        bank = self.machine.glb.bank_words
        for place in layer.places.values():
            if place.memory is Memory.GLB:
                banks = place.banks(bank)
                self.take_words(member, BUFFER, banks.start * bank, len(banks) * bank)
        layer.work_on(box)
        counters, sizes = Counters(), layer.signature()
        if sizes not in layer.engines:
            layer.engines[sizes] = self._engine_factory(layer, self.machine, self.dram, self.glb, counters)
        self._engine = layer.engines[sizes]
        self._engine.begin(counters)
        self.repeat_loops(layer)
        self._engine = None
        member.counts.add(counters.result())

    def count_fetch(self, transfer: Transfer) -> None:
        """Count what comes from off-chip."""
        self._count_transfer(transfer, f"dram.{transfer.name}.read", f"glb.{transfer.name}.fill")

    def count_send(self, transfer: Transfer) -> None:
        """Count what goes off-chip."""
        self._count_transfer(transfer, "dram.output.write", "glb.output.send")

    def _count_transfer(self, transfer: Transfer, outer: str, inner: str) -> None:
        member, words, dram = transfer.member, transfer.words, self.machine.dram
        member.count(outer, words.size)
        member.count(inner, words.size)
        member.count(BURSTS[outer], burst_words(transfer.shape, transfer.strides, dram.burst_words))
        if dram.compression is not None and outer in COMPRESSED:
            is_compressed = transfer.tensor in member.layer.compressed
            code = dram.compression.code(self.machine.word_bits)
            member.count(COMPRESSED[outer], code.machine_words(words) if is_compressed else words.size)

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

    # Transfers and passes ---------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the engine of the layer that runs."""
        self._running()

    def _running(self) -> BlockEngine:
        if self._engine is None:
            self._engine = self._engine_factory(self.layer, self.machine, self.dram, self.glb, self._counters)
        return self._engine

    def open_output(self) -> None:
        if not self.is_read():
            self._running().open_output()
            self._show(ShownPasses.opened)

    def load(self, tensor: Tensor) -> None:
        if tensor not in (Tensor.INPUT, Tensor.KERNEL):
            raise Fault("CAT-E003", f"{tensor.name} cannot be loaded")
        if self.is_read():
            return
        if tensor is Tensor.INPUT:
            self._running().load_input()
            self._show(ShownPasses.input)
        else:
            self._running().load_kernel()
            self._show(ShownPasses.kernel)

    def process(self) -> None:
        if not self.is_read():
            self._running().process()
            self._show(ShownPasses.sums)

    def store(self) -> None:
        if not self.is_read():
            self._running().store()
            self._show(ShownPasses.results)

    def _show(self, what: Callable[[ShownPasses], None]) -> None:
        """Show what the engine just did, if anybody looks."""
        effects = self.effects(self.layer)
        if effects is not None:
            what(ShownPasses(self._running(), effects))
