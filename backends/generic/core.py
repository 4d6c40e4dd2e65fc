"""The sequencer of the generic machine: reads a layer's nest, refuses what it cannot run, lets an engine run it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from backends.effects import Effects, Told
from backends.generic.checks import check_nest
from backends.generic.configuration import configuration_of_nest
from backends.generic.counters import NestCounters
from backends.generic.nest import (
    ComputeNode,
    FillNode,
    KeepNode,
    LoopNode,
    NestLayer,
    OpenNode,
    ParNode,
    TilePlace,
)
from backends.generic.ranges import LoopRanges
from backends.spatial.codes import Fold, Kind, Tensor
from backends.spatial.core import SegmentRun
from backends.spatial.groups import GroupSequencer, Member, Memory, Transfer
from backends.spatial.holds import HoldState
from backends.spatial.memory import Fault, MemoryBank
from dialects.events import Counts
from dialects.nest_machine import NestMachine

At = Callable[[int], None]
"""Called by an engine with the address of the instruction that it is about to carry out."""
Engine = Callable[[NestLayer, NestMachine, LoopRanges, MemoryBank, NestCounters, At, Effects | None], None]
"""Runs a layer's nest on the machine's memories; it shows its effects, if there is something that shows them."""


class NestSequencer(GroupSequencer[NestLayer]):
    """Executes a program layer by layer (`backends.generic.isa.NestCore`)."""

    _counters: NestCounters

    def __init__(self, machine: NestMachine, dram: MemoryBank, engine: Engine, segment: SegmentRun | None = None):
        self.machine = machine
        super().__init__(dram, has_host=machine.host is not None, segment=segment)
        self._engine = engine
        self._opened: list[int | None] = []
        self._pars = 0

    def new_layer(self, index: int, main: str | None, fold: Fold, padding: float, acc: Any) -> NestLayer:
        """A layer that nothing has configured yet."""
        return NestLayer(index, main, fold, padding, acc)

    def new_counters(self) -> NestCounters:
        """Counters at zero."""
        return NestCounters(self.machine)

    @property
    def is_running(self) -> bool:
        """Whether the layer's nest has begun."""
        return self._layer is not None and bool(self._layer.nodes or self._layer.compute)

    @property
    def is_in_loop(self) -> bool:
        """Whether a loop or a tile of sums is open."""
        return bool(self._opened)

    def position(self) -> str:
        """The layer, for traces: its loops run once all of them have been read."""
        return "" if self._layer is None else f"layer {self._layer.index}"

    def finish_loops(self) -> None:
        """Run the nest that was read."""
        layer = self.layer
        self._pars = 0
        if not self.is_running:
            return
        if layer.compute is None:
            raise Fault("CAT-E003", "the loops of a layer end without a compute")
        before = self.pc
        self._run(layer, self._counters)
        self.pc = before

    def _run(self, layer: NestLayer, counters: NestCounters) -> None:
        ranges = LoopRanges(layer)
        if layer.shape not in layer.counted:
            check_nest(layer, self.machine, ranges, self._at)
        self._engine(layer, self.machine, ranges, self.dram, counters, self._at, self.effects(layer))

    # Groups -----------------------------------------------------------------------------------------------------------

    def hold_memory(self, number: int) -> Memory:
        """The memory of a number. Raises `Fault` if holds cannot lie there."""
        memory = self._memory(number)
        if number == 0 or self.machine.axes_outside(memory.name):
            raise Fault("CAT-E003", f"a hold lies in {memory.name}, which is not the one of its kind on the chip")
        return Memory(memory.name, memory.words)

    def kept(self, layer: NestLayer, tensor: Tensor, hold: HoldState) -> None:
        """In the nest, the hold is the tile of the tensor in its memory."""
        if tensor in (Tensor.INPUT, Tensor.KERNEL):
            self._inwards()
            layer.nodes.append(KeepNode(self.pc, tensor, hold.memory))

    def begin_member(self, layer: NestLayer) -> Counts:
        """Check that a layer can take part in a group; its counts at zero."""
        self._pars = 0
        if layer.compute is None:
            raise Fault("CAT-E003", "the loops of a layer end without a compute")
        if any(layer.terms.values()) or layer.update is not Fold.NONE:
            raise Fault("CAT-E003", "a layer of a group has computed addresses")
        zero = NestCounters(self.machine).result()
        zero.cycles = 0
        return zero

    def run_link(self, layer: NestLayer, box: list[tuple[range, ...]], member: Member) -> None:
        """Run a layer's nest on a box; count what it does."""
        for (memory, _), place in layer.memory_places.items():
            self.take_words(member, memory, place.address, place.words)
        layer.work_on(box)
        counters = NestCounters(self.machine)
        self._run(layer, counters)
        found = counters.result()
        member.counts.add(found)

    def count_fetch(self, transfer: Transfer) -> None:
        """Count what comes from off-chip."""
        outer, inner = self.machine.memories[0], self.machine.memory(transfer.memory)
        words, member = transfer.words.size, transfer.member
        member.count(f"{outer.name}.{transfer.name}.read", words)
        member.count(f"{inner.name}.{transfer.name}.fill", words)
        member.transfer_cycles += _cycles(words, outer.read, inner.write)

    def count_send(self, transfer: Transfer) -> None:
        """Count what goes off-chip."""
        outer, inner = self.machine.memories[0], self.machine.memory(transfer.memory)
        words, member = transfer.words.size, transfer.member
        member.count(f"{inner.name}.output.send", words)
        member.count(f"{outer.name}.output.update", words)
        member.transfer_cycles += _cycles(words, inner.read, outer.write)

    def finished(self, member: Member) -> Counts:
        """The counts of a layer when its group has ended, with the cycles of its transfers."""
        member.counts.cycles = (member.counts.cycles or 0) + math.ceil(round(member.transfer_cycles, 6))
        return member.counts

    def _at(self, pc: int) -> None:
        self.pc = pc

    # Configuration ----------------------------------------------------------------------------------------------------

    def configuration(self) -> dict[str, Told]:
        """What the code has said so far, with the nest of the layer."""
        found = super().configuration()
        return found if self._layer is None else found | configuration_of_nest(self._layer, self._opened)

    def set_place(self, tensor: Tensor, memory: int, address: int, words: int) -> None:
        layer, place = self.configured(), TilePlace(address, words)
        described = self._memory(memory)
        if tensor not in (Tensor.INPUT, Tensor.KERNEL, Tensor.OUTPUT) or (memory == 0 and tensor is not Tensor.OUTPUT):
            raise Fault("CAT-E003", f"{tensor.name} is kept in {described.name}")
        if described.words is not None and place.end > described.words:
            limits = f"{described.words} words", f"words up to {place.end - 1}"
            raise Fault("CAT-E001", f"a place lies outside of {described.name}", *limits)
        what = "words" if described.bank is None else "a bank"
        for (other, kept), taken in layer.memory_places.items():
            if other == memory and kept is not tensor and place.overlaps(taken, described.bank or 1):
                raise Fault("CAT-E003", f"{tensor.name} and {kept.name} share {what} of {described.name}")
        layer.memory_places[memory, tensor] = place

    def _memory(self, number: int) -> Any:
        if number >= len(self.machine.memories):
            raise Fault("CAT-E003", f"there is no memory {number}", f"below {len(self.machine.memories)}")
        return self.machine.memories[number]

    # The nest ---------------------------------------------------------------------------------------------------------

    def _inwards(self) -> NestLayer:
        """The layer whose nest is being read, on the way in."""
        if self.layer.compute is not None:
            raise Fault("CAT-E003", "the loops of a layer are no nest: something follows its compute")
        return self.layer

    def _loop_of(self, dim: int, kind: Kind) -> NestLayer:
        layer = self._inwards()
        if dim >= len(layer.dims):
            raise Fault("CAT-E003", f"a loop runs over dimension {dim}, which the layer does not have")
        self.check_worked(layer, kind)
        self._opened.append(None)
        return layer

    def begin_loop(self, dim: int, kind: Kind, tile: int) -> None:
        self._loop_of(dim, kind).nodes.append(LoopNode(self.pc, dim, kind, tile))

    def begin_par(self, dim: int, kind: Kind, tile: int, axis: int) -> None:
        if axis >= len(self.machine.axes):
            raise Fault("CAT-E003", f"there is no axis {axis}", f"below {len(self.machine.axes)}")
        self._loop_of(dim, kind).nodes.append(ParNode(self.pc, dim, kind, tile, axis, self._pars))
        self._pars += 1

    def end_loop(self) -> None:
        if not self._opened and self._group is not None:
            super().end_loop()
            return
        if not self._opened:
            raise Fault("CAT-E003", "an end without a loop")
        if self.layer.compute is None:
            raise Fault("CAT-E003", "a loop without a compute")
        if self._opened.pop() is not None:
            raise Fault("CAT-E003", "a loop ends before the sums within it are sent away")

    def add_fill(
        self, tensor: Tensor, source: int, memory: int, once: int, *, slides: bool, shared: frozenset[int]
    ) -> None:
        layer = self._inwards()
        self._memory(memory)
        if tensor not in (Tensor.INPUT, Tensor.KERNEL) or (slides and tensor is not Tensor.INPUT):
            raise Fault("CAT-E003", f"{tensor.name} cannot be filled in" + (" sliding" if slides else ""))
        if tensor is Tensor.KERNEL and layer.main is None:
            raise Fault("CAT-E003", "a kernel is filled in in a layer without one")
        if source >= memory:
            raise Fault("CAT-E003", "words come from a memory further in", f"below {memory}", str(source))
        layer.nodes.append(FillNode(self.pc, tensor, source, memory, once, slides, shared))

    def add_open(self, memory: int, once: int) -> None:
        self._memory(memory)
        layer = self._inwards()
        self._opened.append(len(layer.nodes))
        layer.nodes.append(OpenNode(self.pc, memory, 0, once, self.pc))

    def add_drain(self, memory: int, target: int, once: int) -> None:
        layer = self.layer
        if layer.compute is None or not self._opened:
            raise Fault("CAT-E003", "sums are sent away that were never opened")
        index = self._opened.pop()
        node = layer.nodes[index] if index is not None else None
        if index is None or not isinstance(node, OpenNode) or (node.memory, node.once) != (memory, once):
            raise Fault("CAT-E003", "the sums that are sent away are not the innermost that were opened")
        if target >= memory:
            raise Fault("CAT-E003", "sums go to a memory further in", f"below {memory}", str(target))
        layer.nodes[index] = OpenNode(node.pc, memory, target, once, self.pc)

    def add_compute(self, sources: tuple[int, int], output: int, shared: tuple[frozenset[int], frozenset[int]]) -> None:
        layer = self._inwards()
        for memory in (*sources, output):
            self._memory(memory)
        layer.compute = ComputeNode(self.pc, *sources, output, *shared)


def _cycles(words: int, read: float | None, write: float | None) -> float:
    """Cycles of a transfer between two memories, of which the slower one decides."""
    return words / min((rate for rate in (read, write) if rate is not None), default=math.inf)
