"""The layers of a model whose weights can be pruned: convolutions and products by constant matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from compiler.arrays import Array
from compiler.importer.graph import NamedNode

if TYPE_CHECKING:
    import onnx

_WEIGHT = {"Conv": 1, "Gemm": 1, "MatMul": 1}
"""Operators with weights, and which input they are."""


@dataclass(frozen=True)
class Layer:
    """A node and the name of its weights; `filters` is the dimension of these that filters are, of `groups` groups."""

    node: str
    operator: str
    weights: str
    filters: int
    groups: int

    def arranged(self, weights: Array) -> Array:
        """Weights as [groups, filters of a group, channels, positions of a channel]."""
        moved = np.moveaxis(weights, self.filters, 0)
        channels = moved.shape[1]
        return moved.reshape(self.groups, moved.shape[0] // self.groups, channels, -1)

    def restored(self, arranged: Array, shape: Sequence[int]) -> Array:
        """The inverse of `arranged`."""
        moved = (shape[self.filters], *(extent for dim, extent in enumerate(shape) if dim != self.filters))
        return np.moveaxis(arranged.reshape(moved), 0, self.filters)


def prunable_layers(nodes: Sequence[NamedNode], graph: onnx.GraphProto) -> Iterator[Layer]:
    """The layers whose weights are float constants that nothing else reads, in the order of the graph."""
    from onnx import TensorProto

    floats = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
    ranks = {each.name: len(each.dims) for each in graph.initializer if each.data_type in floats and all(each.dims)}
    readers = Counter(name for node in nodes for name in node.proto.input)
    readers.update(output.name for output in graph.output)
    for node in nodes:
        proto = node.proto
        place = _WEIGHT.get(proto.op_type)
        if place is None or proto.domain or len(proto.input) <= place:
            continue
        name = proto.input[place]
        if name not in ranks or readers[name] != 1:
            continue
        attributes = {each.name: each.i for each in proto.attribute}
        if proto.op_type == "Conv":
            yield Layer(node.name, proto.op_type, name, 0, attributes.get("group", 1))
        elif ranks[name] == 2:
            is_turned = proto.op_type == "Gemm" and bool(attributes.get("transB", 0))
            yield Layer(node.name, proto.op_type, name, 0 if is_turned else 1, 1)
