"""RoiAlign: samples of bilinear interpolation in every bin of a region, averaged or their largest.

The samples of a bin lie on a grid, so that all is done for one dimension after the other. Samples more than a word
outside the input count as zeros, others are moved to it. Without `sampling_ratio` the grid of a region follows from its
size at run time: then each bin looks at as many samples as can lie on the input, from the first that does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Reduce, Step
from dialects.gconv.scalar import Array
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import attribute_is, floating
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.reduction import reduced
from passes.lower_onnx.regions import has_images, image_of_region, selection_mask
from passes.lower_onnx.sampling import linear_weights, words
from passes.lower_onnx.tensor import Tensor

_SMALLEST_PITCH = 2.0**-10
"""Keeps the quotient of a position and the distance of samples finite; so close they are single ones of their bin."""


@dataclass(frozen=True)
class _Samples:
    """The samples of every bin along one dimension of `extent` words.

    `positions` are (R, bins, samples), moved to the input; `counted` is 1 for a sample that is no zero, else 0. `grid`
    (R, 1, 1) holds how many samples a bin has, if that is known at run time only; else all of them count.
    """

    extent: int
    positions: Tensor
    counted: Tensor
    grid: Tensor | None

    @property
    def bins(self) -> int:
        return self.positions.shape[1]


@constraint(hint="give `rois` as an initializer, or set sampling_ratio")
def known_grid(node: Node) -> str | None:
    """mode max has a `sampling_ratio`, or constant `rois`"""
    if node.text("mode", "avg") != "max" or node.integer("sampling_ratio") > 0 or node.constant(1) is not None:
        return None
    return "rois computed at run time"


@lowering("RoiAlign", constraints=(has_images, attribute_is("mode", "avg", "max"), known_grid, floating()))
def roi_align(node: Node, chain: Chain) -> Tensor:
    """22 to 40 links: the samples of every bin, their weights, and one or two contractions for each dimension"""
    x, rois, numbers = (chain.input(node, index) for index in range(3))
    extents = x.shape[2:]
    x, region = image_of_region(chain, x, numbers)
    rows, columns = _samples(node, chain, rois, extents)
    if node.text("mode", "avg") == "avg":
        strips = _contracted(chain, x, region, 3, _mean_weights(chain, columns), ("mul", Reduce.ADD))
        return _contracted(chain, strips, Dim("N", g=rois.shape[0]), 2, _mean_weights(chain, rows), ("mul", Reduce.ADD))
    strips = _largest(chain, x, region, 3, columns)
    return _largest(chain, strips, Dim("N", g=rois.shape[0]), 2, rows)


def _samples(node: Node, chain: Chain, rois: Tensor, extents: tuple[int, ...]) -> tuple[_Samples, _Samples]:
    """The samples down the rows and across the columns."""
    # Before opset 16 nothing was moved by half a word.
    shifted = node.version >= 16 and node.text("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    bins = (node.integer("output_height", 1), node.integer("output_width", 1))
    scale = node.number("spatial_scale", 1.0)
    corners = unary(chain, rois, (Step("affine", (scale, 0.0)), Step("affine", (1.0, -0.5 if shifted else 0.0))))
    # Both dimensions at once, x before y. A region has at least one word unless it is moved by half a word.
    divisor = chain.constant(np.array([bins[::-1]], numpy_dtype_of(rois.element_type)))
    steps = (*(() if shifted else (Step("clip", (1.0, math.inf)),)), Step("div", operand=0))
    sizes = binary(chain, "sub", corners.slice(1, 2, 2), corners.slice(1, 0, 2), steps, [divisor])
    known = chain.constant_of(rois)
    result: list[_Samples] = []
    for axis, (count, extent) in enumerate(zip(bins, extents, strict=True)):
        start, size = (part.slice(1, 1 - axis, 1).insert(2) for part in (corners, sizes))
        numbers = words(chain, rois, 0, count).insert(0, 2)
        starts = binary(chain, "mul", size, numbers, (Step("add", operand=0),), [start])
        grid = _Grid(starts, size, extent)
        ratio = node.integer("sampling_ratio")
        if ratio > 0:
            result.append(grid.even(chain, ratio))
        elif node.text("mode", "avg") == "max":
            assert known is not None
            result.append(grid.repeating_the_last(chain, _most_samples(known, axis, scale, count)))
        else:
            most = None if known is None else _most_samples(known, axis, scale, count)
            result.append(grid.near_input(chain, most))
    return result[0], result[1]


def _most_samples(rois: Array, axis: int, scale: float, bins: int) -> int:
    """At least as many samples as a bin of any region has."""
    spans = (rois[:, 3 - axis] - rois[:, 1 - axis]) * scale
    return math.ceil(max(1.0, float(spans.max())) / bins) + 1


@dataclass(frozen=True)
class _Grid:
    """Where samples lie along a dimension of `extent` words: in bins of `size` (R, 1, 1) from `starts` (R, bins, 1)."""

    starts: Tensor
    size: Tensor
    extent: int

    def even(self, chain: Chain, count: int) -> _Samples:
        """`count` samples in every bin."""
        divisor = chain.constant(np.full((1, 1, 1), count, numpy_dtype_of(self.size.element_type)))
        positions = self._positions(chain, words(chain, self.size, 0, count), divisor)
        return _Samples(self.extent, *self._on_input(chain, positions), None)

    def repeating_the_last(self, chain: Chain, most: int) -> _Samples:
        """As many samples as a bin is words large, rounded up; the last one again up to `most`."""
        count = self._count(chain)
        divisor = unary(chain, count, (Step("clip", (1.0, math.inf)),))
        last = unary(chain, divisor, (Step("affine", (1.0, -1.0)),))
        order = binary(chain, "min", last, words(chain, self.size, 0, most))
        return _Samples(self.extent, *self._on_input(chain, self._positions(chain, order, divisor)), count)

    def near_input(self, chain: Chain, most: int | None) -> _Samples:
        """As many samples as a bin is words large, rounded up; those that no bin has, `most` being known, left out.

        Two samples of a bin are more than half a word apart, so that at most 2 * extent + 3 are near the input.
        """
        count = self._count(chain)
        divisor = unary(chain, count, (Step("clip", (1.0, math.inf)),))
        near = 2 * self.extent + 6
        if most is not None and most <= near:
            order = words(chain, self.size, 0, most).insert(0, 1)
        else:
            # The first sample near the input is the one at -1; one before it for the sake of rounding.
            pitch = binary(chain, "div", unary(chain, self.size, (Step("clip", (_SMALLEST_PITCH, math.inf)),)), divisor)
            ahead = unary(chain, self.starts, (Step("affine", (-1.0, -1.0)),))
            steps = (Step("affine", (1.0, -1.5)), Step("floor"), Step("clip", (0.0, math.inf)))
            order = binary(chain, "add", binary(chain, "div", ahead, pitch, steps), words(chain, self.size, 0, near))
        inside, counted = self._on_input(chain, self._positions(chain, order, divisor))
        exists = binary(chain, "lt", order, count)
        return _Samples(self.extent, inside, binary(chain, "mul", counted, exists), count)

    def _count(self, chain: Chain) -> Tensor:
        return unary(chain, self.size, (Step("ceil"), Step("clip", (0.0, math.inf))))

    def _positions(self, chain: Chain, order: Tensor, count: Tensor) -> Tensor:
        """The positions (R, bins, samples) of the samples numbered `order`, each bin divided in `count` parts."""
        middle = unary(chain, order.with_rank(3), (Step("affine", (1.0, 0.5)),))
        steps = binary(chain, "mul", middle, self.size, (Step("div", operand=0),), [count])
        return binary(chain, "add", steps, self.starts)

    def _on_input(self, chain: Chain, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Positions moved to the input, and 1 for those that are at most a word outside it."""
        near = unary(chain, positions, (Step("clip", (-1.0, float(self.extent))),))
        inside = unary(chain, positions, (Step("clip", (0.0, self.extent - 1.0)),))
        return inside, binary(chain, "eq", positions, near)


def _mean_weights(chain: Chain, samples: _Samples) -> Tensor:
    """The weights (R, bins, words) of the mean over the samples of every bin."""
    weights = linear_weights(chain, samples.positions, samples.extent, samples.counted)
    if samples.grid is None:
        mean = (Step("affine", (1 / samples.positions.shape[2], 0.0)),)
        total = reduced(chain, weights, (2,), Reduce.ADD, post=mean)
    else:
        divisor = unary(chain, samples.grid.insert(3), (Step("clip", (1.0, math.inf)),))
        total = binary(chain, "div", reduced(chain, weights, (2,), Reduce.ADD), divisor)
    return chain.reshape(total, (weights.shape[0], samples.bins, samples.extent))


def _contracted(
    chain: Chain, x: Tensor, region: Dim, axis: int, kernel: Tensor, functions: tuple[str, Reduce]
) -> Tensor:
    """Dimension `axis` of x (R, C, H, W) contracted with a kernel (R, outputs, words), by main and reduction."""
    regions, outputs, extent = kernel.shape
    dims = [Dim(name, opc=n) for name, n in zip(("N", "C", "H", "W"), x.shape, strict=True)]
    dims[0], dims[axis] = region, Dim(dims[axis].name, op=outputs, ks=extent)
    shape = [regions, 1, 1, 1]
    shape[axis] = outputs * extent
    return chain.link(GConv(tuple(dims), *functions), x, chain.reshape(kernel, shape))


def _largest(chain: Chain, x: Tensor, region: Dim, axis: int, samples: _Samples) -> Tensor:
    """The largest product of a word of x (R, C, H, W) along `axis` with its weight in any sample of every bin.

    ONNX takes the largest of the four products of a sample; as weights are not negative, that is the same one
    dimension after the other. A sample's two words are selected first, so that no others take part.
    """
    below = unary(chain, samples.positions, (Step("floor"),))
    beside = (Step("clip", (0.0, samples.extent - 1.0)),)
    places = binary(chain, "add", below.insert(3), words(chain, below, 0, 2), beside)
    share = binary(chain, "sub", samples.positions, below)
    ends = chain.constant(np.array([1, 0], numpy_dtype_of(share.element_type)))
    post = (Step("abs"), Step("mul", operand=0))
    weights = binary(chain, "sub", share.insert(3), ends, post, [samples.counted.insert(3)])
    regions, bins, count = samples.positions.shape
    mask = selection_mask(chain, chain.reshape(places, (regions, bins * count * 2)), samples.extent, x)
    selected = _contracted(chain, x, region, axis, mask, ("min", Reduce.MAX))
    shape = selected.shape
    dims = [Dim(name, opc=n) for name, n in zip(("N", "C", "H", "W"), shape, strict=True)]
    dims[0] = Dim("N", g=regions)
    dims[axis : axis + 1] = [Dim("P", g=bins), Dim("S", ks=count * 2)]
    kernel_shape = [regions, 1, 1, 1]
    kernel_shape[axis : axis + 1] = [bins, count * 2]
    post, extras = (), []
    if samples.grid is not None:
        post, extras = (Step("keep", operand=0),), [samples.grid.insert(3, 4)]
    result = chain.link(
        GConv(tuple(dims), "mul", Reduce.MAX, post=post),
        chain.reshape(selected, (*shape[:axis], bins, count * 2, *shape[axis + 1 :])),
        chain.reshape(weights, kernel_shape),
        extras,
    )
    return chain.reshape(result, (*shape[:axis], bins, *shape[axis + 1 :]))


REGION_SAMPLING = (*roi_align,)
