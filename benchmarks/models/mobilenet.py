"""MobileNet-v1 (Howard et al., 2017) with seeded weights and batch normalization left in place.

python benchmarks/models/mobilenet.py --output out/mobilenet.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx
from building import GraphBuilder, save

CLASSES = 1000
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
"""Filters and stride of every depthwise separable convolution: table 1 of the paper."""


def mobilenet(batch: int = 1, size: int = 224, seed: int = 0) -> onnx.ModelProto:
    """The network for `batch` images of `size` x `size`, from image to probabilities."""
    graph = GraphBuilder("mobilenet_v1", "input", (batch, 3, size, size), seed)

    def convolution(name: str, x: str, channels: int, filters: int, kernel: int, stride: int, groups: int = 1) -> str:
        weight = graph.kernel(f"{name}.weight", (filters, channels // groups, kernel, kernel))
        y = graph.apply(
            "Conv", [x, weight], name, group=groups, kernel_shape=[kernel] * 2, strides=[stride] * 2,
            pads=[kernel // 2] * 4,
        )  # fmt: skip
        return graph.apply("Relu", [graph.normalization(y, f"{name}.norm", filters)], f"{name}.relu")

    x, channels = convolution("conv1", "input", 3, 32, 3, 2), 32
    for index, (filters, stride) in enumerate(BLOCKS, 2):
        x = convolution(f"conv{index}.depthwise", x, channels, channels, 3, stride, channels)
        x, channels = convolution(f"conv{index}.pointwise", x, channels, filters, 1, 1), filters
    x = graph.apply("GlobalAveragePool", [x], "pool")
    x = graph.apply("Flatten", [x], "flatten", axis=1)
    x = graph.layer("Gemm", x, "fc", (CLASSES, channels), transB=1)
    return graph.model(graph.apply("Softmax", [x], "prob", axis=1), (batch, CLASSES))


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate MobileNet-v1 with seeded weights.")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    save(mobilenet(arguments.batch, arguments.size, arguments.seed), arguments.output)


if __name__ == "__main__":
    main()
