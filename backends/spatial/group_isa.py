"""The instructions of fused groups, which machines share: layers that take turns on tiles and hand on words on chip.

    group 0                       begin a group; layers are configured as ever, and do not run by themselves
      layer ... keep ... end      each says which of its tensors lie in holds
      hold, home, axis            where a tensor lies on the chip, around in circles, and where off-chip
      box, range, span            what is done in a turn, as ranges that go along with the turns
      turns                       loops around fetches, runs and sends
    end

A sequencer reads a group whole, then runs it. Its code is as long for any number of turns.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from backends.instructions import declared
from backends.isa import Block, Instruction, Isa, enumeration, signed, unsigned
from backends.spatial.codes import Tensor, Word


class GroupCore(Protocol):
    """What a sequencer does with the instructions of groups."""

    @abstractmethod
    def begin_group(self, index: int) -> None: ...
    @abstractmethod
    def add_hold(self, hold: int, memory: int, address: int, words: int, word: Word) -> None: ...
    @abstractmethod
    def set_home(self, hold: int, address: int) -> None: ...
    @abstractmethod
    def add_axis(self, hold: int, extent: int, first: int, step: int, kept: int) -> None: ...
    @abstractmethod
    def set_pitch(self, hold: int, pitch: int) -> None: ...
    @abstractmethod
    def keep(self, tensor: Tensor, hold: int) -> None: ...
    @abstractmethod
    def begin_box(self, box: int) -> None: ...
    @abstractmethod
    def add_range(self, offset: int, step: int, count: int) -> None: ...
    @abstractmethod
    def add_span(self, loop: int, turn: int, first: int, size: int, step: int, growth: int) -> None: ...
    @abstractmethod
    def begin_turns(self, turns: int) -> None: ...
    @abstractmethod
    def add_fetch(self, hold: int, box: int, layer: int) -> None: ...
    @abstractmethod
    def add_run(self, box: int, layer: int) -> None: ...
    @abstractmethod
    def add_send(self, hold: int, box: int, layer: int) -> None: ...


class GroupInstruction(Instruction):
    """An instruction of machines that run fused groups."""

    __slots__ = ()

    @abstractmethod
    def execute(self, core: GroupCore) -> None:
        """Do on a core what the instruction means."""


@declared
class Group(GroupInstruction):
    """Begin a group of layers: the next ones, up to the first `turns`, `fetch`, `run` or `send`. The matching `end`
    runs it.

    All holds and boxes are forgotten, and no word of them is there.
    """

    index: int = unsigned(16, "number of the group")

    def execute(self, core: GroupCore) -> None:
        core.begin_group(self.index)


@declared
class Hold(GroupInstruction):
    """Words of a memory that elements of a tensor lie in, each axis of it around in circles (`axis`)."""

    hold: int = unsigned(8, "number of the hold")
    memory: int = unsigned(6, "memory, counted from the one off-chip, which is 0", minimum=1)
    address: int = unsigned(40, "first word")
    words: int = unsigned(40, "words reserved", minimum=1)
    word: Word = enumeration(Word, 5, "type of its words", default=Word.F32)

    def execute(self, core: GroupCore) -> None:
        core.add_hold(self.hold, self.memory, self.address, self.words, self.word)


@declared
class Home(GroupInstruction):
    """Where off-chip the tensor of a hold begins. Layers name its elements by these addresses, there or not."""

    hold: int = unsigned(8, "hold")
    address: int = unsigned(40, "word address")

    def execute(self, core: GroupCore) -> None:
        core.set_home(self.hold, self.address)


@declared
class HeldAxis(GroupInstruction):
    """The next axis of a hold's tensor: index x lies at ((x - first) / step) mod kept, row-major over all axes."""

    hold: int = unsigned(8, "hold")
    extent: int = unsigned(24, "indices of the tensor", minimum=1)
    first: int = unsigned(24, "first index that is ever held")
    step: int = unsigned(16, "indices from one that is held to the next", minimum=1)
    kept: int = unsigned(24, "indices held at a time", minimum=1)

    def execute(self, core: GroupCore) -> None:
        core.add_axis(self.hold, self.extent, self.first, self.step, self.kept)


@declared
class Pitch(GroupInstruction):
    """Words off-chip between neighbours along the last axis of a hold."""

    hold: int = unsigned(8, "hold")
    pitch: int = unsigned(40, "words", minimum=1)

    def execute(self, core: GroupCore) -> None:
        core.set_pitch(self.hold, self.pitch)


@declared
class Keep(GroupInstruction):
    """A tensor of the layer lies in a hold: its words come from there, or go there, and not off-chip."""

    tensor: Tensor = enumeration(Tensor, 5, "tensor")
    hold: int = unsigned(8, "hold")

    def execute(self, core: GroupCore) -> None:
        core.keep(self.tensor, self.hold)


@declared
class Box(GroupInstruction):
    """Begin a box: a product of ranges in every turn, one for each `range`. Where one is empty, there is nothing."""

    box: int = unsigned(12, "number of the box")

    def execute(self, core: GroupCore) -> None:
        core.begin_box(self.box)


@declared
class Range(GroupInstruction):
    """The next axis of a box: indices offset + step * n for n below count, as far as the spans that follow let them."""

    count: int = unsigned(24, "indices at most")
    offset: int = unsigned(24, "first index", default=0)
    step: int = unsigned(16, "from one index to the next", minimum=1, default=1)

    def execute(self, core: GroupCore) -> None:
        core.add_range(self.offset, self.step, self.count)


@declared
class Span(GroupInstruction):
    """From a turn of a loop on, n of the last range is among `size` numbers from `first`.

    Every later turn begins `step` further on and has `growth` more. Spans of one loop follow one another, those of
    several loops hold all at once.
    """

    loop: int = unsigned(4, "loop, the outermost is 0")
    turn: int = unsigned(20, "turn of it")
    first: int = unsigned(24, "first number")
    size: int = unsigned(24, "how many")
    step: int = signed(24, "to the first of the next turn", default=0)
    growth: int = signed(24, "further ones in the next turn", default=0)

    def execute(self, core: GroupCore) -> None:
        core.add_span(self.loop, self.turn, self.first, self.size, self.step, self.growth)


@declared
class Turns(GroupInstruction):
    """Do what stands up to the matching `end` in so many turns.

    Loops of turns inside one another are at most as many together as there are results of the layer whose results no
    other of the group reads, and as there are words off-chip that can be written: every turn makes results of its own.
    """

    turns: int = unsigned(24, "turns", minimum=1)

    def execute(self, core: GroupCore) -> None:
        core.begin_turns(self.turns)


@declared
class Fetch(GroupInstruction):
    """Bring a box of elements from off-chip into a hold; it counts for a layer that keeps the hold."""

    hold: int = unsigned(8, "hold")
    box: int = unsigned(12, "box")
    layer: int = unsigned(16, "number of the layer")

    def execute(self, core: GroupCore) -> None:
        core.add_fetch(self.hold, self.box, self.layer)


@declared
class Run(GroupInstruction):
    """Run a layer's loops on a box: (g, op, opc, ks) of every dimension in turn, in the place of whole loops.

    Unless all ks begin at 0, sums go on from those in the result's hold; unless all end, they stay there unfinished.
    """

    box: int = unsigned(12, "box")
    layer: int = unsigned(16, "number of the layer")

    def execute(self, core: GroupCore) -> None:
        core.add_run(self.box, self.layer)


@declared
class Send(GroupInstruction):
    """Take a box of elements from a hold off-chip; it counts for the layer that made them."""

    hold: int = unsigned(8, "hold")
    box: int = unsigned(12, "box")
    layer: int = unsigned(16, "number of the layer")

    def execute(self, core: GroupCore) -> None:
        core.add_send(self.hold, self.box, self.layer)


def register_holds(isa: Isa, first: int) -> None:
    """Give an instruction set those that say which tensors of a layer lie in holds, with opcodes from `first` on."""
    for opcode, kind in enumerate((Hold, Home, HeldAxis, Pitch, Keep), first):
        isa.instruction(opcode=opcode, mnemonic="axis" if kind is HeldAxis else None)(kind)


def register_groups(isa: Isa) -> None:
    """Give an instruction set the instructions of groups."""
    isa.instruction(opcode=0x30, block=Block.OPEN)(Group)
    register_holds(isa, first=0x31)
    for opcode, kind, block in (
        (0x36, Box, Block.NONE),
        (0x37, Range, Block.NONE),
        (0x38, Span, Block.NONE),
        (0x39, Turns, Block.OPEN),
        (0x3A, Fetch, Block.NONE),
        (0x3B, Run, Block.NONE),
        (0x3C, Send, Block.NONE),
    ):
        isa.instruction(opcode=opcode, block=block)(kind)
