"""GoogLeNet (Szegedy et al., CVPR 2015, table 1) with seeded weights, without the classifiers used in training.

python benchmarks/models/googlenet.py --output out/googlenet.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx
from building import GraphBuilder, save

CLASSES = 1000
INCEPTIONS = {
    # filters of: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; projection behind the pool
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
POOLED_BEFORE = ("4a", "5a")
"""Inceptions behind a pool of stride 2."""


class GoogLeNet:
    """Builds the network for images of `size` x `size`."""

    def __init__(self, batch: int, size: int, seed: int):
        self._batch = batch
        self._graph = GraphBuilder("googlenet", "input", (batch, 3, size, size), seed)

    def build(self) -> onnx.ModelProto:
        """The network from image to probabilities."""
        x = self._conv("conv1", "input", 3, 64, 7, 2)
        x = self._normalized("norm1", self._pool("pool1", x))
        x = self._conv("conv2.reduce", x, 64, 64, 1)
        x = self._normalized("norm2", self._conv("conv2", x, 64, 192, 3))
        x, channels = self._pool("pool2", x), 192
        for name, filters in INCEPTIONS.items():
            if name in POOLED_BEFORE:
                x = self._pool(f"pool{name}", x)
            x, channels = self._inception(name, x, channels, filters)
        x = self._graph.apply("GlobalAveragePool", [x], "pool5")
        x = self._graph.apply("Flatten", [x], "flatten", axis=1)
        x = self._graph.layer("Gemm", x, "fc", (CLASSES, channels), transB=1)
        return self._graph.model(self._graph.apply("Softmax", [x], "prob", axis=1), (self._batch, CLASSES))

    def _inception(self, name: str, x: str, channels: int, filters: tuple[int, ...]) -> tuple[str, int]:
        """Four branches side by side; the number of channels they make together."""
        ones, reduce3, threes, reduce5, fives, projection = filters
        pooled = self._graph.apply(
            "MaxPool", [x], f"{name}.pool", kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]
        )
        branches = [
            self._conv(f"{name}.1x1", x, channels, ones, 1),
            self._conv(f"{name}.3x3", self._conv(f"{name}.3x3.reduce", x, channels, reduce3, 1), reduce3, threes, 3),
            self._conv(f"{name}.5x5", self._conv(f"{name}.5x5.reduce", x, channels, reduce5, 1), reduce5, fives, 5),
            self._conv(f"{name}.projection", pooled, channels, projection, 1),
        ]
        made = ones + threes + fives + projection
        return self._graph.apply("Concat", branches, f"{name}.output", axis=1), made

    def _conv(self, name: str, x: str, channels: int, filters: int, size: int, stride: int = 1) -> str:
        attributes = {"kernel_shape": [size] * 2, "strides": [stride] * 2, "pads": [size // 2] * 4}
        y = self._graph.layer("Conv", x, name, (filters, channels, size, size), **attributes)
        return self._graph.apply("Relu", [y], f"{name}.relu")

    def _pool(self, name: str, x: str) -> str:
        return self._graph.apply("MaxPool", [x], name, kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])

    def _normalized(self, name: str, x: str) -> str:
        return self._graph.apply("LRN", [x], name, alpha=1e-4, beta=0.75, bias=1.0, size=5)


def googlenet(batch: int = 1, size: int = 224, seed: int = 0) -> onnx.ModelProto:
    """GoogLeNet for `batch` images of `size` x `size`."""
    return GoogLeNet(batch, size, seed).build()


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate GoogLeNet with seeded weights.")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    save(googlenet(arguments.batch, arguments.size, arguments.seed), arguments.output)


if __name__ == "__main__":
    main()
