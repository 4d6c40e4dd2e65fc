"""MobileNet-v2 (Sandler et al., CVPR 2018) with seeded weights and batch normalization left in place.

python benchmarks/models/mobilenet_v2.py --output out/mobilenet_v2.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from building import GraphBuilder, save

CLASSES = 1000
FIRST, LAST = 32, 1280
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, filters, how many bottlenecks and the first one's stride: table 2 of the paper."""
RESIDUAL_GAIN = 0.25


class MobileNetV2:
    """Builds the network."""

    def __init__(self, batch: int, size: int, seed: int):
        self._batch = batch
        self._graph = GraphBuilder("mobilenet_v2", "input", (batch, 3, size, size), seed)

    def build(self) -> onnx.ModelProto:
        """The network from image to logits."""
        graph = self._graph
        self._bounds = [graph.weight(f"relu6.{side}", np.float32(bound)) for side, bound in (("low", 0), ("high", 6))]
        x, channels = self._relu6(self._convolution("conv1", "input", 3, FIRST, 3, 2)), FIRST
        index = 0
        for expansion, filters, count, first in BLOCKS:
            for stride in (first, *[1] * (count - 1)):
                index += 1
                x, channels = self._bottleneck(f"block{index}", x, channels, expansion, filters, stride), filters
        x = self._relu6(self._convolution("conv2", x, channels, LAST, 1))
        x = graph.apply("GlobalAveragePool", [x], "pool")
        x = graph.layer("Gemm", graph.apply("Flatten", [x], "flatten", axis=1), "fc", (CLASSES, LAST), transB=1)
        return graph.model(x, (self._batch, CLASSES))

    def _bottleneck(self, name: str, x: str, channels: int, expansion: int, filters: int, stride: int) -> str:
        """Expand, filter each channel, project; what comes in is added where shapes allow it."""
        y, inner = x, channels * expansion
        if expansion > 1:
            y = self._relu6(self._convolution(f"{name}.expand", y, channels, inner, 1))
        y = self._relu6(self._convolution(f"{name}.depthwise", y, inner, inner, 3, stride, inner))
        adds = stride == 1 and channels == filters
        y = self._convolution(f"{name}.project", y, inner, filters, 1, gain=RESIDUAL_GAIN if adds else 1.0)
        return self._graph.apply("Add", [x, y], f"{name}.add") if adds else y

    def _convolution(
        self,
        name: str,
        x: str,
        channels: int,
        filters: int,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        gain: float = 1.0,
    ) -> str:
        """A convolution and its batch normalization."""
        weight = self._graph.kernel(f"{name}.weight", (filters, channels // groups, kernel, kernel))
        y = self._graph.apply(
            "Conv", [x, weight], name, group=groups, kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[kernel // 2] * 4,
        )  # fmt: skip
        return self._graph.normalization(y, f"{name}.norm", filters, gain)

    def _relu6(self, x: str) -> str:
        return self._graph.apply("Clip", [x, *self._bounds], f"{x}.relu6")


def mobilenet_v2(batch: int = 1, size: int = 224, seed: int = 0) -> onnx.ModelProto:
    """The network of width 1 for `batch` images of `size` x `size`."""
    return MobileNetV2(batch, size, seed).build()


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate MobileNet-v2 with seeded weights.")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    save(mobilenet_v2(arguments.batch, arguments.size, arguments.seed), arguments.output)


if __name__ == "__main__":
    main()
