"""Reading constant tensors of a model: in the file, in external files, sparse; narrow floats widened."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from compiler.importer.loading import STAGE
from dialects.diagnostics import CatenaError, Diagnostic
from passes.constant_evaluation import BUDGET, FOLD_LIMIT, ConstantBudget

if TYPE_CHECKING:
    import onnx

Array: TypeAlias = npt.NDArray[Any]


def read_initializer(
    name: str,
    tensor: onnx.TensorProto | onnx.SparseTensorProto | Array,
    folder: Path | None,
    budget: ConstantBudget,
) -> Array:
    """The words of an initializer, float16 and bfloat16 widened to float32; the budget grows with what the model holds.

    Raises `CatenaError`: CAT-M001 for a damaged tensor, CAT-M004 for missing or damaged external data, CAT-U002 for a
    sparse one that the budget has no room for.
    """
    from onnx import SparseTensorProto

    if isinstance(tensor, SparseTensorProto):
        return read_sparse_tensor(name, tensor, folder, budget)
    words = widened(tensor) if isinstance(tensor, np.ndarray) else read_tensor(name, tensor, folder)
    budget.give(words.nbytes)
    return words


def read_tensor(name: str, tensor: onnx.TensorProto, folder: Path | None) -> Array:
    """As `read_initializer`, for a dense tensor."""
    from onnx import TensorProto, numpy_helper

    if any(extent < 0 for extent in tensor.dims):
        raise _damaged(name, f"it has a negative dimension: {list(tensor.dims)}")
    is_external = tensor.data_location == TensorProto.EXTERNAL
    if is_external:
        tensor = _with_external_data(name, tensor, folder)
    try:
        array = numpy_helper.to_array(tensor)
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise _damaged(name, str(error), "CAT-M004" if is_external else "CAT-M001") from error
    return widened(array)


def read_sparse_tensor(name: str, tensor: onnx.SparseTensorProto, folder: Path | None, budget: ConstantBudget) -> Array:
    """As `read_initializer`, for a sparse tensor; indices are linear `[NNZ]` or coordinates `[NNZ, rank]`."""
    shape = tuple(tensor.dims)
    if any(extent < 0 for extent in shape) or math.prod(shape) > FOLD_LIMIT:
        raise _damaged(name, f"shape {list(shape)} is negative or too large")
    values = read_tensor(name, tensor.values, folder).reshape(-1)
    size = math.prod(shape) * values.itemsize
    if not budget.has(size):
        message = f"the words of sparse tensor {name!r} take too much room"
        raise CatenaError(Diagnostic("CAT-U002", message, stage=STAGE, expected=BUDGET, found=f"{size} bytes more"))
    indices = read_tensor(f"{name} (indices)", tensor.indices, folder).astype(np.int64)
    dense: Array = np.zeros(shape, values.dtype)
    budget.take((dense,))
    try:
        if indices.ndim == 2:
            indices = np.ravel_multi_index(tuple(indices.T), shape)
        dense.reshape(-1)[indices] = values
    except (IndexError, ValueError) as error:
        raise _damaged(name, f"its indices do not fit its shape: {error}") from error
    return dense


def widened(array: Array) -> Array:
    """The array, as float32 if it is of a narrower float that keeps its value in it."""
    return array.astype(np.float32) if array.dtype.name in ("float16", "bfloat16") else array


def _damaged(name: str, reason: str, code: str = "CAT-M001") -> CatenaError:
    return CatenaError(Diagnostic(code, f"tensor {name!r} is damaged: {reason}", stage=STAGE))


def _with_external_data(name: str, tensor: onnx.TensorProto, folder: Path | None) -> onnx.TensorProto:
    from onnx import TensorProto

    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")

    def failure(reason: str, hint: str = "") -> CatenaError:
        message = f"external data of tensor {name!r}: {reason}"
        return CatenaError(Diagnostic("CAT-M004", message, stage=STAGE, where=location, hint=hint))

    if folder is None:
        raise failure("the model was not read from a file", "give the path of the model, not its message")
    if not location:
        raise failure("no file is named")
    path = (folder / location).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise failure("the file lies outside the model's folder")
    if not path.is_file():
        raise failure("the file is missing", "copy the external data files beside the model")
    content = _read_part(path, entries, failure)
    loaded = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    loaded.raw_data = content
    return loaded


def _read_part(path: Path, entries: dict[str, str], failure: Callable[[str], CatenaError]) -> bytes:
    try:
        offset = int(entries.get("offset") or 0)
        length = int(entries["length"]) if entries.get("length") else None
    except ValueError as error:
        raise failure(f"offset and length must be integers: {error}") from error
    if offset < 0 or (length is not None and length < 0):
        raise failure("offset and length must not be negative")
    try:
        available = path.stat().st_size - offset
        if available < (length or 0):
            raise failure(f"the file is too short: {max(available, 0)} bytes from offset {offset} on")
        with path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(-1 if length is None else length)
    except OSError as error:
        raise failure(f"the file cannot be read: {error.strerror or error}") from error
