"""What is left of a layer that differs from its reference: what it was given, what it made, what it should make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from backends.api import Emulator
from backends.program import LayerEntry, Program, TensorEntry
from compiler.arrays import Array
from compiler.execution import program_inputs, run_program
from compiler.host_execution import HostRuntime
from compiler.localising.steps import Step, made_in
from compiler.verification.comparison import Comparison, Measure, errors
from dialects.diagnostics import CatenaError, Diagnostic


@dataclass(frozen=True, eq=False)
class Evidence:
    """A wrong result of a layer. Arrays have the shape of `tensor`; `given` are all tensors that the layer ran with.

    `reference` are all tensors of the model, `written` says which elements the layer makes, `measure` how closely they
    are compared. `earlier` are the layers that made what the layer was given and the model does not have: any of them
    may be to blame. `faults` are the emulator's, if it stopped: `found` is empty then, and `written` is only set where
    a whole tensor can be compared.
    """

    layer: LayerEntry
    tensor: TensorEntry
    given: Mapping[str, Array]
    found: Array
    expected: Array
    written: Array
    measure: Measure
    reference: Mapping[str, Array]
    earlier: tuple[Step, ...] = ()
    faults: tuple[Diagnostic, ...] = ()

    @property
    def suspects(self) -> tuple[LayerEntry, ...]:
        """The layer and the earlier ones, in order."""
        return tuple({each.name: each for each in (*(step.layer for step in self.earlier), self.layer)}.values())

    @property
    def steps(self) -> tuple[Step, ...]:
        """How the layer's result is made again from what the model has."""
        return (*self.earlier, Step(self.layer, self.given, frozenset((self.tensor.name,))))

    def is_right(self, emulator: Emulator) -> bool:
        """Whether an emulator makes the result right, from the first of the earlier layers on."""
        try:
            found = made_in(emulator, self.steps)[self.tensor.name]
        except CatenaError:
            return False
        return not self.is_wrong(found.reshape(self.tensor.shape)).any()

    def is_wrong(self, found: Array) -> Array:
        """Which elements of another result are beyond the tolerance."""
        wrong = np.zeros(self.written.shape, np.bool_)
        expected = self.expected[self.written]
        if expected.size:
            measure = self.measure.of_part(self.written, self.expected.shape)
            wrong[self.written] = errors(found[self.written], expected, measure, self.expected) > measure.tolerance
        return wrong

    @property
    def wrong(self) -> Array:
        """Which elements of the result are beyond the tolerance."""
        return self.written if self.faults else self.is_wrong(self.found)


@dataclass(frozen=True, eq=False)
class Stop:
    """A run of a whole program at which the emulator stops: the inputs of the model, and the faults."""

    inputs: Mapping[str, Array]
    faults: tuple[Diagnostic, ...]

    def runs(self, program: Program, emulator: Emulator) -> bool:
        """Whether a program comes to its end."""
        try:
            run_program(program, emulator, HostRuntime(program), self.inputs)
        except CatenaError:
            return False
        return True


@dataclass(frozen=True, eq=False)
class WrongOutputs:
    """A run of a whole program whose outputs are wrong though every layer alone is right.

    `inputs` are those of the model and `reference` all of its tensors; `compare` tells how far outputs are off, and
    `measure` how closely a tensor is compared that other layers read.
    """

    inputs: Mapping[str, Array]
    reference: Mapping[str, Array]
    compare: Callable[[Mapping[str, Array]], tuple[Comparison, ...]]
    measure: Callable[[str], Measure]

    def is_right(self, program: Program, emulator: Emulator) -> bool:
        """Whether a program makes the outputs right."""
        try:
            results = run_program(program, emulator, HostRuntime(program), self.inputs)
        except CatenaError:
            return False
        return self.are_right(results)

    def are_right(self, results: Mapping[str, Array]) -> bool:
        """Whether outputs are within the tolerance."""
        return all(each.is_equal for each in self.compare(results))

    def wrong_in(self, tensor: TensorEntry, found: Array) -> Array | None:
        """Which elements of a tensor are beyond the tolerance; None if the model has no such tensor."""
        expected = self.reference.get(tensor.onnx) if tensor.onnx else None
        if expected is None or expected.size != found.size:
            return None
        measure = self.measure(tensor.onnx)
        return (errors(found, expected, measure) > measure.tolerance).reshape(found.shape)


def run_inputs(program: Program, reference: Mapping[str, Array]) -> dict[str, Array]:
    """What a run of the whole program takes, of all tensors of the model."""
    names = (*(each.name for each in program_inputs(program)), *HostRuntime(program).inputs)
    return {name: reference[name] for name in names}
