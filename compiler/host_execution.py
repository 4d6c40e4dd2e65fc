"""The runtime around an emulator: executes the host segments of a program with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from backends.program import LayerEntry, Program
from backends.segments import segments_of
from compiler.arrays import Array
from compiler.importer.segments import PURPOSE
from compiler.onnx_runtime import Level, Session
from compiler.segment_notes import RESULTS, read_note
from dialects.diagnostics import CatenaError, Diagnostic


class HostRuntime:
    """The segments of a program, loaded. A run begins with `start`, and `call` is what the emulator is given.

    Raises `CatenaError`: CAT-C004 if there are segments and ONNX Runtime is not installed, CAT-P001 for a segment
    that is no model or does not have the tensors of its layer.
    """

    def __init__(self, program: Program):
        self._segments = {layer.name: _Segment(layer, content) for layer, content in segments_of(program)}
        made: set[str] = set()
        needed: dict[str, None] = {}
        for segment in self._segments.values():
            needed.update(dict.fromkeys(name for name in segment.taken if name not in made))
            made.update(segment.outputs)
        self.inputs = tuple(needed)
        """The inputs of the model that segments take from the user."""
        self._values: dict[str, Any] = {}
        self._results: dict[str, Any] = {}

    def __bool__(self) -> bool:
        return bool(self._segments)

    def start(self, inputs: Mapping[str, Array]) -> None:
        """Begin a run on the inputs of the model."""
        self._values = dict(inputs)
        self._results = {}

    def call(self, layer: str, given: Sequence[Array]) -> Sequence[Array]:
        """Execute a segment on what it reads from the device; what it makes for the device.

        Raises `CatenaError` (CAT-E003) if ONNX Runtime cannot, or makes something else than was compiled.
        """
        segment = self._segments[layer]
        self._values.update(zip(segment.read, given, strict=True))
        made = segment.run(self._values)
        self._values.update(made)
        self._results.update((name, made[name]) for name in segment.results if name in made)
        return [np.asarray(made[name]) for name in segment.made]

    @property
    def results(self) -> dict[str, Array]:
        """The outputs of the model that segments made; the entries of a sequence are called `name[0]` and so on."""
        return dict(_flattened(self._results))


class _Segment:
    """One segment: the tensors that it `read`s from the device and `made` for it, and those that it has otherwise."""

    def __init__(self, layer: LayerEntry, content: bytes):
        from google.protobuf.message import DecodeError
        from onnx import ModelProto

        model = ModelProto()
        try:
            model.ParseFromString(content)
            self.results = read_note(model, RESULTS)
        except (DecodeError, KeyError, ValueError) as error:
            raise _damaged(layer, "its model cannot be read") from error
        inputs = [value.name for value in model.graph.input]
        self.outputs = [value.name for value in model.graph.output]
        if len(inputs) < len(layer.inputs) or len(self.outputs) < len(layer.outputs):
            raise _damaged(layer, "its model has fewer tensors than the layer")
        self.read, self.taken = inputs[: len(layer.inputs)], inputs[len(layer.inputs) :]
        self.made = self.outputs[: len(layer.outputs)]
        self._layer = layer
        self._shapes = {value.name: _shape(value) for value in (*model.graph.input, *model.graph.output)}
        self._makers = {name: node.name for node in model.graph.node for name in node.output}
        try:
            self._session = Session(content, Level.NONE, PURPOSE)
        except CatenaError as error:
            if error.diagnostics[0].code == "CAT-C004":
                raise
            raise _damaged(layer, error.diagnostics[0].message) from error

    def run(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All outputs of the model, of the shapes that it declares."""
        feeds = {name: _reshaped(values[name], self._shapes[name]) for name in (*self.read, *self.taken)}
        try:
            made = self._session.values(feeds)
        except CatenaError as error:
            message = f"the host segment cannot run: {error.diagnostics[0].message}"
            raise CatenaError(Diagnostic("CAT-E003", message, node=" + ".join(self._layer.nodes))) from error
        problems = [self._another_shape(name, made[name].shape) for name in self.outputs if self._differs(made, name)]
        if problems:
            raise CatenaError(problems)
        return made

    def _differs(self, made: Mapping[str, Any], name: str) -> bool:
        wanted = self._shapes[name]
        return wanted is not None and isinstance(made[name], np.ndarray) and made[name].shape != wanted

    def _another_shape(self, name: str, found: tuple[int, ...]) -> Diagnostic:
        return Diagnostic(
            "CAT-E003",
            f"the host makes tensor {name!r} of another shape than the program was compiled for",
            node=self._makers[name],
            expected=str(list(self._shapes[name] or ())),
            found=str(list(found)),
            hint="the model may declare a shape that depends on its data: correct it there, or declare none",
        )


def _damaged(layer: LayerEntry, reason: str) -> CatenaError:
    return CatenaError(Diagnostic("CAT-P001", f"host segment {layer.name!r}: {reason}"))


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape that a model declares, None if it is not static."""
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or not all(extent.HasField("dim_value") for extent in tensor.shape.dim):
        return None
    return tuple(extent.dim_value for extent in tensor.shape.dim)


def _reshaped(value: Any, shape: tuple[int, ...] | None) -> Any:
    return value.reshape(shape) if shape is not None and isinstance(value, np.ndarray) else value


def _flattened(values: Mapping[str, Any]) -> Iterator[tuple[str, Array]]:
    for name, value in values.items():
        if isinstance(value, list):
            yield from _flattened({f"{name}[{index}]": each for index, each in enumerate(value)})
        elif isinstance(value, dict):
            yield from _flattened({f"{name}[{key!r}]": each for key, each in value.items()})
        elif value is not None:
            yield name, np.asarray(value)
