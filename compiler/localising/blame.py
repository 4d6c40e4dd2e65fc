"""Who is to blame: an instruction of a program, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from backends.api import Backend, Emulator
from backends.isa import Instruction, Isa
from backends.program import LayerEntry, Program
from dialects.diagnostics import CatenaError

Mends = Callable[[Program], bool]
"""Whether the result is right in another program."""


def mends_by(backend: Backend, is_right: Callable[[Program, Emulator], bool]) -> Mends:
    """Whether the result is right in another program, if that can be loaded."""

    def mends(other: Program) -> bool:
        try:
            emulator = backend.load(other, None)
        except CatenaError:
            return False
        return is_right(other, emulator)

    return mends


@dataclass(frozen=True)
class Blame:
    """An instruction, by core (of `cores`) and address, as assembly, and what is wrong with it or what it brings.

    `layer` is the one whose code it is, where the address does not tell: if it is missing or there in addition.
    Without, it is that of no layer if its address is in none.
    """

    core: int
    address: int
    text: str
    reason: str
    expected: str = ""
    found: str = ""
    cores: int = 1
    layer: str = ""

    def __str__(self) -> str:
        core = f"core {self.core}, " if self.cores > 1 else ""
        return f"{core}instruction {self.address} ({self.text})"


def layer_at(program: Program, core: int, address: int) -> LayerEntry | None:
    """Which layer's code an address is in; None if it is that of none."""
    name = next((each.layer for each in program.debug if each.core == core and each.start <= address < each.end), "")
    return next((each for each in program.layers if each.name == name), None)


def instruction_at(program: Program, isa: Isa, core: int, address: int) -> Instruction:
    """One instruction of a program."""
    width = isa.word_bytes
    return next(iter(isa.decode(program.code[core][address * width : (address + 1) * width])))
