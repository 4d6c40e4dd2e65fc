"""Words at computed positions: contractions of the input with the weights of its words at every position.

The weights of linear interpolation at position p are max(0, 1 - |p - i|) for word i: nothing outside the input, and
exact zeros for all but two words. A word that is not finite therefore spoils every sample of its row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Reduce, Step
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.tensor import Tensor
from passes.lower_onnx.windows import SPATIAL_NAMES

HAT = (Step("abs"), Step("affine", (-1.0, 1.0)), Step("relu"))
"""From the distance of a word to its weight in linear interpolation."""


def words(chain: Chain, positions: Tensor, first: int, count: int) -> Tensor:
    """The numbers `first`, `first` + 1, ... as a vector in the element type of positions."""
    return chain.constant(np.arange(first, first + count, dtype=numpy_dtype_of(positions.element_type)))


def linear_weights(chain: Chain, positions: Tensor, extent: int, factors: Tensor | None = None) -> Tensor:
    """The weights (..., extent) of linear interpolation at positions (...), times factors of the same shape."""
    numbers = words(chain, positions, 0, extent)
    if factors is None:
        return binary(chain, "sub", positions.insert(positions.rank), numbers, HAT)
    post = (*HAT, Step("mul", operand=0))
    return binary(chain, "sub", positions.insert(positions.rank), numbers, post, [factors.insert(factors.rank)])


def cubic_weights(chain: Chain, positions: Tensor, first: int, count: int, a: float) -> Tensor:
    """The weights (..., count) of cubic convolution at positions (...), for words `first` and on."""
    numbers = words(chain, positions, first, count)
    return cubic_of(chain, binary(chain, "sub", positions.insert(positions.rank), numbers, (Step("abs"),)), a)


def cubic_of(chain: Chain, distance: Tensor, a: float) -> Tensor:
    """The weights of words at these distances in cubic convolution.

    At distance d the weight is near(d) up to 1, then far(d) up to 2, with near(1) = far(1) = far(2) = 0: the sum of
    both at clipped distances.
    """
    inner = unary(chain, distance, (Step("clip", (0.0, 1.0)),))
    outer = unary(chain, distance, (Step("affine", (1.0, -1.0)), Step("clip", (0.0, 1.0))))
    # With e = d - 1, far is a * e * (e - 1)^2.
    square = (Step("affine", (1.0, -1.0)), Step("square"), Step("affine", (a, 0.0)))
    far = binary(chain, "mul", unary(chain, outer, square), outer)
    # near is ((a + 2) * d - (a + 3)) * d * d + 1.
    near = unary(chain, inner, (Step("affine", (a + 2, -(a + 3))),))
    post = (Step("mul", operand=0), Step("affine", (1.0, 1.0)), Step("add", operand=1))
    return binary(chain, "mul", near, inner, post, [inner, far])


def sampled(chain: Chain, x: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """The samples (N, G, C, S) of x (N, G, C, ...): one link for every spatial dimension, the last one first.

    `weights` are (N, G, S, extent), one for each spatial dimension.
    """
    batch, groups, channels = x.shape[:3]
    names, extents = SPATIAL_NAMES[len(weights)], x.shape[3:]
    samples = weights[0].shape[2]
    common = (Dim("N", g=batch), Dim("G", g=groups), Dim("C", opc=channels))
    outer = tuple(Dim(name, opc=n) for name, n in zip(names[:-1], extents[:-1], strict=True))
    ones = (1,) * (len(names) - 1)
    kernel = chain.reshape(weights[-1], (batch, groups, 1, *ones, samples * extents[-1]))
    dims = (*common, *outer, Dim(names[-1], op=samples, ks=extents[-1]))
    x = chain.link(GConv(dims, "mul", Reduce.ADD), x, kernel)
    for axis in range(len(names) - 2, -1, -1):
        # The sampled dimension is the last one, those behind `axis` have been summed.
        rest = tuple(
            Dim(name, opc=n) if place < axis else Dim(name, ks=n)
            for place, (name, n) in enumerate(zip(names[:-1], x.shape[3:-1], strict=True))
        )
        kernel = weights[axis].permute((0, 1, 3, 2))
        kernel = kernel.insert(2, *(3 + place for place in range(len(names) - 1) if place != axis))
        x = chain.link(GConv((*common, *rest, Dim("S", g=samples)), "mul", Reduce.ADD), x, kernel)
    return chain.reshape(x, (batch, groups, channels, samples))
