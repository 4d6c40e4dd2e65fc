"""Reading the ONNX file itself: bytes to `ModelProto`, local functions inlined, old opsets raised."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from compiler.importer.split_file import split_file
from dialects.diagnostics import CatenaError, Diagnostic

if TYPE_CHECKING:
    import onnx

STAGE = "import"
DEFAULT_DOMAINS = ("", "ai.onnx")
_PLAIN_TYPES = {
    1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8", 12: "<u4",
    13: "<u8",
}  # fmt: skip
"""NumPy types of those values of `TensorProto.DataType` whose words `raw_data` has as they are in memory."""


def not_a_model(message: str, *, where: str = "", hint: str = "") -> CatenaError:
    """The error for a file that is no ONNX model at all (CAT-M001)."""
    return CatenaError(Diagnostic("CAT-M001", message, stage=STAGE, where=where, hint=hint))


@dataclass(frozen=True)
class LoadedModel:
    """A model's message and where it was read from, None for a message given as such.

    `words` are those of initializers that hold none in the message, by name.
    """

    model: onnx.ModelProto
    path: Path | None
    words: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict[str, "npt.NDArray[Any]"])

    @property
    def where(self) -> str:
        """The path for messages."""
        return "" if self.path is None else str(self.path)

    @property
    def folder(self) -> Path | None:
        """The folder that external data is looked for in."""
        return None if self.path is None else self.path.parent


def read_model(source: Path | onnx.ModelProto) -> LoadedModel:
    """The protobuf message of a model, from a file unless it is one already.

    Raises `CatenaError`: CAT-C002 if the file cannot be read, CAT-M001 if it is not an ONNX model.
    """
    return _read(source, _whole_file)


def read_split_model(source: Path | onnx.ModelProto, maps_words: bool = False) -> LoadedModel:
    """As `read_model`, with the words of large initializers of a file apart (`maps_words` as in `split_file`)."""
    return _read(source, partial(_split_file, maps_words=maps_words))


def with_words(model: onnx.ModelProto, words: Mapping[str, npt.NDArray[Any]]) -> onnx.ModelProto:
    """The model with the words of these initializers put back into its message."""
    for tensor in model.graph.initializer:
        if tensor.name in words:
            tensor.raw_data = words[tensor.name].tobytes()
    return model


def _read(source: Path | onnx.ModelProto, read_file: Callable[[Path], LoadedModel]) -> LoadedModel:
    from onnx import ModelProto

    if isinstance(source, ModelProto):
        loaded = LoadedModel(source, None)
    else:
        try:
            loaded = read_file(source)
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise CatenaError(
                Diagnostic("CAT-C002", f"the model cannot be read: {reason}", stage=STAGE, where=str(source))
            ) from error
    # A graph without nodes may return its inputs; foreign bytes that parse have no outputs either.
    if not loaded.model.HasField("graph") or not (loaded.model.graph.node or loaded.model.graph.output):
        raise not_a_model(
            "the file is not an ONNX model: it has no graph with nodes or outputs",
            where=loaded.where,
            hint="is this a .onnx file? Empty and foreign files often parse as empty messages",
        )
    if any(not isinstance(text, str) for text in _texts(loaded.model)):
        raise not_a_model("a name in the model is not UTF-8 text: the file is damaged", where=loaded.where)
    return loaded


def _whole_file(path: Path) -> LoadedModel:
    return LoadedModel(_parsed(path.read_bytes(), str(path)), path)


def _split_file(path: Path, maps_words: bool) -> LoadedModel:
    split = split_file(path, maps_words)
    if split is None:
        return _whole_file(path)
    model = _parsed(split.message, str(path))
    words: dict[str, npt.NDArray[Any]] = {}
    for tensor, data in zip(model.graph.initializer, split.words, strict=True):
        if data is not None:
            array = _as_array(tensor, data)
            if array is not None:
                words[tensor.name] = array
            else:
                tensor.raw_data = data.tobytes()
    return LoadedModel(model, path, words)


def _as_array(tensor: onnx.TensorProto, data: npt.NDArray[np.uint8]) -> npt.NDArray[Any] | None:
    """The words of a tensor; None if that takes more than looking at its bytes, and if they do not fit its shape."""
    dtype = _PLAIN_TYPES.get(tensor.data_type)
    if dtype is None or tensor.data_location != tensor.DEFAULT or tensor.HasField("segment"):
        return None
    if min(tensor.dims, default=0) < 0 or math.prod(tensor.dims) * np.dtype(dtype).itemsize != len(data):
        return None
    array = data.view(dtype).reshape(tensor.dims)
    array.flags.writeable = False
    return array


def _texts(model: onnx.ModelProto) -> Iterator[object]:
    """Every name that the importer reads; protobuf gives one that is not UTF-8 as bytes."""
    for entry in model.opset_import:
        yield entry.domain
    for function in model.functions:
        for node in function.node:
            yield from _node_texts(node)
    yield from _graph_texts(model.graph)


def _node_texts(node: onnx.NodeProto) -> Iterator[object]:
    yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
    yield from (attribute.name for attribute in node.attribute)
    for body in subgraphs(node).values():
        yield from _graph_texts(body)


def _graph_texts(graph: onnx.GraphProto) -> Iterator[object]:
    yield graph.name
    for node in graph.node:
        yield from _node_texts(node)
    for tensor in (*graph.initializer, *(sparse.values for sparse in graph.sparse_initializer)):
        yield tensor.name
        yield from (text for entry in tensor.external_data for text in (entry.key, entry.value))
    for value in (*graph.input, *graph.output):
        yield value.name
        yield from (dimension.dim_param for dimension in value.type.tensor_type.shape.dim)


def _parsed(content: bytes, where: str) -> onnx.ModelProto:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise not_a_model(
            "the file is not an ONNX model: its protobuf message is damaged or cut short",
            where=where,
            hint="copy, download or export it again",
        ) from error
    return model


def with_external_data(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """A model with the external data that lie beside its file.

    Raises `CatenaError` (CAT-M004) if they cannot be read.
    """
    from onnx import checker, external_data_helper

    try:
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    except (OSError, ValueError, checker.ValidationError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CatenaError(Diagnostic("CAT-M004", f"external data cannot be read: {reason}", where=str(path))) from error
    return model


def newest_opset() -> int:
    """The newest version of the default operator set that the installed ONNX package knows."""
    from onnx import defs

    return int(defs.onnx_opset_version())


def opset_of(model: onnx.ModelProto) -> int | None:
    """The version of the default operator set that a model imports, None if it imports none.

    Raises `CatenaError`: CAT-M001 if it names two, CAT-U005 if this ONNX package does not know it yet.
    """
    versions = {entry.version for entry in model.opset_import if entry.domain in DEFAULT_DOMAINS}
    if not versions and model.ir_version < 3:
        # The field came with IR version 3; before, there was only opset 1.
        return 1
    if not versions:
        return None
    if len(versions) > 1:
        found = ", ".join(str(version) for version in sorted(versions))
        raise CatenaError(
            Diagnostic(
                "CAT-M001",
                "the model imports two versions of the default operator set",
                stage=STAGE,
                expected="one opset_import of domain ai.onnx",
                found=found,
            )
        )
    (opset,) = versions
    newest = newest_opset()
    if not 1 <= opset <= newest:
        raise CatenaError(
            Diagnostic(
                "CAT-U005",
                f"opset {opset} is not supported",
                stage=STAGE,
                expected=f"opset 1 to {newest}",
                found=str(opset),
                hint="install a newer onnx package, or export the model with an older opset",
            )
        )
    return opset


def opsets_of(model: onnx.ModelProto) -> dict[str, int]:
    """The versions of the operator sets that a model imports, by domain; the default one as ""."""
    versions = {entry.domain: entry.version for entry in model.opset_import if entry.domain not in DEFAULT_DOMAINS}
    opset = opset_of(model)
    return versions if opset is None else {**versions, "": opset}


def subgraphs(node: onnx.NodeProto) -> dict[str, onnx.GraphProto]:
    """The graphs among a node's attributes, by name."""
    from onnx import AttributeProto

    return {attribute.name: attribute.g for attribute in node.attribute if attribute.type == AttributeProto.GRAPH}
