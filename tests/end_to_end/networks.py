"""Small networks of every common shape, with random weights, for whole compilations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int]
NETWORKS: dict[str, Callable[[], onnx.ModelProto]] = {}


def network(build: Callable[[Graph], Sequence[str]]) -> Callable[[Graph], Sequence[str]]:
    """Register a network: `build` adds nodes to a graph and returns the names of the outputs."""
    name = build.__name__.replace("_", "-")

    def make() -> onnx.ModelProto:
        graph = Graph(sum(map(ord, name)))
        return graph.model(name, build(graph))

    NETWORKS[name] = make
    return build


class Graph:
    """Nodes and weights as they are added; every method returns the name of the tensor it makes."""

    def __init__(self, seed: int):
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._tensors: list[onnx.TensorProto] = []

    def input(self, *shape: int, name: str = "x", kind: int = TensorProto.FLOAT) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def add(self, op_type: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        """One node; with several outputs the first is returned, the others are called `NAME.1` and so on."""
        name = f"t{len(self._nodes)}"
        names = [name, *(f"{name}.{index}" for index in range(1, outputs))]
        self._nodes.append(helper.make_node(op_type, inputs, names, name=f"{op_type}_{len(self._nodes)}", **attributes))
        return name

    def rename(self, node: str, tensor: str) -> str:
        """Other names for the newest node and its tensor, which nothing reads yet."""
        self._nodes[-1].name = node
        self._nodes[-1].output[0] = tensor
        return tensor

    def constant(self, value: object, kind: type = np.float32) -> str:
        name = f"c{len(self._tensors)}"
        self._tensors.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def weight(self, *shape: int, positive: bool = False) -> str:
        """Random values, scaled so that activations keep their size."""
        values = self._random.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))
        return self.constant(np.abs(values) + 0.5 if positive else values)

    def conv(self, x: str, channels: int, filters: int, *kernel: int, groups: int = 1, **attributes: object) -> str:
        weight = self.weight(filters, channels // groups, *kernel)
        return self.add("Conv", x, weight, self.weight(filters), group=groups, **attributes)

    def norm(self, x: str, channels: int) -> str:
        parameters = [self.weight(channels, positive=index in (0, 3)) for index in range(4)]
        return self.add("BatchNormalization", x, *parameters)

    def model(self, name: str, outputs: Sequence[str]) -> onnx.ModelProto:
        results = [helper.make_empty_tensor_value_info(output) for output in outputs]
        graph = helper.make_graph(self._nodes, name, self._inputs, results, self._tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def inputs_of(model: onnx.ModelProto, seed: int = 5) -> dict[str, np.ndarray]:
    """Random arrays for the inputs of a model: all words of a byte, zeros and ones of other integers."""
    random = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    for value in model.graph.input:
        shape = [extent.dim_value for extent in value.type.tensor_type.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        if dtype.kind == "f":
            array = random.standard_normal(shape)
        else:
            low, high = (-128, 384) if dtype.itemsize == 1 and dtype.kind != "b" else (0, 2)
            array = random.integers(low, high, shape)
        arrays[value.name] = array.astype(dtype)
    return arrays


def reference_outputs(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime computes, without optimizations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


@network
def classifier(g: Graph) -> Sequence[str]:
    x = g.add("Relu", g.conv(g.input(1, 3, 12, 12), 3, 8, 3, 3, pads=[1, 1, 1, 1]))
    x = g.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.add("Relu", g.conv(x, 8, 12, 3, 3, strides=[2, 2]))
    x = g.add("Flatten", x)
    x = g.add("Gemm", x, g.weight(10, 48), g.weight(10), transB=1)
    return [g.add("Softmax", x)]


@network
def residual(g: Graph) -> Sequence[str]:
    x = g.add("Relu", g.norm(g.conv(g.input(1, 4, 9, 9), 4, 8, 3, 3, pads=[1, 1, 1, 1], strides=[2, 2]), 8))
    y = g.add("Relu", g.norm(g.conv(x, 8, 8, 3, 3, pads=[1, 1, 1, 1]), 8))
    y = g.norm(g.conv(y, 8, 8, 3, 3, pads=[1, 1, 1, 1]), 8)
    x = g.add("Relu", g.add("Add", y, x))
    y = g.norm(g.conv(x, 8, 16, 1, 1, strides=[2, 2]), 16)
    z = g.norm(g.conv(x, 8, 16, 3, 3, pads=[1, 1, 1, 1], strides=[2, 2]), 16)
    x = g.add("Relu", g.add("Sum", z, y))
    return [g.add("Flatten", g.add("GlobalAveragePool", x))]


@network
def inception(g: Graph) -> Sequence[str]:
    x = g.input(1, 6, 8, 8)
    a = g.add("Relu", g.conv(x, 6, 4, 1, 1))
    b = g.add("Relu", g.conv(g.conv(x, 6, 3, 1, 1), 3, 5, 3, 3, pads=[1, 1, 1, 1]))
    c = g.conv(g.add("MaxPool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 6, 3, 1, 1)
    x = g.add("Concat", a, b, c, axis=1)
    return [g.conv(x, 12, 4, 3, 3, pads=[0, 1, 1, 0])]


@network
def dense(g: Graph) -> Sequence[str]:
    x = g.conv(g.input(1, 3, 7, 7), 3, 4, 3, 3, pads=[1, 1, 1, 1])
    for channels in (4, 7, 10):
        y = g.conv(g.add("Relu", g.norm(x, channels)), channels, 3, 3, 3, pads=[1, 1, 1, 1])
        x = g.add("Concat", x, y, axis=1)
    return [x]


@network
def normalised_responses(g: Graph) -> Sequence[str]:
    x = g.conv(g.input(1, 3, 8, 8), 3, 11, 3, 3)
    x = g.add("LRN", x, size=5, alpha=1e-2, beta=0.75, bias=1.0)
    x = g.add("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    return [g.add("LRN", x, size=3)]


@network
def separable(g: Graph) -> Sequence[str]:
    x = g.input(2, 4, 8, 8)
    low, high = g.constant(0.0), g.constant(6.0)
    x = g.add("Clip", g.norm(g.conv(x, 4, 12, 1, 1), 12), low, high)
    x = g.add("Clip", g.norm(g.conv(x, 12, 12, 3, 3, groups=12, pads=[1, 1, 1, 1], strides=[2, 2]), 12), low, high)
    x = g.norm(g.conv(x, 12, 5, 1, 1), 5)
    return [g.add("ReduceMean", x, axes=[2, 3], keepdims=0)]


@network
def decoder(g: Graph) -> Sequence[str]:
    x = g.input(1, 5, 3, 4)
    x = g.add("ConvTranspose", x, g.weight(5, 4, 3, 3), g.weight(4), strides=[2, 2], pads=[1, 1, 1, 1],
              output_padding=[1, 0])  # fmt: skip
    x = g.add("Relu", x)
    x = g.add("Resize", x, "", g.constant([1, 1, 2, 2]), mode="nearest", nearest_mode="floor",
              coordinate_transformation_mode="asymmetric")  # fmt: skip
    x = g.add("ConvTranspose", x, g.weight(4, 1, 2, 3), strides=[3, 1], dilations=[1, 2], group=2)
    x = g.add("Resize", x, "", g.constant([1, 1, 0.5, 1.5]), mode="linear")
    return [g.add("Sigmoid", x)]


@network
def shuffled_groups(g: Graph) -> Sequence[str]:
    x = g.conv(g.input(1, 6, 6, 6), 6, 12, 1, 1, groups=3)
    x = g.add("Reshape", x, g.constant([1, 3, 4, 6, 6], np.int64))
    x = g.add("Transpose", x, perm=[0, 2, 1, 3, 4])
    x = g.add("Reshape", x, g.constant([1, 12, 6, 6], np.int64))
    x = g.conv(x, 12, 12, 3, 3, groups=4, dilations=[2, 2], pads=[2, 2, 2, 2])
    left = g.add("Split", x, g.constant([5, 7], np.int64), outputs=2, axis=1)
    return [g.add("Relu", left), g.add("Neg", f"{left}.1")]


@network
def sequence(g: Graph) -> Sequence[str]:
    x = g.conv(g.input(1, 4, 21), 4, 6, 5, dilations=[2], pads=[8, 0])
    x = g.add("PRelu", x, g.weight(6, 1))
    x = g.add("MaxPool", x, kernel_shape=[2], strides=[2], ceil_mode=1)
    x = g.add("LeakyRelu", g.conv(x, 6, 3, 3, strides=[3]), alpha=0.1)
    return [g.add("Transpose", x, perm=[0, 2, 1])]


@network
def volumes(g: Graph) -> Sequence[str]:
    x = g.add("Relu", g.conv(g.input(1, 2, 5, 6, 6), 2, 4, 3, 3, 3, pads=[1, 1, 1, 1, 1, 1], strides=[1, 2, 2]))
    x = g.add("MaxPool", x, kernel_shape=[2, 2, 2])
    return [g.conv(x, 4, 3, 1, 2, 1)]


@network
def attention(g: Graph) -> Sequence[str]:
    x = g.input(2, 6, 8)
    heads = []
    for _ in range(3):
        y = g.add("MatMul", x, g.weight(8, 8))
        heads.append(g.add("Reshape", y, g.constant([2, 6, 2, 4], np.int64)))
    q, v = (g.add("Transpose", each, perm=[0, 2, 1, 3]) for each in heads[::2])
    k = g.add("Transpose", heads[1], perm=[0, 2, 3, 1])
    weights = g.add("Softmax", g.add("Mul", g.add("MatMul", q, k), g.constant(0.5)), axis=-1)
    y = g.add("Transpose", g.add("MatMul", weights, v), perm=[0, 2, 1, 3])
    y = g.add("Add", x, g.add("Reshape", y, g.constant([2, 6, 8], np.int64)))
    y = g.add("LayerNormalization", y, g.weight(8), g.weight(8), axis=-1)
    return [g.add("Tanh", y)]


@network
def moved_data(g: Graph) -> Sequence[str]:
    x = g.input(1, 4, 6, 6)
    y = g.add("Slice", x, *(g.constant(each, np.int64) for each in ([4, 5], [0, -7], [2, 3], [-2, -1])))
    y = g.add("Pad", y, g.constant([0, 1, 0, 2, 0, 0, 1, 0], np.int64), g.constant(1.5), mode="constant")
    z = g.add("Gather", x, g.constant([3, 0, 2], np.int64), axis=1)
    w = g.add("DepthToSpace", x, blocksize=2)
    e = g.add("Expand", g.add("ReduceMax", x, axes=[2, 3]), g.constant([2, 4, 3, 1], np.int64))
    return [y, z, w, e, g.add("Tile", z, g.constant([1, 2, 1, 1], np.int64))]


@network
def excitation(g: Graph) -> Sequence[str]:
    x = g.add("HardSwish", g.conv(g.input(1, 3, 7, 7), 3, 8, 3, 3))
    y = g.add("Relu", g.conv(g.add("GlobalAveragePool", x), 8, 3, 1, 1))
    y = g.add("HardSigmoid", g.conv(y, 3, 8, 1, 1))
    return [g.add("Mul", x, y)]


@network
def reductions(g: Graph) -> Sequence[str]:
    x = g.input(3, 5, 7)
    norm = g.add("ReduceL2", x, axes=[-1])
    y = g.add("Div", x, norm)
    return [
        g.add("ReduceSum", y, g.constant([0, 2], np.int64), keepdims=0),
        g.add("ReduceMin", y, axes=[1]),
        g.add("ReduceProd", x, axes=[2]),
        g.add("ReduceLogSumExp", x, axes=[1]),
        g.add("LogSoftmax", x, axis=1),
    ]


@network
def bypass(g: Graph) -> Sequence[str]:
    x, y = g.input(2, 3), g.input(2, 3, name="y")
    total = g.add("Add", x, y)
    fixed = g.add("Identity", g.constant([[1, 2, 3], [4, 5, 6]]))
    return [g.add("Identity", x), total, g.add("Relu", total), fixed, g.add("Concat", x, fixed, total, axis=0)]


@network
def broadcasts(g: Graph) -> Sequence[str]:
    x = g.input(2, 3, 4)
    repeated = g.add("Expand", g.input(1, 4, name="row"), g.constant([3, 4], np.int64))
    y = g.add("Max", g.add("Add", x, repeated), g.input(3, 1, name="column"), g.weight(2, 1, 1))
    less = g.add("Less", x, repeated)
    return [y, g.add("Where", less, x, y), g.add("Cast", less, to=TensorProto.INT32)]


@network
def typed(g: Graph) -> Sequence[str]:
    x = g.input(2, 5, kind=TensorProto.INT64)
    y = g.add("Add", x, g.constant([1, 2, 3, 4, 5], np.int64))
    mask = g.input(2, 5, name="mask", kind=TensorProto.BOOL)
    return [y, g.add("Not", mask), g.add("Sqrt", g.add("Cast", y, to=TensorProto.FLOAT))]


@network
def odd_names(g: Graph) -> Sequence[str]:
    g.conv(g.input(1, 2, 5, 5, name='größe "1"\t; a/b'), 2, 3, 3, 3)
    x = g.rename('layer\n"été": #1', "tensor, = [x]")
    y = g.add("Relu", x)
    return [g.add("Mul", g.add("Neg", y), x)]


@network
def joins(g: Graph) -> Sequence[str]:
    x = g.input(1, 3, 6, 6)
    y = g.conv(x, 3, 4, 3, 3)
    rows = g.add("Reshape", g.add("Transpose", y, perm=[0, 2, 3, 1]), g.constant([1, 16, 4], np.int64))
    other = g.input(1, 5, 4, name="other")
    first = g.add("Concat", rows, g.add("Relu", other), axis=1)
    twice = g.add("Concat", first, rows, first, axis=1)
    fixed = g.add("Concat", twice, g.constant(np.ones((1, 2, 4))), other, axis=1)
    return [fixed, first, g.add("Neg", y), g.add("Softmax", fixed, axis=1)]
