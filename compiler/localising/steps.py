"""Layers whose results the model does not have: the links of an operator but the last, which can only be seen in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from backends.api import Emulator
from backends.program import LayerEntry
from compiler.arrays import Array
from compiler.execution import run_layer


@dataclass(frozen=True, eq=False)
class Step:
    """A layer, or the last one of a group, what it ran with, and those of its results that have no reference."""

    layer: LayerEntry
    given: Mapping[str, Array]
    makes: frozenset[str]

    def given_after(self, made: Mapping[str, Array]) -> dict[str, Array]:
        """What it runs with if earlier steps made other tensors."""
        return {name: made.get(name, array) for name, array in self.given.items()}


class Unreferenced:
    """The steps so far whose results have no reference."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def add(self, layer: LayerEntry, given: Mapping[str, Array], made: str) -> None:
        """A layer made a tensor that the model does not have."""
        self._steps.append(Step(layer, given, frozenset((made,))))

    def settle(self, tensor: str) -> None:
        """From here on a tensor has the value of the reference, whatever was made of it before."""
        kept = (replace(step, makes=step.makes - {tensor}) for step in self._steps)
        self._steps = [step for step in kept if step.makes]

    def before(self, given: Mapping[str, Array]) -> tuple[Step, ...]:
        """The steps that made what a layer is given, and what those were given in turn, in order."""
        needed = set(given)
        found: list[Step] = []
        for step in reversed(self._steps):
            if step.makes & needed:
                needed |= set(step.given)
                found.insert(0, step)
        return tuple(found)


def made_in(emulator: Emulator, steps: Sequence[Step]) -> dict[str, Array]:
    """What the steps make one after the other. Raises as `Emulator.run_layer`."""
    made: dict[str, Array] = {}
    for step in steps:
        found = run_layer(emulator, step.layer.name, step.given_after(made))
        made |= {name: array for name, array in found.items() if name in step.makes}
    return made
