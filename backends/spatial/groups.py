"""Fused groups on a sequencer: what they were told, read whole, then run turn by turn.

Machines say how one of their layers runs on a box of its loops (`run_link`). All else is alike on all of them: holds,
what is fetched and sent, in which order, and what that counts as.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from backends.effects import Told
from backends.fields import Array
from backends.spatial.codes import Kind, Tensor, Word
from backends.spatial.configuration import configuration_of_group
from backends.spatial.core import LayerSequencer, SegmentRun
from backends.spatial.holds import MOST_WORDS, HeldWords, HoldAxis, HoldState
from backends.spatial.layer import LayerState
from backends.spatial.memory import Fault, MemoryBank, words_at
from backends.spatial.words import dtype_of_word
from dialects.events import Counts
from dialects.turn_box import Along, Span, TurnAxis, TurnBox

LayerT = TypeVar("LayerT", bound=LayerState)
Box = tuple[range, ...]

OPERANDS = {Tensor.INPUT: "input", Tensor.KERNEL: "kernel", Tensor.OUTPUT: "output"}


@dataclass(frozen=True)
class Memory:
    """An on-chip memory that holds may lie in: `words` is None if it holds any number; a bank has words of one hold."""

    name: str
    words: int | None
    bank: int = 1


@dataclass
class BoxState:
    """A box while it is read."""

    axes: list[tuple[int, int, int, list[tuple[int, Span]]]] = field(
        default_factory=list[tuple[int, int, int, list[tuple[int, Span]]]]
    )

    def finished(self, turns: list[int]) -> TurnBox:
        """The box. Raises `Fault` CAT-E003 for spans of loops that are not around it."""
        axes: list[TurnAxis] = []
        for offset, step, count, spans in self.axes:
            loops = dict.fromkeys(loop for loop, _ in spans)
            along = tuple(Along(loop, tuple(span for of, span in spans if of == loop)) for loop in loops)
            for each in along:
                order = [span.turn for span in each.spans]
                if each.loop >= len(turns) or order[0] != 0 or order != sorted(set(order)):
                    raise Fault("CAT-E003", f"a range goes along with loop {each.loop}, and not from its first turn on")
            axes.append(TurnAxis(count, along, offset, step))
        return TurnBox(tuple(axes))


@dataclass
class StepNode:
    """Something that is done: `pc` is the instruction, `hold` None for a run."""

    pc: int
    box: int
    layer: int
    hold: int | None = None
    sends: bool = False


@dataclass
class TurnsNode:
    """A loop around others."""

    turns: int
    nodes: list[StepNode | TurnsNode] = field(default_factory=list["StepNode | TurnsNode"])


@dataclass
class Member:
    """A layer of a group, the holds of its tensors, and what it has counted."""

    layer: LayerState
    keeps: dict[Tensor, HoldState]
    counts: Counts
    transfer_cycles: float = 0.0
    transfer_words: int = 0

    def count(self, event: str, times: int) -> None:
        """Count an event."""
        self.counts.events[event] = self.counts.events.get(event, 0) + times


@dataclass(frozen=True)
class Transfer:
    """Words that go between off-chip and a hold of a memory, for a tensor of a layer.

    `shape` and `strides` are those of the words as they lie off-chip.
    """

    member: Member
    tensor: Tensor
    memory: str
    words: Array
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def name(self) -> str:
        """What events call the tensor."""
        return OPERANDS.get(self.tensor, "extra")


@dataclass
class GroupState:
    """A group as far as it was read."""

    index: int
    pc: int
    members: dict[int, Member] = field(default_factory=dict[int, Member])
    holds: dict[int, HoldState] = field(default_factory=dict[int, HoldState])
    boxes: dict[int, BoxState] = field(default_factory=dict[int, BoxState])
    last: BoxState | None = None
    places: dict[int, HeldWords] = field(default_factory=dict[int, HeldWords])
    body: TurnsNode = field(default_factory=lambda: TurnsNode(1))
    opened: list[TurnsNode] = field(default_factory=list[TurnsNode])


class GroupSequencer(LayerSequencer[LayerT]):
    """A sequencer that executes fused groups as well (`backends.spatial.group_isa.GroupCore`).

    `occupancy` has for every group that ended, by its number, the words of every memory that elements lay in.
    `more_kept` are what holds have besides inputs, kernels, results and operands of post functions.
    """

    more_kept: ClassVar[frozenset[Tensor]] = frozenset()

    def __init__(self, dram: MemoryBank, *, has_host: bool, segment: SegmentRun | None = None):
        super().__init__(dram, has_host=has_host, segment=segment)
        self.occupancy: dict[int, dict[str, int]] = {}
        self._group: GroupState | None = None

    @abstractmethod
    def hold_memory(self, number: int) -> Memory:
        """The memory of a number. Raises `Fault` if holds cannot lie there."""

    @abstractmethod
    def run_link(self, layer: LayerT, box: list[tuple[range, ...]], member: Member) -> None:
        """Run a layer's loops on (g, op, opc, ks) of every dimension; count what they do."""

    @abstractmethod
    def begin_member(self, layer: LayerT) -> Counts:
        """Check that a layer can take part in a group; its counts at zero."""

    @abstractmethod
    def count_fetch(self, transfer: Transfer) -> None:
        """Count what comes from off-chip."""

    @abstractmethod
    def count_send(self, transfer: Transfer) -> None:
        """Count what goes off-chip."""

    def finished(self, member: Member) -> Counts:
        """The counts of a layer when its group has ended."""
        return member.counts

    # Configuration ----------------------------------------------------------------------------------------------------

    def begin_group(self, index: int) -> None:
        if self._group is not None or self.is_in_loop:
            raise Fault("CAT-E003", "a group begins inside of another, or of a loop")
        self.finish_layer()
        if index in self.occupancy:
            raise Fault("CAT-E003", f"group {index} runs twice")
        self._group = GroupState(index, self.pc)

    @property
    def group(self) -> GroupState:
        """The group that is being read."""
        if self._group is None:
            raise Fault("CAT-E003", "no group has begun")
        return self._group

    def finish_layer(self) -> None:
        """Keep the counts of the layer that ran; in a group, the layer waits for its turns."""
        if self._group is None or self._layer is None:
            super().finish_layer()
            return
        layer = self._layer
        if not self.is_running:
            raise Fault("CAT-E003", "a layer of a group has no loops that could run")
        if self.group.opened or self.group.body.nodes:
            raise Fault("CAT-E003", "a layer is configured behind the turns of its group")
        if layer.index in self.group.members:
            raise Fault("CAT-E003", f"layer {layer.index} is in its group twice")
        keeps = layer.keeps
        self.group.members[layer.index] = Member(layer, keeps, self.begin_member(layer))
        self._layer = None

    def _add_to(self, hold: int) -> HoldState:
        if hold not in self.group.holds:
            raise Fault("CAT-E003", f"there is no hold {hold} yet")
        return self.group.holds[hold]

    def add_hold(self, hold: int, memory: int, address: int, words: int, word: Word) -> None:
        described = self.hold_memory(memory)
        if described.words is not None and address + words > described.words:
            limits = f"{described.words} words", f"words up to {address + words - 1}"
            raise Fault("CAT-E001", f"a hold lies outside of {described.name}", *limits)
        if address + words > MOST_WORDS:
            raise Fault("CAT-E001", f"a hold lies further out in {described.name} than the emulator looks")
        if hold in self.group.holds:
            raise Fault("CAT-E003", f"hold {hold} is there already")
        self.group.holds[hold] = HoldState(hold, memory, address, words, dtype_of_word(word))

    def set_home(self, hold: int, address: int) -> None:
        self._add_to(hold).home = address

    def add_axis(self, hold: int, extent: int, first: int, step: int, kept: int) -> None:
        self._add_to(hold).axes.append(HoldAxis(extent, first, step, kept))

    def set_pitch(self, hold: int, pitch: int) -> None:
        axes = self._add_to(hold).axes
        if not axes:
            raise Fault("CAT-E003", f"hold {hold} has no axis yet")
        axes[-1].pitch = pitch

    def begin_box(self, box: int) -> None:
        if box in self.group.boxes:
            raise Fault("CAT-E003", f"box {box} is there already")
        self.group.last = self.group.boxes[box] = BoxState()

    def add_range(self, offset: int, step: int, count: int) -> None:
        self._last_box().axes.append((offset, step, count, []))

    def _last_box(self) -> BoxState:
        if self.group.last is None:
            raise Fault("CAT-E003", "no box has begun")
        return self.group.last

    def add_span(self, loop: int, turn: int, first: int, size: int, step: int, growth: int) -> None:
        axes = self._last_box().axes
        if not axes:
            raise Fault("CAT-E003", "a span without a range")
        axes[-1][3].append((loop, Span(turn, first, size, step, growth)))

    def keep(self, tensor: Tensor, hold: int) -> None:
        if tensor > Tensor.EXTRA11 and tensor not in self.more_kept:
            raise Fault("CAT-E003", f"{tensor.name} cannot lie in a hold")
        layer, state = self.layer, self._add_to(hold)
        if tensor in layer.keeps:
            raise Fault("CAT-E003", f"{tensor.name} lies in two holds")
        layer.keeps[tensor] = state
        self.kept(layer, tensor, state)

    def kept(self, layer: LayerT, tensor: Tensor, hold: HoldState) -> None:
        """Called when a tensor of the layer that is being read is said to lie in a hold."""

    def take_words(self, member: Member, memory: int, address: int, words: int) -> None:
        """A layer's own tile takes words of a memory while it runs: what lay there is gone.

        Raises `Fault` CAT-E003 if a tensor of this very layer lies there.
        """
        for tensor, hold in member.keeps.items():
            if hold.memory == memory and hold.overlaps(address, words):
                raise Fault("CAT-E003", f"a tile of the layer lies where hold {hold.number} keeps its {tensor.name}")
        if memory in self.group.places:
            self.group.places[memory].overwrite(address, words)

    def configuration(self) -> dict[str, Told]:
        """What the code has said so far of the group or, once it has begun, of a layer of it."""
        group = self._group
        if group is None or self._layer is not None:
            return super().configuration()
        steps = list(_told_steps(group.body))
        return configuration_of_group(group.index, group.holds, group.boxes, steps, len(group.opened))

    # Turns ------------------------------------------------------------------------------------------------------------

    def _body(self) -> TurnsNode:
        group = self.group
        if self._layer is not None:
            if self.is_in_loop:
                raise Fault("CAT-E003", "the turns of a group begin inside a layer's loop")
            self.finish_layer()
        return group.opened[-1] if group.opened else group.body

    def begin_turns(self, turns: int) -> None:
        body, node = self._body(), TurnsNode(turns)
        together, most = math.prod(each.turns for each in (*self.group.opened, node)), self._most_turns()
        if together > most:
            limits = f"at most {most} of all loops together", str(together)
            hint = "turns cut loops of the layer whose results no other of the group reads"
            raise Fault("CAT-E003", "a group takes more turns than there are sums to work on in them", *limits, hint)
        body.nodes.append(node)
        self.group.opened.append(node)

    def _most_turns(self) -> int:
        """The turns that loops of a group can use: each makes a result more of a layer, or goes on with its sum.

        Words off-chip stand for both, results or what is added up, so that a few instructions cannot keep the emulator
        at work for longer than the program's tensors let them.
        """
        layers = (each.layer for each in self.group.members.values())
        operations = (math.prod(math.prod(dim.counts) for dim in layer.dims) for layer in layers)
        return min(max(operations, default=0), self.dram.size)

    def _member(self, layer: int) -> Member:
        if layer not in self.group.members:
            raise Fault("CAT-E003", f"layer {layer} is none of the group")
        return self.group.members[layer]

    def _check_box(self, box: int) -> None:
        if box not in self.group.boxes:
            raise Fault("CAT-E003", f"there is no box {box}")

    def add_fetch(self, hold: int, box: int, layer: int) -> None:
        self._add_transfer(StepNode(self.pc, box, layer, hold))

    def add_send(self, hold: int, box: int, layer: int) -> None:
        self._add_transfer(StepNode(self.pc, box, layer, hold, sends=True))

    def _add_transfer(self, node: StepNode) -> None:
        body = self._body()
        assert node.hold is not None
        state = self._add_to(node.hold)
        self._check_box(node.box)
        tensors = [tensor for tensor, kept in self._member(node.layer).keeps.items() if kept is state]
        if not any((tensor is Tensor.OUTPUT) == node.sends for tensor in tensors):
            raise Fault(
                "CAT-E003", f"layer {node.layer} does not {'make' if node.sends else 'read'} what is in the hold"
            )
        body.nodes.append(node)

    def add_run(self, box: int, layer: int) -> None:
        body = self._body()
        self._check_box(box)
        self._member(layer)
        body.nodes.append(StepNode(self.pc, box, layer))

    def end_loop(self) -> None:
        """The end of turns, or of the group, which then runs."""
        self._body()
        if self.group.opened:
            self.group.opened.pop()
            return
        _Run(self, self.group).run()
        self._group = None

    def halt(self) -> None:
        if self._group is not None:
            raise Fault("CAT-E003", "the program stops inside a group")
        super().halt()


def _told_steps(body: TurnsNode) -> Iterator[Told]:
    """What is inside of a loop of a group, and of the loops in it."""
    for node in body.nodes:
        if isinstance(node, TurnsNode):
            yield "turns", node.turns
            yield from _told_steps(node)
        elif node.hold is None:
            yield "run", node.box, node.layer
        else:
            yield "send" if node.sends else "fetch", node.hold, node.box, node.layer


class _Run:
    """A group while it runs."""

    def __init__(self, core: GroupSequencer[LayerT], group: GroupState):
        self._core, self._group = core, group
        self._places = group.places
        self._loops: list[int] = []
        self._boxes: dict[int, TurnBox] = {}

    def run(self) -> None:
        before = self._core.pc
        for hold in self._group.holds.values():
            self._core.pc = self._group.pc
            if hold.memory not in self._places:
                last = max(each.end for each in self._group.holds.values() if each.memory == hold.memory)
                memory = self._core.hold_memory(hold.memory)
                self._places[hold.memory] = HeldWords(memory.name, last, memory.bank)
            hold.bind(self._places[hold.memory])
        self._around(self._group.body, [])
        for index, member in self._group.members.items():
            self._core.counts[index] = self._core.finished(member)
        self._core.occupancy[self._group.index] = {place.name: place.used for place in self._places.values()}
        self._core.pc = before

    def _around(self, body: TurnsNode, turns: list[int]) -> None:
        for node in body.nodes:
            if isinstance(node, TurnsNode):
                self._loops.append(node.turns)
                for turn in range(node.turns):
                    self._around(node, [*turns, turn])
                self._loops.pop()
            else:
                self._core.pc = node.pc
                self._do(node, self._box(node, turns))

    def _box(self, node: StepNode, turns: list[int]) -> Box:
        key = node.pc
        if key not in self._boxes:
            self._boxes[key] = self._group.boxes[node.box].finished(self._loops)
        return self._boxes[key].at(turns)

    def _do(self, node: StepNode, box: Box) -> None:
        if not all(map(len, box)):
            return
        member = self._group.members[node.layer]
        if node.hold is None:
            self._work(member, box)
        else:
            hold = self._group.holds[node.hold]
            transfer = self._send if node.sends else self._fetch
            transfer(member, hold, box)
            self._show_moved(node, member, hold, box)
        self._core.show_done(member.layer, node.pc)

    def _show_moved(self, node: StepNode, member: Member, hold: HoldState, box: Box) -> None:
        """What a transfer left where it goes, once it is done."""
        if self._core.observer is None:
            return
        elements = hold.elements(box)
        words = words_at(self._core.dram, elements) if node.sends else hold.gather(elements, hold.dtype)
        self._core.show_moved(member.layer, elements, words)

    def _fetch(self, member: Member, hold: HoldState, box: Box) -> None:
        elements = hold.elements(box)
        words = self._core.dram.gather(elements, hold.dtype)
        hold.scatter(elements, words)
        tensor = min(tensor for tensor, kept in member.keeps.items() if kept is hold and tensor is not Tensor.OUTPUT)
        self._core.count_fetch(self._transfer(member, tensor, hold, box, words))

    def _send(self, member: Member, hold: HoldState, box: Box) -> None:
        elements = hold.elements(box)
        words = hold.gather(elements, hold.dtype)
        self._core.dram.scatter(elements, words, None)
        self._core.count_send(self._transfer(member, Tensor.OUTPUT, hold, box, words))

    def _transfer(self, member: Member, tensor: Tensor, hold: HoldState, box: Box, words: Array) -> Transfer:
        strides = tuple(axis.pitch * indices.step for axis, indices in zip(hold.axes, box, strict=True))
        return Transfer(member, tensor, self._places[hold.memory].name, words, words.shape, strides)

    def _work(self, member: Member, box: Box) -> None:
        layer = member.layer
        kinds = len(Kind)
        if len(box) != kinds * len(layer.dims):
            raise Fault("CAT-E003", "a box of a layer has four ranges for every dimension")
        loops = [box[kinds * dim : kinds * (dim + 1)] for dim in range(len(layer.dims))]
        for dim, ranges in zip(layer.dims, loops, strict=True):
            for count, indices in zip(dim.counts, ranges, strict=True):
                if indices.step != 1 or indices[0] < 0 or indices[-1] >= count:
                    limits = f"0 to {count - 1}, one after another", f"{indices[0]} to {indices[-1]}"
                    raise Fault("CAT-E001", "a turn works indices that a loop does not have", *limits)
            if len(ranges[Kind.KS]) != dim.counts[Kind.KS] and Tensor.OUTPUT not in layer.keeps:
                raise Fault("CAT-E003", "a turn leaves sums unfinished that lie in no hold")
        self._core.run_link(layer, loops, member)  # pyright: ignore[reportArgumentType]
