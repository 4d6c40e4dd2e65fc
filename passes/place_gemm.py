"""Pass `place-gemm`: a mapped chain becomes buffers with addresses, places on the chip, and loops of transfers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv, LinkOp, shape_of
from dialects.gconv.interpreter import main_function
from dialects.gemm import AccumulateOp, BlocksOp, ConfigureOp, PlaceOp
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr, GemmMapping
from dialects.groups import KeepOp
from dialects.locations import describe
from dialects.schedule import HostAttr, LoopAttr, Operand, Storage, Temporal
from dialects.spatial import ForOp, LoadOp, OpenOp, PassOp, StoreOp
from dialects.target import require_gemm_machine
from passes.assign_host import require_host
from passes.dram import Storages
from passes.fusion.memories import levels_of
from passes.gemm.held_kernels import encode_held
from passes.gemm.legality import MEMORIES, NOTHING_TAKEN, operands_of, violations
from passes.gemm.members import inside, member_violations
from passes.gemm.streams import KernelStream, blocks_of_tiles, encoding_of_kernel, kernel_boxes, kernel_streams
from passes.gemm.tiles import GemmTiles
from passes.place_groups import PlannedGroup, gather, open_groups
from passes.placing import Buffers, Encoded, links_of, place
from passes.searching.parts import Part


class PlaceGemmPass(ModulePass):
    """Give tensors addresses and turn every mapped link into a layer of loops, transfers and passes.

    Every tensor of a link has a memory of its own on the chip, in which its tile begins at word 0, or behind what a
    group holds there. A kernel whose type says that it lies in blocks of SPOTS becomes streams of its tiles
    (`passes.gemm.streams`), and gets room for the largest of them; in groups it lies in a hold, with its bitmaps in
    another one, if all runs take all of it (`passes.gemm.held_kernels`), and dense otherwise. The layer of a link that
    the host executes holds `spatial.offload`. Links of a group become layers of an op that says what is done in its
    turns (`dialects.groups`).
    """

    name = "place-gemm"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Place @main. Raises `CatenaError` for mappings that are missing or not legal, and tensors that do not fit."""
        machine = require_gemm_machine(op, "placed")
        groups = open_groups(op, levels_of(machine), GemmMapping)
        storages = Storages(main_function(op))
        links = links_of(op)
        _require_mappings(links, machine, storages, groups)
        gathered = gather(groups)
        streams = kernel_streams([link for link in links if link not in groups], machine)
        for planned in {id(group): group for group in groups.values()}.values():
            streams |= encode_held(planned, machine)

        def body(link: LinkOp, buffers: Buffers) -> list[Operation]:
            assert isinstance(link.mapping, GemmAttr)
            mapping, stream, group = link.mapping.data, streams.get(link), groups.get(link)
            keeps: dict[str, KeepOp] = {}
            spec, extents = link.spec, shape_of(link.input)
            if group is not None:
                keeps = gathered[link].keeps(link)
                spec, extents = inside(link.spec, group.shapes(link))
            taken = NOTHING_TAKEN if group is None else group.taken(link)
            if stream is None:
                return [*keeps.values(), *_layer(mapping, spec, extents, keeps, taken)]
            of_tiles = blocks_of_tiles(stream.bitmaps, kernel_boxes(GemmTiles(spec, mapping, extents)), stream.height)
            most = max(each.bitmap_words for each in of_tiles)
            blocks = [BlocksOp.of(stream.height, buffers.index_of_kernel(link), most)]
            values = max(each.values for each in of_tiles)
            return [*keeps.values(), *_layer(mapping, spec, extents, keeps, taken, values=values, blocks=blocks)]

        kept: dict[KernelStream, Encoded] = {each: Encoded(each.values, each.bitmaps) for each in streams.values()}
        encoded = {link: kept[stream] for link, stream in streams.items()}
        opened = [each.gathered for each in dict.fromkeys(gathered.values())]
        place(op, machine.dram.words, storages, body, opened, encoded=encoded)


def _layer(
    mapping: GemmMapping,
    spec: GConv,
    input_shape: tuple[int, ...],
    kept: Collection[str] = (),
    taken: Mapping[str, int] = NOTHING_TAKEN,
    *,
    values: int | None = None,
    blocks: Sequence[Operation] = (),
) -> list[Operation]:
    """How the machine is configured, where tiles lie behind words that are taken, and the loops.

    A kernel in `blocks` has so many values in its largest tile.
    """
    tiles = GemmTiles(spec, mapping, input_shape)
    words = {each: tiles.held_words(each) for each in operands_of(spec, kept)}
    if values is not None and Operand.KERNEL in words:
        words[Operand.KERNEL] = values
    places = [PlaceOp.of(each, taken.get(MEMORIES.get(each, ""), 0), max(held, 1)) for each, held in words.items()]
    configure = ConfigureOp.of(mapping)
    sums = [] if mapping.sums is None else [AccumulateOp.of(mapping.sums)]
    return [configure, *sums, *places, *blocks, *_loops(mapping, 0)]


def _require_mappings(
    links: Sequence[LinkOp], machine: GemmMachine, storages: Storages, groups: dict[LinkOp, PlannedGroup]
) -> None:
    problems: list[Diagnostic] = []
    for link in links:
        node = describe(link)
        if link in groups:
            assert isinstance(link.mapping, GemmAttr)
            group = groups[link]
            kept = {role: group.plan.holds[number].memory for role, number in group.kept(link).items()}
            part = Part(node, link.spec, shape_of(link.input), kept, group.taken(link), tuple(group.shapes(link)))
            problems += member_violations(part, link.mapping.data, machine, "placed")
            continue
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
