"""A layer as code of machines with im2col units configures it, besides what all machines are told."""

from __future__ import annotations

from backends.effects import Told
from backends.isa import Instruction
from backends.spots.isa import Accumulate, Blocks, Configure, Place


class ArrayOfCode:
    """What is told of the array, places, blocks and accumulators."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {"the array": (1, "no ring", 0, 0)}

    def follow(self, instruction: Instruction) -> bool:
        """Take an instruction; whether it is one that configures these."""
        told = self.told
        match instruction:
            case Configure():
                kept = instruction.reserved if instruction.ring else "no ring"
                told["the array"] = instruction.split, kept, int(instruction.resumes), int(instruction.rewinds)
            case Place():
                told[f"the place of {instruction.tensor.name.lower()}"] = instruction.address, instruction.words
            case Blocks():
                told["the blocks of the kernel"] = instruction.height, instruction.address, instruction.words
            case Accumulate():
                told["the accumulators"] = instruction.bits, instruction.shift
            case _:
                return False
        return True
