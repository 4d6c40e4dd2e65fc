"""ONNX Runtime, the optional dependency that verification and quantization run models with."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from importlib import import_module
from typing import Any, cast

import numpy as np

from compiler.arrays import Array
from dialects.diagnostics import CatenaError, Diagnostic


class Level(Enum):
    """How much ONNX Runtime may change a graph before it runs it, by the name it gives that."""

    NONE = "ORT_DISABLE_ALL"
    BASIC = "ORT_ENABLE_BASIC"
    ALL = "ORT_ENABLE_ALL"


def require_onnx_runtime(purpose: str) -> Any:
    """The package. Raises `CatenaError` (CAT-C004), saying what for, if it is not installed."""
    try:
        return import_module("onnxruntime")
    except ImportError as error:
        raise CatenaError(
            Diagnostic(
                "CAT-C004",
                f"{purpose} needs ONNX Runtime, which is not installed",
                hint="pip install 'catena[verify]'",
            )
        ) from error


class Session:
    """A model that ONNX Runtime has loaded.

    Raises `CatenaError` (CAT-V002) if it refuses the model; CAT-C004 if it is not installed. `optimized_path` is a file
    that gets the graph as ONNX Runtime changed it.
    """

    def __init__(self, content: bytes, level: Level, purpose: str, optimized_path: str = ""):
        runtime = require_onnx_runtime(purpose)
        options = runtime.SessionOptions()
        options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, level.value)
        options.log_severity_level = 4
        if optimized_path:
            options.optimized_model_filepath = optimized_path
        try:
            self._session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except runtime_errors() as error:
            raise _refused(error) from error

    @property
    def input_names(self) -> list[str]:
        """The inputs that a run needs."""
        return [each.name for each in self._session.get_inputs()]

    def output_types(self) -> list[tuple[str, list[Any]]]:
        """What is known of each output before a run: its type in ONNX's words (`seq(tensor(float))`) and its shape.

        Extents that are not known are no integers; what is no tensor has no extents.
        """
        return [(each.type, list(each.shape or ())) for each in self._session.get_outputs()]

    def values(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """As `run`, with outputs of every kind: arrays, lists for sequences, None for an empty optional."""
        try:
            feeds = {each.name: _typed(inputs[each.name], each.type) for each in self._session.get_inputs()}
            found = self._session.run(None, feeds)
        except (*runtime_errors(), KeyError) as error:
            raise _refused(error) from error
        return dict(zip((each.name for each in self._session.get_outputs()), found, strict=True))

    def run(self, inputs: Mapping[str, Array], names: list[str] | None = None) -> dict[str, Array]:
        """The outputs by name, all or those of some names; inputs are converted to the types of the model.

        Raises `CatenaError` (CAT-V002) if ONNX Runtime cannot compute them.
        """
        wanted = [each.name for each in self._session.get_outputs()] if names is None else names
        try:
            feeds = {each.name: _typed(inputs[each.name], each.type) for each in self._session.get_inputs()}
            found = self._session.run(wanted, feeds)
        except (*runtime_errors(), KeyError) as error:
            raise _refused(error) from error
        return {
            name: cast(Array, each) for name, each in zip(wanted, found, strict=True) if isinstance(each, np.ndarray)
        }


def runtime_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: exceptions without a common base but Exception, in a module without type stubs."""
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    own = (kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, RuntimeError, ValueError)


def _refused(error: Exception) -> CatenaError:
    reason = str(error).strip().splitlines()
    return CatenaError(
        Diagnostic("CAT-V002", f"ONNX Runtime cannot run the model: {reason[0] if reason else type(error).__name__}")
    )


_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint64)": np.uint64,
    "tensor(uint32)": np.uint32,
    "tensor(uint16)": np.uint16,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def _typed(array: Array, kind: str) -> Array:
    dtype: Any = _TYPES.get(kind)
    return array if dtype is None else array.astype(dtype, copy=False)
