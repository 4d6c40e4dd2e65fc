"""ONNX model to `onnx` dialect: checked, static, constants folded, weights outside the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp

from compiler.importer.building import ModuleBuilder
from compiler.importer.graph import prepare_graph
from compiler.importer.inputs import declared_inputs, is_tensor_of_numbers, static_shapes
from compiler.importer.loading import read_model, read_split_model, with_words
from compiler.importer.local_functions import inline_functions
from compiler.importer.old_opsets import OLDEST_OPSET, raise_opset

if TYPE_CHECKING:
    import onnx

__all__ = ["import_model"]


def import_model(
    source: Path | onnx.ModelProto,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    batch: int | None = None,
    allows_host: bool = False,
    maps_words: bool = False,
) -> ModuleOp:
    """Read an ONNX model of opset 7 or newer (older ones are converted) into the `onnx` dialect.

    The result is `func.func @main` with one argument for each model input that is not an initializer and one
    result for each output, named by `onnx.name`; `onnx.*` ops with static shapes, located by node name; and
    `weights.constant` ops. float16, bfloat16 and float64 are carried as float32; `onnx.dtype` notes what arguments and
    results are in the model.

    `input_shapes` gives the shape of dynamic inputs, `batch` the value of unknown leading dimensions (else 1).
    External data is read relative to the model's folder. With `allows_host`, what cannot be a chain becomes host
    segments (`dialects.host_segment`), and inputs of other kinds than tensors of numbers go to them. With `maps_words`
    weights may stay in the file until they are used: it must not change as long as the module lives.

    Raises `CatenaError` with every problem found: CAT-C001, CAT-C002, CAT-M001 to CAT-M004, CAT-U001 to
    CAT-U005; CAT-C004 if a host segment is needed and ONNX Runtime is not installed.
    """
    # Segments hold models of their own, with their initializers.
    loaded = read_model(source) if allows_host else read_split_model(source, maps_words)
    model = inline_functions(loaded.model)
    graph = prepare_graph(model, is_supported=not allows_host)
    host_inputs = [value for value in graph.inputs if not is_tensor_of_numbers(value)] if allows_host else []
    inputs = static_shapes(
        declared_inputs(value for value in graph.inputs if value not in host_inputs), input_shapes or {}, batch
    )
    if graph.opset < OLDEST_OPSET:
        graph = prepare_graph(raise_opset(with_words(model, loaded.words), graph, inputs))
    else:
        graph = replace(graph, initializers={**graph.initializers, **loaded.words})
    if allows_host:
        from compiler.importer.fallback import import_with_fallback

        return import_with_fallback(graph, inputs, host_inputs, loaded.folder)
    return ModuleBuilder(graph, loaded.folder).build(inputs)
