"""Col2Im: overlapping blocks added up to an image."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dialects.gconv import Dim, GConv, Reduce, View
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.constraints import constant_input
from passes.lower_onnx.lowering import constraint, lowering
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor


@dataclass(frozen=True)
class _Blocks:
    """Blocks along one dimension of the image: word k of block b lies at b * stride + k * dilation - pad."""

    image: int
    size: int
    stride: int
    dilation: int
    pad: int
    high: int

    @property
    def reach(self) -> int:
        """From the first word of a block to its last."""
        return (self.size - 1) * self.dilation

    @property
    def count(self) -> int:
        return (self.image + self.pad + self.high - self.reach - 1) // self.stride + 1


def _blocks_of(node: Node) -> list[_Blocks]:
    image, size = node.constant_integers(1) or (), node.constant_integers(2) or ()
    rank = len(image)
    strides, dilations = (node.integers(name) or (1,) * rank for name in ("strides", "dilations"))
    pads = node.integers("pads") or (0,) * (2 * rank)
    return [_Blocks(image[a], size[a], strides[a], dilations[a], pads[a], pads[rank + a]) for a in range(rank)]


@constraint()
def blocks_of_the_image(node: Node) -> str | None:
    """the last dimension of the input has a column for every block of the image"""
    if node.constant(1) is None or node.constant(2) is None:
        return None
    count, columns = math.prod(each.count for each in _blocks_of(node)), node.shape(0)[-1]
    return None if count == columns else f"{columns} columns for {count} blocks"


@lowering(
    "Col2Im",
    constraints=(constant_input(1, "image_shape"), constant_input(2, "block_shape"), blocks_of_the_image),
)
def column_to_image(node: Node, chain: Chain) -> Tensor:
    """two links: the blocks' words put where they lie along the image, and their sums along diagonals of that"""
    x, blocks = chain.input(node, 0), _blocks_of(node)
    rank = len(blocks)
    batch, channels = node.result_shape()[:2]
    x = chain.reshape(x, (batch, channels, *(each.size for each in blocks), *(each.count for each in blocks)))
    # Word k of the blocks is left at its distance from the last word, so that no place is before the first.
    spread = tuple(
        Dim(f"S{a}", opc=each.image + each.reach, pad=each.reach - each.pad, up=each.stride)
        for a, each in enumerate(blocks)
    )
    kept = (
        Dim("N", opc=batch),
        Dim("C", opc=channels),
        *(Dim(f"K{a}", opc=each.size) for a, each in enumerate(blocks)),
    )
    placed = chain.link(GConv((*kept, *spread)), x)
    shape, strides, offset = list(placed.shape[:2]), list(placed.view.strides[:2]), placed.view.offset
    dims = list(kept[:2])
    for a, each in enumerate(blocks):
        along, word = placed.view.strides[2 + rank + a], placed.view.strides[2 + a]
        shape += [each.image, each.size]
        strides += [along, word - each.dilation * along]
        offset += each.reach * along
        dims += [Dim(f"X{a}", opc=each.image), Dim(f"K{a}", ks=each.size)]
    diagonals = Tensor(placed.base, View(tuple(shape), tuple(strides), offset))
    return chain.link(GConv(tuple(dims), reduce=Reduce.ADD), diagonals)


COLUMNS = (*column_to_image,)
