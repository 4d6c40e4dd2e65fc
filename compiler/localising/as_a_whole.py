"""A whole program beside its layers one by one: where a run goes another way though every layer alone is right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from backends.api import Backend, Emulator
from backends.program import HELD, LayerEntry, Program, Role, TensorEntry
from backends.segments import SEGMENT
from compiler.arrays import Array
from compiler.execution import program_inputs, run_layer, run_program
from compiler.host_execution import HostRuntime
from compiler.localising.evidence import WrongOutputs
from dialects.diagnostics import CatenaError
from dialects.dtypes import dtype_named


@dataclass(frozen=True, eq=False)
class Departure:
    """The first layer whose result is wrong in a whole program; `wrong` says which elements of the tensor are.

    `given` is what it, or its group, reads in the run, where that is known.
    If errors `add_up`, its result is wrong even if layers run one by one, each on what those before it made.
    """

    layer: LayerEntry
    tensor: TensorEntry
    wrong: Array
    add_up: bool
    given: Mapping[str, Array] = field(default_factory=dict[str, Array])

    @property
    def text(self) -> str:
        """What is known of it."""
        if self.add_up:
            return "errors add up to here that are within the tolerance in every layer alone"
        return "it makes something else than alone"


def first_departure(program: Program, emulator: Emulator, backend: Backend, wrong: WrongOutputs) -> Departure | None:
    """Where the results of a whole program become wrong; None if that is not known."""
    units = list(_units(program))
    tensors = {tensor.name: tensor for tensor in program.tensors}
    try:
        made = one_by_one(program, emulator, wrong.inputs)
        results = {each.onnx or each.name: made[each.name] for each in program.tensors if each.role is Role.OUTPUT}
    except (CatenaError, KeyError):
        return None
    if not wrong.are_right(results):
        for unit in units:
            for name in unit.outputs:
                beyond = wrong.wrong_in(tensors[name], made[name])
                if beyond is not None and beyond.any():
                    return Departure(unit.last, tensors[name], beyond, add_up=True)
        return None
    return _Prefixes(program, backend, wrong, units, made).first()


@dataclass(frozen=True)
class _Unit:
    """What runs alone: a layer, or a group of them, of which the last one stands for all."""

    last: LayerEntry
    layers: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def _units(program: Program) -> Iterator[_Unit]:
    groups = {group.name: group for group in program.groups}
    for layer in program.layers:
        if not layer.group:
            yield _Unit(layer, (layer.name,), layer.inputs, layer.outputs)
        elif layer.name == layer.group:
            group = groups[layer.group]
            yield _Unit(layer, group.layers, group.inputs, group.outputs)


def one_by_one(program: Program, emulator: Emulator, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """All tensors, each layer given what those before it made. Raises as `Emulator.run_layer`."""
    tensors = {tensor.name: tensor for tensor in program.tensors}
    host = HostRuntime(program)
    host.start(inputs)
    made: dict[str, Array] = {entry.name: inputs[entry.name] for entry in program_inputs(program)}
    writers: dict[str, int] = {}
    for layer in program.layers:
        for name in layer.outputs:
            writers[name] = writers.get(name, 0) + 1
    for unit in _units(program):
        read = [name for name in unit.inputs if tensors[name].role is not Role.CONSTANT]
        if unit.last.kind == SEGMENT:
            results = host.call(unit.last.name, [made[name] for name in read])
            made |= {
                name: np.asarray(array).reshape(tensors[name].shape)
                for name, array in zip(unit.outputs, results, strict=True)
            }
            continue
        # What a layer that makes a part of a tensor leaves alone is as others made it.
        shared = [name for name in unit.outputs if writers[name] > 1]
        given = {name: made.get(name, _blank(tensors[name])) for name in shared} | {name: made[name] for name in read}
        found = run_layer(emulator, unit.last.name, given)
        made |= {name: found[name] for name in unit.outputs}
    return made


def _blank(tensor: TensorEntry) -> Array:
    return np.zeros(tensor.shape, dtype_named(tensor.dtype))


class _Prefixes:
    """Runs of a program up to one of its layers, compared with the layers one by one."""

    def __init__(
        self, program: Program, backend: Backend, wrong: WrongOutputs, units: list[_Unit], made: Mapping[str, Array]
    ):
        self._program, self._backend, self._wrong, self._made = program, backend, wrong, made
        self._ends = {
            unit.last.name: max((each.end for each in program.debug if each.layer in unit.layers), default=0)
            for unit in units
        }
        self._units = sorted(units, key=lambda unit: self._ends[unit.last.name])
        self._makers = {name: number for number, unit in enumerate(self._units) for name in unit.outputs}
        self._known: dict[int, tuple[TensorEntry, Array] | None] = {}

    def first(self) -> Departure | None:
        """By bisection: a layer whose result is another one while what it reads is as it should be."""
        if len(self._program.code) != 1 or not self._units:
            return None
        low, high = -1, len(self._units) - 1
        try:
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (low, middle) if self._differs(middle) is not None else (middle, high)
            while (earlier := self._wrong_before(high)) is not None:
                high = earlier
            found = self._differs(high)
        except CatenaError:
            return None
        if found is None:
            return None
        unit = self._units[high]
        given = {name: self._made[name] for name in unit.inputs if name in self._made}
        return Departure(unit.last, *found, add_up=False, given=given)

    def _wrong_before(self, number: int) -> int | None:
        """An earlier layer that makes what one reads, and makes it wrong."""
        makers = {self._makers[name] for name in self._units[number].inputs if name in self._makers}
        return next((each for each in sorted(makers) if each < number and self._differs(each) is not None), None)

    def _differs(self, number: int) -> tuple[TensorEntry, Array] | None:
        """A result of a layer, right after it, that is not what it makes alone, and in which elements."""
        if number not in self._known:
            self._known[number] = self._compared(self._units[number])
        return self._known[number]

    def _compared(self, unit: _Unit) -> tuple[TensorEntry, Array] | None:
        number = self._units.index(unit)
        wanted = {each.name: each for each in self._program.tensors if each.name in unit.outputs if each.memory != HELD}
        # Of several that make parts of a tensor, the last one.
        wanted = {name: each for name, each in wanted.items() if self._makers[name] == number}
        found = self._up_to(unit, wanted)
        for name, tensor in wanted.items():
            made, expected = found[tensor.onnx or name], self._made[name]
            other = (made != expected) & ~((made != made) & (expected != expected))
            if other.any():
                return tensor, other
        return None

    def _up_to(self, unit: _Unit, wanted: Mapping[str, TensorEntry]) -> Mapping[str, Array]:
        """Results of a layer in a run that ends behind it."""
        width = self._program.metadata.word_bits // 8
        (code,) = self._program.code
        end = self._ends[unit.last.name]
        # The last instruction ends the program.
        code = bytes(code[: end * width]) + bytes(code[len(code) - width :])

        def role(tensor: TensorEntry) -> Role:
            if tensor.name in wanted:
                return Role.OUTPUT
            return Role.INTERMEDIATE if tensor.role is Role.OUTPUT else tensor.role

        program = replace(
            self._program,
            code=(code,),
            tensors=tuple(replace(each, role=role(each)) for each in self._program.tensors),
            debug=tuple(entry for entry in self._program.debug if entry.end <= end),
        )
        return run_program(program, self._backend.load(program, None), HostRuntime(program), self._wrong.inputs)
