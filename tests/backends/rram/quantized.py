"""Small quantized networks, compiled for cores with crossbars, and what they should compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from xdsl.dialects.builtin import ModuleOp

from backends.program import Program
from backends.rram.emulator import MulticoreEmulator
from backends.rram.steps import Pace
from compiler.compilation import CompileOptions, compile_model
from compiler.driver import SilentObserver, StageRun
from compiler.execution import random_inputs
from compiler.targets import select_target
from dialects.gconv.interpreter import Interpreter

SMALL = {"cores.count": "40", "cores.crossbars": "1", "crossbar.rows": "16", "crossbar.columns": "16"}
"""A chip on which layers of a few channels take many cores."""


@dataclass
class Network:
    """Nodes and constants of a quantized network that grows tensor by tensor."""

    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list[onnx.NodeProto])
    constants: list[onnx.TensorProto] = field(default_factory=list[onnx.TensorProto])

    def constant(self, value: Any) -> str:
        """A constant of its own."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """A node with one result, named after it."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [name], name=f"{op_type}.{name}", **attributes))
        return name

    def scales(self, scale: float, zero: int) -> list[str]:
        """Scale and zero point of a tensor of bytes."""
        return [self.constant(np.float32(scale)), self.constant(np.uint8(zero))]

    def conv(self, x: str, channels: int, filters: int, size: int, groups: int = 1, **attributes: Any) -> str:
        """A convolution, 8 bits in and out."""
        shape = (filters, channels // groups, size, size)
        weights = [
            self.constant(self.random.integers(-127, 128, shape).astype(np.int8)),
            self.constant((self.random.random(filters) * 0.01 + 0.002).astype(np.float32)),
            self.constant(np.zeros(filters, np.int8)),
        ]
        bias = self.constant(self.random.integers(-2000, 2000, filters).astype(np.int32))
        inputs = [x, *self.scales(0.02, 3), *weights, *self.scales(0.5, 5), bias]
        return self.node("QLinearConv", inputs, group=groups, **attributes)

    def add(self, x: str, y: str) -> str:
        """The sum of two tensors of bytes."""
        parts = [self.node("DequantizeLinear", [each, *self.scales(0.5, 5)]) for each in (x, y)]
        return self.node("QuantizeLinear", [self.node("Add", parts), *self.scales(0.6, 9)])

    def model(self, shape: Sequence[int], *results: str) -> onnx.ModelProto:
        """The network from `x`, bytes of this shape, to some results."""
        inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.UINT8, shape)]
        outputs = [onnx.ValueInfoProto(name=name) for name in results]
        graph = helper.make_graph(self.nodes, "network", inputs, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(model)


def one_layer(
    seed: int, channels: int, filters: int, size: int, extent: int, groups: int = 1, **more: Any
) -> onnx.ModelProto:
    """A convolution alone."""
    network = Network(np.random.default_rng(seed))
    return network.model((1, channels, extent, extent), network.conv("x", channels, filters, size, groups, **more))


def residual(seed: int, extent: int = 6) -> onnx.ModelProto:
    """Convolutions, depthwise and with a residual, pooling between them."""
    network = Network(np.random.default_rng(seed))
    first = network.conv("x", 4, 12, 3, pads=[1, 1, 1, 1])
    depthwise = network.conv(first, 12, 12, 3, 12, pads=[1, 1, 1, 1])
    joined = network.add(first, network.conv(depthwise, 12, 12, 1))
    pooled = network.node("MaxPool", [joined], kernel_shape=[2, 2], strides=[2, 2])
    return network.model((1, 4, extent, extent), network.conv(pooled, 12, 9, 3, strides=[2, 2], pads=[1, 1, 1, 1]))


def placed(model: onnx.ModelProto, settings: Mapping[str, str], *, fuse: bool = False) -> ModuleOp:
    """The IR of stage `placed`."""
    options = CompileOptions(stop="placed", fuse=fuse)
    return compile_model(model, select_target("rram", settings), options).module


@dataclass(frozen=True)
class Ready:
    """A program, random inputs for it, and what the interpreter of the chain makes of them."""

    program: Program
    inputs: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray]

    def emulate(self, mode: str = "blocks", pace: Pace | None = None) -> MulticoreEmulator:
        """Run it; all results are those of the interpreter, to the bit."""
        emulator = MulticoreEmulator(self.program, mode, pace)
        results = emulator.run(self.inputs)
        assert results.keys() == self.expected.keys()
        for name, expected in self.expected.items():
            np.testing.assert_array_equal(results[name], expected)
        return emulator

    @property
    def alone(self) -> list[int]:
        """Cycles that layers are predicted to take alone on a free bus."""
        return [layer.alone for layer in self.program.layers if layer.alone is not None]

    def differences(self, emulator: MulticoreEmulator, but: str = "") -> dict[str, dict[str, tuple[int, int]]]:
        """By layer, counts that were predicted and came out otherwise; but for one."""
        found: dict[str, dict[str, tuple[int, int]]] = {}
        for layer in self.program.layers:
            counted = emulator.counters[layer.name].flat()
            assert counted.keys() == layer.predicted.keys()
            both = {name: (layer.predicted[name], counted[name]) for name in counted if name != but}
            if wrong := {name: pair for name, pair in both.items() if pair[0] != pair[1]}:
                found[layer.name] = wrong
        return found


class _Chain(SilentObserver):
    """Keeps the module as it is before links are mapped."""

    def __init__(self) -> None:
        self.module: ModuleOp | None = None

    def after_stage(self, run: StageRun, module: ModuleOp) -> None:
        """A stage has run."""
        if run.stage == "encoded":
            self.module = module.clone()


def ready(model: onnx.ModelProto, settings: Mapping[str, str], seed: int = 0, *, fuse: bool = False) -> Ready:
    """Compile a model for the target with some settings, and interpret it."""
    chain = _Chain()
    program = compile_model(model, select_target("rram", settings), CompileOptions(fuse=fuse), [chain]).program
    assert program is not None
    assert chain.module is not None
    inputs = random_inputs(program, seed)
    return Ready(program, inputs, Interpreter(chain.module).run(inputs))
