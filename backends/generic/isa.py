"""The instruction set of the generic machine: general convolutions on any hierarchy of memories and axes.

Layers are configured as on the spatial machine. The loops of a layer are a nest: on the way in, loops over time, loops
laid along axes, and transfers into memories further in; in the middle one `compute`; on the way out the sums leave
again. A sequencer reads the whole nest, then runs it. Memories and axes go by number, from the outermost, of the
machine description that the program carries.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from backends.instructions import declared
from backends.isa import Block, Instruction, Isa, enumeration, flag, unsigned
from backends.spatial.codes import Kind, Tensor
from backends.spatial.group_isa import register_groups
from backends.spatial.isa import LayerCore
from backends.spatial.layer_isa import register_host, register_layers
from passes.mapper.legality import MOST_SPATIAL

ISA = Isa(
    name="generic",
    version=1,
    word_bits=128,
    summary="General convolutions on any hierarchy of memories and axes: layer configuration, nests of transfers.",
)

DRAM_WORDS = 1 << 48
"""Addresses of the outermost memory, which has no capacity of its own."""

register_layers(ISA)
register_host(ISA)
register_groups(ISA)


class NestCore(LayerCore, Protocol):
    """What executes instructions: the operations that their semantics are made of."""

    @abstractmethod
    def set_place(self, tensor: Tensor, memory: int, address: int, words: int) -> None: ...
    @abstractmethod
    def begin_par(self, dim: int, kind: Kind, tile: int, axis: int) -> None: ...
    @abstractmethod
    def add_fill(
        self, tensor: Tensor, source: int, memory: int, once: int, *, slides: bool, shared: frozenset[int]
    ) -> None: ...
    @abstractmethod
    def add_open(self, memory: int, once: int) -> None: ...
    @abstractmethod
    def add_drain(self, memory: int, target: int, once: int) -> None: ...
    @abstractmethod
    def add_compute(
        self, sources: tuple[int, int], output: int, shared: tuple[frozenset[int], frozenset[int]]
    ) -> None: ...


class NestInstruction(Instruction):
    """An instruction of the generic machine alone."""

    __slots__ = ()

    @abstractmethod
    def execute(self, core: NestCore) -> None:
        """Do on a core what the instruction means."""


def numbers_of(mask: int) -> frozenset[int]:
    """The numbers of the bits that are set."""
    return frozenset(number for number in range(MOST_SPATIAL) if mask >> number & 1)


def mask_of(numbers: frozenset[int]) -> int:
    """The bits of some numbers."""
    return sum(1 << number for number in numbers)


@ISA.instruction(opcode=0x07)
@declared
class Place(NestInstruction):
    """Where the tile of a tensor is kept in a memory, in each of them if there are several.

    In the outermost memory that is where sums wait that are not finished.
    """

    tensor: Tensor = enumeration(Tensor, 5, "INPUT, KERNEL or OUTPUT")
    memory: int = unsigned(6, "memory")
    address: int = unsigned(48, "first word")
    words: int = unsigned(48, "words reserved", minimum=1)

    def execute(self, core: NestCore) -> None:
        core.set_place(self.tensor, self.memory, self.address, self.words)


@ISA.instruction(opcode=0x12, block=Block.OPEN)
@declared
class Par(NestInstruction):
    """Run the instructions up to the matching `end` for every tile of the loop's current range, side by side."""

    dim: int = unsigned(4, "dimension")
    kind: Kind = enumeration(Kind, 2, "loop")
    tile: int = unsigned(24, "indices in one tile", minimum=1)
    axis: int = unsigned(6, "axis along which the tiles lie")

    def nest_label(self) -> str:
        return f"d{self.dim}.{self.kind.name.lower()} on axis {self.axis}"

    def execute(self, core: NestCore) -> None:
        core.begin_par(self.dim, self.kind, self.tile, self.axis)


@ISA.instruction(opcode=0x20)
@declared
class Open(NestInstruction):
    """Begin a tile of sums in a memory: its words hold nothing until sums arrive.

    Only in the first turn of the `once` innermost loops.
    """

    memory: int = unsigned(6, "memory", minimum=1)
    once: int = unsigned(6, "loops in whose later turns the tile is still there")

    def execute(self, core: NestCore) -> None:
        core.add_open(self.memory, self.once)


@ISA.instruction(opcode=0x21)
@declared
class Fill(NestInstruction):
    """Bring the tile that the current ranges need from one memory into another, into each of them if there are several.

    Only in the first turn of the `once` innermost loops. If it slides, later turns of the next loop bring only what the
    turn before did not. One word goes to all positions of shared `par` loops at once; each loop has a bit, the
    outermost the lowest. From the outermost memory, input words go through `pre`, and padding is made up.
    """

    tensor: Tensor = enumeration(Tensor, 5, "INPUT or KERNEL")
    source: int = unsigned(6, "memory that the words come from")
    memory: int = unsigned(6, "memory that they go to", minimum=1)
    once: int = unsigned(6, "loops in whose later turns the words are still there", default=0)
    slides: bool = flag("bring only what the last turn of the next loop did not", default=False)
    shared: int = unsigned(MOST_SPATIAL, "par loops whose positions share words", default=0)

    def execute(self, core: NestCore) -> None:
        core.add_fill(
            self.tensor, self.source, self.memory, self.once, slides=self.slides, shared=numbers_of(self.shared)
        )


@ISA.instruction(opcode=0x22)
@declared
class Compute(NestInstruction):
    """Every element works through its ranges, one index after another, all elements in step.

    Each operation takes a word of input and kernel from these memories and sends its result to a third. Positions of
    shared `par` loops get a word together.
    """

    input: int = unsigned(6, "memory of the input")
    output: int = unsigned(6, "memory of the sums")
    kernel: int = unsigned(6, "memory of the kernel", default=0)
    input_shared: int = unsigned(MOST_SPATIAL, "par loops whose positions share input words", default=0)
    kernel_shared: int = unsigned(MOST_SPATIAL, "par loops whose positions share kernel words", default=0)

    def execute(self, core: NestCore) -> None:
        shared = numbers_of(self.input_shared), numbers_of(self.kernel_shared)
        core.add_compute((self.input, self.kernel), self.output, shared)


@ISA.instruction(opcode=0x23)
@declared
class Drain(NestInstruction):
    """Send the tile of sums that was opened in a memory to one further out, where they are added to what is there.

    Only in the last turn of the `once` innermost loops. Sums of positions along axes that reduce are added on the way.
    Sums that are finished, all loops over the kernel being in their last turn, go through `post` to the output.
    """

    memory: int = unsigned(6, "memory that the sums leave", minimum=1)
    target: int = unsigned(6, "memory that they go to")
    once: int = unsigned(6, "loops in whose earlier turns the sums stay", default=0)

    def execute(self, core: NestCore) -> None:
        core.add_drain(self.memory, self.target, self.once)
