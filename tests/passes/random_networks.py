"""Random small ONNX networks of broadcasts, reductions, element-wise functions and moves, to test pipelines with."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

Shape = tuple[int, ...]
BINARY = ("Add", "Sub", "Mul", "Max", "Min")
UNARY = ("Relu", "Tanh", "Sigmoid", "Neg", "Abs")
REDUCTIONS = ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceL2", "ReduceLogSumExp")
MOST_WORDS = 400


class _Network:
    """Nodes as they are drawn; `shapes` of all tensors so far, the newest last."""

    def __init__(self, draw: st.DrawFn):
        self.draw = draw
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        extents = st.lists(st.integers(1, 4), min_size=1, max_size=3)
        self.inputs = [(f"x{i}", tuple(draw(extents))) for i in range(draw(st.integers(1, 2)))]
        self.shapes: dict[str, Shape] = dict(self.inputs)

    def node(self, op_type: str, *inputs: str, shape: Shape, **attributes: object) -> None:
        if math.prod(shape) <= MOST_WORDS:
            name = f"t{len(self.nodes)}"
            self.nodes.append(helper.make_node(op_type, inputs, [name], **attributes))
            self.shapes[name] = shape

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def axis(self, shape: Shape) -> int:
        return self.draw(st.integers(0, len(shape) - 1))

    def model(self) -> onnx.ModelProto:
        inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in self.inputs]
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in list(self.shapes.items())[-2:]
            if name not in dict(self.inputs)
        ]
        graph = helper.make_graph(self.nodes, "random", inputs, outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def _binary(network: _Network, name: str, shape: Shape) -> None:
    others = {other: both for other, extents in network.shapes.items() if (both := _broadcast(shape, extents))}
    # Rather one of another shape, which is repeated.
    unlike = [other for other in sorted(others) if network.shapes[other] != shape]
    other = network.draw(st.sampled_from(unlike or sorted(others)))
    operands = network.draw(st.permutations((name, other)))
    network.node(network.draw(st.sampled_from(BINARY)), *operands, shape=others[other])


def _broadcast(a: Shape, b: Shape) -> Shape | None:
    try:
        return tuple(np.broadcast_shapes(a, b))
    except ValueError:
        return None


def _with_constant(network: _Network, name: str, shape: Shape) -> None:
    extents = [n if network.draw(st.booleans()) else 1 for n in shape]
    words = np.random.default_rng(network.draw(st.integers(0, 9))).random(extents) + 0.5
    operands = network.draw(st.permutations((name, network.constant(words.astype(np.float32)))))
    network.node(network.draw(st.sampled_from(BINARY)), *operands, shape=shape)


def _unary(network: _Network, name: str, shape: Shape) -> None:
    network.node(network.draw(st.sampled_from(UNARY)), name, shape=shape)


def _reduce(network: _Network, name: str, shape: Shape) -> None:
    axes = sorted(network.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    keeps = network.draw(st.booleans())
    result = tuple(1 if axis in axes else n for axis, n in enumerate(shape) if keeps or axis not in axes)
    reduction = network.draw(st.sampled_from(REDUCTIONS))
    network.node(reduction, name, network.constant(np.array(axes, np.int64)), shape=result, keepdims=int(keeps))


def _transpose(network: _Network, name: str, shape: Shape) -> None:
    order = network.draw(st.permutations(range(len(shape))))
    network.node("Transpose", name, shape=tuple(shape[axis] for axis in order), perm=list(order))


def _softmax(network: _Network, name: str, shape: Shape) -> None:
    network.node("Softmax", name, shape=shape, axis=network.axis(shape))


def _concat(network: _Network, name: str, shape: Shape) -> None:
    axis = network.axis(shape)
    result = tuple(2 * n if a == axis else n for a, n in enumerate(shape))
    network.node("Concat", name, name, shape=result, axis=axis)


def _reshape(network: _Network, name: str, shape: Shape) -> None:
    size = math.prod(shape)
    rows = network.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
    result = (rows, size // rows)
    network.node("Reshape", name, network.constant(np.array(result, np.int64)), shape=result)


_KINDS: tuple[Callable[[_Network, str, Shape], None], ...] = (
    *[_binary] * 6,
    *[_reduce] * 4,
    _with_constant,
    _unary,
    _transpose,
    _softmax,
    _concat,
    _reshape,
)
_OF_SCALARS = (_binary, _unary)


@st.composite
def random_networks(draw: st.DrawFn) -> onnx.ModelProto:
    """A network of three to seven nodes on one or two inputs of up to three dimensions; the last are its outputs."""
    network = _Network(draw)
    for _ in range(draw(st.integers(3, 7))):
        names = list(network.shapes)
        name = names[-1] if draw(st.booleans()) else draw(st.sampled_from(names))
        shape = network.shapes[name]
        draw(st.sampled_from(_KINDS if shape else _OF_SCALARS))(network, name, shape)
    return network.model()
