"""MaxRoiPool: the maximum of every bin of a region, as contractions of (min, max) with masks of the bins.

A mask is +inf where a word lies in the bin and -inf elsewhere, so that min(x, mask) leaves out the others whatever x
holds. The bins are those of Caffe's RoI pooling layer, which ONNX Runtime computes: corners rounded half away from
zero, a region of at least one word, bins widened to whole words, 0 where no word of the input lies in a bin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import floating
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.masks import FROM_SIGN
from passes.lower_onnx.node import Node
from passes.lower_onnx.regions import has_images, image_of_region
from passes.lower_onnx.tensor import Tensor


@dataclass(frozen=True)
class _Bins:
    """The bins of every region along one axis: `start` inclusive and `end` exclusive, within the input, (R, bins)."""

    start: Tensor
    end: Tensor

    def mask(self, chain: Chain, extent: int) -> Tensor:
        """+inf where a word lies in a bin, else -inf: (R, bins, extent)."""
        words = chain.constant(np.arange(extent, dtype=numpy_dtype_of(self.start.element_type)))
        after_start = binary(chain, "rsub", self.start.insert(2), words)
        steps = (Step("affine", (1.0, -1.0)), Step("min", operand=0), *FROM_SIGN)
        return binary(chain, "sub", self.end.insert(2), words, steps, [after_start])


@lowering("MaxRoiPool", constraints=(has_images, floating()))
def max_roi_pool(node: Node, chain: Chain) -> Tensor:
    """16 links, 19 for several images: the bins of every region, their masks, the maxima over columns and rows"""
    x, rois = chain.input(node, 0), chain.input(node, 1)
    channels, height, width = x.shape[1:]
    regions = rois.shape[0]
    rows, columns = node.integers("pooled_shape")
    down, across = _bins(chain, rois, (rows, columns), (height, width), node.number("spatial_scale", 1.0))
    x, region = image_of_region(chain, x, rois.slice(1, 0, 1))
    mask = across.mask(chain, width)
    dims = (region, Dim("C", opc=channels), Dim("H", opc=height), Dim("W", op=columns, ks=width))
    strips = chain.link(GConv(dims, "min", Reduce.MAX), x, chain.reshape(mask, (regions, 1, 1, columns * width)))
    mask = down.mask(chain, height)
    dims = (Dim("N", g=regions), Dim("C", opc=channels), Dim("H", op=rows, ks=height), Dim("W", opc=columns))
    held = [binary(chain, "sub", bins.end, bins.start) for bins in (down, across)]
    post = (Step("keep", operand=0), Step("keep", operand=1))
    return chain.link(
        GConv(dims, "min", Reduce.MAX, post=post),
        strips,
        chain.reshape(mask, (regions, 1, rows * height, 1)),
        [held[0].insert(1, 3), held[1].insert(1, 2)],
    )


def _bins(
    chain: Chain, rois: Tensor, counts: tuple[int, int], extents: tuple[int, int], scale: float
) -> tuple[_Bins, _Bins]:
    """The bins of regions (R, image and corners x1 y1 x2 y2): down the rows and across the columns."""
    corners = rounded_away_from_zero(chain, rois.slice(1, 1, 4), scale)
    dtype = numpy_dtype_of(rois.element_type)
    # Both axes at once, x before y. A region has at least one word; its bins share its extent evenly.
    divisor = chain.constant(np.array([counts[::-1]], dtype))
    steps = (Step("affine", (1.0, 1.0)), Step("clip", (1.0, math.inf)), Step("div", operand=0))
    sizes = binary(chain, "sub", corners.slice(1, 2, 2), corners.slice(1, 0, 2), steps, [divisor])
    result: list[_Bins] = []
    for axis, (count, extent) in enumerate(zip(counts, extents, strict=True)):
        size, start = sizes.slice(1, 1 - axis, 1), corners.slice(1, 1 - axis, 1)
        edges = [
            binary(
                chain,
                "mul",
                size,
                chain.constant(np.arange(first, first + count, dtype=dtype)[np.newaxis]),
                (Step(rounding), Step("add", operand=0), Step("clip", (0.0, float(extent)))),
                [start],
            )
            for first, rounding in ((0, "floor"), (1, "ceil"))
        ]
        result.append(_Bins(*edges))
    return result[0], result[1]


def rounded_away_from_zero(chain: Chain, x: Tensor, scale: float) -> Tensor:
    """The whole numbers nearest to x * scale, halves away from zero; exact, since a fraction is exact."""
    scaled = unary(chain, x, (Step("affine", (scale, 0.0)),))
    whole = unary(chain, scaled, (Step("trunc"),))
    return binary(
        chain, "sub", scaled, whole, (Step("affine", (2.0, 0.0)), Step("trunc"), Step("add", operand=0)), [whole]
    )


REGION_POOLING = (*max_roi_pool,)
