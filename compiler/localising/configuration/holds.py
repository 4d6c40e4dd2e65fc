"""Holds as code configures them."""

from __future__ import annotations

from collections.abc import Mapping

from backends.effects import Told
from backends.isa import Instruction
from backends.spatial.group_isa import HeldAxis, Hold, Home, Pitch


class HoldsOfCode:
    """The holds of a group, or of a layer on cores; `told` is where it says what it follows."""

    def __init__(self, told: dict[str, Told]) -> None:
        self.told = told

    def follow(self, instruction: Instruction) -> bool:
        """Take an instruction; whether it is one that configures a hold."""
        told = self.told
        match instruction:
            case Hold():
                held = instruction.memory, instruction.address, instruction.words, instruction.word.name
                told[f"hold {instruction.hold}"] = held
            case Home():
                name = f"the home of hold {instruction.hold}"
                told.pop(name, None)
                told |= {name: (instruction.address,)} if instruction.address else {}
            case HeldAxis():
                axis = instruction.extent, instruction.first, instruction.step, instruction.kept
                told[f"axis {count_of(told, 'axis', f'hold {instruction.hold}')} of hold {instruction.hold}"] = axis
            case Pitch():
                last = count_of(told, "axis", f"hold {instruction.hold}") - 1
                told[f"the pitch of axis {last} of hold {instruction.hold}"] = (instruction.pitch,)
            case _:
                return False
        return True


def count_of(told: Mapping[str, Told], part: str, whole: str) -> int:
    """How many parts of a whole were told of."""
    number = 0
    while f"{part} {number} of {whole}" in told:
        number += 1
    return number
