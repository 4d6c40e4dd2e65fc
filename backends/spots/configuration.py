"""What a machine with im2col units holds of a layer besides what all machines do, in the words of its instructions."""

from __future__ import annotations

from collections.abc import Iterator

from backends.effects import Told
from backends.spots.engine import GemmLayer


def configuration_of_gemm(layer: GemmLayer) -> dict[str, Told]:
    """By what it is of: the array and its ring, places, blocks, accumulators."""
    return dict(_entries(layer))


def _entries(layer: GemmLayer) -> Iterator[tuple[str, Told]]:
    kept = "no ring" if layer.reserved is None else layer.reserved
    yield "the array", (layer.split, kept, int(layer.resumes), int(layer.rewinds))
    for tensor, place in layer.tiles.items():
        yield f"the place of {tensor.name.lower()}", (place.address, place.words)
    if layer.blocks is not None:
        yield "the blocks of the kernel", (layer.blocks.height, layer.blocks.address, layer.blocks.words)
    if layer.accumulators is not None:
        yield "the accumulators", (layer.accumulators.bits, layer.accumulators.shift)
