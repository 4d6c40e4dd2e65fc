"""What placed layers of matrix products are expected to count."""

from __future__ import annotations

from collections.abc import Hashable
from typing import cast

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.encodings.spots_blocks import SpotsBlocks
from dialects.events import Counts
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr
from dialects.locations import describe
from dialects.spatial import BufferOp, LayerOp, integer
from passes.fusion.placed import group_around
from passes.gemm.cost import predict
from passes.gemm.legality import violations
from passes.gemm.members import blocks_in, kept_blocks, known_zeros, predict_member
from passes.gemm.tiles import GemmTiles
from passes.work import work_of


def predict_layer(op: LayerOp, machine: GemmMachine, known: dict[Hashable, Counts]) -> Counts:
    """The counts of a layer, in a group or alone; of layers that are alike they are `known` once.

    Raises `CatenaError` for a mapping that is none of this machine's (CAT-R003), or that it cannot run (CAT-F002).
    """
    work, attribute = work_of(op), op.mapping
    if not isinstance(attribute, GemmAttr):
        message, hint = "the layer has a mapping of another kind of machine", "use the passes of its backend"
        raise CatenaError(Diagnostic("CAT-R003", message, "program", describe(op), hint=hint))
    if group_around(op) is not None:
        return predict_member(op, machine)
    spec, mapping, shape = work.spec, attribute.data, work.input_shape
    blocks = blocks_in(op)
    bitmaps = None if blocks is None else cast("BufferOp", blocks.bitmaps.owner).value
    about = work.live, known_zeros(work)
    alike = spec.bare, spec.post, mapping, shape, work.extra_shapes, work.lookups, work.in_order, bitmaps, about
    if alike not in known:
        encoding = None if blocks is None else SpotsBlocks(integer(blocks.height))
        node, in_order = describe(op), work.in_order
        if found := violations(spec, mapping, machine, shape, "program", node, in_order=in_order, blocks=encoding):
            raise CatenaError(found)
        kept = kept_blocks(blocks, GemmTiles(spec, mapping, shape))
        known[alike] = predict(spec, mapping, machine, shape, work.extra_shapes, work.lookups, kept, *about)
    return known[alike]
