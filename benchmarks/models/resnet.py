"""ResNets (He et al., CVPR 2016) with seeded weights and batch normalization left in place.

python benchmarks/models/resnet.py --depth 50 --output out/resnet50.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx
from building import GraphBuilder, save

BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
CLASSES = 1000
RESIDUAL_GAIN = 0.25


class ResNet:
    """Builds the network.

    The stride of a bottleneck is in its 3 x 3 convolution, as in version 1.5, or, in an `original` one, in its first.
    """

    def __init__(self, depth: int, batch: int, size: int, seed: int, original: bool = False, hollow: bool = False):
        self._depth = depth
        self._batch = batch
        self._original = original
        self._graph = GraphBuilder(f"resnet{depth}", "input", (batch, 3, size, size), seed, hollow=hollow)

    def build(self) -> onnx.ModelProto:
        """The network from image to logits."""
        x = self._conv("conv1", "input", 3, 64, 7, 2)
        x = self._relu("relu1", x)
        x = self._graph.apply("MaxPool", [x], "pool1", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
        channels = 64
        for layer, count in enumerate(BLOCKS[self._depth], 1):
            for index in range(count):
                stride = 2 if layer > 1 and index == 0 else 1
                x, channels = self._block(f"layer{layer}.{index}", x, channels, 64 << (layer - 1), stride)
        x = self._graph.apply("GlobalAveragePool", [x], "pool2")
        x = self._graph.apply("Flatten", [x], "flatten", axis=1)
        weight = self._graph.kernel("fc.weight", (CLASSES, channels))
        bias = self._graph.weight("fc.bias", self._graph.uniform((CLASSES,), -0.1, 0.1))
        x = self._graph.apply("Gemm", [x, weight, bias], "fc", transB=1)
        return self._graph.model(x, (self._batch, CLASSES))

    def _block(self, name: str, x: str, channels: int, width: int, stride: int) -> tuple[str, int]:
        """A basic block or a bottleneck; the last normalization is scaled down so that sums do not grow."""
        if self._depth < 50:
            out = width
            y = self._relu(f"{name}.relu1", self._conv(f"{name}.conv1", x, channels, width, 3, stride))
            y = self._conv(f"{name}.conv2", y, width, out, 3, 1, RESIDUAL_GAIN)
        else:
            out = 4 * width
            first, second = (stride, 1) if self._original else (1, stride)
            y = self._relu(f"{name}.relu1", self._conv(f"{name}.conv1", x, channels, width, 1, first))
            y = self._relu(f"{name}.relu2", self._conv(f"{name}.conv2", y, width, width, 3, second))
            y = self._conv(f"{name}.conv3", y, width, out, 1, 1, RESIDUAL_GAIN)
        if stride != 1 or channels != out:
            x = self._conv(f"{name}.downsample", x, channels, out, 1, stride)
        total = self._graph.apply("Add", [y, x], f"{name}.add")
        return self._relu(f"{name}.relu3", total), out

    def _conv(self, name: str, x: str, channels: int, filters: int, size: int, stride: int, gain: float = 1.0) -> str:
        """A convolution and its batch normalization."""
        graph = self._graph
        weight = graph.kernel(f"{name}.weight", (filters, channels, size, size))
        y = graph.apply("Conv", [x, weight], name, kernel_shape=[size] * 2, strides=[stride] * 2, pads=[size // 2] * 4)
        ranges = {"scale": (0.8 * gain, 1.2 * gain), "shift": (-0.1, 0.1), "mean": (-0.1, 0.1), "var": (0.75, 1.25)}
        statistics = [
            graph.weight(f"{name}.{part}", graph.uniform((filters,), low, high)) for part, (low, high) in ranges.items()
        ]
        return graph.apply("BatchNormalization", [y, *statistics], f"{name}.norm")

    def _relu(self, name: str, x: str) -> str:
        return self._graph.apply("Relu", [x], name)


def resnet(
    depth: int, batch: int = 1, size: int = 224, seed: int = 0, original: bool = False, hollow: bool = False
) -> onnx.ModelProto:
    """ResNet-`depth` (a key of `BLOCKS`) for `batch` images of `size` x `size`. Raises `KeyError` for another depth."""
    return ResNet(depth, batch, size, seed, original, hollow).build()


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate a ResNet with seeded weights.")
    parser.add_argument("--depth", type=int, choices=sorted(BLOCKS), default=50)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--size", type=int, default=224, help="height and width of the image")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--original", action="store_true", help="bottlenecks have their stride in the first convolution"
    )
    parser.add_argument("--hollow", action="store_true", help="weights are inputs: the network's shapes only")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    of = arguments.batch, arguments.size, arguments.seed, arguments.original, arguments.hollow
    save(resnet(arguments.depth, *of), arguments.output)


if __name__ == "__main__":
    main()
