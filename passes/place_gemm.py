"""Pass `place-gemm`: a mapped chain becomes buffers with addresses, places on the chip, and loops of transfers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp, shape_of
from dialects.gconv.interpreter import main_function
from dialects.gemm import AccumulateOp, BlocksOp, ConfigureOp, PlaceOp
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr, GemmMapping
from dialects.locations import describe
from dialects.schedule import HostAttr, LoopAttr, Operand, Storage, Temporal
from dialects.spatial import ForOp, LoadOp, OpenOp, PassOp, StoreOp
from dialects.target import require_gemm_machine
from passes.assign_host import require_host
from passes.chain_views import source_of
from passes.dram import Storages
from passes.gemm.legality import operands_of, violations
from passes.gemm.streams import (
    KernelStream,
    blocks_of_tiles,
    encode_kernel,
    encoding_of_kernel,
    kernel_boxes,
    kernel_of,
)
from passes.gemm.tiles import GemmTiles
from passes.placing import Buffers, Encoded, links_of, place


class PlaceGemmPass(ModulePass):
    """Give tensors addresses and turn every mapped link into a layer of loops, transfers and passes.

    Every tensor of a link has a memory of its own on the chip, in which its tile begins at word 0. A kernel whose type
    says that it lies in blocks of SPOTS becomes streams of its tiles (`passes.gemm.streams`), and gets room for the
    largest of them. The layer of a link that the host executes holds `spatial.offload`.
    """

    name = "place-gemm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Place @main. Raises `CatenaError` for mappings that are missing or not legal, and tensors that do not fit."""
        machine = require_gemm_machine(op, "placed")
        storages = Storages(main_function(op))
        links = links_of(op)
        _require_mappings(links, machine, storages)
        streams = kernel_streams(links, machine)

        def body(link: LinkOp, buffers: Buffers) -> list[Operation]:
            assert isinstance(link.mapping, GemmAttr)
            mapping, stream = link.mapping.data, streams.get(link)
            tiles = GemmTiles(link.spec, mapping, shape_of(link.input))
            words = {each: tiles.held_words(each) for each in operands_of(link.spec)}
            blocks: list[Operation] = []
            if stream is not None:
                of_tiles = blocks_of_tiles(stream.bitmaps, kernel_boxes(tiles), stream.height)
                words[Operand.KERNEL] = max(each.values for each in of_tiles)
                most = max(each.bitmap_words for each in of_tiles)
                blocks = [BlocksOp.of(stream.height, buffers.index_of_kernel(link), most)]
            places = [PlaceOp.of(each, 0, max(held, 1)) for each, held in words.items()]
            configure = ConfigureOp.of(mapping.split, mapping.reserved, resumes=mapping.resumes)
            sums = [] if mapping.sums is None else [AccumulateOp.of(mapping.sums)]
            return [configure, *sums, *places, *blocks, *_loops(mapping, 0)]

        kept: dict[KernelStream, Encoded] = {each: Encoded(each.values, each.bitmaps) for each in streams.values()}
        encoded = {link: kept[stream] for link, stream in streams.items()}
        place(op, machine.dram.words, storages, body, encoded=encoded)


def kernel_streams(links: Sequence[LinkOp], machine: GemmMachine) -> dict[LinkOp, KernelStream]:
    """The streams of kernels that are to lie in blocks; links that take the same tiles of a constant share them."""
    known: dict[Hashable, KernelStream] = {}
    found: dict[LinkOp, KernelStream] = {}
    for link in links:
        encoding = encoding_of_kernel(link)
        if encoding is None or link.kernel is None or not isinstance(link.mapping, GemmAttr):
            continue
        boxes = kernel_boxes(GemmTiles(link.spec, link.mapping.data, shape_of(link.input)))
        source = source_of(link.kernel)
        alike = source.base, source.view, tuple(boxes)
        if alike not in known:
            known[alike] = encode_kernel(kernel_of(link), boxes, encoding.height, machine.word_bits)
        found[link] = known[alike]
    return found


def _require_mappings(links: Sequence[LinkOp], machine: GemmMachine, storages: Storages) -> None:
    problems: list[Diagnostic] = []
    for link in links:
        node = describe(link)
        match link.mapping:
            case HostAttr():
                require_host(machine, "placed", node)
            case GemmAttr():
                in_order, shape = storages.lookups(link)[1] is not None, shape_of(link.input)
                problems += violations(
                    link.spec,
                    link.mapping.data,
                    machine,
                    shape,
                    "placed",
                    node,
                    in_order=in_order,
                    blocks=encoding_of_kernel(link),
                )
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
