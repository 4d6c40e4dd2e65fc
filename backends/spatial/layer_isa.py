"""The instructions that machines of other kinds share with the spatial one, by the same opcodes: layers and loops."""

from __future__ import annotations

from backends.isa import Block, Isa
from backends.spatial.isa import (
    Base,
    Dim,
    End,
    Function,
    Halt,
    Layer,
    Loop,
    Offload,
    Segment,
    Stride,
    Term,
    Update,
    Window,
)


def register_layers(isa: Isa) -> None:
    """Configuration of layers, and hardware loops."""
    for opcode, kind in enumerate((Halt, Layer, Dim, Window, Function, Base, Stride)):
        isa.instruction(opcode=opcode)(kind)
    isa.instruction(opcode=0x09)(Term)
    isa.instruction(opcode=0x0A)(Update)
    isa.instruction(opcode=0x10, block=Block.OPEN)(Loop)
    isa.instruction(opcode=0x11, block=Block.CLOSE)(End)


def register_host(isa: Isa) -> None:
    """What a host core executes: layers of the chain, and segments of the model."""
    isa.instruction(opcode=0x24)(Offload)
    isa.instruction(opcode=0x25)(Segment)
