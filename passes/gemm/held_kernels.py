"""Kernels of fused groups in blocks: which of them lie so in holds, with their bitmaps in a hold beside them.

Streams have a tile for every pass of a run, so that every run has to take the whole kernel, which comes once. All other
kernels of groups lie dense.
"""

from __future__ import annotations

import math

from dialects.gconv import LinkOp
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr
from passes.fusion.holds import Fetch
from passes.fusion.shapes import part_of
from passes.gemm.legality import room_of_bitmaps
from passes.gemm.members import inside
from passes.gemm.streams import (
    KernelStream,
    blocks_of_tiles,
    encode_kernel,
    encoding_of_kernel,
    kernel_boxes,
    kernel_of,
)
from passes.gemm.tiles import GemmTiles
from passes.place_groups import HeldBlocks, PlannedGroup


def encode_held(group: PlannedGroup, machine: GemmMachine) -> dict[LinkOp, KernelStream]:
    """The streams of kernels that lie in blocks in holds of a group, which takes note of them.

    As many do as have room for their bitmaps, of which those of a tile take half of it at most, and are no longer than
    dense.
    """
    found: dict[LinkOp, KernelStream] = {}
    taken, room = 0, machine.sram.bitmap_words or 0
    for link in group.links:
        encoding, number = encoding_of_kernel(link), hold_of_whole_kernel(group, link)
        if encoding is None or number is None:
            continue
        assert isinstance(link.mapping, GemmAttr)
        spec, extents = inside(link.spec, group.shapes(link))
        boxes = kernel_boxes(GemmTiles(spec, link.mapping.data, extents))
        stream = encode_kernel(kernel_of(link), boxes, encoding.height, machine.word_bits)
        values, bitmaps = stream.values.size, stream.bitmaps.size
        of_tile = max(each.bitmap_words for each in blocks_of_tiles(stream.bitmaps, boxes, encoding.height))
        has_room = taken + bitmaps <= room and of_tile <= room_of_bitmaps(machine)
        if has_room and values + bitmaps <= group.plan.holds[number].words:
            group.blocks[number] = HeldBlocks(link, values, bitmaps, taken)
            found[link] = stream
            taken += bitmaps
    return found


def hold_of_whole_kernel(group: PlannedGroup, link: LinkOp) -> int | None:
    """The hold that brings a link's whole kernel once, for it alone, if every run takes all of it."""
    number, shape = group.kept(link).get("K"), link.spec.kernel_shape
    if number is None or list(group.plan.keeps.values()).count(number) > 1:
        return None
    fetches = [(depth, step) for depth, step in group.plan.steps if isinstance(step, Fetch) and step.hold == number]
    if len(fetches) != 1 or fetches[0][0] or fetches[0][1].box.total(()) != math.prod(shape):
        return None
    takes_all = all(part_of(link.spec, each).kernel_shape == shape for each in group.shapes(link))
    return number if takes_all else None
