"""Faster R-CNN on the ZF network (Ren et al., NIPS 2015) with seeded weights and fixed proposals.

Backbone, region proposal network and detection head are those of the authors' ZF model. Sorting proposals and
suppressing overlaps is no static chain: the proposals are constants, spread over the image by the seed.

python benchmarks/models/faster_rcnn_zf.py --output out/faster_rcnn_zf.onnx
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from building import GraphBuilder, save

HEIGHT, WIDTH = 600, 1000
PROPOSALS = 300
CLASSES = 21
ANCHORS = 9
STRIDE = 16
POOLED = 6
HIDDEN = 4096


class FasterRcnn:
    """Builds the network; `width` divides all filters and hidden units."""

    def __init__(self, height: int, width: int, proposals: int, thinner: int, seed: int):
        self._height, self._width, self._proposals, self._thinner = height, width, proposals, thinner
        self._graph = GraphBuilder("faster_rcnn_zf", "input", (1, 3, height, width), seed)

    def build(self) -> onnx.ModelProto:
        """Class probabilities and box offsets of every proposal; scores and offsets of every anchor."""
        graph = self._graph
        features, rows, columns = self._backbone()
        channels = 256 // self._thinner
        y = graph.layer("Conv", features, "rpn.conv", (channels, channels, 3, 3), kernel_shape=[3, 3], pads=[1] * 4)
        y = graph.apply("Relu", [y], "rpn.relu")
        scores = graph.layer("Conv", y, "rpn.scores", (2 * ANCHORS, channels, 1, 1), kernel_shape=[1, 1])
        offsets = graph.layer("Conv", y, "rpn.offsets", (4 * ANCHORS, channels, 1, 1), kernel_shape=[1, 1])
        shape = graph.integers("rpn.shape", (1, 2, ANCHORS * rows, columns))
        scores = graph.apply("Softmax", [graph.apply("Reshape", [scores, shape], "rpn.pairs")], "rpn.prob", axis=1)
        x = graph.apply(
            "MaxRoiPool", [features, self._regions()], "roi_pool", pooled_shape=[POOLED] * 2, spatial_scale=1 / STRIDE
        )
        x = graph.apply("Flatten", [x], "flatten", axis=1)
        inputs = channels * POOLED**2
        for name in ("fc6", "fc7"):
            x = graph.layer("Gemm", x, name, (HIDDEN // self._thinner, inputs), transB=1)
            x, inputs = graph.apply("Relu", [x], f"{name}.relu"), HIDDEN // self._thinner
        boxes = graph.layer("Gemm", x, "boxes", (4 * CLASSES, inputs), transB=1)
        x = graph.layer("Gemm", x, "classes", (CLASSES, inputs), transB=1)
        others = {
            boxes: (self._proposals, 4 * CLASSES),
            scores: (1, 2, ANCHORS * rows, columns),
            offsets: (1, 4 * ANCHORS, rows, columns),
        }
        return graph.model(graph.apply("Softmax", [x], "prob", axis=1), (self._proposals, CLASSES), others)

    def _backbone(self) -> tuple[str, int, int]:
        """The five convolutions of ZF, and the height and width of what they make."""
        graph = self._graph
        x, rows, columns = "input", self._height, self._width
        channels = 3
        for index, (filters, kernel, stride) in enumerate(
            ((96, 7, 2), (256, 5, 2), (384, 3, 1), (384, 3, 1), (256, 3, 1)), 1
        ):
            shape = (filters // self._thinner, channels, kernel, kernel)
            layout = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
            x = graph.apply("Relu", [graph.layer("Conv", x, f"conv{index}", shape, **layout)], f"relu{index}")
            channels, rows, columns = shape[0], -(-rows // stride), -(-columns // stride)
            if index <= 2:
                x = graph.apply("LRN", [x], f"norm{index}", size=3, alpha=5e-5, beta=0.75, bias=1.0)
                x = graph.apply(
                    "MaxPool", [x], f"pool{index}", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, ceil_mode=1
                )
                rows, columns = (-(-(extent - 1) // 2) + 1 for extent in (rows, columns))
        return x, rows, columns

    def _regions(self) -> str:
        """Proposals of many sizes: image number and two corners, in pixels of the image."""
        drawn = self._graph.uniform((self._proposals, 4), 0.0, 1.0)
        size = np.array([self._width, self._height], np.float32) - 1
        extent = size * (0.05 + 0.6 * drawn[:, 2:] ** 2)
        start = (size - extent) * drawn[:, :2]
        corners = np.round(np.concatenate([start, start + extent], axis=1))
        regions = np.concatenate([np.zeros((self._proposals, 1), np.float32), corners], axis=1)
        return self._graph.weight("rois", regions.astype(np.float32))


def faster_rcnn_zf(
    height: int = HEIGHT, width: int = WIDTH, proposals: int = PROPOSALS, thinner: int = 1, seed: int = 0
) -> onnx.ModelProto:
    """The network for one image, filters and hidden units divided by `thinner`."""
    return FasterRcnn(height, width, proposals, thinner, seed).build()


def main() -> None:
    """Write the model that the command line asks for."""
    parser = argparse.ArgumentParser(description="Generate Faster R-CNN on ZF with seeded weights.")
    parser.add_argument("--height", type=int, default=HEIGHT)
    parser.add_argument("--width", type=int, default=WIDTH)
    parser.add_argument("--proposals", type=int, default=PROPOSALS)
    parser.add_argument("--thinner", type=int, default=1, help="divide filters and hidden units by this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    model = faster_rcnn_zf(arguments.height, arguments.width, arguments.proposals, arguments.thinner, arguments.seed)
    save(model, arguments.output)


if __name__ == "__main__":
    main()
