"""A task of a core with crossbars as its code configures it: part, vectors, ranges, registers, what turns do."""

from __future__ import annotations

from backends.effects import Told
from backends.isa import Instruction
from backends.rram.isa import (
    Activate,
    Compute,
    Fetch,
    Load,
    Mvm,
    Part,
    Program,
    Range,
    Reuse,
    Run,
    Signal,
    Store,
    Sums,
    Vectors,
    Wait,
    Writer,
)
from backends.spatial.isa import End, Loop
from compiler.localising.configuration.holds import HoldsOfCode


class StreamOfCode:
    """What is told of a task; `writers` are those of the core's registers, which earlier tasks may have named."""

    def __init__(self, writers: dict[str, Told]) -> None:
        self.told: dict[str, Told] = dict(writers)
        self._writers, self._holds = writers, HoldsOfCode(self.told)
        self._actions = self._opened = 0

    def follow(self, instruction: Instruction) -> bool:
        """Take an instruction; whether it is one that configures something, or that turns execute."""
        action = action_of(instruction)
        if action is not None:
            self.told[f"action {self._actions}"] = action
            self._actions += 1
            return True
        told = self.told
        match instruction:
            case Part():
                groups, rows = (instruction.group, instruction.groups), (instruction.row, instruction.rows)
                told["the part"] = (*groups, *rows, instruction.column, instruction.columns)
            case Vectors():
                first, count, stretch = instruction.first, instruction.count, instruction.stretch
                told["the vectors"] = first, count, stretch, instruction.step, instruction.abreast
            case Sums():
                told["the place of sums"] = instruction.address, instruction.stride
            case Range():
                name = f"the range of {instruction.kind.name.lower()} in dimension {instruction.dim}"
                told[name] = instruction.first, instruction.count
            case Writer():
                named = {f"the writer of register {instruction.register}": (instruction.core,)}
                self._writers |= named
                told |= named
            case Run():
                self._open("run", instruction.start, instruction.turns)
            case Loop():
                self._open(instruction.dim, instruction.kind.name, instruction.tile)
            case End() if self._opened:
                self._opened -= 1
                del told[f"loop {self._opened} that is open"]
            case _:
                return self._holds.follow(instruction)
        return True

    def _open(self, *loop: int | str) -> None:
        self.told[f"loop {self._opened} that is open"] = loop
        self._opened += 1


def action_of(instruction: Instruction) -> Told | None:
    """What an instruction does in every turn of the loops around; None if it does nothing in them."""
    match instruction:
        case Program():
            return "program", instruction.first, instruction.count, instruction.shift, int(instruction.resident)
        case Load():
            return "load", instruction.what.name
        case Mvm():
            return ("multiply",)
        case Fetch():
            return ("fetch",)
        case Compute():
            return ("compute",)
        case Activate():
            return ("activate",)
        case Store():
            return "store", instruction.made.name
        case Wait():
            value = instruction.base, instruction.step, instruction.period, instruction.start, instruction.most
            return "wait", instruction.register, *value, 0
        case Reuse():
            value = instruction.base, instruction.step, instruction.period, 0, instruction.most
            return "wait", instruction.register, *value, instruction.after
        case Signal():
            return "signal", instruction.core, instruction.register, instruction.base, instruction.every
        case _:
            return None
