"""Building ONNX graphs with seeded weights: equal arguments give equal files on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8


class GraphBuilder:
    """A graph made node by node; `apply` returns the name of a result.

    A `hollow` one has shapes only: floating-point weights are inputs, and no numbers are drawn for them.
    """

    def __init__(
        self,
        name: str,
        input_name: str,
        shape: Sequence[int],
        seed: int,
        kind: int = TensorProto.FLOAT,
        hollow: bool = False,
    ):
        self._name = name
        self._hollow = hollow
        self._inputs: list[onnx.ValueInfoProto] = []
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)
        self.input(input_name, shape, kind)

    def input(self, name: str, shape: Sequence[int], kind: int = TensorProto.FLOAT) -> str:
        """Add an input of an ONNX element type."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def apply(self, operator: str, inputs: Sequence[str], name: str, **attributes: object) -> str:
        """Add a node called `name` whose only result has the same name."""
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def weight(self, name: str, values: npt.NDArray[np.generic]) -> str:
        """Add an initializer, or, if the graph is hollow, an input."""
        if self._hollow:
            return self.input(name, values.shape)
        return self.constant(name, values)

    def constant(self, name: str, values: npt.NDArray[np.generic]) -> str:
        """Add an initializer, of a hollow graph too: what says a shape."""
        self._initializers.append(numpy_helper.from_array(np.asarray(values, order="C"), name))
        return name

    def integers(self, name: str, values: Sequence[int]) -> str:
        """Add an int64 vector, as shapes and axes are given."""
        return self.constant(name, np.array(values, np.int64))

    def uniform(self, shape: Sequence[int], low: float, high: float) -> npt.NDArray[np.float32]:
        """Random numbers between two bounds, from `Generator.random`, which is the same everywhere."""
        if self._hollow:
            return np.broadcast_to(np.float32(0), tuple(shape))
        drawn = self._random.random(tuple(shape), dtype=np.float32)
        return drawn * np.float32(high - low) + np.float32(low)

    def kernel(self, name: str, shape: Sequence[int], gain: float = 1.0) -> str:
        """A convolution kernel or matrix whose products keep the variance of their input times `gain` squared."""
        bound = gain * (6.0 / float(np.prod(shape[1:]))) ** 0.5
        return self.weight(name, self.uniform(shape, -bound, bound))

    def layer(
        self,
        operator: str,
        x: str,
        name: str,
        shape: Sequence[int],
        gain: float = 1.0,
        **attributes: object,
    ) -> str:
        """A convolution or dense layer (`Conv` or `Gemm`) with a kernel of `shape` and a bias."""
        weight = self.kernel(f"{name}.weight", shape, gain)
        bias = self.weight(f"{name}.bias", self.uniform(shape[:1], -0.1, 0.1))
        return self.apply(operator, [x, weight, bias], name, **attributes)

    def normalization(self, x: str, name: str, channels: int, gain: float = 1.0) -> str:
        """A batch normalization with statistics near those of a normalized tensor."""
        ranges = {"scale": (0.8 * gain, 1.2 * gain), "shift": (-0.1, 0.1), "mean": (-0.1, 0.1), "var": (0.75, 1.25)}
        statistics = [
            self.weight(f"{name}.{part}", self.uniform((channels,), low, high)) for part, (low, high) in ranges.items()
        ]
        return self.apply("BatchNormalization", [x, *statistics], name)

    def model(
        self, output: str, shape: Sequence[int], others: Mapping[str, Sequence[int]] | None = None
    ) -> onnx.ModelProto:
        """The checked model with `output`, and `others` by name and shape, as its results."""
        shapes = {output: shape, **(others or {})}
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, each) for name, each in shapes.items()]
        graph = helper.make_graph(self._nodes, self._name, self._inputs, results, self._initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return model


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, making the folder if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
