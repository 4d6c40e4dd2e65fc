"""VGG-16 and VGG-19 (Simonyan and Zisserman, ICLR 2015, configurations D and E) with seeded weights.

python benchmarks/models/vgg.py --output out/vgg16.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx
from building import GraphBuilder, save

CLASSES = 1000
GROUPS = {
    depth: ((2, 64), (2, 128), *((count, filters) for filters in (256, 512, 512)))
    for depth, count in ((16, 3), (19, 4))
}
"""Convolutions before each pool, and their filters, by the depth of the network."""
HIDDEN = 4096


def vgg(
    depth: int = 16, batch: int = 1, size: int = 224, width: int = 1, seed: int = 0, hollow: bool = False
) -> onnx.ModelProto:
    """The network for `batch` images of `size` x `size`, filters and hidden units divided by `width`.

    Raises `KeyError` for another depth than those of `GROUPS`.
    """
    graph = GraphBuilder(f"vgg{depth}", "input", (batch, 3, size, size), seed, hollow=hollow)
    x, channels, groups = "input", 3, GROUPS[depth]
    for group, (count, filters) in enumerate(groups, 1):
        for index in range(1, count + 1):
            name, shape = f"conv{group}_{index}", (filters // width, channels, 3, 3)
            x = graph.layer("Conv", x, name, shape, kernel_shape=[3] * 2, pads=[1] * 4)
            x, channels = graph.apply("Relu", [x], f"{name}.relu"), shape[0]
        x = graph.apply("MaxPool", [x], f"pool{group}", kernel_shape=[2] * 2, strides=[2] * 2)
    x = graph.apply("Flatten", [x], "flatten", axis=1)
    inputs = channels * (size >> len(groups)) ** 2
    for name in ("fc6", "fc7"):
        x = graph.layer("Gemm", x, name, (HIDDEN // width, inputs), transB=1)
        x, inputs = graph.apply("Relu", [x], f"{name}.relu"), HIDDEN // width
    x = graph.layer("Gemm", x, "fc8", (CLASSES, inputs), transB=1)
    return graph.model(graph.apply("Softmax", [x], "prob", axis=1), (batch, CLASSES))


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate VGG-16 or VGG-19 with seeded weights.")
    parser.add_argument("--depth", type=int, choices=sorted(GROUPS), default=16)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--width", type=int, default=1, help="divide filters and hidden units by this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hollow", action="store_true", help="weights are inputs: the network's shapes only")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    of = arguments.batch, arguments.size, arguments.width, arguments.seed, arguments.hollow
    save(vgg(arguments.depth, *of), arguments.output)


if __name__ == "__main__":
    main()
