"""Links of fused groups as matrix products: the mapping of the largest turn, whether one is legal, what runs count.

Inputs that lie in holds are read by im2col units right there, and kernels by the array; neither has a tile. Results
leave the tile of their sums for their hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.events import Counts
from dialects.gconv import GConv
from dialects.gemm import BlocksOp
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr, GemmMapping
from dialects.groups import FetchOp, RunOp
from dialects.schedule import Mapping, Objective, Operand, Storage
from dialects.spatial import BufferOp, LayerOp, integer
from passes.fusion.array_members import Place, SumsOfRun, part_at, unfinished_part, what_counts
from passes.fusion.memories import INPUTS, KERNELS
from passes.fusion.placed import fetched_role, group_around, kept_by
from passes.fusion.shapes import Shape, largest, part_of
from passes.gemm.cost import predict
from passes.gemm.legality import MEMORIES, violations
from passes.gemm.search import Problem, best_mapping
from passes.gemm.streams import TileBlocks, blocks_of_tiles, kernel_boxes
from passes.gemm.tiles import GemmTiles
from passes.mapping.tiling import span
from passes.searching.parts import Part
from passes.work import Work, work_of

_MOVED = {
    "I": ("dram.input.read", "glb.input.fill"),
    "K": ("dram.kernel.read", "glb.kernel.fill"),
    "M": ("dram.kernel.bitmap", "bitmap.kernel.fill"),
    "O": ("dram.output.write", "glb.output.send"),
}
"""What words count as that come to holds of these roles, or leave one."""
_ANY = 1 << 40
"""Words of a memory in which a tensor has no tile that would have to fit."""
_HINT = "cut smaller tiles of the head, or keep fewer tensors"


def inside(spec: GConv, shapes: Iterable[Shape]) -> tuple[GConv, tuple[int, ...]]:
    """The largest turn of a link, and the extents of its input, where windows meet no border: none needs more words."""
    part = part_of(spec, largest(shapes))
    dims = tuple(replace(dim, pad=0) for dim in part.dims)
    extents = tuple(dim.g * -(-span(dim.opc, dim.ks, dim) // dim.up) for dim in dims)
    return replace(part, dims=dims), extents


def member_mapping(part: Part, machine: GemmMachine, objective: Objective = Objective.LATENCY) -> GemmMapping:
    """The best mapping of the largest turn of a link. Raises `CatenaError` (CAT-F002) if none is found that fits."""
    rooms = {Operand.INPUT: machine.sram.input_words, Operand.KERNEL: machine.sram.kernel_words}
    left = {
        f"{MEMORIES[each]}_words": _ANY if each in part.kept else max(words - part.taken.get(MEMORIES[each], 0), 2)
        for each, words in rooms.items()
    }
    roomy = machine.model_copy(update={"sram": machine.sram.model_copy(update=left)})
    whole, extents = inside(part.spec, part.shapes)
    problem = Problem(whole.bare, roomy, extents, kept=frozenset(part.kept))
    found = best_mapping(problem, objective).mapping
    mapping = replace(found, tiles=_without(found.tiles, part))
    if problems := member_violations(part, mapping, machine, "mapped"):
        raise CatenaError(problems)
    return mapping


def _without(tiles: Mapping, part: Part) -> Mapping:
    """Tiles without those of tensors that lie in holds."""
    kept = [each for each in MEMORIES if each in part.kept]
    nodes = (
        replace(node, operands=tuple(each for each in node.operands if each not in kept))
        if isinstance(node, Storage)
        else node
        for node in tiles.nodes
    )
    return Mapping(tuple(node for node in nodes if not isinstance(node, Storage) or node.operands))


def member_violations(part: Part, mapping: GemmMapping, machine: GemmMachine, stage: str) -> list[Diagnostic]:
    """Every rule that the mapping of a link's largest turn breaks, and holds in memories that it cannot read from."""
    found = [
        Diagnostic(
            "CAT-F002",
            f"{role} lies in a memory that it is not read from",
            stage,
            part.node,
            expected=memory,
            found=part.kept[role],
            hint=f"place it by store {memory} [...]; what is input of one link and kernel of another ends a group",
        )
        for role, memory in (("I", INPUTS), ("K", KERNELS))
        if part.kept.get(role, memory) != memory
    ]
    whole, extents = inside(part.spec, part.shapes)
    found += violations(
        whole.bare, mapping, machine, extents, stage, part.node, kept=frozenset(part.kept), taken=part.taken
    )
    return [replace(each, hint=each.hint or _HINT) for each in found]


def predict_member(layer: LayerOp, machine: GemmMachine) -> Counts:
    """What a layer of a group counts in all turns, transfers that count for it included.

    Runs of equal shape that are equally far beyond the borders of the input count the same. Transfers for holds are
    not hidden behind work. Zeros of the input are those that are stated, by chance.
    """
    group = group_around(layer)
    assert group is not None
    assert isinstance(layer.mapping, GemmAttr)
    number, work, kept = group.layers.index(layer), work_of(layer), frozenset(kept_by(layer))
    steps = [(turns, op) for turns, op in group.steps() if integer(op.layer) == number]
    places = (each for turns, op in steps if isinstance(op, RunOp) for each in op.box.data.places(turns))
    total, moved = Runs(work, layer.mapping.data, machine, kept, blocks_in(layer)).total(places), 0
    for turns, op in steps:
        if not isinstance(op, RunOp):
            words = op.box.data.total(turns)
            moved += words
            for event in transfer_events(fetched_role(layer, op) if isinstance(op, FetchOp) else Operand.OUTPUT):
                total.events[event] = total.events.get(event, 0) + words
    total.cycles = (total.cycles or 0) + machine.dram.cycles(moved)
    return total


def transfer_events(role: str) -> tuple[str, str]:
    """What a word counts off-chip and on the chip that is fetched for a role of a link, or sent as its result."""
    return _MOVED.get(role, ("dram.extra.read", "glb.extra.fill"))


class Runs:
    """What runs of a layer count: of those that are alike, once."""

    def __init__(
        self,
        work: Work,
        mapping: GemmMapping,
        machine: GemmMachine,
        kept: frozenset[str],
        blocks: BlocksOp | None = None,
    ):
        self._work, self._mapping, self._machine, self._kept, self._blocks = work, mapping, machine, kept, blocks
        self._zeros = known_zeros(work)

    def total(self, places: Iterable[tuple[Place, int]]) -> Counts:
        """What runs count together, by where each is and how often."""
        alike: dict[tuple[object, ...], tuple[Place, int]] = {}
        for place, times in places:
            key = what_counts(self._work, place)
            first, before = alike.get(key, (place, 0))
            alike[key] = first, before + times
        total = Counts(cycles=0)
        for place, times in alike.values():
            total.add(_times(self._at(place), times))
        return total

    def _at(self, place: Place) -> Counts:
        sums = SumsOfRun.at(self._work.spec, place)
        part = part_at(self._work, place) if sums.finish else unfinished_part(self._work, place)
        shape = part.input_shape
        counts = predict(
            part.spec,
            self._mapping,
            self._machine,
            shape,
            part.extra_shapes,
            blocks=kept_blocks(self._blocks, GemmTiles(part.spec, self._mapping, shape)),
            kept=self._kept,
            zeros=self._zeros,
        )
        sums.count(counts)
        return counts


def known_zeros(work: Work) -> float:
    """The share of zeros in the words that patches are made of, as far as it is known: `pre` may make others."""
    return 0.0 if work.spec.pre else work.zeros.input


def blocks_in(layer: LayerOp) -> BlocksOp | None:
    """How the kernel of a placed layer lies in blocks, if it does."""
    return next((each for each in layer.body.block.ops if isinstance(each, BlocksOp)), None)


def kept_blocks(blocks: BlocksOp | None, tiles: GemmTiles) -> list[TileBlocks] | None:
    """What every tile of a kernel in blocks keeps."""
    bitmaps = None if blocks is None else cast("BufferOp", blocks.bitmaps.owner).value
    if blocks is None or bitmaps is None:
        return None
    return blocks_of_tiles(bitmaps.data.array, kernel_boxes(tiles), integer(blocks.height))


def _times(counts: Counts, times: int) -> Counts:
    events = {event: times * count for event, count in counts.events.items()}
    cycles = times * (counts.cycles or 0)
    return Counts(events, times * counts.array_cycles, times * counts.passes, counts.peak_pes, cycles)
