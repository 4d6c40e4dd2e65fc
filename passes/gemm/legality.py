"""What a mapping to matrix products may say on a machine: every rule that one breaks, with what it would take."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType

from dialects.diagnostics import Diagnostic
from dialects.encodings.spots_blocks import SpotsBlocks
from dialects.gconv import PASS, GConv, LoopKind
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import SRAM, GemmMapping
from dialects.schedule import Loop, Operand, Storage, Temporal
from passes.fusion.memories import INPUTS, KERNELS
from passes.gemm.ring import Ring
from passes.gemm.streams import bitmap_words
from passes.gemm.tiles import RELEVANT, GemmTiles

NOTHING_TAKEN: Mapping[str, int] = MappingProxyType({})


def violations(
    spec: GConv,
    mapping: GemmMapping,
    machine: GemmMachine,
    input_shape: tuple[int, ...],
    stage: str = "mapped",
    node: str = "",
    *,
    in_order: bool = False,
    blocks: SpotsBlocks | None = None,
    kept: Collection[str] = (),
    taken: Mapping[str, int] = NOTHING_TAKEN,
) -> list[Diagnostic]:
    """Every rule of the machine that a mapping breaks (CAT-F002); empty when it is legal.

    `in_order` asks that results leave in row-major order: those of updates at computed addresses. `blocks` are those in
    which the kernel lies, whose bitmaps need room even if nothing of it is zero. Of a link of a group, `kept` are the
    roles of what lies in holds, and has no tile, `taken` the words of memories up to which holds lie.
    """
    found = list(_structure(spec, mapping, kept))
    if not found:
        found = list(_machine(spec, mapping, machine, input_shape, blocks, kept, taken))
    if in_order:
        found += _order(spec, mapping)
    return [
        Diagnostic("CAT-F002", message, stage, node, expected=str(expected), found=str(value))
        for message, expected, value in found
    ]


MEMORIES = {Operand.INPUT: INPUTS, Operand.KERNEL: KERNELS}
"""The memories of tensors in which holds may lie, too."""
_Broken = Iterator[tuple[str, object, object]]


def operands_of(spec: GConv, kept: Collection[str] = ()) -> tuple[Operand, ...]:
    """The tensors of a link that have tiles: results are summed up in one even if they leave for a hold."""
    there = (Operand.INPUT, Operand.OUTPUT) if spec.main == PASS else tuple(Operand)
    return tuple(each for each in there if each is Operand.OUTPUT or each not in kept)


def _structure(spec: GConv, mapping: GemmMapping, kept: Collection[str]) -> _Broken:
    loops = {Loop(dim.name, kind) for dim in spec.dims for kind in LoopKind}
    nodes = mapping.tiles.nodes
    cut: set[Loop] = set()
    for node in nodes:
        if isinstance(node, Storage):
            if node.memory != SRAM:
                yield f"'{node}' names a memory that the machine does not have", SRAM, node.memory
        elif node.loop not in loops:
            yield f"'{node}' names a loop the link does not have", ", ".join(sorted(map(str, loops))), node.loop
        elif node.loop.kind is LoopKind.OP and spec.main == PASS:
            yield f"'{node}' cuts a repetition, which the way out makes", "no op loop", node.loop
        elif node.loop in cut:
            yield f"'{node}' cuts a loop again", "one tile of each loop", node.loop
        if isinstance(node, Temporal):
            cut.add(node.loop)
    for operand in Operand:
        stores = [i for i, node in enumerate(nodes) if isinstance(node, Storage) and operand in node.operands]
        if len(stores) != (operand in operands_of(spec, kept)):
            yield f"tensor {operand} and its storage", int(operand in operands_of(spec, kept)), len(stores)
            continue
        for node in nodes[stores[0] + 1 :] if stores else ():
            if isinstance(node, Temporal) and node.loop.kind in RELEVANT[operand]:
                yield f"'{node}' cuts the tile of {operand}, which is stored above", "storage below", node.loop


def _machine(
    spec: GConv,
    mapping: GemmMapping,
    machine: GemmMachine,
    input_shape: tuple[int, ...],
    blocks: SpotsBlocks | None,
    kept: Collection[str],
    taken: Mapping[str, int],
) -> _Broken:
    splits = machine.array.splits
    if mapping.split not in splits:
        yield "arrays that it is divided into", " or ".join(map(str, splits)), mapping.split
        return
    if mapping.sums is not None:
        if mapping.sums.bits != machine.accumulator_bits:
            yield "bits of sums", machine.accumulator_bits, mapping.sums.bits
        if not spec.is_multiply_accumulate or spec.mid:
            yield "sums of products that lose bits", "products, and no step in between", spec.main
    tiles = GemmTiles(spec, mapping, input_shape)
    resident, kernels = machine.array.resident(mapping.split), max(tiles.kernels)
    if kernels > resident:
        yield "kernels of a pass, whose results elements keep", f"at most {resident}", kernels
    for operand in operands_of(spec, kept):
        words, room = tiles.held_words(operand), room_of(operand, machine, taken)
        if words > room:
            yield f"words of a tile of {operand}, in half of its memory", f"at most {room}", words
    if blocks is not None:
        words, room = bitmap_words(tiles, blocks.height, machine.word_bits), room_of_bitmaps(machine)
        if words > room:
            yield "words of bitmaps of a tile of K, in half of their memory", f"at most {room}", words
    if mapping.reserved is not None:
        ring = Ring(tiles)
        if ring.neighbour_words > machine.im2col.neighbour_words:
            most = machine.im2col.neighbour_words
            yield "words that a patch unit gets from its neighbour", f"at most {most}", ring.neighbour_words
        channels = ring.reserved_channels(mapping)
        reserved = channels * ring.reserve_words_per_channel
        if reserved > machine.im2col.reserve_words:
            yield "words kept for the next row of patches", f"at most {machine.im2col.reserve_words}", reserved


def room_of(operand: Operand, machine: GemmMachine, taken: Mapping[str, int] = NOTHING_TAKEN) -> int:
    """Words of half of what holds leave of a tensor's memory."""
    sram = machine.sram
    words = {
        Operand.INPUT: sram.input_words,
        Operand.KERNEL: sram.kernel_words,
        Operand.OUTPUT: sram.output_words,
    }
    return (words[operand] - taken.get(MEMORIES.get(operand, ""), 0)) // 2


def room_of_bitmaps(machine: GemmMachine) -> int:
    """Words of half of the memory of bitmaps."""
    return (machine.sram.bitmap_words or 0) // 2


def _order(spec: GConv, mapping: GemmMapping) -> _Broken:
    """Results leave in row-major order: loops around their tiles run over dimensions from the first on, one index each.

    The last dimension that is cut may have tiles of several indices, and those behind it are whole.
    """
    order = [Loop(dim.name, kind) for dim in spec.dims for kind in RELEVANT[Operand.OUTPUT]]
    counts = {Loop(dim.name, kind): spec.worked(dim, kind) for dim in spec.dims for kind in LoopKind}
    tiles = {node.loop: node.tile for node in mapping.tiles.nodes if isinstance(node, Temporal)}
    cut = [loop for loop in order if tiles.get(loop, counts[loop]) < counts[loop]]
    given = [node.loop for node in mapping.tiles.nodes if isinstance(node, Temporal) and node.loop in set(cut)]
    if given != cut or mapping.tiles.position(Operand.OUTPUT) is None:
        yield "loops over results that leave in order", ", ".join(map(str, cut)), ", ".join(map(str, given))
        return
    several = [loop for loop in order if counts[loop] > 1]
    last = several.index(cut[-1]) if cut else 0
    for loop in several[:last]:
        if tiles.get(loop, counts[loop]) > 1:
            yield f"tile of {loop}, inside of which results are cut again", 1, tiles.get(loop, counts[loop])
