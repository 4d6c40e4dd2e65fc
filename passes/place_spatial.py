"""Pass `place-spatial`: a mapped chain becomes buffers with addresses and layers of loops, transfers and passes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import PASS, GConv, LinkOp, LoopKind
from dialects.gconv.interpreter import main_function
from dialects.locations import describe
from dialects.schedule import HostAttr, LoopAttr, Mapping, MappingAttr, Operand, Spatial, Storage, Temporal
from dialects.spatial import ForOp, LoadOp, OpenOp, PassOp, PlaceOp, SpreadOp, StoreOp
from dialects.target import Machine, require_spatial
from passes.assign_host import require_host
from passes.dram import Storages
from passes.fusion.refusal import refuse_groups
from passes.mapping.fit import buffer_tiles, violations
from passes.mapping.tiling import Tiling
from passes.placing import Buffers, links_of, place


class PlaceSpatialPass(ModulePass):
    """Give tensors addresses and turn every mapped link into a layer of loops, transfers and processing passes.

    The layer of a link that the host executes holds `spatial.offload`. Groups are refused.
    """

    name = "place-spatial"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_spatial(op, "placed")
        function = main_function(op)
        refuse_groups(function)
        storages = Storages(function)
        _require_mappings(links_of(op), machine, storages)

        def body(link: LinkOp, _: Buffers) -> list[Operation]:
            assert isinstance(link.mapping, MappingAttr)
            return [*_configuration(link, link.mapping.data, machine), *_loops(link.mapping.data, 0)]

        place(op, machine.dram.words, storages, body)


def _require_mappings(links: Sequence[LinkOp], machine: Machine, storages: Storages) -> None:
    problems: list[Diagnostic] = []
    legal: set[tuple[GConv, Mapping, bool]] = set()
    for link in links:
        if isinstance(link.mapping, HostAttr):
            require_host(machine, "placed", describe(link))
        elif not isinstance(link.mapping, MappingAttr):
            problems.append(
                Diagnostic(
                    "CAT-R003", "the link has no mapping", "placed", describe(link), hint="run map-row-stationary"
                )
            )
        else:
            in_order = storages.lookups(link)[1] is not None
            spec, mapping = link.spec.bare, link.mapping.data
            if (spec, mapping, in_order) in legal:
                continue
            found = violations(spec, mapping, machine, "placed", describe(link), in_order=in_order)
            problems += found
            if not found:
                legal.add((spec, mapping, in_order))
    if problems:
        raise CatenaError(problems)


def _configuration(link: LinkOp, mapping: Mapping, machine: Machine) -> list[Operation]:
    """Array configuration and on-chip places: inputs from the first bank, partial sums from the next whole bank."""
    bank = machine.glb.bank_words
    tiles = buffer_tiles(link.spec, mapping)
    base = -(-tiles[Operand.INPUT] // bank) * bank
    ops: list[Operation] = []
    ops += [SpreadOp.of(LoopAttr(node.loop), node.tile, node.axis) for node in mapping.spatial]
    ops.append(PlaceOp.of(Operand.INPUT, "glb", 0, tiles[Operand.INPUT]))
    if link.spec.main != PASS:
        sizes = Tiling(link.spec, mapping).in_pass.largest
        words = math.prod(size for loop, size in sizes.items() if loop.kind is not LoopKind.OPC)
        ops.append(PlaceOp.of(Operand.KERNEL, "spad", 0, words))
    ops.append(PlaceOp.of(Operand.OUTPUT, "glb", base, tiles[Operand.OUTPUT]))
    return ops


def _loops(mapping: Mapping, position: int) -> list[Operation]:
    """The ops of a mapping from node `position` inwards."""
    if position == len(mapping.nodes):
        return [PassOp.create()]
    match mapping.nodes[position]:
        case Temporal(loop, tile):
            return [ForOp.of(LoopAttr(loop), tile, _loops(mapping, position + 1))]
        case Spatial():
            return _loops(mapping, position + 1)
        case Storage(_, operands):
            ops = [_transfer(operand) for operand in operands]
            drain = [StoreOp.create()] if Operand.OUTPUT in operands else []
            return [*ops, *_loops(mapping, position + 1), *drain]


def _transfer(operand: Operand) -> Operation:
    return OpenOp.create() if operand is Operand.OUTPUT else LoadOp.of(operand)
