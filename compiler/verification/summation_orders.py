"""By how much ONNX Runtime differs from itself when it adds up the products of a model in other orders.

It computes with 16-bit integers in float32, which does not hold sums of their products exactly, so the order decides on
which side of a rounding some sums end. Such differences of a last place spread from layer to layer, and soon are as
large as they get, whatever the first one was: so this is how far apart two right results can be. Optimization levels do
not show it, because for 16-bit integers ONNX Runtime has the same kernels with and without optimizations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from compiler.arrays import Array
from compiler.verification.reference import plain_session

if TYPE_CHECKING:
    import onnx

ORDERS = 4
"""Orders besides the model's own."""
INPUTS = 8
"""Inputs that results are compared on: those given, and others made of the same words."""

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Pair: TypeAlias = tuple[Mapping[str, Array], Mapping[str, Array]]
"""Two results by output."""


def differing_results(model: onnx.ModelProto, inputs: Mapping[str, Array], shapes: Shapes) -> Iterator[Pair]:
    """Results of a model, those of a pair on the same inputs and added up in different orders.

    `shapes` are those of the model's tensors. Nothing runs before it is asked for. Raises `CatenaError` as
    `compiler.verification.reference.reference_tensors`.
    """
    models = [model, *(reordered(model, shapes, seed) for seed in range(ORDERS))]
    sessions = [plain_session(each) for each in models]
    for distance in range(INPUTS):
        moved = {name: np.roll(array, distance, -1) if array.ndim else array for name, array in inputs.items()}
        yield from combinations([session.run(moved) for session in sessions], 2)


def reordered(model: onnx.ModelProto, shapes: Shapes, seed: int) -> onnx.ModelProto:
    """The model with the channels of its convolutions and the summed dimensions of its matrix products in random order.

    Convolutions in groups stay as they are, and what has an operand that `shapes` does not know.
    """
    from onnx import ModelProto, helper, numpy_helper

    known = {**shapes, **{tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}}
    random = np.random.default_rng(seed)
    changed = ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    for index, node in enumerate(model.graph.node):
        copy = type(node)()
        copy.CopyFrom(node)
        axes = _summed_axes(node, known)
        if axes:
            extent = known[node.input[0]][axes[0]]
            order = f"order {index}"
            changed.graph.initializer.append(numpy_helper.from_array(random.permutation(extent), order))
            for operand, axis in enumerate(axes):
                copy.input[operand] = f"operand {operand} in {order}"
                gather = helper.make_node("Gather", [node.input[operand], order], [copy.input[operand]], axis=axis)
                changed.graph.node.append(gather)
        changed.graph.node.append(copy)
    return changed


def _summed_axes(node: onnx.NodeProto, shapes: Shapes) -> tuple[int, ...]:
    """The dimension of the first and of the second operand whose products are added up, if a node has such ones."""
    flags = {attribute.name: attribute.i for attribute in node.attribute}
    if any(name not in shapes for name in node.input[:2]):
        return ()
    match node.op_type:
        case "Conv":
            return (1, 1) if flags.get("group", 1) == 1 else ()
        case "Gemm":
            return (0 if flags.get("transA") else 1, 1 if flags.get("transB") else 0)
        case "MatMul":
            return (-1, max(-2, -len(shapes[node.input[1]])))
        case _:
            return ()
