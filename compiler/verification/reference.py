"""The reference: every tensor of a model as ONNX Runtime computes it, without graph optimizations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.arrays import Array
from compiler.files import cannot
from compiler.onnx_runtime import Level, Session, require_onnx_runtime
from compiler.verification.exact_products import multiply_exactly
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    import onnx

PURPOSE = "verification"


def reference_tensors(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs, outputs and all intermediate tensors of a model by name, for the given inputs.

    Inputs are converted to the types that the model declares. Raises `CatenaError`: CAT-C004 if ONNX Runtime is not
    installed, CAT-V002 if it refuses the model.
    """
    return {**inputs, **Session(_with_all_outputs(model), Level.NONE, PURPOSE).run(inputs)}


def optimized_outputs(model: onnx.ModelProto, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a model by name as ONNX Runtime computes them with all its graph optimizations.

    Raises `CatenaError` as `reference_tensors`.
    """
    return Session(_serialized(model), Level.ALL, PURPOSE).run(inputs)


def plain_session(model: onnx.ModelProto) -> Session:
    """A model as ONNX Runtime runs it without graph optimizations.

    Raises `CatenaError` as `reference_tensors`.
    """
    return Session(_serialized(model), Level.NONE, PURPOSE)


def reference_model(path: Path) -> onnx.ModelProto:
    """The model in a file, with its external data.

    Raises `CatenaError`: CAT-C004 if ONNX Runtime is not installed, CAT-C002 or CAT-M001 if the file cannot be read.
    """
    require_onnx_runtime(PURPOSE)
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(path)
    except OSError as error:
        raise CatenaError(cannot("read", str(path), error)) from error
    except (DecodeError, ValueError, onnx.checker.ValidationError) as error:
        raise CatenaError(Diagnostic("CAT-M001", f"{path} is not a valid ONNX model: {error}")) from error


def _with_all_outputs(model: onnx.ModelProto) -> bytes:
    """The serialized model with every tensor as an output."""
    import onnx

    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    multiply_exactly(whole)
    present = {value.name for value in whole.graph.output}
    for node in whole.graph.node:
        for name in node.output:
            if name and name not in present:
                present.add(name)
                whole.graph.output.append(onnx.ValueInfoProto(name=name))
    return _serialized(whole)


def _serialized(model: onnx.ModelProto) -> bytes:
    try:
        return model.SerializeToString()
    except ValueError as error:
        raise CatenaError(Diagnostic("CAT-V002", f"the model is too large for one message: {error}")) from error
