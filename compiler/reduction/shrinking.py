"""Smaller versions of a model: fewer nodes, smaller extents, plainer constants, fewer attributes and inputs of nodes.

Every function gives candidates, the boldest first; whether one still fails is for others to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from compiler.reduction.parts import known_values, names_read, part_of

if TYPE_CHECKING:
    import onnx

_COUNTING_ATTRIBUTES = ("group", "hidden_size")
"""Attributes that are extents of tensors."""
_SHAPE_LENGTH = 16
"""Elements of integer constants that may be shapes, at most."""

Size = tuple[int, ...]


def size_of(model: onnx.ModelProto) -> Size:
    """What is to become smaller, the most important first.

    Nodes, elements of inputs and constants, constants whose elements differ, inputs and attributes of nodes.
    """
    graph = model.graph
    elements = sum(int(np.prod(tensor.dims)) for tensor in graph.initializer)
    elements += sum(int(np.prod([dim.dim_value or 1 for dim in _dims(value)])) for value in graph.input)
    varied = sum(not _is_uniform(tensor) for tensor in graph.initializer)
    read = sum(bool(name) for node in graph.node for name in node.input)
    return len(graph.node), elements, varied, read, sum(len(node.attribute) for node in graph.node)


def fewer_nodes(model: onnx.ModelProto, parts: int) -> Iterator[onnx.ModelProto]:
    """With the nodes in so many runs of equal length: each run alone, then all but each run."""
    values, count = known_values(model), len(model.graph.node)
    edges = [count * part // parts for part in range(parts + 1)]
    runs = [set(range(start, end)) for start, end in pairwise(edges) if start < end]
    everything = set(range(count))
    chosen = runs if parts == 2 else [*runs, *(everything - run for run in runs)]
    for kept in chosen:
        if kept and kept != everything:
            found = part_of(model, kept, values)
            if found is not None:
                yield found


def smaller_extents(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """With one extent replaced by a smaller one, wherever inputs, constants and shapes have it; then in one place."""
    extents = Counter(dim.dim_value for value in model.graph.input for dim in _dims(value))
    extents.update(extent for tensor in model.graph.initializer for extent in tensor.dims)
    for extent in sorted((each for each in extents if each > 1), reverse=True):
        for smaller in _smaller(extent):
            yield _with_extent(model, extent, smaller)
    for number, value in enumerate(model.graph.input):
        for place, dim in enumerate(_dims(value)):
            for smaller in _smaller(dim.dim_value):
                found = _copy(model)
                _dims(found.graph.input[number])[place].dim_value = smaller
                yield _unshaped(found)


def plainer_constants(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """With all elements of a constant alike: zero, or its first one."""
    from onnx import numpy_helper

    for number, tensor in enumerate(model.graph.initializer):
        if _is_uniform(tensor):
            continue
        array = numpy_helper.to_array(tensor)
        for fill in (np.zeros((), array.dtype), array.reshape(-1)[0]):
            found = _copy(model)
            found.graph.initializer[number].CopyFrom(numpy_helper.from_array(np.full_like(array, fill), tensor.name))
            yield found


def plainer_nodes(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """Without one attribute, or one input, of a node; or with a node passed by, its output being its first input."""
    for number, node in enumerate(model.graph.node):
        for attribute in range(len(node.attribute)):
            found = _copy(model)
            del found.graph.node[number].attribute[attribute]
            yield _unshaped(found)
        for place in reversed(range(1, len(node.input))):
            if node.input[place]:
                found = _copy(model)
                found.graph.node[number].input[place] = ""
                while found.graph.node[number].input and not found.graph.node[number].input[-1]:
                    del found.graph.node[number].input[-1]
                yield _swept(_unshaped(found))


def bypassed_nodes(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """Without one node, whose readers read its first input in the place of its output."""
    for number, node in enumerate(model.graph.node):
        if not node.input or not node.input[0] or len(model.graph.node) == 1:
            continue
        found = _copy(model)
        del found.graph.node[number]
        names = dict.fromkeys((name for name in node.output if name), node.input[0])
        for other in found.graph.node:
            for place, name in enumerate(other.input):
                other.input[place] = names.get(name, name)
        made = {name for other in found.graph.node for name in other.output}
        kept = [value for value in found.graph.output if value.name in made]
        if kept:
            del found.graph.output[:]
            found.graph.output.extend(kept)
            yield _swept(_unshaped(found))


def _smaller(extent: int) -> list[int]:
    return sorted({each for each in (1, 2, 3, extent // 2, extent - 1) if 0 < each < extent})


def _with_extent(model: onnx.ModelProto, extent: int, smaller: int) -> onnx.ModelProto:
    from onnx import numpy_helper

    found = _copy(model)
    for value in found.graph.input:
        for dim in _dims(value):
            if dim.dim_value == extent:
                dim.dim_value = smaller
    for tensor in found.graph.initializer:
        array = numpy_helper.to_array(tensor)
        cut = array[tuple(slice(smaller if length == extent else None) for length in array.shape)]
        if cut.dtype.kind == "i" and cut.ndim == 1 and cut.size <= _SHAPE_LENGTH:
            cut = np.where(cut == extent, smaller, cut).astype(cut.dtype)
        if cut.shape != array.shape or not np.array_equal(cut, array):
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(cut), tensor.name))
    for node in found.graph.node:
        for attribute in node.attribute:
            if attribute.name in _COUNTING_ATTRIBUTES and attribute.i == extent:
                attribute.i = smaller
    return _unshaped(found)


def _unshaped(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what was inferred of it, which a change has made wrong; outputs keep their rank."""
    model.graph.ClearField("value_info")
    for value in model.graph.output:
        for dim in _dims(value):
            dim.Clear()
    return model


def _swept(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without inputs and constants that nothing reads."""
    read = {name for node in model.graph.node for name in names_read(node)}
    for values in (model.graph.input, model.graph.initializer):
        for place in reversed(range(len(values))):
            if values[place].name not in read:
                del values[place]
    return model


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    found = type(model)()
    found.CopyFrom(model)
    return found


def _dims(value: onnx.ValueInfoProto) -> Any:
    return value.type.tensor_type.shape.dim


def _is_uniform(tensor: onnx.TensorProto) -> bool:
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor).reshape(-1)
    return array.size == 0 or bool((array == array[0]).all())
