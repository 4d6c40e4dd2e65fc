"""A float model made ready to be quantized: whole, of a new enough opset, normalization folded into convolutions."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.importer.graph import NamedNode, prepare_graph
from compiler.importer.inputs import DeclaredInput, declared_inputs
from compiler.importer.loading import DEFAULT_DOMAINS, read_model, with_external_data
from compiler.importer.local_functions import inline_functions
from compiler.onnx_runtime import Level, Session
from compiler.quantization.options import Format, QuantizeOptions
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean
from dialects.onnx.native_errors import NATIVE_ERRORS, reason_of

if TYPE_CHECKING:
    import onnx

STAGE = "quantization"
PURPOSE = "quantization"
OLDEST_OPSET = 13
"""The first opset whose QuantizeLinear has one scale a channel."""
WIDE_OPSET = 21
"""The first opset with integers of 16 and 4 bits."""
BYTES = frozenset(("int8", "uint8"))
QUANTIZED_OPERATORS = frozenset(
    (
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
    )
)


@dataclass(frozen=True)
class FloatModel:
    """A model to quantize: `original` as it is in the file, but with names for all nodes, and `prepared` from it."""

    original: onnx.ModelProto
    prepared: onnx.ModelProto
    inputs: tuple[DeclaredInput, ...]


def prepare_model(path: Path, options: QuantizeOptions) -> FloatModel:
    """Read a float model and prepare it.

    Raises `CatenaError` as `compiler.importer.import_model` does for files; CAT-Q001 for a model that is quantized
    already, CAT-C001 for excluded nodes that it does not have or that are folded into others, CAT-U005 if its opset
    cannot be raised, CAT-C004 and CAT-V002 from ONNX Runtime.
    """
    loaded = read_model(path)
    model = inline_functions(with_external_data(loaded.model, path))
    graph = prepare_graph(model)
    inputs = tuple(declared_inputs(graph.inputs))
    _refuse(_already_quantized(graph.nodes))
    _refuse(_unknown_nodes(options.exclude, (node.name for node in graph.nodes)))
    original = _with_nodes(model, graph.nodes)
    wide = options.format is Format.FIXED16 or not {options.activation_type, options.weight_type} <= BYTES
    prepared = _folded(_raised(original, graph.opset, WIDE_OPSET if wide else OLDEST_OPSET))
    left = {node.name for node in prepared.graph.node}
    _refuse(
        Diagnostic(
            "CAT-C001",
            f"the excluded node {name!r} is folded into another one before quantization",
            stage=STAGE,
            node=name,
            hint="exclude the convolution or product that it belongs to",
        )
        for name in options.exclude
        if name not in left
    )
    return FloatModel(original, prepared, inputs)


def _refuse(problems: Iterable[Diagnostic]) -> None:
    found = tuple(problems)
    if found:
        raise CatenaError(found)


def _already_quantized(nodes: Iterable[NamedNode]) -> Iterable[Diagnostic]:
    for node in nodes:
        if node.proto.op_type in QUANTIZED_OPERATORS:
            yield Diagnostic(
                "CAT-Q001",
                f"the model is quantized already: it has {node.proto.op_type}",
                stage=STAGE,
                node=node.name,
                expected="a model that computes in float",
                hint="catena compile takes it as it is",
            )


def _unknown_nodes(excluded: Iterable[str], nodes: Iterable[str]) -> Iterable[Diagnostic]:
    names = tuple(nodes)
    for name in excluded:
        if name not in names:
            hint = did_you_mean(name, names)
            yield Diagnostic("CAT-C001", f"the model has no node {name!r} to exclude", stage=STAGE, hint=hint)


def _with_nodes(model: onnx.ModelProto, nodes: Iterable[NamedNode]) -> onnx.ModelProto:
    """A copy with these nodes only, under their unique names."""
    copy = type(model)()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    for node in nodes:
        copy.graph.node.add().CopyFrom(node.proto)
        copy.graph.node[-1].name = node.name
    return copy


def _raised(model: onnx.ModelProto, opset: int, target: int) -> onnx.ModelProto:
    """The model in an opset of at least `target`."""
    from google.protobuf.message import DecodeError, EncodeError
    from onnx import helper, shape_inference, version_converter

    if opset < target:
        own_errors = (version_converter.ConvertError, shape_inference.InferenceError)
        try:
            model = version_converter.convert_version(model, target)
        except (DecodeError, EncodeError, *own_errors, *NATIVE_ERRORS) as error:
            raise CatenaError(
                Diagnostic(
                    "CAT-U005",
                    f"opset {opset} cannot be raised for quantization: {reason_of(error).rpartition('failed: ')[2]}",
                    stage=STAGE,
                    expected=f"opset {target} or newer",
                    found=str(opset),
                    hint="export the model again with a newer opset",
                )
            ) from error
    # Initializers that are inputs, as in IR version 3, would not count as constants.
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in given]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, helper.find_min_ir_version_for(model.opset_import))
    return model


def _folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model after ONNX Runtime's basic optimizations, which fold constants and normalization.

    They may bring in operators of ONNX Runtime's own; the model is then left as it was.
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        Session(model.SerializeToString(), Level.BASIC, PURPOSE, optimized_path=str(path))
        folded = onnx.load(path)
    return folded if all(node.domain in DEFAULT_DOMAINS for node in folded.graph.node) else model
