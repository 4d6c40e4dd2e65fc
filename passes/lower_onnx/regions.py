"""What operators on regions of images share."""

from __future__ import annotations

from dialects.gconv import Dim, GConv, Reduce
from passes.lower_onnx.broadcasting import binary, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.lowering import constraint
from passes.lower_onnx.masks import FROM_CHOICE
from passes.lower_onnx.node import Node
from passes.lower_onnx.sampling import words
from passes.lower_onnx.tensor import Tensor


@constraint()
def has_images(node: Node) -> str | None:
    """the input has two spatial dimensions"""
    rank = len(node.shape(0))
    return None if rank == 4 else f"rank {rank}"


def selection_mask(chain: Chain, numbers: Tensor, extent: int, like: Tensor) -> Tensor:
    """For every number (...) a mask (..., extent) in the type of `like` that lets through the word it names."""
    places = words(chain, numbers, 0, extent)
    named = binary(chain, "eq", numbers.insert(numbers.rank), places, element_type=like.element_type)
    return unary(chain, named, FROM_CHOICE)


def image_of_region(chain: Chain, x: Tensor, numbers: Tensor) -> tuple[Tensor, Dim]:
    """The images (N, C, H, W) that the regions (R) name, and the first dimension of a link from them to (R, ...).

    Several images are copied for every region; a single one is shared by all.
    """
    images, channels, height, width = x.shape
    regions = numbers.size
    if images == 1:
        return x, Dim("N", op=regions)
    mask = selection_mask(chain, chain.reshape(numbers, (regions,)), images, x)
    dims = (Dim("N", op=regions, ks=images), Dim("C", opc=channels), Dim("H", opc=height), Dim("W", opc=width))
    kernel = chain.reshape(mask, (regions * images, 1, 1, 1))
    return chain.link(GConv(dims, "min", Reduce.MAX), x, kernel), Dim("N", g=regions)
