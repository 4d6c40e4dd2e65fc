"""Links of fused groups as matrix products: the mapping of the largest turn, whether one is legal, what runs count.

Inputs that lie in holds are read by im2col units right there, and kernels by the array; neither has a tile. Results
leave the tile of their sums for their hold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.events import Counts
from dialects.gconv import GConv
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr, GemmMapping
from dialects.groups import FetchOp, RunOp
from dialects.schedule import Mapping, Operand, Storage
from dialects.spatial import LayerOp, integer
from passes.fusion.array_members import Place, part_at
from passes.fusion.memories import INPUTS, KERNELS
from passes.fusion.placed import NAMES, fetched_role, group_around, kept_by
from passes.fusion.shapes import Shape, largest, part_of
from passes.gemm.cost import predict
from passes.gemm.legality import MEMORIES, violations
from passes.gemm.search import best_mapping
from passes.mapping.tiling import span
from passes.searching.parts import Part
from passes.work import Work, work_of

_ANY = 1 << 40
"""Words of a memory in which a tensor has no tile that would have to fit."""
_HINT = "cut smaller tiles of the head, or keep fewer tensors"


def inside(spec: GConv, shapes: Iterable[Shape]) -> tuple[GConv, tuple[int, ...]]:
    """The largest turn of a link, and the extents of its input, where windows meet no border: none needs more words."""
    part = part_of(spec, largest(shapes))
    dims = tuple(replace(dim, pad=0) for dim in part.dims)
    extents = tuple(dim.g * -(-span(dim.opc, dim.ks, dim) // dim.up) for dim in dims)
    return replace(part, dims=dims), extents


def member_mapping(part: Part, machine: GemmMachine) -> GemmMapping:
    """The best mapping of the largest turn of a link. Raises `CatenaError` (CAT-F002) if none is found that fits."""
    rooms = {Operand.INPUT: machine.sram.input_words, Operand.KERNEL: machine.sram.kernel_words}
    left = {
        f"{MEMORIES[each]}_words": _ANY if each in part.kept else max(words - part.taken.get(MEMORIES[each], 0), 2)
        for each, words in rooms.items()
    }
    roomy = machine.model_copy(update={"sram": machine.sram.model_copy(update=left)})
    whole, extents = inside(part.spec, part.shapes)
    found = best_mapping(whole.bare, roomy, extents)
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
            hint="tensors that are inputs of one link and kernels of another end a group",
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
    not hidden behind work.
    """
    group = group_around(layer)
    assert group is not None
    assert isinstance(layer.mapping, GemmAttr)
    number, work, kept = group.layers.index(layer), work_of(layer), frozenset(kept_by(layer))
    total, known, moved = Counts(cycles=0), dict[GConv, Counts](), 0
    for turns, op in group.steps():
        if isinstance(op, RunOp):
            if integer(op.layer) == number:
                for place, times in op.box.data.places(turns):
                    total.add(_times(_run(work, layer.mapping.data, machine, kept, place, known), times))
        elif integer(op.layer) == number:
            words = op.box.data.total(turns)
            moved += words
            events = ("dram.output.write", "glb.output.send")
            if isinstance(op, FetchOp):
                name = NAMES.get(fetched_role(layer, op), "extra")
                events = (f"dram.{name}.read", f"glb.{name}.fill")
            for event in events:
                total.events[event] = total.events.get(event, 0) + words
    total.cycles = (total.cycles or 0) + math.ceil(moved / machine.dram.words_per_cycle)
    return total


def _run(
    work: Work,
    mapping: GemmMapping,
    machine: GemmMachine,
    kept: frozenset[str],
    place: Place,
    known: dict[GConv, Counts],
) -> Counts:
    part = part_at(work, place)
    if part.spec not in known:
        known[part.spec] = predict(part.spec, mapping, machine, part.input_shape, part.extra_shapes, kept=kept)
    return known[part.spec]


def _times(counts: Counts, times: int) -> Counts:
    events = {event: times * count for event, count in counts.events.items()}
    cycles = times * (counts.cycles or 0)
    return Counts(events, times * counts.array_cycles, times * counts.passes, counts.peak_pes, cycles)
