"""The instruction set of machines with im2col units in front of a systolic array.

Layers are configured as on the spatial machine. Then come hardware loops around transfers and passes: each tensor has a
memory of its own on the chip, and a pass makes patches of the input there and multiplies them by the kernels.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from backends.instructions import declared
from backends.isa import Instruction, Isa, enumeration, flag, unsigned
from backends.spatial.codes import Tensor
from backends.spatial.group_isa import register_groups
from backends.spatial.isa import LayerCore
from backends.spatial.layer_isa import register_host, register_layers

ISA = Isa(
    name="spots",
    version=1,
    word_bits=128,
    summary="General convolutions as matrix products: layer configuration, loops, transfers, passes.",
)

register_layers(ISA)
register_host(ISA)
register_groups(ISA)


class GemmCore(LayerCore, Protocol):
    """What executes instructions: the operations that their semantics are made of."""

    @abstractmethod
    def configure(self, split: int, ring: bool, reserved: int, resumes: bool, rewinds: bool) -> None: ...
    @abstractmethod
    def set_place(self, tensor: Tensor, address: int, words: int) -> None: ...
    @abstractmethod
    def set_blocks(self, height: int, address: int, words: int) -> None: ...
    @abstractmethod
    def set_sums(self, bits: int, shift: int) -> None: ...
    @abstractmethod
    def open_output(self) -> None: ...
    @abstractmethod
    def load(self, tensor: Tensor) -> None: ...
    @abstractmethod
    def multiply(self) -> None: ...
    @abstractmethod
    def store(self) -> None: ...


class GemmInstruction(Instruction):
    """An instruction of these machines alone."""

    __slots__ = ()

    @abstractmethod
    def execute(self, core: GemmCore) -> None:
        """Do on a core what the instruction means."""


@ISA.instruction(opcode=0x07)
@declared
class Configure(GemmInstruction):
    """Divide the array, and connect the patch units of every im2col unit to a ring.

    On a ring a patch gets from its neighbour what both have. Of `reserved` channels, the next row of patches finds what
    it shares with the one before; with `resumes`, in a later pass, too; with `rewinds`, in every later pass that goes
    on from there. Without a ring every patch reads all its words from the memory.
    """

    split: int = unsigned(8, "arrays that get the same kernels and take patches in turn", minimum=1)
    ring: bool = flag("patch units hand on words", default=False)
    reserved: int = unsigned(32, "channels whose words are kept for the next row of patches", default=0)
    resumes: bool = flag("words are kept from one pass to the next", default=False)
    rewinds: bool = flag("words that a pass goes on from are kept for others that do", default=False)

    def execute(self, core: GemmCore) -> None:
        core.configure(self.split, self.ring, self.reserved, self.resumes, self.rewinds)


@ISA.instruction(opcode=0x08)
@declared
class Place(GemmInstruction):
    """Where the tile of a tensor is kept in its memory."""

    tensor: Tensor = enumeration(Tensor, 5, "INPUT, KERNEL or OUTPUT")
    address: int = unsigned(40, "first word")
    words: int = unsigned(40, "words reserved", minimum=1)

    def execute(self, core: GemmCore) -> None:
        core.set_place(self.tensor, self.address, self.words)


@ISA.instruction(opcode=0x0C)
@declared
class Blocks(GemmInstruction):
    """The kernel comes as streams of SPOTS blocks, one for every tile, which their bitmaps decode.

    The words of blocks that are kept lie from the kernel's address, the bitmaps from `address`. They begin with two
    numbers of 32 bits for every tile, of those that loops around its load make, inner ones faster: the word of the
    bitmaps where the tile's M1 and M2 begin, and the word of the kernel where its first block does. In a layer of a
    group KERNEL and BITMAPS lie in holds, from which every pass takes the tile of the loops around it.
    """

    height: int = unsigned(16, "kernels of a block", minimum=1)
    address: int = unsigned(40, "first word of the bitmaps")
    words: int = unsigned(40, "words of bitmaps of a tile that have room on the chip", minimum=1)

    def execute(self, core: GemmCore) -> None:
        core.set_blocks(self.height, self.address, self.words)


@ISA.instruction(opcode=0x0D)
@declared
class Accumulate(GemmInstruction):
    """Integer products are added in accumulators of `bits` bits of two's complement, which wrap around.

    A product p is added as floor((p + 2^(shift - 1)) / 2^shift), and finished sums are multiplied by 2^shift. Without
    this instruction sums have the type of the layer.
    """

    bits: int = unsigned(8, "bits of an accumulator", minimum=2)
    shift: int = unsigned(8, "bits that products lose")

    def execute(self, core: GemmCore) -> None:
        core.set_sums(self.bits, self.shift)


@ISA.instruction(opcode=0x20)
@declared
class Open(GemmInstruction):
    """Begin a tile of results: its words hold nothing until a pass writes them."""

    def execute(self, core: GemmCore) -> None:
        core.open_output()


@ISA.instruction(opcode=0x21)
@declared
class Load(GemmInstruction):
    """Bring the tile that the current ranges need from off-chip, the input through the `pre` functions.

    A kernel in blocks brings the place of the tile, its bitmaps, and the words of blocks that are kept.
    """

    tensor: Tensor = enumeration(Tensor, 5, "INPUT or KERNEL")

    def execute(self, core: GemmCore) -> None:
        core.load(self.tensor)


@ISA.instruction(opcode=0x22)
@declared
class Multiply(GemmInstruction):
    """One pass: make patches, and fold main(input, kernel) over the current kernel extents into the tile of results.

    Groups come one after another. Padding is made up. The first pass over a result (all kernel loops at their start)
    begins a new sum, later ones add to it. Where products are summed up, an index is left out if its words are zero in
    all patches that arrays take at a time, or if M1 says so; operations in blocks that M2 does not keep are gated.
    """

    def execute(self, core: GemmCore) -> None:
        core.multiply()


@ISA.instruction(opcode=0x23)
@declared
class Store(GemmInstruction):
    """Send the finished tile of results through the `post` functions off-chip."""

    def execute(self, core: GemmCore) -> None:
        core.store()
