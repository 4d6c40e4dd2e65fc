"""A layer as its code configures it on all machines."""

from __future__ import annotations

from typing import Protocol

from backends.effects import Told
from backends.isa import Instruction
from backends.spatial.codes import Fold, Slot, Tensor
from backends.spatial.group_isa import Keep
from backends.spatial.isa import Base, Compress, Dim, Function, Layer, Place, Spread, Stride, Term, Update, Window
from dialects.gconv.scalar import BY_CODE, Arity

_PLAIN = {"dimension {}": (1, 1, 1, 1), "the window of dimension {}": (1, 1, 0, 1, 1)}


class Followed(Protocol):
    """A part of what code configures, by what it is of."""

    told: dict[str, Told]

    def follow(self, instruction: Instruction) -> bool:
        """Take an instruction; whether it is one that configures this."""
        ...


class LayerOfCode:
    """A layer as its code configures it."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}

    def follow(self, instruction: Instruction) -> bool:
        """Take an instruction; whether it is one that configures."""
        told = self.told
        match instruction:
            case Layer():
                main = BY_CODE[instruction.main].name if instruction.main else ""
                padding, acc = str(instruction.padding), instruction.acc.name
                told["the layer"] = instruction.index, main, instruction.fold.name, padding, acc
            case Dim():
                self._have(instruction.dim)
                told[f"dimension {instruction.dim}"] = instruction.g, instruction.op, instruction.opc, instruction.ks
            case Window():
                self._have(instruction.dim)
                told[f"the window of dimension {instruction.dim}"] = (
                    instruction.stride, instruction.dilation, instruction.pad, instruction.up, instruction.extent
                )  # fmt: skip
            case Function():
                self._append(f"function {{}} of {instruction.slot.name.lower()}", _function(instruction))
            case Base():
                name = instruction.tensor.name.lower()
                for stride in [each for each in told if each.startswith(f"the stride of {name} in ")]:
                    del told[stride]
                told[f"the base of {name}"] = instruction.address, instruction.word.name
            case Stride():
                name = instruction.tensor.name.lower()
                told[f"the stride of {name} in dimension {instruction.dim}"] = (instruction.stride,)
            case Term():
                term = instruction.place, instruction.step, instruction.extent
                self._append(f"term {{}} of {instruction.tensor.name.lower()}", term)
            case Update():
                told.pop("the update", None)
                if instruction.fold is not Fold.NONE:
                    told["the update"] = (instruction.fold.name,)
            case Compress():
                told[f"the code of {instruction.tensor.name.lower()}"] = ("compressed",)
            case Place():
                place = instruction.memory.name, instruction.address, instruction.words
                told[f"the place of {instruction.tensor.name.lower()}"] = place
            case Spread():
                spread = instruction.dim, instruction.kind.name, instruction.tile, instruction.axis.name
                self._append("spread {}", spread)
            case Keep():
                told[f"the hold of {instruction.tensor.name.lower()}"] = (instruction.hold,)
            case _:
                return False
        return True

    def _have(self, dim: int) -> None:
        """Dimensions up to one are there, as plain as they begin."""
        for number in range(dim + 1):
            for name, plain in _PLAIN.items():
                self.told.setdefault(name.format(number), plain)

    def _append(self, name: str, told: Told) -> None:
        number = 0
        while name.format(number) in self.told:
            number += 1
        self.told[name.format(number)] = told


def _function(instruction: Function) -> Told:
    function = BY_CODE[instruction.code]
    parameters = (instruction.first, instruction.second)[: len(function.parameters)]
    is_binary = function.arity is Arity.BINARY and instruction.slot is Slot.POST
    operand = instruction.operand.name if is_binary and instruction.operand is not Tensor.INPUT else ""
    return function.name, *map(str, parameters), operand
