"""AffineGrid, a grid of coordinates between -1 and 1; GridSample: weights at the positions it names, contractions."""

from __future__ import annotations

import math

import numpy as np

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Reduce, Step
from dialects.gconv.scalar import Array
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import attribute_is, constant_input, floating, table_within_limit
from passes.lower_onnx.lowering import lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.sampling import cubic_weights, linear_weights, sampled
from passes.lower_onnx.tensor import Tensor
from passes.lower_onnx.windows import spatial_rank

_CUBIC_COEFFICIENT = -0.75
_CUBIC_REACH = 3
"""Words beyond the input that count for cubic convolution: beyond them, all four words it reads are the same."""


def _coordinates(node: Node) -> int:
    extents = node.result_shape()[1:-1]
    return math.prod(extents) * (len(extents) + 1)


@lowering(
    "AffineGrid",
    constraints=(constant_input(1, "size"), floating(), table_within_limit("the even grid", _coordinates)),
)
def affine_grid(node: Node, chain: Chain) -> Tensor:
    """one link: the product of every matrix with the coordinates of an even grid"""
    theta = chain.input(node, 0)
    batch, rank, terms = theta.shape
    extents = node.result_shape()[1:-1]
    axes = [_even_coordinates(extent, bool(node.integer("align_corners"))) for extent in extents]
    # Matrices expect the last dimension first, and 1 behind the coordinates.
    grid = np.stack([*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(extents)], axis=-1)
    points = math.prod(extents)
    dims = (Dim("N", opc=batch), Dim("P", op=points), Dim("R", opc=rank), Dim("T", ks=terms))
    kernel = chain.constant(grid.reshape(1, points, 1, terms).astype(node.dtype(0)))
    return chain.link(GConv(dims, "mul", Reduce.ADD), theta.insert(1), kernel)


def _even_coordinates(extent: int, corners: bool) -> Array:
    """The coordinates of words between -1 and 1: of their middles, or the outermost at -1 and 1."""
    if corners:
        return np.linspace(-1, 1, extent) if extent > 1 else np.zeros(1)
    return (2 * np.arange(extent) + 1) / extent - 1


@lowering(
    "GridSample",
    constraints=(
        spatial_rank,
        attribute_is("mode", "linear", "bilinear", "nearest", "cubic", "bicubic"),
        attribute_is("padding_mode", "zeros", "border", "reflection"),
        floating(),
        floating(1),
    ),
)
def grid_sample(node: Node, chain: Chain) -> Tensor:
    """for every spatial dimension: one to three links for the positions, one to five for the weights, a contraction"""
    x, grid = chain.input(node, 0), chain.input(node, 1)
    batch, channels, *extents = x.shape
    rank = len(extents)
    grid = chain.reshape(grid, (batch, 1, grid.size // (batch * rank), rank))
    weights: list[Tensor] = []
    for axis, extent in enumerate(extents):
        # The grid names the last dimension first.
        weights.append(_weights(node, chain, grid.select(3, rank - 1 - axis), extent))
    samples = sampled(chain, chain.reshape(x, (batch, 1, channels, *extents)), weights)
    return chain.reshape(samples, node.result_shape())


def _weights(node: Node, chain: Chain, coordinates: Tensor, extent: int) -> Tensor:
    """The weights (..., extent) of the words of one dimension at grid coordinates (...)."""
    corners = bool(node.integer("align_corners"))
    padding = node.text("padding_mode", "zeros")
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode := node.text("mode", "linear"), mode)
    steps = _denormalized(extent, corners)
    positions = unary(chain, coordinates, (*steps, Step("round")) if mode == "nearest" else steps)
    low, high = (0.0, extent - 1.0) if corners else (-0.5, extent - 0.5)
    if padding == "reflection":
        positions = _reflected(chain, positions, low, high)
    if mode != "cubic":
        if padding != "zeros":
            # Half a word beyond the input still is the outermost word.
            positions = unary(chain, positions, (Step("clip", (0.0, extent - 1.0)),))
        return linear_weights(chain, positions, extent)
    if padding == "zeros":
        return cubic_weights(chain, positions, 0, extent, _CUBIC_COEFFICIENT)
    if padding == "border":
        # Each word read stands by itself, as in PyTorch and ONNX Runtime: further out all are the outermost one.
        positions = unary(chain, positions, (Step("clip", (1.0 - _CUBIC_REACH, extent + _CUBIC_REACH - 2.0)),))
    weights = cubic_weights(chain, positions, -_CUBIC_REACH, extent + 2 * _CUBIC_REACH, _CUBIC_COEFFICIENT)
    return _folded(chain, weights, _stand_in(extent, padding, low, high))


def _denormalized(extent: int, corners: bool) -> tuple[Step, ...]:
    """From -1..1 to positions among the words, rounded as ONNX's reference and ONNX Runtime do."""
    if corners:
        return (Step("affine", (1.0, 1.0)), Step("affine", (0.5, 0.0)), Step("affine", (extent - 1.0, 0.0)))
    return (Step("affine", (1.0, 1.0)), Step("affine", (float(extent), -1.0)), Step("affine", (0.5, 0.0)))


def _reflected(chain: Chain, positions: Tensor, low: float, high: float) -> Tensor:
    """Positions reflected at `low` and `high` until they lie between them: high - | |p - low| mod 2r - r |, r their
    distance."""
    span = high - low
    if span == 0:
        return unary(chain, positions, (Step("clip", (low, high)),))
    distance = unary(chain, positions, (Step("affine", (1.0, -low)), Step("abs")))
    period = chain.constant(np.full((1,) * positions.rank, 2 * span, numpy_dtype_of(positions.element_type)))
    return binary(
        chain, "mod", distance, period, (Step("affine", (1.0, -span)), Step("abs"), Step("affine", (-1.0, high)))
    )


def _stand_in(extent: int, padding: str, low: float, high: float) -> Array:
    """Which word stands for every place from `_CUBIC_REACH` before the input to as many behind it."""
    places = np.arange(-_CUBIC_REACH, extent + _CUBIC_REACH, dtype=np.float64)
    if padding == "border" or low == high:
        return np.clip(places, 0, extent - 1).astype(np.int64)
    span = high - low
    return (high - np.abs(np.abs(places - low) % (2 * span) - span)).astype(np.int64)


def _folded(chain: Chain, weights: Tensor, stand_in: Array) -> Tensor:
    """The weights of places beyond the input added to those of the words that stand for them."""
    extent = int(stand_in.max()) + 1
    matrix = (stand_in == np.arange(extent)[:, np.newaxis]).astype(numpy_dtype_of(weights.element_type))
    *outer, places = weights.shape
    dims = (Dim("S", opc=math.prod(outer)), Dim("P", op=extent, ks=places))
    flat = chain.reshape(weights, (math.prod(outer), places))
    result = chain.link(GConv(dims, "mul", Reduce.ADD), flat, chain.constant(matrix.reshape(1, -1)))
    return chain.reshape(result, (*outer, extent))


GRID_SAMPLING = (*affine_grid, *grid_sample)
