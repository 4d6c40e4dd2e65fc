"""Calibration data: samples of a model's inputs, from files of arrays or made up from a seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath

import numpy as np

from compiler.arrays import Array, random_array, read_arrays, require_few
from compiler.importer.inputs import DeclaredInput, static_shapes
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean

Sample = Mapping[str, Array]
"""One array for every input of a model, by its name."""
Source = str | PathLike[str] | Mapping[str, Array]
"""What samples come from: a `.npz` file, `random:N`, or arrays by name as such a file holds them."""

RANDOM = "random:"


def read_samples(
    sources: Sequence[Source],
    inputs: Sequence[DeclaredInput],
    *,
    seed: int = 0,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int | None = None,
) -> tuple[Sample, ...]:
    """All samples of all sources, in order.

    An array of a source is one sample if it has the shape of its input, and several if it has one dimension more, in
    front, or a multiple of the input's fixed batch. `seed`, `input_shapes` and `batch` are for `random:N`.

    Raises `CatenaError` with every problem: CAT-C001 for another form of a source, CAT-C002 for a file that cannot be
    read, CAT-C005 for arrays that are missing, unknown, of another shape or kind, or hold NaN or infinity, CAT-M002
    for a random input whose shape is not known.
    """
    samples: list[Sample] = []
    problems: list[Diagnostic] = []
    for source in sources:
        try:
            samples += _samples_of(source, inputs, seed, input_shapes or {}, batch)
        except CatenaError as error:
            problems += error.diagnostics
    if not problems and not samples:
        problems.append(Diagnostic("CAT-C001", "there is no calibration data", expected="FILE.npz or random:N"))
    if problems:
        raise CatenaError(problems)
    return tuple(samples)


def _samples_of(
    source: Source,
    inputs: Sequence[DeclaredInput],
    seed: int,
    input_shapes: Mapping[str, Sequence[int]],
    batch: int | None,
) -> list[Sample]:
    if isinstance(source, Mapping):
        return _split(source, inputs, "the calibration data")
    name = fspath(source)
    if name.startswith(RANDOM):
        return _random_samples(name.removeprefix(RANDOM), inputs, seed, input_shapes, batch)
    if not name.endswith(".npz"):
        expected = "FILE.npz or random:N"
        raise CatenaError(Diagnostic("CAT-C001", f"cannot tell what calibration data {name!r} is", expected=expected))
    return _split(read_arrays([name]), inputs, name)


def _random_samples(
    count: str,
    inputs: Sequence[DeclaredInput],
    seed: int,
    input_shapes: Mapping[str, Sequence[int]],
    batch: int | None,
) -> list[Sample]:
    from onnx import helper

    if not count.isdecimal() or int(count) < 1:
        raise CatenaError(
            Diagnostic("CAT-C001", f"cannot tell how many samples {RANDOM}{count} are", expected="random:N with N >= 1")
        )
    static = static_shapes(inputs, input_shapes, batch)
    require_few(int(count) * sum(math.prod(each.shape) for each in static))
    generator = np.random.default_rng(seed)
    return [
        {
            each.name: random_array(generator, helper.tensor_dtype_to_np_dtype(each.element_type), each.shape)
            for each in static
        }
        for _ in range(int(count))
    ]


def _split(arrays: Mapping[str, Array], inputs: Sequence[DeclaredInput], where: str) -> list[Sample]:
    """The samples that arrays by input name hold."""
    names = [each.name for each in inputs]
    problems = [
        Diagnostic("CAT-C005", f"the model has no input {name!r}", where=where, hint=did_you_mean(name, names))
        for name in arrays
        if name not in names
    ]
    columns: dict[str, list[Array]] = {}
    for declared in inputs:
        try:
            columns[declared.name] = _column(declared, arrays, where)
        except CatenaError as error:
            problems += error.diagnostics
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name}: {count}" for name, count in counts.items())
        problems.append(
            Diagnostic("CAT-C005", "the inputs have different numbers of samples", where=where, found=found)
        )
    if problems:
        raise CatenaError(problems)
    return [dict(zip(columns, each, strict=True)) for each in zip(*columns.values(), strict=True)]


def _column(declared: DeclaredInput, arrays: Mapping[str, Array], where: str) -> list[Array]:
    """One array a sample for one input, in its type."""
    from onnx import helper

    dtype = helper.tensor_dtype_to_np_dtype(declared.element_type)
    expected = f"{dtype} {declared.text()}"

    def problem(message: str, found: str = "") -> CatenaError:
        return CatenaError(Diagnostic("CAT-C005", message, where=where, expected=expected, found=found))

    if declared.name not in arrays:
        raise problem(f"input {declared.name!r} is missing")
    array = np.asarray(arrays[declared.name])
    found = f"{array.dtype} {list(array.shape)}"
    samples = _by_shape(array, declared.extents)
    if samples is None or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise problem(f"input {declared.name!r} does not fit", found)
    if not array.size:
        raise problem(f"input {declared.name!r} has no values", found)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise problem(f"input {declared.name!r} has values that are NaN or infinite")
    return [np.asarray(each, dtype, order="C") for each in samples]


def _by_shape(array: Array, extents: tuple[int | str, ...] | None) -> list[Array] | None:
    """The array as samples of a shape in which names stand for any extent; None if it does not fit."""
    if extents is None or _fits(array.shape, extents):
        return [array]
    if _fits(array.shape[1:], extents) and array.ndim:
        return list(array)
    batch = extents[0] if extents else 0
    if array.ndim == len(extents) and isinstance(batch, int) and batch and _fits(array.shape[1:], extents[1:]):
        return np.split(array, len(array) // batch) if len(array) % batch == 0 and len(array) else None
    return None


def _fits(shape: Iterable[int], extents: tuple[int | str, ...]) -> bool:
    found = tuple(shape)
    return len(found) == len(extents) and all(
        isinstance(declared, str) or declared == extent for declared, extent in zip(extents, found, strict=True)
    )
