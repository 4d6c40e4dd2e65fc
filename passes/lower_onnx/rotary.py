"""RotaryEmbedding: pairs of words of every head turned by angles that depend on the position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dialects.element_types import numpy_dtype_of
from dialects.gconv import Step
from passes.lower_onnx.attention import split_heads
from passes.lower_onnx.broadcasting import binary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import floating
from passes.lower_onnx.gathering import looked_up
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor


@constraint(hint="give 3-D inputs the attribute num_heads")
def splits_into_pairs(node: Node) -> str | None:
    """the input has four dimensions, or three and `num_heads` divides the last; whole pairs of words turn"""
    shape, heads = node.shape(0), node.integer("num_heads")
    if len(shape) not in (3, 4) or (len(shape) == 3 and (heads < 1 or shape[2] % heads)):
        return f"shape {list(shape)}, num_heads = {heads}"
    size = shape[3] if len(shape) == 4 else shape[2] // heads
    turned = node.integer("rotary_embedding_dim") or size
    return None if turned % 2 == 0 and turned <= size else f"{turned} of {size} words"


@lowering("RotaryEmbedding", constraints=(floating(), splits_into_pairs))
def rotary_embedding(node: Node, chain: Chain) -> Tensor:
    """two links: sines times the other word of every pair, and cosines times each word plus that; two more look up the
    cosines and sines of computed positions, one copies words that do not turn"""
    x = chain.input(node, 0)
    packed = x.rank == 3
    heads = split_heads(chain, x, node.integer("num_heads"))
    size = heads.shape[3]
    turned = node.integer("rotary_embedding_dim") or size
    interleaved = bool(node.integer("interleaved"))
    cosines, sines = (_angles(node, chain, index, interleaved) for index in (1, 2))
    pairs = _pairs(chain, heads.slice(3, 0, turned), interleaved)
    order = (0, 2, 1, 3, 4) if packed else (0, 1, 2, 3, 4)
    pairs, cosines, sines = (each.permute(order) for each in (pairs, cosines, sines))
    axis = 4 if interleaved else 3
    other = pairs.slice(axis, 1, 2, -1)
    # The first word of a pair loses what the second one gains.
    signs = np.array([-1, 1], numpy_dtype_of(x.element_type)).reshape([2 if a == axis else 1 for a in range(5)])
    crossed = binary(chain, "mul", other, sines, (Step("mul", operand=0),), [chain.constant(signs)])
    result = binary(chain, "mul", pairs, cosines, (Step("add", operand=0),), [crossed])
    if turned == size:
        return result
    rest = heads.permute(order[:4]).slice(3, turned, size - turned)
    return chain.concat([chain.reshape(result, (*rest.shape[:3], turned)), rest], 3)


def _pairs(chain: Chain, x: Tensor, interleaved: bool) -> Tensor:
    """(..., words) with the words as (pair, 2) if they are neighbours, else as (2, pair)."""
    count = x.shape[3] // 2
    return chain.reshape(x, (*x.shape[:3], *((count, 2) if interleaved else (2, count))))


def _angles(node: Node, chain: Chain, index: int, interleaved: bool) -> Tensor:
    """The cosines or sines of every position: (batch, 1, position) and the dimensions of a pair's words."""
    cache, known = chain.input(node, index), node.constant(3)
    if node.input(3) is not None:
        table = chain.constant_of(cache)
        if table is not None and known is not None:
            cache = chain.constant(table[known])
        else:
            cache = looked_up(chain, cache, 0, chain.input(node, 3))
    places: Sequence[int] = (1, 4) if interleaved else (1, 3)
    return cache.insert(*places)


ROTARY = (*rotary_embedding,)
