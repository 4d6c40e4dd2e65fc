"""Emulators that execute one instruction of a program otherwise: with another field, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from backends.isa import Instruction, Isa
from backends.program import Program
from backends.registry import find_backend
from dialects.diagnostics import CatenaError
from tests.compiler.localising.mutants import Patch


@dataclass(frozen=True)
class Otherwise:
    """The instruction at an address of a core is executed as another one; as none if there is no `other`."""

    core: int
    address: int
    right: Instruction
    other: Instruction | None
    layer: str

    def __str__(self) -> str:
        return f"core {self.core}, {self.address} of {self.layer!r}: {self.right} as {self.other}"

    def mutate(self, program: Program, patch: Patch) -> None:
        """Have every emulator of the program's machine do so, in runs of the program and of the layer alone."""
        kind = type(self.right)
        right: Any = kind.execute  # type: ignore[attr-defined]
        together = next((group.layers for group in program.groups if self.layer in group.layers), (self.layer,))
        entries = [entry for entry in program.debug if entry.layer in together and entry.core == self.core]
        own = [each for entry in entries for each in range(entry.start, entry.end)]
        whole = len(program.code[self.core]) // (program.metadata.word_bits // 8)
        isa = find_backend(program.metadata.backend).isa()
        code = list(isa.decode(program.code[self.core]))

        def execute(instruction: Any, core: Any) -> None:
            pc = core.pc
            if len(core._code) != whole:
                # a layer alone: its code from 0 on, but for the number of the layer
                is_own = list(core._code[1 : len(own)]) == [code[each] for each in own[1:]]
                pc = own[pc] if is_own and pc < len(own) else -1
            if pc != self.address or getattr(core, "core", 0) != self.core:
                right(instruction, core)
            elif self.other is not None:
                right(self.other, core)

        patch.setattr(kind, "execute", execute)


def all_otherwise(program: Program) -> Iterator[Otherwise]:
    """Of every kind of instruction, as often as it comes: one of its fields altered after the other, then left out."""
    isa = find_backend(program.metadata.backend).isa()
    seen: dict[type[Instruction], int] = {}
    for core, code in enumerate(program.code):
        for address, instruction in enumerate(isa.decode(code)):
            number = seen.get(type(instruction), 0)
            fields = isa.specs[type(instruction)].fields
            # The first of a kind with one field altered, the second with the next, and so on.
            if number > len(fields):
                continue
            seen[type(instruction)] = number + 1
            entries = (each for each in program.debug if each.core == core and each.start <= address < each.end)
            layer = next((entry.layer for entry in entries), "")
            other = None if number == len(fields) else _altered(isa, instruction, fields[number].name)
            if number == len(fields) or other is not None:
                yield Otherwise(core, address, instruction, other, layer)


def _altered(isa: Isa, instruction: Instruction, field: str) -> Instruction | None:
    """The instruction with another value of a field that it can have; None if there is none."""
    value = getattr(instruction, field)
    for other in _others(value):
        try:
            (made,) = isa.decode(isa.encode([replace(instruction, **{field: other})]))  # type: ignore[type-var]
        except (CatenaError, ValueError):
            continue
        if made != instruction:
            return made
    return None


def _others(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, Enum):
        return [each for each in type(value) if each is not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    return [value + 1.5] if isinstance(value, float) else []
