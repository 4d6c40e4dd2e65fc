"""The places and the nest of a layer as code of the generic machine configures them."""

from __future__ import annotations

from backends.effects import Told
from backends.generic.isa import Compute, Drain, Fill, Open, Par, Place, numbers_of
from backends.isa import Instruction
from backends.spatial.codes import Tensor
from backends.spatial.group_isa import Keep
from backends.spatial.isa import End, Loop


class NestOfCode:
    """What is told of them."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        self._steps = 0
        self._opened: list[int] = []
        """The steps of loops and tiles of sums that have not ended."""

    def follow(self, instruction: Instruction) -> bool:
        """Take an instruction; whether it is one that configures these."""
        told = self.told
        match instruction:
            case Place():
                name = f"the place of {instruction.tensor.name.lower()} in memory {instruction.memory}"
                told[name] = instruction.address, instruction.words
            case Loop():
                self._open("loop", instruction.dim, instruction.kind.name, instruction.tile)
            case Par():
                self._open("par", instruction.dim, instruction.kind.name, instruction.tile, instruction.axis)
            case Fill():
                brought = instruction.tensor.name, instruction.source, instruction.memory, instruction.once
                sliding = "sliding" if instruction.slides else ""
                self._step("fill", *brought, sliding, *sorted(numbers_of(instruction.shared)))
            case Open():
                self._open("open", instruction.memory, instruction.once)
            case Keep() if instruction.tensor in (Tensor.INPUT, Tensor.KERNEL):
                # All machines hold the rest of it.
                self._step("keep", instruction.tensor.name)
                return False
            case Compute():
                shared = numbers_of(instruction.input_shared), numbers_of(instruction.kernel_shared)
                memories = instruction.input, instruction.kernel, instruction.output
                told["the work of the nest"] = (*memories, *sorted(shared[0]), "and", *sorted(shared[1]))
            case Drain() if self._opened:
                told[f"the end of step {self._opened.pop()} of the nest"] = (instruction.target,)
                self._say_opened()
            case End() if self._opened:
                self._opened.pop()
                self._say_opened()
            case _:
                return False
        return True

    def _step(self, *told: int | str) -> None:
        self.told[f"step {self._steps} of the nest"] = told
        self._steps += 1

    def _open(self, *told: int | str) -> None:
        self._opened.append(self._steps)
        self._step(*told)
        self._say_opened()

    def _say_opened(self) -> None:
        name = "what of the nest is open"
        self.told.pop(name, None)
        self.told |= {name: (len(self._opened),)} if self._opened else {}
