"""The convolutions of AlexNet as the Eyeriss papers run them: batch 4, groups in CONV2, CONV4 and CONV5.

Shapes from Chen et al., JSSC 2017, table II; weights from a seed. ReLU and pooling stand between the convolutions so
that the shapes follow from each other; local response normalization and the dense layers are left out, as in the
papers' figures for the chip.

    python benchmarks/models/alexnet_paper.py --output out/alexnet_paper.onnx
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import onnx
from building import GraphBuilder, save

BATCH = 4
IMAGE = 227


@dataclass(frozen=True)
class Convolution:
    """A layer: channels and filters of all groups together; `pooled` if a 3 x 3 pool of stride 2 follows."""

    name: str
    channels: int
    filters: int
    kernel: int
    stride: int
    pad: int
    groups: int
    pooled: bool


LAYERS = (
    Convolution("CONV1", 3, 96, 11, 4, 0, 1, True),
    Convolution("CONV2", 96, 256, 5, 1, 2, 2, True),
    Convolution("CONV3", 256, 384, 3, 1, 1, 1, False),
    Convolution("CONV4", 384, 384, 3, 1, 1, 2, False),
    Convolution("CONV5", 384, 256, 3, 1, 1, 2, False),
)


def alexnet_paper(batch: int = BATCH, seed: int = 0) -> onnx.ModelProto:
    """The five convolutions for `batch` images."""
    graph = GraphBuilder("alexnet_paper", "input", (batch, 3, IMAGE, IMAGE), seed)
    x, size = "input", IMAGE
    for layer in LAYERS:
        channels = layer.channels // layer.groups
        weight = graph.kernel(f"{layer.name}.weight", (layer.filters, channels, layer.kernel, layer.kernel))
        bias = graph.weight(f"{layer.name}.bias", graph.uniform((layer.filters,), -0.1, 0.1))
        x = graph.apply(
            "Conv",
            [x, weight, bias],
            layer.name,
            group=layer.groups,
            kernel_shape=[layer.kernel] * 2,
            strides=[layer.stride] * 2,
            pads=[layer.pad] * 4,
        )
        x = graph.apply("Relu", [x], f"{layer.name}.relu")
        size = (size + 2 * layer.pad - layer.kernel) // layer.stride + 1
        if layer.pooled:
            x = graph.apply("MaxPool", [x], f"{layer.name}.pool", kernel_shape=[3, 3], strides=[2, 2])
            size = (size - 3) // 2 + 1
    return graph.model(x, (batch, LAYERS[-1].filters, size, size))


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate the convolutions of AlexNet as in the Eyeriss papers.")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    save(alexnet_paper(arguments.batch, arguments.seed), arguments.output)


if __name__ == "__main__":
    main()
