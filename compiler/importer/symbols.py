"""Extents that follow from declared ones: ONNX's inference names the open extents that are equal.

What a model declares of its outputs says, through the nodes between, how long a tensor before them is: the length of a
`Range` whose cosine is the output. ONNX's inference gives every open extent a symbol and carries it on; where a symbol
meets a declared extent, it has that extent everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from compiler.importer.graph import ModelGraph
from compiler.importer.inputs import StaticInput
from dialects.onnx.native_errors import NATIVE_ERRORS
from passes.lower_onnx.table import FAMILIES

if TYPE_CHECKING:
    import onnx

_KEEPS_SHAPE = frozenset({"Cast", "Identity", *FAMILIES["Activation"]})
"""Operators whose result has the shape of their first input."""

_DATA_LIMIT = 4096
"""The most elements of an initializer that inference is shown: shapes, axes, bounds."""


def with_equal_extents(graph: ModelGraph, inputs: Sequence[StaticInput]) -> Mapping[str, onnx.ValueInfoProto]:
    """What the model declares of its tensors, and what follows from it for others whose extents are then known.

    Where inference does not even find a rank, as in the body of a loop that declares no types, operators on single
    elements still have the shape of their results. Of tensors before those the element type is left open.
    """
    from onnx import ValueInfoProto

    inferred = list(_inferred(graph, inputs))
    extents = _extents_of_symbols(inferred, graph.declared)
    found = dict(graph.declared)
    for value in inferred:
        open_ = [each for each in value.type.tensor_type.shape.dim if each.dim_param]
        if value.name not in found and open_ and all(each.dim_param in extents for each in open_):
            for dimension in open_:
                dimension.dim_value = extents[dimension.dim_param]
            found[value.name] = value
    known = {value.name for value in inferred if value.type.tensor_type.HasField("shape")}
    for node in reversed(graph.nodes):
        if node.proto.op_type in _KEEPS_SHAPE and node.proto.output[0] in found:
            source = ValueInfoProto(name=node.proto.input[0])
            source.type.tensor_type.shape.CopyFrom(found[node.proto.output[0]].type.tensor_type.shape)
            if source.name not in known:
                found.setdefault(source.name, source)
    return found


def _extents_of_symbols(
    inferred: Sequence[onnx.ValueInfoProto], declared: Mapping[str, onnx.ValueInfoProto]
) -> Mapping[str, int]:
    """The extent of every symbol that meets declared ones which agree."""
    seen: dict[str, set[int]] = {}
    for value in inferred:
        if value.name in declared:
            mine = value.type.tensor_type.shape.dim
            theirs = declared[value.name].type.tensor_type.shape.dim
            if len(mine) == len(theirs):
                for symbol, extent in zip(mine, theirs, strict=True):
                    # Exporters write 0 for extents that they do not know.
                    if symbol.dim_param and extent.dim_value > 0:
                        seen.setdefault(symbol.dim_param, set()).add(extent.dim_value)
    return {symbol: next(iter(extents)) for symbol, extents in seen.items() if len(extents) == 1}


def _inferred(graph: ModelGraph, inputs: Sequence[StaticInput]) -> Iterator[onnx.ValueInfoProto]:
    """Types of the tensors between inputs and outputs and of the outputs, from the inputs on; none if that fails."""
    from onnx import SparseTensorProto, TensorProto, ValueInfoProto, helper, shape_inference

    values = [helper.make_tensor_value_info(each.name, each.element_type, each.shape) for each in inputs]
    words: list[TensorProto] = []
    for name, tensor in graph.initializers.items():
        if isinstance(tensor, np.ndarray):
            values.append(
                helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(tensor.dtype), tensor.shape)
            )
        elif isinstance(tensor, SparseTensorProto):
            values.append(helper.make_tensor_value_info(name, tensor.values.data_type, tensor.dims))
        elif math.prod(tensor.dims) > _DATA_LIMIT or tensor.data_location == TensorProto.EXTERNAL:
            values.append(helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
        else:
            words.append(tensor)
    model = helper.make_model(
        helper.make_graph(
            [node.proto for node in graph.nodes],
            "shapes",
            values,
            [ValueInfoProto(name=value.name) for value in graph.outputs],
            words,
        ),
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in graph.opsets.items()],
        ir_version=graph.ir_version,
    )
    try:
        found = shape_inference.infer_shapes(model, data_prop=True)
    except (shape_inference.InferenceError, *NATIVE_ERRORS):
        return
    yield from found.graph.value_info
    yield from found.graph.output
