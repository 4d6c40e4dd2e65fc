"""What the sequencers of all machines share: configuring a layer, running code, the host, host segments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from backends.effects import NO_LAYER, NO_WORDS, Cut, Effects, Ints, Observer, Shown, Told
from backends.fields import Array
from backends.spatial.codes import Fold, Kind, Slot, Tensor, Word
from backends.spatial.configuration import configuration_of
from backends.spatial.cuts import cut_at_work
from backends.spatial.host import EventCounter, execute_on_host
from backends.spatial.layer import LayerState, TensorAddress, TermConfig, binary_function, scalar_step
from backends.spatial.memory import Fault, MemoryBank
from backends.spatial.words import dtype_of_word
from dialects.events import Counts

SegmentRun = Callable[[int], tuple[int, int]]
"""Executes the host segment that is this layer; the words that it read from DRAM and wrote there."""

LayerT = TypeVar("LayerT", bound=LayerState)
Watch = Callable[[int, Any], None]


class LayerCounters(EventCounter, Protocol):
    """What counts events of a layer, and gives the counts when it ends."""

    def result(self) -> Counts:
        """The counts so far."""
        ...


class LayerSequencer(ABC, Generic[LayerT]):
    """Executes instructions one after another; machines add what their own mean.

    `pc` is the address of the instruction at work, `counts` those of all layers that ended, by index.
    """

    def __init__(self, dram: MemoryBank, *, has_host: bool, segment: SegmentRun | None = None):
        self.dram = dram
        self.pc: int = 0
        self.counts: dict[int, Counts] = {}
        self._has_host = has_host
        self._segment = segment
        self._layer: LayerT | None = None
        self._counters = self.new_counters()
        self._jump: int | None = None
        self._halted = False
        self._code: Sequence[Any] = ()
        self._watch: Watch | None = None
        self.observer: Observer | None = None
        """Told what every instruction does to the words of its layer."""

    @abstractmethod
    def new_layer(self, index: int, main: str | None, fold: Fold, padding: float, acc: Any) -> LayerT:
        """A layer that nothing has configured yet."""

    @abstractmethod
    def new_counters(self) -> LayerCounters:
        """Counters at zero."""

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether the layer's loops have begun, so that it cannot be configured any more."""

    @property
    @abstractmethod
    def is_in_loop(self) -> bool:
        """Whether a loop is open."""

    @abstractmethod
    def position(self) -> str:
        """The running loops and where they are, for traces."""

    @abstractmethod
    def finish_loops(self) -> None:
        """Do what is left of the layer's loops before it ends."""

    def run(self, code: Sequence[Any], watch: Watch | None = None) -> None:
        """Execute from the first instruction to `halt`; `watch` sees every instruction before it is executed.

        Raises `Fault`; `pc` is then the instruction's address.
        """
        self._code, self._watch = code, watch
        while not self._halted:
            if self.pc >= len(code):
                raise Fault("CAT-E001", "execution ran past the end of the code")
            self._step()

    def repeat(self, part: range) -> None:
        """Execute a part of the code from its first instruction until it is left."""
        self.pc = part.start
        while self.pc in part:
            self._step()

    def _step(self) -> None:
        instruction = self._code[self.pc]
        if self._watch is not None:
            self._watch(self.pc, instruction)
        self._jump = None
        instruction.execute(self)
        if self.observer is not None:
            self.show_configuration(self.observer)
        self.pc = self.pc + 1 if self._jump is None else self._jump

    def begin_layer(self, index: int, main: int, fold: Fold, padding: float, acc: Word) -> None:
        """Close the layer before and forget its configuration."""
        if self.is_in_loop:
            raise Fault("CAT-E003", "a layer begins inside a loop")
        self.finish_layer()
        if index in self.counts:
            raise Fault("CAT-E003", f"layer {index} runs twice")
        name = binary_function(main) if main else None
        self._layer = self.new_layer(index, name, fold, padding, dtype_of_word(acc))
        self._counters = self.new_counters()

    def finish_layer(self) -> None:
        """Keep the counts of the layer that ran."""
        if self._layer is not None:
            self.finish_loops()
            self.counts[self._layer.index] = self._counters.result()
            self._layer = None

    def effects(self, layer: LayerState) -> Effects | None:
        """What shows the effects of instructions on a layer, if anybody looks."""
        return None if self.observer is None else Effects(self.observer, layer.index, lambda: self.at)

    @property
    def at(self) -> tuple[int, int]:
        """Core and address of the instruction at work."""
        return 0, self.pc

    def show_configuration(self, observer: Observer) -> None:
        """Say what is configured by now."""
        number = NO_LAYER if self._layer is None else self._layer.index
        Effects(observer, number, lambda: self.at).show(Shown.CONFIGURED, NO_WORDS, told=self.configuration)

    def configuration(self) -> dict[str, Told]:
        """By what it is of, all that the code has said so far of the layer at work; nothing without one."""
        return {} if self._layer is None else configuration_of(self._layer)

    def show_moved(self, layer: LayerState, addresses: Ints, words: Array) -> None:
        """Say which words of a layer came to a hold from these addresses off-chip, or from a hold there."""
        effects = self.effects(layer)
        if effects is not None and addresses.size:
            none = NO_WORDS.outputs
            effects.show(Shown.MOVED, Cut(none, none, addresses.reshape(-1), none), words.reshape(-1))

    def show_done(self, layer: LayerState, address: int) -> None:
        """Say that a transfer or run of a group ended."""
        effects = self.effects(layer)
        if effects is not None:
            effects.show(Shown.DONE, NO_WORDS, address=address)

    def show_stop(self, layer: int) -> None:
        """Say that the instruction at work stops; it is one of this layer unless another one is at work."""
        effects = None if self._layer is None else self.effects(self._layer)
        if effects is not None and self._layer is not None:
            effects.show(Shown.STOP, cut_at_work(self._layer) if self.is_running else NO_WORDS)
        elif self.observer is not None:
            Effects(self.observer, layer, lambda: self.at).show(Shown.STOP, NO_WORDS)

    @property
    def layer(self) -> LayerT:
        """The layer being configured or run."""
        if self._layer is None:
            raise Fault("CAT-E003", "no layer has begun")
        return self._layer

    def configured(self) -> LayerT:
        if self.is_running:
            raise Fault("CAT-E003", "a layer is configured while it runs")
        return self.layer

    def set_counts(self, dim: int, counts: tuple[int, int, int, int]) -> None:
        self.configured().set_counts(dim, counts)

    def set_window(self, dim: int, stride: int, dilation: int, pad: int, up: int, extent: int) -> None:
        entry = self.configured().dimension(dim)
        entry.stride, entry.dilation, entry.pad, entry.up, entry.extent = stride, dilation, pad, up, extent

    def add_function(self, slot: Slot, code: int, first: float, second: float, operand: Tensor) -> None:
        self.configured().steps[slot].append(scalar_step(slot, code, first, second, operand))

    def set_tensor(self, tensor: Tensor, address: int, word: Word) -> None:
        self.configured().tensors[tensor] = TensorAddress(address, dtype_of_word(word))

    def set_stride(self, tensor: Tensor, dim: int, stride: int) -> None:
        self.configured().address(tensor).strides[dim] = stride

    def add_term(self, tensor: Tensor, place: int, step: int, extent: int) -> None:
        terms = self.configured().terms.get(tensor)
        if terms is None:
            raise Fault("CAT-E003", f"{tensor.name} cannot be addressed by an index")
        terms.append(TermConfig(place, step, extent))

    def set_update(self, fold: Fold) -> None:
        self.configured().update = fold

    def check_worked(self, layer: LayerState, kind: Kind) -> None:
        """Without a kernel, op loops are not run: sums are repeated on their way out."""
        if kind is Kind.OP and layer.main is None:
            raise Fault("CAT-E003", "a loop over parallel kernels is cut in a layer without a kernel")

    def offload(self) -> None:
        if self.is_in_loop:
            raise Fault("CAT-E003", "a layer is offloaded inside a loop")
        if not self._has_host:
            raise Fault("CAT-E003", "a layer is offloaded by a machine without a host")
        execute_on_host(self.configured(), self.dram, self._counters)

    def run_segment(self) -> None:
        if self.is_in_loop:
            raise Fault("CAT-E003", "a host segment begins inside a loop")
        index = self.configured().index
        if self._segment is None:
            raise Fault("CAT-E003", "a host segment without a runtime that executes it")
        read, written = self._segment(index)
        self._counters.add("segment.read", read)
        self._counters.add("segment.write", written)

    def halt(self) -> None:
        if self.is_in_loop:
            raise Fault("CAT-E003", "the program stops inside a loop")
        self.finish_layer()
        self._halted = True
