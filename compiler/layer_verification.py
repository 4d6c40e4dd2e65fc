"""Verification: every layer of a program with the reference's inputs, then the program from end to end.

A layer that is given the reference's own inputs can only be wrong by its own fault, so the first layer that differs is
the one to look at. A layer whose input the model does not have (part of a decomposed operator) is given what the
layers before it made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backends.api import Emulator
from backends.program import LayerEntry, Program, Role, TensorEntry
from compiler.arrays import Array
from compiler.execution import fitted_inputs, random_inputs
from compiler.reference import reference_model, reference_tensors
from compiler.sources import file_digest
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.dtypes import dtype_named

TOLERANCE = 1e-4
HALF_TOLERANCE = 5e-3
"""For tensors that the reference computes in float16, which Catena widens to float32."""


@dataclass(frozen=True)
class Comparison:
    """One tensor beside its reference.

    `error` is the largest absolute difference relative to the largest absolute value of the reference; None if the
    model has no such tensor. `worst` says where it is and what was found there.
    """

    subject: str
    tensor: str
    nodes: tuple[str, ...]
    error: float | None
    worst: str
    tolerance: float

    @property
    def is_equal(self) -> bool:
        """Whether the tensor is within the tolerance, or has no reference."""
        return self.error is None or self.error <= self.tolerance


@dataclass(frozen=True)
class Verification:
    """All layers in program order, each alone with the reference's inputs; then the outputs from end to end."""

    layers: tuple[Comparison, ...]
    outputs: tuple[Comparison, ...]

    @property
    def is_equal(self) -> bool:
        """Whether everything is within the tolerance."""
        return all(each.is_equal for each in (*self.layers, *self.outputs))

    @property
    def first_wrong(self) -> Comparison | None:
        """The first layer that differs, else the first output that does."""
        return next((each for each in (*self.layers, *self.outputs) if not each.is_equal), None)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """One problem for everything that differs, the first wrong layer first."""
        return tuple(
            Diagnostic(
                "CAT-V001",
                f"{each.subject} differs from the reference",
                stage="verification",
                node=" + ".join(each.nodes),
                expected=f"a relative error of at most {each.tolerance:g}",
                found=f"{each.error:.3g} {each.worst}",
            )
            for each in (*self.layers, *self.outputs)
            if not each.is_equal
        )


def verify_program(
    program: Program,
    emulator: Emulator,
    model: Path,
    inputs: Mapping[str, Array] | None = None,
    *,
    seed: int = 0,
    tolerance: float | None = None,
) -> Verification:
    """Compare a loaded program with the ONNX model it was compiled from; random inputs unless given.

    `tolerance` is relative to the largest value of each tensor; None stands for `TOLERANCE` or `HALF_TOLERANCE`.
    Raises `CatenaError`: CAT-C001 if the program is of another model, CAT-C004 without ONNX Runtime, CAT-C005 for
    inputs that do not fit, CAT-V002 if the reference cannot be computed, CAT-E001 to CAT-E003 for faults.
    """
    expected, found = program.metadata.model_sha256, file_digest(model)
    if expected != found:
        raise CatenaError(
            Diagnostic(
                "CAT-C001",
                f"the program was not compiled from {model}",
                expected=f"SHA-256 {expected[:16]}",
                found=found[:16],
            )
        )
    arrays = fitted_inputs(program, inputs if inputs is not None else random_inputs(program, seed))
    reference = reference_tensors(reference_model(model), arrays)
    layers = tuple(_Layers(program, emulator, reference, tolerance).compare())
    results = emulator.run(arrays)
    outputs = tuple(
        _compare(f"output {name!r}", name, (), array, reference.get(name), tolerance) for name, array in results.items()
    )
    return Verification(layers, outputs)


class _Layers:
    """Runs the layers one by one and remembers what has no reference."""

    def __init__(self, program: Program, emulator: Emulator, reference: Mapping[str, Array], tolerance: float | None):
        self._program = program
        self._emulator = emulator
        self._reference = reference
        self._tolerance = tolerance
        self._tensors = {tensor.name: tensor for tensor in program.tensors}
        self._made: dict[str, Array] = {}
        self._writers = Counter(name for layer in program.layers for name in layer.outputs)

    def compare(self) -> Iterator[Comparison]:
        for layer in self._program.layers:
            given = {name: self._value(self._tensors[name]) for name in layer.inputs if not self._is_constant(name)}
            # Layers that fill parts of one tensor: what this one leaves alone stays NaN and is not compared.
            shared = {name: self._blank(name) for name in layer.outputs if self._writers[name] > 1}
            for name, array in self._emulator.run_layer(layer.name, {**shared, **given}).items():
                yield self._compare_output(layer, self._tensors[name], array, name in shared)

    def _compare_output(self, layer: LayerEntry, tensor: TensorEntry, array: Array, is_part: bool) -> Comparison:
        reference = whole = self._reference_of(tensor)
        if is_part:
            written = ~np.isnan(array) if array.dtype.kind == "f" else np.ones(array.shape, np.bool_)
            before = self._made.get(tensor.name, self._blank(tensor.name))
            self._made[tensor.name] = np.where(written, array, before)
            if reference is not None:
                array, reference = array[written], reference.reshape(array.shape)[written]
        else:
            self._made[tensor.name] = array
        subject, name = f"layer {layer.name!r}", tensor.onnx or tensor.name
        return _compare(subject, name, layer.nodes, array, reference, self._tolerance, whole)

    def _value(self, tensor: TensorEntry) -> Array:
        reference = self._reference_of(tensor)
        if reference is not None:
            return reference.astype(dtype_named(tensor.dtype), copy=False).reshape(tensor.shape)
        return self._made[tensor.name]

    def _reference_of(self, tensor: TensorEntry) -> Array | None:
        found = self._reference.get(tensor.onnx) if tensor.onnx else None
        return found if found is not None and found.size == np.prod(tensor.shape) else None

    def _is_constant(self, name: str) -> bool:
        return self._tensors[name].role is Role.CONSTANT

    def _blank(self, name: str) -> Array:
        tensor = self._tensors[name]
        dtype = dtype_named(tensor.dtype)
        return np.full(tensor.shape, np.nan if dtype.kind == "f" else 0, dtype)


def _compare(
    subject: str,
    tensor: str,
    nodes: tuple[str, ...],
    array: Array,
    reference: Array | None,
    tolerance: float | None,
    whole: Array | None = None,
) -> Comparison:
    """`whole` is the tensor that `reference` is a part of, whose values set the scale."""
    if tolerance is None:
        is_half = reference is not None and reference.dtype == np.float16
        tolerance = HALF_TOLERANCE if is_half else TOLERANCE
    if reference is None:
        return Comparison(subject, tensor, nodes, None, "", tolerance)
    error, worst = relative_error(array, reference, reference if whole is None else whole)
    return Comparison(subject, tensor, nodes, error, worst, tolerance)


def relative_error(array: Array, reference: Array, whole: Array) -> tuple[float, str]:
    """The largest absolute difference over the largest finite absolute value of `whole`, and where it is.

    Infinities and NaN count as equal where both arrays have the same one, and as an infinite error elsewhere.
    """
    found = array.reshape(-1).astype(np.float64)
    expected = reference.reshape(-1).astype(np.float64)
    if found.size != expected.size:
        return float("inf"), f"({found.size} elements for {expected.size})"
    if not found.size:
        return 0.0, ""
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    finite = np.isfinite(found) & np.isfinite(expected)
    difference = np.full(found.shape, np.inf)
    difference[finite] = np.abs(found[finite] - expected[finite])
    difference[same] = 0.0
    values = np.abs(whole[np.isfinite(whole)].astype(np.float64))
    scale = float(np.max(values, initial=0.0)) or 1.0
    index = int(np.argmax(difference))
    place = ", ".join(str(int(each)) for each in np.unravel_index(index, array.shape))
    return float(difference[index]) / scale, f"at [{place}]: {found[index]:.6g} for {expected[index]:.6g}"
