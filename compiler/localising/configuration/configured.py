"""Code that is followed beside a machine: what that holds after every instruction that configures something."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from backends.effects import Effect, Told
from backends.generic.isa import ISA as GENERIC
from backends.isa import Instruction, Isa
from backends.program import Program
from backends.rram.isa import ISA as RRAM
from backends.spatial.group_isa import Fetch, Group, Run, Send, Turns
from backends.spatial.isa import Layer
from backends.spots.isa import ISA as SPOTS
from compiler.localising.configuration.arrays import ArrayOfCode
from compiler.localising.configuration.groups import GroupOfCode
from compiler.localising.configuration.layers import Followed, LayerOfCode
from compiler.localising.configuration.loops import LoopsOfCode
from compiler.localising.configuration.nests import NestOfCode
from compiler.localising.configuration.streams import StreamOfCode
from compiler.localising.wrong import WrongEffectError


class Configurations:
    """Of some layers, by number, and their groups, what was configured after every instruction of theirs."""

    def __init__(self, program: Program, layers: Collection[int], isa: Isa) -> None:
        names = {program.layers[number].name for number in layers}
        groups = {number for number, group in enumerate(program.groups) if names.intersection(group.layers)}
        codes = (list(isa.decode(code)) for code in program.code)
        self._cores = [_Core(code, layers, groups, isa) for code in codes]

    def check(self, effect: Effect) -> None:
        """Raise `WrongEffectError` if a machine holds something else after an instruction than the code says."""
        if effect.told is None or effect.core >= len(self._cores):
            return
        expected = self._cores[effect.core].after(effect.address)
        if expected is None:
            return
        found = effect.told()
        for name in (*expected, *(each for each in found if each not in expected)):
            if expected.get(name) != found.get(name):
                what = f"executes it wrong: {name} is not what the code configures"
                raise WrongEffectError(effect, what, "", _text(name, expected), _text(name, found))


class _Core:
    """The code of a core, which is followed as far as the machine is."""

    def __init__(self, code: Sequence[Instruction], layers: Collection[int], groups: Collection[int], isa: Isa) -> None:
        self._code, self._layers, self._groups, self._isa = code, layers, groups, isa
        self._next = 0
        self._of_layer: list[Followed] = []
        self._of_group: GroupOfCode | None = None
        self._is_looked_at = False
        self._writers: dict[str, Told] = {}

    def after(self, address: int) -> Mapping[str, Told] | None:
        """What has to be configured after an instruction; None if it configures nothing, or was executed before."""
        says = False
        while self._next <= address < len(self._code):
            says = self._follow(self._code[self._next])
            self._next += 1
            if self._next <= address:
                says = False
        if not says:
            return None
        if self._of_layer:
            return {name: told for part in self._of_layer for name, told in part.told.items()}
        return None if self._of_group is None else self._of_group.told

    def _follow(self, instruction: Instruction) -> bool:
        """Take an instruction; whether it is one that configures."""
        if self._of_group is not None and self._of_group.has_ended:
            self._of_group = None
        if isinstance(instruction, Layer):
            self._of_layer, self._is_looked_at = list(self._parts()), instruction.index in self._layers
        elif isinstance(instruction, Group):
            self._of_layer = []
            self._of_group = GroupOfCode() if instruction.index in self._groups else None
        elif isinstance(instruction, Turns | Fetch | Run | Send):
            self._of_layer = []
        for part in self._of_layer:
            if part.follow(instruction):
                return self._is_looked_at
        if self._of_group is None:
            return False
        if self._of_group.follow(instruction):
            self._of_layer = []
            return True
        return False

    def _parts(self) -> Iterator[Followed]:
        """What follows the code of a layer: what those with an instruction set are told, then what all machines are."""
        if self._isa is GENERIC:
            yield NestOfCode()
        elif self._isa is SPOTS:
            yield ArrayOfCode()
        elif self._isa is RRAM:
            yield StreamOfCode(self._writers)
        yield LayerOfCode()
        if self._of_group is not None and self._isa is not GENERIC:
            yield LoopsOfCode()


def _text(name: str, told: Mapping[str, Told]) -> str:
    return ", ".join(str(each) for each in told[name] if each != "") if name in told else "none"
