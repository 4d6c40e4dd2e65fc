"""Verification: every layer of a program with the reference's inputs, then the program from end to end.

A layer that is given the reference's own inputs can only be wrong by its own fault, so the first layer that differs is
the one to look at. A layer whose input the model does not have (part of a decomposed operator) is given what the
layers before it made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from backends.api import Emulator
from backends.program import HELD, GroupEntry, LayerEntry, Program, Role, TensorEntry
from backends.segments import SEGMENT
from compiler.arrays import Array
from compiler.execution import fitted_inputs, random_inputs, run_layer, run_program
from compiler.host_execution import HostRuntime
from compiler.host_summary import segments_in_program
from compiler.localising.evidence import Evidence, Stop, WrongOutputs
from compiler.localising.steps import Unreferenced
from compiler.sources import file_digest
from compiler.verification.comparison import Comparison, Measure, largest_error, layer_subject
from compiler.verification.measures import Measures, Tolerances
from compiler.verification.quantized_tensors import QuantizedTensors
from compiler.verification.reference import optimized_outputs, reference_model, reference_tensors
from compiler.verification.result import ON_CHIP, TOGETHER, NotCompared, Verification
from compiler.verification.summation_orders import Pair, differing_results
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import dtype_named


def verify_program(
    program: Program,
    emulator: Emulator,
    model: Path,
    inputs: Mapping[str, Array] | None = None,
    *,
    seed: int = 0,
    tolerances: Tolerances | None = None,
) -> Verification:
    """Compare a loaded program with the ONNX model it was compiled from; random inputs unless given.

    `compiler.verification.measures` says in which unit and how closely. Raises `CatenaError`: CAT-C001 if the program
    is of another model, CAT-C004 without ONNX Runtime, CAT-C005 for inputs that do not fit, CAT-V002 if the
    reference cannot be computed. A layer at which the emulator stops is wrong, and the last that is compared; where the
    layers run one by one, but not the whole program, no output is compared.
    """
    expected, digest = program.metadata.model_sha256, file_digest(model)
    if expected != digest:
        raise CatenaError(
            Diagnostic(
                "CAT-C001",
                f"the program was not compiled from {model}",
                expected=f"SHA-256 {expected[:16]}",
                found=digest[:16],
            )
        )
    host = HostRuntime(program)
    given = inputs if inputs is not None else random_inputs(program, seed)
    arrays = fitted_inputs(program, given, host.inputs)
    source = reference_model(model)
    reference = reference_tensors(source, arrays)
    quantized = QuantizedTensors(source, reference)
    # ONNX Runtime's optimizations round quantized tensors otherwise than the graph says.
    optimized = optimized_outputs(source, arrays) if quantized.is_quantized else {}
    measures = Measures(reference, quantized, optimized, tolerances or Tolerances())
    running = _Layers(program, emulator, host, reference, measures)
    layers = tuple(running.compare())
    shapes = {name: array.shape for name, array in reference.items()}
    found = Verification(layers, (), segments_in_program(program), running.evidence, inside=tuple(running.inside))
    if running.faults:
        return replace(found, faults=running.faults)
    try:
        results = run_program(program, emulator, host, arrays)
    except CatenaError as error:
        if not _is_of_the_machine(error):
            raise
        stop = Stop(arrays, tuple(error.diagnostics))
        return replace(found, faults=stop.faults, stop=stop)

    def compare(outputs: Mapping[str, Array]) -> tuple[Comparison, ...]:
        return tuple(
            _compare_result(
                name, array, reference.get(name), measures, lambda: differing_results(source, arrays, shapes)
            )
            for name, array in outputs.items()
        )

    outputs = compare(results)
    wrong: WrongOutputs | None = None
    if all(each.is_equal for each in layers) and not all(each.is_equal for each in outputs):
        wrong = WrongOutputs(arrays, reference, compare, measures.of_output)
    return replace(found, outputs=outputs, wrong_outputs=wrong)


class _Layers:
    """Runs the layers one by one and remembers what has no reference."""

    def __init__(
        self,
        program: Program,
        emulator: Emulator,
        host: HostRuntime,
        reference: Mapping[str, Array],
        measures: Measures,
    ):
        self._program = program
        self._emulator = emulator
        self._host = host
        self._reference = reference
        self._measures = measures
        self._tensors = {tensor.name: tensor for tensor in program.tensors}
        self._made: dict[str, Array] = {}
        self.evidence: Evidence | None = None
        """What is left of the first wrong result of the emulator."""
        self._unreferenced = Unreferenced()
        self.faults: tuple[Diagnostic, ...] = ()
        """What stopped the emulator."""
        self.inside: list[NotCompared] = []
        """Layers of groups that ran, and have no comparison of their own."""
        self._writers = Counter(name for layer in program.layers for name in layer.outputs)
        # A tensor that a later layer updates has its value of the reference after the last update only.
        self._updates_left = Counter(name for layer in program.layers for name in updated_by(layer))

    def compare(self) -> Iterator[Comparison]:
        self._host.start(self._reference)
        groups = {group.name: group for group in self._program.groups}
        for layer in self._program.layers:
            if layer.group:
                yield from self._compare_group(groups[layer.group]) if layer.name == layer.group else ()
                if self.faults:
                    return
                continue
            updated = updated_by(layer)
            given = {name: self._value(self._tensors[name]) for name in layer.inputs if not self._is_constant(name)}
            given |= {name: self._made[name] for name in updated}
            self._updates_left.subtract(updated)
            shared = {name for name in layer.outputs if self._writers[name] > 1 and name not in updated}
            try:
                found = self._run(layer, given, shared, False)
                # What a layer that fills a part of a tensor leaves alone is as it was given, and is not compared.
                again = self._run(layer, given, shared, True) if shared else found
            except CatenaError as error:
                yield self._stop(layer, layer.outputs, {**self._blanks(shared, False), **given}, shared, error)
                return
            largest = max(map(_largest, given.values()), default=0.0)
            for name, array in found.items():
                written = _unchanged(array, again[name]) if name in shared else None
                before = self._blanks(shared, False)
                yield self._compare_output(layer, self._tensors[name], array, written, largest, {**before, **given})

    def _compare_group(self, group: GroupEntry) -> Iterator[Comparison]:
        """The layers of a group together: what they hand on stays on the chip, and only its results can be compared.

        Of what lies in holds that emulators can look into, each layer's part is compared: others read the reference's.
        """
        given = {name: self._value(self._tensors[name]) for name in group.inputs if not self._is_constant(name)}
        inner = (name for layer in self._program.layers if layer.name in group.layers for name in layer.outputs)
        looked_into = [self._tensors[name] for name in inner if self._tensors[name].memory == HELD]
        given |= {each.name: self._value(each) for each in looked_into if self._reference_of(each) is not None}
        shared = {name for name in group.outputs if self._writers[name] > 1}
        before = self._blanks(shared, False)
        members = [layer for layer in self._program.layers if layer.name in group.layers]
        try:
            found = run_layer(self._emulator, group.name, {**before, **given})
            again = run_layer(self._emulator, group.name, {**self._blanks(shared, True), **given}) if shared else found
        except CatenaError as error:
            yield self._stop(members[-1], group.outputs, {**before, **given}, shared, error)
            return
        largest = max(map(_largest, given.values()), default=0.0)
        # Of several that fill parts of a tensor, the last one stands for what the group makes of it.
        makers = {name: layer for layer in members for name in layer.outputs if name in found}
        for layer in (each for each in members if each not in makers.values()):
            reason = TOGETHER if any(name in found for name in layer.outputs) else ON_CHIP
            self.inside.append(NotCompared(layer_subject(layer.name), layer.nodes, reason))
        for name, layer in makers.items():
            written = _unchanged(found[name], again[name]) if name in shared else None
            tensor = self._tensors[name]
            yield self._compare_output(layer, tensor, found[name], written, largest, {**before, **given})

    def _run(
        self, layer: LayerEntry, given: Mapping[str, Array], shared: set[str], filled: bool
    ) -> Mapping[str, Array]:
        if layer.kind == SEGMENT:
            made = self._host.call(layer.name, [given[name] for name in layer.inputs])
            shapes = (self._tensors[name].shape for name in layer.outputs)
            reshaped = (array.reshape(shape) for array, shape in zip(made, shapes, strict=True))
            return dict(zip(layer.outputs, reshaped, strict=True))
        return run_layer(self._emulator, layer.name, {**self._blanks(shared, filled), **given})

    def _stop(
        self,
        layer: LayerEntry,
        outputs: Iterable[str],
        given: Mapping[str, Array],
        shared: set[str],
        error: CatenaError,
    ) -> Comparison:
        """The emulator cannot execute a layer: no later one can be trusted to run, and this one is to be looked at.

        Raises the error again if it is not of the emulated machine.
        """
        if layer.kind == SEGMENT or not _is_of_the_machine(error):
            raise error
        nodes = " + ".join(layer.nodes)
        self.faults = tuple(each if each.node else replace(each, node=nodes) for each in error.diagnostics)
        tensor = self._tensors[next(iter(outputs))]
        whole = self._reference_of(tensor)
        is_comparable = whole is not None and tensor.name not in shared
        dtype = dtype_named(tensor.dtype)
        expected = np.zeros(tensor.shape, dtype) if whole is None else whole.reshape(tensor.shape)
        measure = self._measures.of_layer(tensor.onnx, {self._tensors[name].onnx for name in layer.inputs}, dtype, 0.0)
        written, earlier = np.full(tensor.shape, is_comparable), self._unreferenced.before(given)
        if self.evidence is None:
            nothing = np.empty(0, dtype)
            self.evidence = Evidence(
                layer, tensor, given, nothing, expected, written, measure, self._reference, earlier, self.faults
            )
        # Nobody knows in which layer of a group what is wrong was done.
        subject = f"group {layer.group!r}" if layer.group else layer_subject(layer.name)
        name, worst = tensor.onnx or tensor.name, f"the emulator stops: {self.faults[0].message}"
        return Comparison(subject, name, layer.nodes, float("inf"), worst, measure.tolerance, measure.unit, True)

    def _compare_output(
        self,
        layer: LayerEntry,
        tensor: TensorEntry,
        array: Array,
        written: Array | None,
        largest: float,
        given: Mapping[str, Array],
    ) -> Comparison:
        reference = whole = self._reference_of(tensor)
        read = {self._tensors[name].onnx for name in layer.inputs}
        whole_measure = measure = self._measures.of_layer(tensor.onnx, read, array.dtype, largest)
        if written is None:
            self._made[tensor.name] = array
        else:
            before = self._made.get(tensor.name, self._blank(tensor.name, False))
            self._made[tensor.name] = np.where(written, array, before)
            if reference is not None:
                measure = measure.of_part(written, reference.shape)
                array, reference = array[written], reference.reshape(array.shape)[written]
        subject, name = layer_subject(layer.name), tensor.onnx or tensor.name
        found = _compare(subject, name, layer.nodes, array, reference, measure, whole)
        if self.evidence is None and not found.is_equal and whole is not None and layer.kind != SEGMENT:
            part = np.ones(tensor.shape, np.bool_) if written is None else written.reshape(tensor.shape)
            made, expected = self._made[tensor.name].reshape(tensor.shape), whole.reshape(tensor.shape)
            earlier = self._unreferenced.before(given)
            self.evidence = Evidence(
                layer, tensor, given, made, expected, part, whole_measure, self._reference, earlier
            )
        if whole is not None:
            self._unreferenced.settle(tensor.name)
        elif layer.kind != SEGMENT:
            self._unreferenced.add(layer, given, tensor.name)
        return found

    def _value(self, tensor: TensorEntry) -> Array:
        reference = self._reference_of(tensor)
        if reference is not None:
            return reference.astype(dtype_named(tensor.dtype), copy=False).reshape(tensor.shape)
        return self._made[tensor.name]

    def _reference_of(self, tensor: TensorEntry) -> Array | None:
        found = self._reference.get(tensor.onnx) if tensor.onnx and not self._updates_left[tensor.name] else None
        return found if found is not None and found.size == np.prod(tensor.shape) else None

    def _is_constant(self, name: str) -> bool:
        return self._tensors[name].role is Role.CONSTANT

    def _blanks(self, names: Iterable[str], filled: bool) -> dict[str, Array]:
        return {name: self._blank(name, filled) for name in names}

    def _blank(self, name: str, filled: bool) -> Array:
        tensor = self._tensors[name]
        return np.full(tensor.shape, filled, dtype_named(tensor.dtype))


_FAULTS = "CAT-E"
"""How the codes of the emulated machine begin."""
_EMULATION = "emulation"
"""The stage of what else an instruction finds wrong, for example of a stream that it decodes."""


def _is_of_the_machine(error: CatenaError) -> bool:
    return all(each.code.startswith(_FAULTS) or each.stage == _EMULATION for each in error.diagnostics)


def updated_by(layer: LayerEntry) -> list[str]:
    """The tensors that a layer updates: reads and writes."""
    return [name for name in layer.outputs if name in layer.inputs]


def _unchanged(first: Array, second: Array) -> Array:
    """Where two arrays have the same number, or NaN both."""
    return (first == second) | ((first != first) & (second != second))


def _largest(array: Array) -> float:
    """The largest finite absolute value of an array of floats, 0 for others."""
    if array.dtype.kind != "f":
        return 0.0
    values = np.abs(array)
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))


def _compare_result(
    name: str, array: Array, reference: Array | None, measures: Measures, pairs: Callable[[], Iterable[Pair]]
) -> Comparison:
    """An output from end to end; `pairs` are results that are equally right."""
    measure = measures.of_output(name)
    found = _compare(f"output {name!r}", name, (), array, reference, measure)
    if found.error is None or found.is_equal:
        return found
    return replace(found, tolerance=measures.widened(measure, name, found.error, pairs()).tolerance)


def _compare(
    subject: str,
    tensor: str,
    nodes: tuple[str, ...],
    array: Array,
    reference: Array | None,
    measure: Measure,
    whole: Array | None = None,
) -> Comparison:
    """`whole` is the tensor that `reference` is a part of."""
    if reference is None:
        return Comparison(subject, tensor, nodes, None, "", measure.tolerance, measure.unit)
    error, worst = largest_error(array, reference, measure, whole)
    return Comparison(subject, tensor, nodes, error, worst, measure.tolerance, measure.unit)
