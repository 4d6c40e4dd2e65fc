"""What instructions configure: what a machine has to hold of a layer after each of them, as the code says."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from backends.effects import Effect, Told
from backends.isa import Instruction, Isa
from backends.program import Program
from backends.spatial.codes import Fold, Slot, Tensor
from backends.spatial.group_isa import Box, Group, HeldAxis, Hold, Home, Keep, Pitch, Range, Span
from backends.spatial.isa import Base, Compress, Dim, Function, Layer, Place, Spread, Stride, Term, Update, Window
from compiler.localising.wrong import WrongEffectError
from dialects.gconv.scalar import BY_CODE, Arity

_PLAIN = {"dimension {}": (1, 1, 1, 1), "the window of dimension {}": (1, 1, 0, 1, 1)}


class Configurations:
    """Of some layers, by number, and their groups, what was configured after every instruction of theirs."""

    def __init__(self, program: Program, layers: Collection[int], isa: Isa) -> None:
        self._expected: dict[tuple[int, int], dict[str, Told]] = {}
        """By core and address."""
        names = {program.layers[number].name for number in layers}
        groups = {number for number, group in enumerate(program.groups) if names.intersection(group.layers)}
        for core, code in enumerate(program.code):
            layer: _Layer | None = None
            group: _Group | None = None
            for address, instruction in enumerate(isa.decode(code)):
                if isinstance(instruction, Layer):
                    layer = _Layer() if instruction.index in layers else None
                elif isinstance(instruction, Group):
                    group = _Group() if instruction.index in groups else None
                for each in (layer, group):
                    if each is not None and each.follow(instruction):
                        self._expected[core, address] = dict(each.told)

    def check(self, effect: Effect) -> None:
        """Raise `WrongEffectError` if a machine holds something else after an instruction than the code says."""
        expected = self._expected.get((effect.core, effect.address))
        if expected is None or effect.told is None:
            return
        found = effect.told()
        for name in (*expected, *(each for each in found if each not in expected)):
            if expected.get(name) != found.get(name):
                what = f"executes it wrong: {name} is not what the code configures"
                raise WrongEffectError(effect, what, "", _text(name, expected), _text(name, found))


def _text(name: str, told: Mapping[str, Told]) -> str:
    return ", ".join(str(each) for each in told[name] if each != "") if name in told else "none"


class _Layer:
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


class _Group:
    """The holds and boxes of a group as its code configures them."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        self._box = 0

    def follow(self, instruction: Instruction) -> bool:
        """Take an instruction; whether it is one that configures."""
        told = self.told
        match instruction:
            case Group():
                pass
            case Hold():
                held = instruction.memory, instruction.address, instruction.words, instruction.word.name
                told[f"hold {instruction.hold}"] = held
            case Home():
                name = f"the home of hold {instruction.hold}"
                told.pop(name, None)
                told |= {name: (instruction.address,)} if instruction.address else {}
            case HeldAxis():
                axis = instruction.extent, instruction.first, instruction.step, instruction.kept
                told[f"axis {self._count('axis', f'hold {instruction.hold}')} of hold {instruction.hold}"] = axis
            case Pitch():
                last = self._count("axis", f"hold {instruction.hold}") - 1
                told[f"the pitch of axis {last} of hold {instruction.hold}"] = (instruction.pitch,)
            case Box():
                self._box = instruction.box
            case Range():
                box = f"box {self._box}"
                told[f"range {self._count('range', box)} of {box}"] = (
                    instruction.count, instruction.offset, instruction.step
                )  # fmt: skip
            case Span():
                box = f"box {self._box}"
                axis = f"range {self._count('range', box) - 1} of {box}"
                told[f"span {self._count('span', axis)} of {axis}"] = (
                    instruction.loop, instruction.turn, instruction.first, instruction.size, instruction.step,
                    instruction.growth,
                )  # fmt: skip
            case _:
                return False
        return True

    def _count(self, part: str, whole: str) -> int:
        """How many parts of a whole were told of."""
        number = 0
        while f"{part} {number} of {whole}" in self.told:
            number += 1
        return number


def _function(instruction: Function) -> Told:
    function = BY_CODE[instruction.code]
    parameters = (instruction.first, instruction.second)[: len(function.parameters)]
    is_binary = function.arity is Arity.BINARY and instruction.slot is Slot.POST
    operand = instruction.operand.name if is_binary and instruction.operand is not Tensor.INPUT else ""
    return function.name, *map(str, parameters), operand
