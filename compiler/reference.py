"""The reference: every tensor of a model as ONNX Runtime computes it, without graph optimizations."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np

from compiler.arrays import Array
from compiler.files import cannot
from dialects.diagnostics import CatenaError, Diagnostic


def reference_tensors(model_path: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs, outputs and all intermediate tensors of a model by name, for the given inputs.

    Inputs are converted to the types that the model declares. Raises `CatenaError`: CAT-C004 if ONNX Runtime is not
    installed, CAT-C002 or CAT-M001 if the model cannot be read, CAT-V002 if ONNX Runtime refuses it.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise CatenaError(
            Diagnostic(
                "CAT-C004",
                "verification needs ONNX Runtime, which is not installed",
                hint="pip install 'catena[verify]'",
            )
        ) from error
    # ONNX Runtime's exceptions have no common base but Exception, and a module without type stubs.
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    refusals = tuple(kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception))
    content, names = _with_all_outputs(model_path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        found = session.run(names, {each.name: _typed(inputs[each.name], each.type) for each in session.get_inputs()})
    except (*refusals, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()
        raise CatenaError(
            Diagnostic(
                "CAT-V002", f"ONNX Runtime cannot run the model: {reason[0] if reason else type(error).__name__}"
            )
        ) from error
    arrays = {name: cast(Array, each) for name, each in zip(names, found, strict=True) if isinstance(each, np.ndarray)}
    return {**inputs, **arrays}


def _with_all_outputs(path: Path) -> tuple[bytes, list[str]]:
    """The serialized model with every tensor as an output, and the names of those."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path)
    except OSError as error:
        raise CatenaError(cannot("read", str(path), error)) from error
    except (DecodeError, ValueError, onnx.checker.ValidationError) as error:
        raise CatenaError(Diagnostic("CAT-M001", f"{path} is not a valid ONNX model: {error}")) from error
    present = {value.name for value in model.graph.output}
    for node in model.graph.node:
        for name in node.output:
            if name and name not in present:
                present.add(name)
                model.graph.output.append(onnx.ValueInfoProto(name=name))
    try:
        content = model.SerializeToString()
    except ValueError as error:
        raise CatenaError(Diagnostic("CAT-V002", f"the model is too large for one message: {error}")) from error
    return content, [value.name for value in model.graph.output]


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
    return array if dtype is None else array.astype(dtype)
