"""A fused group as its code configures it: holds, boxes, and turns."""

from __future__ import annotations

from backends.effects import Told
from backends.isa import Instruction
from backends.spatial.group_isa import Box, Fetch, Group, Range, Run, Send, Span, Turns
from backends.spatial.isa import End
from compiler.localising.configuration.holds import HoldsOfCode, count_of


class GroupOfCode:
    """The holds, boxes and turns of a group as its code configures them, up to its end."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        self.has_ended = False
        self._holds = HoldsOfCode(self.told)
        self._box = self._steps = self._opened = 0

    def follow(self, instruction: Instruction) -> bool:
        """Take an instruction; whether it is one that configures."""
        told = self.told
        match instruction:
            case Group():
                told["the group"] = (instruction.index,)
            case Box():
                self._box = instruction.box
                told[f"box {self._box}"] = ("begun",)
            case Range():
                box = f"box {self._box}"
                told[f"range {count_of(told, 'range', box)} of {box}"] = (
                    instruction.count, instruction.offset, instruction.step
                )  # fmt: skip
            case Span():
                box = f"box {self._box}"
                axis = f"range {count_of(told, 'range', box) - 1} of {box}"
                told[f"span {count_of(told, 'span', axis)} of {axis}"] = (
                    instruction.loop, instruction.turn, instruction.first, instruction.size, instruction.step,
                    instruction.growth,
                )  # fmt: skip
            case Turns():
                self._step("turns", instruction.turns)
                self._open(1)
            case Fetch():
                self._step("fetch", instruction.hold, instruction.box, instruction.layer)
            case Run():
                self._step("run", instruction.box, instruction.layer)
            case Send():
                self._step("send", instruction.hold, instruction.box, instruction.layer)
            case End() if self._opened:
                self._open(-1)
            case End() if self._steps:
                self.has_ended = True
                told.clear()
            case _:
                return self._holds.follow(instruction)
        return True

    def _step(self, *told: int | str) -> None:
        self.told[f"step {self._steps} of the turns"] = told
        self._steps += 1

    def _open(self, by: int) -> None:
        name = "the loops that are open"
        self._opened += by
        self.told.pop(name, None)
        self.told |= {name: (self._opened,)} if self._opened else {}
