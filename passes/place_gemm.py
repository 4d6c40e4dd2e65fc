"""Pass `place-gemm`: a mapped chain becomes buffers with addresses, places on the chip, and loops of transfers."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp, shape_of
from dialects.gconv.interpreter import main_function
from dialects.gemm import ConfigureOp, PlaceOp
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr, GemmMapping
from dialects.locations import describe
from dialects.schedule import HostAttr, LoopAttr, Operand, Storage, Temporal
from dialects.spatial import ForOp, LoadOp, OpenOp, PassOp, StoreOp
from dialects.target import require_gemm_machine
from passes.assign_host import require_host
from passes.dram import Storages
from passes.gemm.legality import operands_of, violations
from passes.gemm.tiles import GemmTiles
from passes.placing import Buffers, links_of, place


class PlaceGemmPass(ModulePass):
    """Give tensors addresses and turn every mapped link into a layer of loops, transfers and passes.

    Every tensor of a link has a memory of its own on the chip, in which its tile begins at word 0. The layer of a link
    that the host executes holds `spatial.offload`.
    """

    name = "place-gemm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Place @main. Raises `CatenaError` for mappings that are missing or not legal, and tensors that do not fit."""
        machine = require_gemm_machine(op, "placed")
        storages = Storages(main_function(op))
        _require_mappings(links_of(op), machine, storages)

        def body(link: LinkOp, _: Buffers) -> list[Operation]:
            assert isinstance(link.mapping, GemmAttr)
            mapping = link.mapping.data
            tiles = GemmTiles(link.spec, mapping, shape_of(link.input))
            places = [PlaceOp.of(each, 0, max(tiles.held_words(each), 1)) for each in operands_of(link.spec)]
            configure = ConfigureOp.of(mapping.split, mapping.reserved, resumes=mapping.resumes)
            return [configure, *places, *_loops(mapping, 0)]

        place(op, machine.dram.words, storages, body)


def _require_mappings(links: Sequence[LinkOp], machine: GemmMachine, storages: Storages) -> None:
    problems: list[Diagnostic] = []
    for link in links:
        node = describe(link)
        match link.mapping:
            case HostAttr():
                require_host(machine, "placed", node)
            case GemmAttr():
                in_order, shape = storages.lookups(link)[1] is not None, shape_of(link.input)
                problems += violations(link.spec, link.mapping.data, machine, shape, "placed", node, in_order=in_order)
            case _:
                problems.append(Diagnostic("CAT-R003", "the link has no mapping", "placed", node, hint="run map-gemm"))
    if problems:
        raise CatenaError(problems)


def _loops(mapping: GemmMapping, position: int) -> list[Operation]:
    """The ops of a mapping from node `position` inwards."""
    nodes = mapping.tiles.nodes
    if position == len(nodes):
        return [PassOp.create()]
    inner = _loops(mapping, position + 1)
    match nodes[position]:
        case Temporal(loop, tile):
            return [ForOp.of(LoopAttr(loop), tile, inner)]
        case Storage(_, operands):
            drain = [StoreOp.create()] if Operand.OUTPUT in operands else []
            return [*map(_transfer, operands), *inner, *drain]
        case node:
            raise TypeError(f"{node} has no place in a mapping to matrix products")


def _transfer(operand: Operand) -> Operation:
    return OpenOp.create() if operand is Operand.OUTPUT else LoadOp.of(operand)
