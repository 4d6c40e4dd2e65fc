"""The instruction set of the spatial machine.

A program is a sequence of layers. Configuration instructions describe one general convolution (`dialects.gconv.spec`):
its loops, addressing, scalar functions, where its tensors are in DRAM and on chip, and how loops are laid over the
array. Then come hardware loops around transfers and processing passes. Every loop instruction cuts the current range of
one GCONV loop into tiles; transfers and passes act on the ranges in force. A layer is thus tens of words however many
tiles it runs. Layers of a fused group are read first, and their loops run in its turns (`backends.spatial.group_isa`).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from backends.instructions import declared
from backends.isa import Block, Instruction, Isa, enumeration, f32, signed, unsigned
from backends.spatial.codes import Axis, Fold, Kind, Memory, Slot, Tensor, Word
from backends.spatial.group_isa import register_groups

ISA = Isa(
    name="spatial",
    version=3,
    word_bits=128,
    summary="General convolutions on a spatial array: layer configuration, hardware loops, transfers, passes.",
)


class LayerCore(Protocol):
    """What every machine does with the instructions that configure a layer and run its loops."""

    @abstractmethod
    def begin_layer(self, index: int, main: int, fold: Fold, padding: float, acc: Word) -> None: ...
    @abstractmethod
    def set_counts(self, dim: int, counts: tuple[int, int, int, int]) -> None: ...
    @abstractmethod
    def set_window(self, dim: int, stride: int, dilation: int, pad: int, up: int, extent: int) -> None: ...
    @abstractmethod
    def add_function(self, slot: Slot, code: int, first: float, second: float, operand: Tensor) -> None: ...
    @abstractmethod
    def set_tensor(self, tensor: Tensor, address: int, word: Word) -> None: ...
    @abstractmethod
    def set_stride(self, tensor: Tensor, dim: int, stride: int) -> None: ...
    @abstractmethod
    def add_term(self, tensor: Tensor, place: int, step: int, extent: int) -> None: ...
    @abstractmethod
    def compress(self, tensor: Tensor) -> None: ...
    @abstractmethod
    def set_update(self, fold: Fold) -> None: ...
    @abstractmethod
    def begin_loop(self, dim: int, kind: Kind, tile: int) -> None: ...
    @abstractmethod
    def end_loop(self) -> None: ...
    @abstractmethod
    def offload(self) -> None: ...
    @abstractmethod
    def run_segment(self) -> None: ...
    @abstractmethod
    def halt(self) -> None: ...


class Core(LayerCore, Protocol):
    """What executes instructions: the operations that their semantics are made of."""

    @abstractmethod
    def set_place(self, tensor: Tensor, memory: Memory, address: int, words: int) -> None: ...
    @abstractmethod
    def add_spread(self, dim: int, kind: Kind, tile: int, axis: Axis) -> None: ...
    @abstractmethod
    def open_output(self) -> None: ...
    @abstractmethod
    def load(self, tensor: Tensor) -> None: ...
    @abstractmethod
    def process(self) -> None: ...
    @abstractmethod
    def store(self) -> None: ...


class Executable(Instruction):
    """An instruction of the spatial machine."""

    __slots__ = ()

    @abstractmethod
    def execute(self, core: Core) -> None:
        """Do on a core what the instruction means."""


class LayerInstruction(Executable):
    """An instruction that other machines have, too."""

    __slots__ = ()

    @abstractmethod
    def execute(self, core: LayerCore) -> None: ...


@ISA.instruction(opcode=0x00)
@declared
class Halt(LayerInstruction):
    """Stop. The last instruction of a program."""

    def execute(self, core: LayerCore) -> None:
        core.halt()


@ISA.instruction(opcode=0x01)
@declared
class Layer(LayerInstruction):
    """Begin the configuration of a layer; everything configured before is forgotten.

    All dimensions get loop counts of 1 and plain addressing. Where F32 words of several kernel positions are added or
    multiplied up, the elements compute in 64-bit floats, which the buffer keeps; stores round the result to F32.
    """

    index: int = unsigned(16, "number of the layer")
    main: int = unsigned(8, "code of the main function; 0 passes the input value on")
    fold: Fold = enumeration(Fold, 3, "reduction")
    padding: float = f32("value read outside the input")
    acc: Word = enumeration(
        Word, 5, "type that the elements compute in and the output path begins in", default=Word.F32
    )

    def execute(self, core: LayerCore) -> None:
        core.begin_layer(self.index, self.main, self.fold, self.padding, self.acc)


@ISA.instruction(opcode=0x02)
@declared
class Dim(LayerInstruction):
    """Loop counts of a dimension."""

    dim: int = unsigned(4, "dimension")
    g: int = unsigned(24, "groups", minimum=1)
    op: int = unsigned(24, "parallel kernels per group", minimum=1)
    opc: int = unsigned(24, "output positions that share a kernel", minimum=1)
    ks: int = unsigned(24, "kernel extent", minimum=1)

    def execute(self, core: LayerCore) -> None:
        core.set_counts(self.dim, (self.g, self.op, self.opc, self.ks))


@ISA.instruction(opcode=0x03)
@declared
class Window(LayerInstruction):
    """How output and kernel positions of a dimension address the input: (opc*stride + ks*dilation - pad) / up."""

    dim: int = unsigned(4, "dimension")
    stride: int = unsigned(16, "input positions between neighbouring outputs", minimum=1)
    dilation: int = unsigned(16, "input positions between neighbouring kernel words", minimum=1)
    pad: int = signed(24, "padding before the first input word; negative crops")
    up: int = unsigned(16, "input dilation", minimum=1)
    extent: int = unsigned(24, "input words of one group", minimum=1)

    def execute(self, core: LayerCore) -> None:
        core.set_window(self.dim, self.stride, self.dilation, self.pad, self.up, self.extent)


@ISA.instruction(opcode=0x04)
@declared
class Function(LayerInstruction):
    """Append a scalar function to the input path, the element's path or the output path."""

    slot: Slot = enumeration(Slot, 2, "where it is applied")
    code: int = unsigned(8, "number of the function", minimum=1)
    first: float = f32("first parameter", default=0.0)
    second: float = f32("second parameter", default=0.0)
    operand: Tensor = enumeration(Tensor, 5, "second operand; INPUT means none", default=Tensor.INPUT)

    def execute(self, core: LayerCore) -> None:
        core.add_function(self.slot, self.code, self.first, self.second, self.operand)


@ISA.instruction(opcode=0x05)
@declared
class Base(LayerInstruction):
    """Where in DRAM a tensor begins and of what its words are; its strides become 0."""

    tensor: Tensor = enumeration(Tensor, 5, "tensor")
    address: int = unsigned(40, "word address")
    word: Word = enumeration(Word, 5, "type of its words", default=Word.F32)

    def execute(self, core: LayerCore) -> None:
        core.set_tensor(self.tensor, self.address, self.word)


@ISA.instruction(opcode=0x06)
@declared
class Stride(LayerInstruction):
    """Words in DRAM between neighbours of one dimension of a tensor."""

    tensor: Tensor = enumeration(Tensor, 5, "tensor")
    dim: int = unsigned(4, "dimension")
    stride: int = signed(40, "words")

    def execute(self, core: LayerCore) -> None:
        core.set_stride(self.tensor, self.dim, self.stride)


@ISA.instruction(opcode=0x07)
@declared
class Place(Executable):
    """Where on chip the tile of a tensor is kept."""

    tensor: Tensor = enumeration(Tensor, 5, "tensor")
    memory: Memory = enumeration(Memory, 2, "memory")
    address: int = unsigned(32, "first word")
    words: int = unsigned(32, "words reserved")

    def execute(self, core: Core) -> None:
        core.set_place(self.tensor, self.memory, self.address, self.words)


@ISA.instruction(opcode=0x08)
@declared
class Spread(Executable):
    """Lay tiles of a loop side by side along an axis of the array; later spreads cut within earlier ones."""

    dim: int = unsigned(4, "dimension")
    kind: Kind = enumeration(Kind, 2, "loop")
    tile: int = unsigned(24, "indices in one tile", minimum=1)
    axis: Axis = enumeration(Axis, 1, "axis")

    def execute(self, core: Core) -> None:
        core.add_spread(self.dim, self.kind, self.tile, self.axis)


@ISA.instruction(opcode=0x09)
@declared
class Term(LayerInstruction):
    """Add `step` times a component of the tensor's index to its addresses.

    The component counts from 0 or, if it is negative, from `extent` backwards.
    """

    tensor: Tensor = enumeration(Tensor, 5, "INPUT or OUTPUT")
    place: int = signed(32, "words from the index tensor's first word to this component")
    step: int = signed(40, "words of the tensor")
    extent: int = unsigned(32, "indices that exist", minimum=1)

    def execute(self, core: LayerCore) -> None:
        core.add_term(self.tensor, self.place, self.step, self.extent)


@ISA.instruction(opcode=0x0A)
@declared
class Update(LayerInstruction):
    """Let stores combine words with those at their computed addresses, one after another; NONE replaces them."""

    fold: Fold = enumeration(Fold, 3, "how")

    def execute(self, core: LayerCore) -> None:
        core.set_update(self.fold)


@ISA.instruction(opcode=0x0B)
@declared
class Compress(Executable):
    """Let a tensor's words go over the off-chip link in the machine's run-length code."""

    tensor: Tensor = enumeration(Tensor, 5, "tensor")

    def execute(self, core: Core) -> None:
        core.compress(self.tensor)


@ISA.instruction(opcode=0x10, block=Block.OPEN)
@declared
class Loop(LayerInstruction):
    """Run the instructions up to the matching `end` once for every tile of the loop's current range, in order."""

    dim: int = unsigned(4, "dimension")
    kind: Kind = enumeration(Kind, 2, "loop")
    tile: int = unsigned(24, "indices in one tile", minimum=1)

    def nest_label(self) -> str:
        return f"d{self.dim}.{self.kind.name.lower()}"

    def execute(self, core: LayerCore) -> None:
        core.begin_loop(self.dim, self.kind, self.tile)


@ISA.instruction(opcode=0x11, block=Block.CLOSE)
@declared
class End(LayerInstruction):
    """End of a loop body: go on with the next tile, or restore the loop's range and leave."""

    def execute(self, core: LayerCore) -> None:
        core.end_loop()


@ISA.instruction(opcode=0x20)
@declared
class Open(Executable):
    """Begin an output tile in the buffer: its words hold nothing until a pass writes them."""

    def execute(self, core: Core) -> None:
        core.open_output()


@ISA.instruction(opcode=0x21)
@declared
class Load(Executable):
    """Bring the tile that the current ranges need on chip.

    The input goes from DRAM through the `pre` functions to the buffer, padding included; the kernel goes to the
    scratchpads of the elements, from its hold if it lies in one. An input that lies in a hold is not loaded.
    """

    tensor: Tensor = enumeration(Tensor, 5, "INPUT or KERNEL")

    def execute(self, core: Core) -> None:
        core.load(self.tensor)


@ISA.instruction(opcode=0x22, mnemonic="pass")
@declared
class Pass(Executable):
    """One processing pass: fold main(input, kernel) over the current kernel extents into the output tile.

    The first pass over an output word (all kernel loops at their start) begins a new sum, later ones add to it. An
    input that lies in a hold comes from there, through the `pre` functions, with padding made up.
    """

    def execute(self, core: Core) -> None:
        core.process()


@ISA.instruction(opcode=0x23)
@declared
class Store(Executable):
    """Send the finished output tile from the buffer through the `post` functions to DRAM, or to the output's hold."""

    def execute(self, core: Core) -> None:
        core.store()


@ISA.instruction(opcode=0x24)
@declared
class Offload(LayerInstruction):
    """Let the host core execute the configured layer, whole, on tensors in DRAM, and wait for it.

    Nothing is kept on chip: places and spreads have no meaning, and no loop may be open.
    """

    def execute(self, core: LayerCore) -> None:
        core.offload()


@ISA.instruction(opcode=0x25)
@declared
class Segment(LayerInstruction):
    """Stop for the runtime to execute the host segment that is this layer, then go on.

    The runtime reads the layer's inputs from DRAM and writes its outputs there, by the tensor table; no loop may be
    open. Nothing is kept on chip, and the layer has no other configuration.
    """

    def execute(self, core: LayerCore) -> None:
        core.run_segment()


register_groups(ISA)
