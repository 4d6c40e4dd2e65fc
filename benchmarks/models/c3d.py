"""C3D (Tran et al., ICCV 2015) with seeded weights: 3-D convolutions over 16 frames.

python benchmarks/models/c3d.py --output out/c3d.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx
from building import GraphBuilder, save

CLASSES = 487
FRAMES, SIZE = 16, 112
GROUPS = (("1a",), ("2a",), ("3a", "3b"), ("4a", "4b"), ("5a", "5b"))
FILTERS = (64, 128, 256, 512, 512)
HIDDEN = 4096


def c3d(size: int = SIZE, width: int = 1, seed: int = 0) -> onnx.ModelProto:
    """The network for one clip of 16 frames of `size` x `size`, filters and hidden units divided by `width`."""
    graph = GraphBuilder("c3d", "input", (1, 3, FRAMES, size, size), seed)
    x, channels, frames, extent = "input", 3, FRAMES, size
    for group, (names, filters) in enumerate(zip(GROUPS, FILTERS, strict=True), 1):
        for name in names:
            shape = (filters // width, channels, 3, 3, 3)
            x = graph.layer("Conv", x, f"conv{name}", shape, kernel_shape=[3] * 3, pads=[1] * 6)
            x, channels = graph.apply("Relu", [x], f"relu{name}"), shape[0]
        # The first pool keeps the frames; the last one sees a border.
        depth, border = (1 if group == 1 else 2), int(group == len(GROUPS))
        window = [depth, 2, 2]
        pads = [0, border, border] * 2
        x = graph.apply("MaxPool", [x], f"pool{group}", kernel_shape=window, strides=window, pads=pads)
        frames, extent = frames // depth, (extent + 2 * border) // 2
    x = graph.apply("Flatten", [x], "flatten", axis=1)
    inputs = channels * frames * extent * extent
    for name in ("fc6", "fc7"):
        x = graph.layer("Gemm", x, name, (HIDDEN // width, inputs), transB=1)
        x, inputs = graph.apply("Relu", [x], f"{name}.relu"), HIDDEN // width
    x = graph.layer("Gemm", x, "fc8", (CLASSES, inputs), transB=1)
    return graph.model(graph.apply("Softmax", [x], "prob", axis=1), (1, CLASSES))


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate C3D with seeded weights.")
    parser.add_argument("--size", type=int, default=SIZE, help="height and width of the frames")
    parser.add_argument("--width", type=int, default=1, help="divide filters and hidden units by this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    save(c3d(arguments.size, arguments.width, arguments.seed), arguments.output)


if __name__ == "__main__":
    main()
