"""Loops of a layer of a group, which are read before they run."""

from __future__ import annotations

from backends.effects import Told
from backends.isa import Instruction
from backends.spatial.isa import End, Loop


class LoopsOfCode:
    """How many of them have not ended."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        self._opened = 0

    def follow(self, instruction: Instruction) -> bool:
        """Take an instruction; whether it is a loop, or the end of one."""
        match instruction:
            case Loop():
                self._opened += 1
            case End() if self._opened:
                self._opened -= 1
            case _:
                return False
        self.told = {"the loops that are read": (self._opened,)} if self._opened else {}
        return True
