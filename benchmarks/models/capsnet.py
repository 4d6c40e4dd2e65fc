"""CapsNet for MNIST (Sabour, Frosst, Hinton: NIPS 2017) with seeded weights: three iterations of routing.

python benchmarks/models/capsnet.py --output out/capsnet.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from building import GraphBuilder, save

ITERATIONS = 3
FILTERS = 256
PRIMARY, CLASSES = 8, 16
"""Length of a primary capsule and of a class capsule."""
DIGITS = 10


class CapsNet:
    """Builds the network, without the decoder that only training needs."""

    def __init__(self, size: int, filters: int, seed: int):
        self._graph = GraphBuilder("capsnet", "input", (1, 1, size, size), seed)
        self._filters = filters
        self._grid = (size - 8 - 9) // 2 + 1

    def build(self) -> onnx.ModelProto:
        """The network from image to the length of every class capsule."""
        graph, filters = self._graph, self._filters
        x = graph.layer("Conv", "input", "conv1", (filters, 1, 9, 9), kernel_shape=[9, 9])
        x = graph.apply("Relu", [x], "relu1")
        x = graph.layer("Conv", x, "primary", (filters, filters, 9, 9), kernel_shape=[9, 9], strides=[2, 2])
        capsules = filters // PRIMARY * self._grid**2
        # Channels are capsule types by components: capsules are rows of components.
        x = self._reshape("types", x, (1, filters // PRIMARY, PRIMARY, self._grid**2))
        x = graph.apply("Transpose", [x], "rows", perm=[0, 1, 3, 2])
        x = self._squash("primary.squash", self._reshape("capsules", x, (1, capsules, PRIMARY)))
        bound = (3.0 / PRIMARY) ** 0.5
        weight = graph.weight("digits.weight", graph.uniform((capsules, DIGITS, PRIMARY, CLASSES), -bound, bound))
        votes = graph.apply("Einsum", [x, weight], "votes", equation="nid,ijde->nije")
        logits = graph.weight("logits", np.zeros((1, capsules, DIGITS), np.float32))
        for iteration in range(1, ITERATIONS + 1):
            name = f"routing{iteration}"
            shares = graph.apply("Softmax", [logits], f"{name}.shares", axis=2)
            total = graph.apply("Einsum", [shares, votes], f"{name}.sum", equation="nij,nije->nje")
            outputs = self._squash(f"{name}.squash", total)
            if iteration < ITERATIONS:
                agreement = graph.apply("Einsum", [votes, outputs], f"{name}.agreement", equation="nije,nje->nij")
                logits = graph.apply("Add", [logits, agreement], f"{name}.logits")
        return graph.model(graph.apply("ReduceL2", [outputs], "lengths", axes=[2], keepdims=0), (1, DIGITS))

    def _reshape(self, name: str, x: str, shape: tuple[int, ...]) -> str:
        target = self._graph.integers(f"{name}.shape", shape)
        return self._graph.apply("Reshape", [x, target], name)

    def _squash(self, name: str, x: str) -> str:
        """x scaled to the length |x|^2 / (1 + |x|^2), along the last axis."""
        graph = self._graph
        axes = graph.integers(f"{name}.axes", (2,))
        one = graph.weight(f"{name}.one", np.ones((1,), np.float32))
        tiny = graph.weight(f"{name}.tiny", np.full((1,), 1e-7, np.float32))
        squared = graph.apply("ReduceSum", [graph.apply("Mul", [x, x], f"{name}.square"), axes], f"{name}.norm")
        length = graph.apply("Sqrt", [graph.apply("Add", [squared, tiny], f"{name}.safe")], f"{name}.length")
        divisor = graph.apply("Add", [squared, one], f"{name}.divisor")
        return graph.apply("Mul", [x, graph.apply("Div", [length, divisor], f"{name}.scale")], name)


def capsnet(size: int = 28, filters: int = FILTERS, seed: int = 0) -> onnx.ModelProto:
    """CapsNet for images of `size` x `size` (at least 17) with `filters` (a multiple of 8) in its convolutions."""
    return CapsNet(size, filters, seed).build()


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate CapsNet with seeded weights.")
    parser.add_argument("--size", type=int, default=28, help="height and width of the image")
    parser.add_argument("--filters", type=int, default=FILTERS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    save(capsnet(arguments.size, arguments.filters, arguments.seed), arguments.output)


if __name__ == "__main__":
    main()
