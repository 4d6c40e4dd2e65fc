"""Small networks with seeded weights: what each of several rewrites of the chain is for, and two whole blocks.

python benchmarks/models/rewrites.py --network activations --output out/activations.onnx
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from bert import Size, bert
from building import GraphBuilder, save
from onnx import TensorProto

IMAGE = (1, 32, 28, 28)
KERNEL = (32, 32, 3, 3)
SAME = [1, 1, 1, 1]
"""Padding that keeps the size of an image under a 3 x 3 kernel."""


def activations(seed: int = 0) -> onnx.ModelProto:
    """Convolutions before SiLU, hard swish and GELU as exporters spell them: x times a function of x."""
    graph = GraphBuilder("activations", "image", IMAGE, seed)
    for name, value in (("root_of_2", math.sqrt(2)), ("1", 1), ("half", 0.5)):
        graph.weight(name, np.array(value, np.float32))
    x = graph.layer("Conv", "image", "conv1", KERNEL, pads=SAME)
    x = graph.apply("Mul", [x, graph.apply("Sigmoid", [x], "sigmoid")], "silu")
    x = graph.layer("Conv", x, "conv2", KERNEL, pads=SAME)
    x = graph.apply("Mul", [x, graph.apply("HardSigmoid", [x], "gate", alpha=1 / 6, beta=0.5)], "hard_swish")
    x = graph.layer("Conv", x, "conv3", KERNEL, pads=SAME)
    y = graph.apply("Erf", [graph.apply("Div", [x, "root_of_2"], "scaled")], "erf")
    y = graph.apply("Mul", [x, graph.apply("Add", [y, "1"], "shifted")], "product")
    return graph.model(graph.apply("Mul", [y, "half"], "gelu"), IMAGE)


def shuffled(seed: int = 0) -> onnx.ModelProto:
    """A channel shuffle between two convolutions in groups."""
    graph = GraphBuilder("shuffled", "image", IMAGE, seed)
    _, channels, height, width = IMAGE
    graph.integers("groups", (1, 4, channels // 4, height, width))
    graph.integers("joined", IMAGE)
    x = graph.layer("Conv", "image", "conv1", (channels, channels // 4, 1, 1), group=4)
    x = graph.apply("Transpose", [graph.apply("Reshape", [x, "groups"], "split")], "shuffle", perm=[0, 2, 1, 3, 4])
    x = graph.apply("Reshape", [x, "joined"], "join")
    return graph.model(graph.layer("Conv", x, "conv2", (channels, channels // 4, 1, 1), group=4), IMAGE)


def padded(seed: int = 0) -> onnx.ModelProto:
    """Pads before convolutions: on one side for a stride, as TensorFlow does, and of a value that is not 0."""
    graph = GraphBuilder("padded", "image", IMAGE, seed)
    graph.integers("one_side", (0, 0, 0, 0, 0, 0, 1, 1))
    graph.integers("all_sides", (0, 0, 1, 1, 0, 0, 1, 1))
    graph.weight("grey", np.array(0.5, np.float32))
    x = graph.apply("Pad", ["image", "all_sides", "grey"], "pad1")
    x = graph.layer("Conv", x, "conv1", KERNEL)
    x = graph.apply("Pad", [x, "one_side"], "pad2")
    x = graph.layer("Conv", x, "conv2", KERNEL, strides=[2, 2])
    return graph.model(x, (1, 32, 14, 14))


def preactivated(seed: int = 0) -> onnx.ModelProto:
    """A residual block that activates before its convolutions (He et al., ECCV 2016): its input has two readers."""
    graph = GraphBuilder("preactivated", "image", IMAGE, seed)
    x = graph.layer("Conv", graph.apply("Relu", ["image"], "relu1"), "conv1", KERNEL, pads=SAME)
    x = graph.layer("Conv", graph.apply("Relu", [x], "relu2"), "conv2", KERNEL, pads=SAME)
    return graph.model(graph.apply("Add", [x, "image"], "sum"), IMAGE)


def embedded(seed: int = 0) -> onnx.ModelProto:
    """Rows of an embedding, looked up by number, in a product: a factorized embedding (Lan et al., ICLR 2020)."""
    graph = GraphBuilder("embedded", "ids", (1, 32), seed, TensorProto.INT64)
    words = graph.weight("words", graph.uniform((1000, 64), -1, 1))
    matrix = graph.weight("matrix", graph.uniform((64, 128), -0.2, 0.2))
    return graph.model(
        graph.apply("MatMul", [graph.apply("Gather", [words, "ids"], "lookup"), matrix], "product"), (1, 32, 128)
    )


def quantized_weights(seed: int = 0) -> onnx.ModelProto:
    """A convolution of floats whose kernel is stored in int8."""
    block = _QuantizedGraph("quantized_weights", IMAGE, seed)
    return block.graph.model(block.convolution("image", "conv", KERNEL), IMAGE)


def quantized(seed: int = 0) -> onnx.ModelProto:
    """Three convolutions in a row in the QDQ format: uint8 tensors, int8 kernels with a scale per filter."""
    block = _QuantizedGraph("quantized", IMAGE, seed)
    x = block.quantized("image", "image")
    for name in ("1", "2", "3"):
        x = block.graph.apply("Relu", [block.convolution(x, f"conv{name}", KERNEL)], f"relu{name}")
        x = block.quantized(x, f"relu{name}")
    return block.graph.model(x, IMAGE)


def joined(seed: int = 0) -> onnx.ModelProto:
    """A concatenation of an input with a convolution of it, as in a dense block, before another convolution."""
    graph = GraphBuilder("joined", "image", IMAGE, seed)
    x = graph.layer("Conv", "image", "conv1", KERNEL, pads=SAME)
    x = graph.apply("Concat", ["image", x], "concat", axis=1)
    return graph.model(graph.layer("Conv", x, "conv2", (32, 64, 3, 3), pads=SAME), IMAGE)


def transformer_block(seed: int = 0) -> onnx.ModelProto:
    """A layer of a small BERT encoder: attention of two heads and a feed-forward network on 64 positions."""
    return bert(Size(layers=1, hidden=128, heads=2, intermediate=512, sequence=64), seed=seed)


def int8_block(seed: int = 0) -> onnx.ModelProto:
    """A basic block of ResNet-18 in the QDQ format: uint8 tensors, int8 kernels with a scale per filter."""
    block = _QuantizedGraph("int8_block", (1, 64, 28, 28), seed)
    shortcut = block.quantized("image", "image")
    x = block.convolution(shortcut, "conv1", (64, 64, 3, 3))
    x = block.quantized(block.graph.apply("Relu", [x], "relu1"), "relu1")
    x = block.quantized(block.convolution(x, "conv2", (64, 64, 3, 3)), "conv2")
    x = block.graph.apply("Relu", [block.graph.apply("Add", [x, shortcut], "sum")], "relu2")
    return block.graph.model(block.quantized(x, "relu2"), (1, 64, 28, 28))


class _QuantizedGraph:
    """A graph in the QDQ format."""

    SCALE = np.float32(1 / 32)
    KERNEL_SCALE = np.float32(1 / 2048)

    def __init__(self, name: str, shape: Sequence[int], seed: int):
        self.graph = GraphBuilder(name, "image", shape, seed)
        self.graph.weight("scale", np.array(self.SCALE))
        self.graph.weight("zero", np.array(128, np.uint8))

    def quantized(self, x: str, name: str) -> str:
        """A tensor rounded to uint8 and back."""
        x = self.graph.apply("QuantizeLinear", [x, "scale", "zero"], f"{name}.quantize")
        return self.graph.apply("DequantizeLinear", [x, "scale", "zero"], f"{name}.dequantize")

    def convolution(self, x: str, name: str, shape: Sequence[int]) -> str:
        """A padded convolution with an int8 kernel and an int32 bias."""
        graph, filters = self.graph, shape[0]
        scales = self.KERNEL_SCALE * graph.uniform((filters,), 0.5, 1.5)
        kernel = np.rint(graph.uniform(shape, -127, 127)).astype(np.int8)
        bias = np.rint(graph.uniform((filters,), -2000, 2000)).astype(np.int32)
        parts = {"kernel": (kernel, scales), "bias": (bias, scales * self.SCALE)}
        values = [
            graph.apply(
                "DequantizeLinear",
                [
                    graph.weight(f"{name}.{part}.words", words),
                    graph.weight(f"{name}.{part}.scale", scale),
                    graph.weight(f"{name}.{part}.zero", np.zeros(filters, words.dtype)),
                ],
                f"{name}.{part}",
                axis=0,
            )
            for part, (words, scale) in parts.items()
        ]
        return graph.apply("Conv", [x, *values], name, pads=SAME)


NETWORKS: dict[str, Callable[[int], onnx.ModelProto]] = {
    network.__name__: network
    for network in (
        activations,
        shuffled,
        padded,
        preactivated,
        embedded,
        quantized_weights,
        quantized,
        joined,
        transformer_block,
        int8_block,
    )
}


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="A small network with what a rewrite of the chain is for.")
    parser.add_argument("--network", choices=sorted(NETWORKS), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    save(NETWORKS[arguments.network](arguments.seed), arguments.output)


if __name__ == "__main__":
    main()
