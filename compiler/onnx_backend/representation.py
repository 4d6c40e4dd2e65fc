"""A prepared model: compiled for what must be known at compile time, run on everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.backend.base import BackendRep, namedtupledict

from compiler.arrays import Array
from compiler.importer.local_functions import inline_functions
from compiler.onnx_backend.compile_time import compile_time_inputs
from compiler.onnx_backend.engines import Engine, Execute
from dialects.diagnostics import CatenaError, Diagnostic

Inputs: TypeAlias = "Mapping[str, Array] | Sequence[Array] | Array"
"""Arrays by name, in the order of the model's inputs, or the only one."""

_Key: TypeAlias = tuple[tuple[str, str, tuple[int, ...], bytes], ...]


class CatenaRep(BackendRep):
    """A model on an engine.

    A model is compiled once for every combination of values of its compile-time inputs (`compile_time`) and of shapes
    of its dynamic inputs; if it has neither, that happens here. Raises `CatenaError` for what cannot be compiled.
    """

    def __init__(self, model: onnx.ModelProto, engine: Engine):
        # What a function's body needs to know shows once it stands in the graph.
        model = inline_functions(model)
        self._model = model
        self._engine = engine
        self._compiled: dict[_Key, Execute] = {}
        initialized = {tensor.name for tensor in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in initialized]
        self._names = [value.name for value in inputs]
        self._dynamic = [value.name for value in inputs if not _is_static(value)]
        self._fixed = [name for name in compile_time_inputs(model) if name in self._names]
        if not self._fixed and not self._dynamic:
            self._compiled[()] = engine.load(model, {})

    def run(self, inputs: Inputs, **kwargs: Any) -> tuple[Array, ...]:
        """The outputs in the model's order and of its declared types, also by name: `outputs["probabilities"]`.

        Raises `CatenaError`: CAT-C005 for inputs that do not fit the model, what compiling raises if it happens now,
        CAT-E001 to CAT-E003 for faults of an emulator.
        """
        arrays = arrays_of(inputs, self._names)
        results = self._specialised(arrays)({name: arrays[name] for name in self._names if name not in self._fixed})
        outputs = [_as_declared(value, results[value.name]) for value in self._model.graph.output]
        made = namedtupledict("Outputs", [value.name for value in self._model.graph.output])
        return made(*outputs)

    def _specialised(self, arrays: Mapping[str, Array]) -> Execute:
        fixed = {name: arrays[name] for name in self._fixed}
        shapes = {name: arrays[name].shape for name in self._dynamic if name not in fixed}
        key: _Key = (
            *((name, array.dtype.name, array.shape, array.tobytes()) for name, array in fixed.items()),
            *((name, "", shape, b"") for name, shape in shapes.items()),
        )
        if key not in self._compiled:
            self._compiled[key] = self._engine.load(_with_constants(self._model, fixed), shapes)
        return self._compiled[key]


def arrays_of(inputs: Inputs, names: Sequence[str]) -> dict[str, Array]:
    """Inputs by name. Raises `CatenaError` (CAT-C005) if there are too many, too few or others."""
    if isinstance(inputs, Mapping):
        arrays = {name: np.asarray(array) for name, array in inputs.items()}
    else:
        given = [inputs] if isinstance(inputs, np.ndarray) else inputs
        arrays = {name: np.asarray(array) for name, array in zip(names, given, strict=False)}
        arrays = arrays if len(given) == len(names) else {}
    if set(arrays) != set(names):
        found = ", ".join(inputs) if isinstance(inputs, Mapping) else f"{len(inputs)} arrays"
        raise CatenaError(
            Diagnostic("CAT-C005", "the inputs are not those of the model", expected=", ".join(names), found=found)
        )
    return arrays


def _is_static(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return tensor.HasField("shape") and all(dimension.HasField("dim_value") for dimension in tensor.shape.dim)


def _with_constants(model: onnx.ModelProto, constants: Mapping[str, Array]) -> onnx.ModelProto:
    """The model with some of its inputs as initializers."""
    if not constants:
        return model
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    kept = [value for value in model.graph.input if value.name not in constants]
    del changed.graph.input[:]
    changed.graph.input.extend(kept)
    changed.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    return changed


def _as_declared(value: onnx.ValueInfoProto, array: Array) -> Array:
    """A result of floats in the type that the model declares, of which the chain may carry a wider one."""
    element_type = value.type.tensor_type.elem_type
    if not element_type:
        return array
    declared = helper.tensor_dtype_to_np_dtype(element_type)
    if not (_is_float(array.dtype) and _is_float(declared)):
        return array
    with np.errstate(all="ignore"):
        return array.astype(declared, copy=False)


def _is_float(dtype: np.dtype[Any]) -> bool:
    # NumPy gives the kind V to the narrow floats of `ml_dtypes`.
    return dtype.kind == "f" or "float" in dtype.name
