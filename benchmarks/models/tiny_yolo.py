"""Tiny YOLOv3 (Redmon and Farhadi, 2018) and Tiny YOLOv4 (Bochkovskiy et al., 2020) with seeded weights.

    python benchmarks/models/tiny_yolo.py --version 4 --output out/tiny_yolov4.onnx

The networks from image to both heads, whose boxes are not decoded; batch normalization is left in place.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from building import GraphBuilder, save

BOXES, CLASSES = 3, 80
HEAD = BOXES * (CLASSES + 5)
SLOPE = 0.1


class TinyYolo:
    """Builds a network, convolution by convolution."""

    def __init__(self, version: int, size: int, seed: int, hollow: bool):
        self._size = size
        self._graph = GraphBuilder(f"tiny_yolov{version}", "input", (1, 3, size, size), seed, hollow=hollow)
        self._convolutions = 0

    def version_3(self) -> onnx.ModelProto:
        """Convolutions with pools between them, then two heads."""
        x, channels = "input", 3
        for filters in (16, 32, 64, 128):
            x = self._pool(self._convolution(x, channels, filters, 3))
            channels = filters
        fine = self._convolution(x, 128, 256, 3)
        x = self._convolution(self._pool(fine), 256, 512, 3)
        x = self._convolution(self._pool(x, stride=1), 512, 1024, 3)
        return self._heads(self._convolution(x, 1024, 256, 1), fine)

    def version_4(self) -> onnx.ModelProto:
        """Two strided convolutions and three blocks of which half of the channels pass two convolutions, then heads."""
        x = self._convolution(self._convolution("input", 3, 32, 3, 2), 32, 64, 3, 2)
        fine, channels = "", 64
        for filters in (64, 128, 256):
            whole = self._convolution(x, channels, filters, 3)
            bounds = ([filters // 2], [filters], [1])
            names = [
                self._graph.integers(f"{whole}.{p}", v) for p, v in zip(("from", "to", "axis"), bounds, strict=True)
            ]
            half = self._graph.apply("Slice", [whole, *names], f"{whole}.half")
            first = self._convolution(half, filters // 2, filters // 2, 3)
            second = self._convolution(first, filters // 2, filters // 2, 3)
            fine = self._convolution(self._join([second, first]), filters, filters, 1)
            x, channels = self._pool(self._join([whole, fine])), 2 * filters
        return self._heads(self._convolution(self._convolution(x, 512, 512, 3), 512, 256, 1), fine)

    def _heads(self, x: str, fine: str) -> onnx.ModelProto:
        """Boxes from 256 channels, and from those together with a tensor of 256 channels, twice as high and wide."""
        coarse = self._head(self._convolution(x, 256, 512, 3), 512)
        scales = self._graph.constant("scales", np.array([1, 1, 2, 2], np.float32))
        narrow = self._convolution(x, 256, 128, 1)
        wide = self._graph.apply("Resize", [narrow, "", scales], "upsample", mode="nearest")
        detailed = self._head(self._convolution(self._join([wide, fine]), 128 + 256, 256, 3), 256)
        cells = self._size // 32
        return self._graph.model(coarse, (1, HEAD, cells, cells), {detailed: (1, HEAD, 2 * cells, 2 * cells)})

    def _convolution(self, x: str, channels: int, filters: int, kernel: int, stride: int = 1) -> str:
        self._convolutions += 1
        name, graph = f"conv{self._convolutions}", self._graph
        weight = graph.kernel(f"{name}.weight", (filters, channels, kernel, kernel))
        pads = [kernel // 2] * 4
        y = graph.apply("Conv", [x, weight], name, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads)
        y = graph.normalization(y, f"{name}.norm", filters)
        return graph.apply("LeakyRelu", [y], f"{name}.leaky", alpha=SLOPE)

    def _head(self, x: str, channels: int) -> str:
        self._convolutions += 1
        return self._graph.layer("Conv", x, f"conv{self._convolutions}", (HEAD, channels, 1, 1), kernel_shape=[1, 1])

    def _pool(self, x: str, stride: int = 2) -> str:
        pads = [0, 0, 2 - stride, 2 - stride]
        return self._graph.apply("MaxPool", [x], f"{x}.pool", kernel_shape=[2, 2], strides=[stride] * 2, pads=pads)

    def _join(self, parts: list[str]) -> str:
        return self._graph.apply("Concat", parts, f"{parts[0]}.joined", axis=1)


def tiny_yolo(version: int, size: int = 416, seed: int = 0, hollow: bool = False) -> onnx.ModelProto:
    """Version 3 or 4 for an image of `size` x `size`, a multiple of 32."""
    network = TinyYolo(version, size, seed, hollow)
    return network.version_3() if version == 3 else network.version_4()


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate Tiny YOLOv3 or Tiny YOLOv4 with seeded weights.")
    parser.add_argument("--version", type=int, choices=(3, 4), default=4)
    parser.add_argument("--size", type=int, default=416, help="height and width of the image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hollow", action="store_true", help="weights are inputs: the network's shapes only")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    save(tiny_yolo(arguments.version, arguments.size, arguments.seed, arguments.hollow), arguments.output)


if __name__ == "__main__":
    main()
