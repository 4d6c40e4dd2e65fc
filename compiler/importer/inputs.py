"""Static shapes for the inputs of a model, from the model and from what the user gives for its dynamic ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compiler.importer.loading import STAGE
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    import onnx


MOST_ELEMENTS = 1 << 32
"""Elements of an input, or of a tensor that a node makes: more than any machine's addresses reach."""


@dataclass(frozen=True)
class DeclaredInput:
    """An input as the model declares it: an extent, the name of a symbol, or "" where nothing is said.

    `extents` is None if not even the rank is known.
    """

    name: str
    element_type: int
    extents: tuple[int | str, ...] | None

    def text(self) -> str:
        """The declared shape for messages: `[1, 3, height, ?]`."""
        if self.extents is None:
            return "unknown rank"
        return f"[{', '.join(str(extent) or '?' for extent in self.extents)}]"


@dataclass(frozen=True)
class StaticInput:
    """An input with every extent known; `element_type` is a `TensorProto.DataType`."""

    name: str
    element_type: int
    shape: tuple[int, ...]


def is_tensor_of_numbers(value: onnx.ValueInfoProto) -> bool:
    """Whether an input is a tensor, and not of text."""
    from onnx import TensorProto

    return value.type.WhichOneof("value") == "tensor_type" and value.type.tensor_type.elem_type != TensorProto.STRING


def declared_inputs(values: Iterable[onnx.ValueInfoProto]) -> list[DeclaredInput]:
    """Read the types of the graph inputs. Raises `CatenaError` (CAT-U002) naming all that are no tensors."""
    problems: list[Diagnostic] = []
    inputs: list[DeclaredInput] = []
    for value in values:
        if value.type.WhichOneof("value") == "tensor_type":
            inputs.append(_declared_input(value))
            continue
        kind = (value.type.WhichOneof("value") or "no type").removesuffix("_type")
        message = f"input {value.name!r} is not a tensor"
        problems.append(Diagnostic("CAT-U002", message, stage=STAGE, expected="tensor", found=kind))
    if problems:
        raise CatenaError(problems)
    return inputs


def _declared_input(value: onnx.ValueInfoProto) -> DeclaredInput:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return DeclaredInput(value.name, tensor.elem_type, None)
    extents = tuple(
        dimension.dim_value if dimension.HasField("dim_value") and dimension.dim_value >= 0 else dimension.dim_param
        for dimension in tensor.shape.dim
    )
    return DeclaredInput(value.name, tensor.elem_type, extents)


def static_shapes(
    inputs: Sequence[DeclaredInput], given: Mapping[str, Sequence[int]], batch: int | None
) -> list[StaticInput]:
    """The inputs with their shapes.

    A shape that the user gives counts most and also fixes the symbols in it for the other inputs. `batch` is the
    value of unknown leading dimensions, 1 if not given.

    Raises `CatenaError` with all problems: CAT-C001 for a given shape or batch that does not fit the model,
    CAT-M002 for every dimension that remains unknown, CAT-U002 for an input of more than `MOST_ELEMENTS`.
    """
    problems = _problems_with_given(inputs, given, batch)
    if problems:
        raise CatenaError(problems)
    symbols = {
        symbol: extent
        for value in inputs
        if value.name in given and value.extents is not None
        for symbol, extent in zip(value.extents, given[value.name], strict=True)
        if isinstance(symbol, str) and symbol
    }
    static: list[StaticInput] = []
    problems: list[Diagnostic] = []
    for value in inputs:
        shape = given.get(value.name)
        if shape is None:
            shape = _resolved(value, symbols, 1 if batch is None else batch)
        if shape is None:
            problems.append(_unknown_shape(value, symbols))
        elif math.prod(shape) > MOST_ELEMENTS:
            problems.append(_too_large(value, shape))
        else:
            static.append(StaticInput(value.name, value.element_type, tuple(shape)))
    if problems:
        raise CatenaError(problems)
    return static


def _resolved(value: DeclaredInput, symbols: Mapping[str, int], batch: int) -> tuple[int, ...] | None:
    if value.extents is None:
        return None
    shape: list[int] = []
    for axis, extent in enumerate(value.extents):
        if isinstance(extent, int):
            shape.append(extent)
        elif extent in symbols:
            shape.append(symbols[extent])
        elif axis == 0:
            shape.append(batch)
        else:
            return None
    return tuple(shape)


def _too_large(value: DeclaredInput, shape: Sequence[int]) -> Diagnostic:
    return Diagnostic(
        "CAT-U002",
        f"input {value.name!r} is too large",
        stage=STAGE,
        expected=f"at most {MOST_ELEMENTS} elements",
        found=f"{list(shape)}, {math.prod(shape)} elements",
    )


def _unknown_shape(value: DeclaredInput, symbols: Mapping[str, int]) -> Diagnostic:
    if value.extents is None:
        flag = f"--input-shape {value.name}:D0,D1,..."
        message = f"input {value.name!r} has no shape"
    else:
        extents = [symbols.get(extent, extent) if isinstance(extent, str) else extent for extent in value.extents]
        if isinstance(extents[0], str):
            extents[0] = 1
        unknown = [f"{axis} ({extent or '?'})" for axis, extent in enumerate(extents) if isinstance(extent, str)]
        message = f"input {value.name!r} has dynamic dimensions: {', '.join(unknown)}"
        texts = (
            f"<{extent or f'D{axis}'}>" if isinstance(extent, str) else str(extent)
            for axis, extent in enumerate(extents)
        )
        flag = f"--input-shape '{value.name}:{','.join(texts)}'"
    return Diagnostic(
        "CAT-M002",
        message,
        stage=STAGE,
        expected="a static shape",
        found=value.text(),
        hint=f"give it: {flag}",
    )


def _problems_with_given(
    inputs: Sequence[DeclaredInput], given: Mapping[str, Sequence[int]], batch: int | None
) -> list[Diagnostic]:
    problems: list[Diagnostic] = []
    by_name = {value.name: value for value in inputs}
    symbols: dict[str, int] = {}
    for name, shape in given.items():
        value = by_name.get(name)
        if value is None:
            known = ", ".join(by_name) or "none"
            problems.append(_wrong(f"the model has no input {name!r}", f"one of {known}", name))
            continue
        text = ",".join(str(extent) for extent in shape)
        if any(extent < 1 for extent in shape):
            problems.append(_wrong(f"shape of input {name!r}", "positive extents", text))
        elif value.extents is not None and not _fits(value.extents, shape, symbols):
            problems.append(_wrong(f"shape of input {name!r} does not fit the model", value.text(), text))
    if batch is not None and batch < 1:
        problems.append(_wrong("batch", "a positive number", str(batch)))
    if batch is not None and not any(_has_dynamic_batch(value) for value in inputs):
        shapes = ", ".join(f"{value.name} {value.text()}" for value in inputs)
        problems.append(_wrong("no input has a dynamic leading dimension", "no batch", shapes))
    return problems


def _wrong(message: str, expected: str, found: str) -> Diagnostic:
    return Diagnostic("CAT-C001", message, stage=STAGE, expected=expected, found=found)


def _has_dynamic_batch(value: DeclaredInput) -> bool:
    return bool(value.extents) and isinstance(value.extents[0], str) if value.extents else False


def _fits(extents: Sequence[int | str], shape: Sequence[int], symbols: dict[str, int]) -> bool:
    """Whether a given shape agrees with the declared one, and each symbol with its other uses."""
    if len(extents) != len(shape):
        return False
    for declared, extent in zip(extents, shape, strict=True):
        expected = symbols.setdefault(declared, extent) if isinstance(declared, str) and declared else declared
        if isinstance(expected, int) and expected != extent:
            return False
    return True
