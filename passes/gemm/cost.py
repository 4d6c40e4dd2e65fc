"""What a link counts as matrix products under a mapping: closed forms over its tiles.

Zeros are part of it as far as they were measured, or stated (`passes.gemm.zeros`): where nothing is known of them,
there are none in the input, so that counts are the largest possible ones.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from dialects.events import EVENTS, Counts
from dialects.gconv import PASS, GConv, LoopKind
from dialects.gemm_live import Live
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmMapping
from dialects.schedule import Operand
from passes.gemm.legality import operands_of
from passes.gemm.ring import PatchWords, Ring
from passes.gemm.streams import TileBlocks, words_of_place
from passes.gemm.tiles import RELEVANT, GemmTiles, turns_of
from passes.gemm.zeros import expected_live, leaves_out
from passes.mapping.lookups import Lookups
from passes.mapping.tiling import number


@dataclass(frozen=True)
class Steps:
    """What the array does in all passes, if no index of a reduction is left out.

    A step is one reduced index of up to a row of patches in every array, for all kernels of a pass; `cycles` are those
    of its rounds of rows, `columns` the patches, and `kernels` the kernel words that enter.
    """

    cycles: int
    columns: int
    kernels: int
    patch_rows: int
    passes: int


def steps_of(tiles: GemmTiles, machine: GemmMachine) -> Steps:
    """The steps of a link without zeros."""
    split, array = tiles.mapping.split, machine.array
    rows = array.rows // split
    terms = sum(size * times for size, times in tiles.terms.items())
    made = sum(-(-size // machine.im2col.rows_per_cycle) * times for size, times in tiles.terms.items())
    turns = sum(turns_of(size, split, array.cols) * times for size, times in tiles.patches.items())
    columns = sum(size * times for size, times in tiles.patches.items())
    rounds = sum(-(-size // rows) * times for size, times in tiles.kernels.items())
    kernels = sum(size * times for size, times in tiles.kernels.items())
    groups = tiles.groups
    of_groups = number(tiles.side(tiles.in_pass, LoopKind.G))
    tiles_of_kernels = number(tiles.kernels)
    return Steps(
        cycles=groups * rounds * turns * terms,
        columns=groups * tiles_of_kernels * columns * terms,
        kernels=groups * kernels * turns * terms,
        patch_rows=groups * tiles_of_kernels * turns * made,
        passes=of_groups * tiles_of_kernels * number(tiles.patches) * number(tiles.terms),
    )


def predict(
    spec: GConv,
    mapping: GemmMapping,
    machine: GemmMachine,
    input_shape: tuple[int, ...],
    extras: Sequence[tuple[int, ...]] = (),
    lookups: Lookups | None = None,
    blocks: Sequence[TileBlocks] | None = None,
    live: Live | None = None,
    zeros: float = 0.0,
    kept: Collection[str] = (),
    patches: PatchWords | None = None,
) -> Counts:
    """Counts of a link under a legal mapping; `extras` are the shapes of the post operands.

    `blocks` are those that a kernel in blocks keeps, tile by tile; None if it lies dense. What is `live` was measured;
    without, words of the input are zero with the probability `zeros`, each by itself (`passes.gemm.zeros`).
    `kept` are the roles of tensors that lie in holds of a group: nothing of them goes over the off-chip link. Patches
    are made as the mapping says, or take the words that are given.
    """
    tiles = GemmTiles(spec, mapping, input_shape)
    steps, patches = steps_of(tiles, machine), patches or Ring(tiles).words()
    if live is None and (blocks is not None or zeros) and leaves_out(spec, machine):
        live = expected_live(tiles, machine, blocks, zeros)
    if live is not None:
        steps = replace(steps, cycles=live.cycles, columns=live.columns, kernels=live.kernels)
    lookups = lookups or Lookups()
    outputs = math.prod(spec.output_shape)
    sums = math.prod(spec.worked(dim, kind) for dim in spec.dims for kind in RELEVANT[Operand.OUTPUT])
    chunks = number(tiles.terms)
    loaded = [each for each in (Operand.INPUT, Operand.KERNEL) if each in operands_of(spec, kept)]
    fetched = tiles.repeats(Operand.INPUT) * tiles.input_words() if Operand.INPUT in loaded else 0
    kernel = (_kernel_words if Operand.KERNEL in loaded else _held_kernel)(tiles, machine, blocks)
    events = dict.fromkeys(EVENTS, 0)
    events["dram.input.read"] = events["glb.input.fill"] = fetched
    events["dram.kernel.read"] = events["glb.kernel.fill"] = kernel.values
    events["dram.kernel.bitmap"], events["bitmap.kernel.fill"] = kernel.bitmaps + kernel.places, kernel.bitmaps
    events["bitmap.kernel.read"] = kernel.looked_up
    events["glb.output.hold" if Operand.OUTPUT in kept else "dram.output.write"] = outputs
    for operand in (step.operand for step in spec.post if step.operand is not None):
        place = "glb" if f"P{operand}" in kept else "dram"
        events[f"{place}.extra.read"] += _extra_words(tiles, extras[operand])
    if lookups.read is not None:
        events["dram.input.lookup"] = fetched
        events["dram.index.read"] += lookups.read[-1] * fetched
    if lookups.written is not None:
        events["dram.output.lookup"] = outputs
        events["dram.index.read"] += lookups.written[-1] * outputs
    if lookups.combines:
        events["dram.output.read"] = outputs
    events["glb.input.read"] = patches.memory
    events["patch.neighbour"], events["patch.reserve"] = patches.neighbour, patches.reserve
    events["glb.kernel.read"] = 0 if spec.main == PASS else steps.kernels
    events["glb.output.first"] = events["glb.output.last"] = events["glb.output.drain"] = sums
    events["glb.output.read"] = events["glb.output.write"] = sums * (chunks - 1)
    events["array.input.deliver"] = steps.columns
    events["array.kernel.deliver"] = events["glb.kernel.read"] * mapping.split
    events["operation.mac" if spec.is_multiply_accumulate else "operation.other"] = spec.trips
    events["operation.skipped"] = 0 if live is None else spec.trips - live.operations
    events["operation.gated"] = 0 if live is None else live.gated
    events["operation.post"] = outputs * len(spec.post)
    busy = max(steps.cycles, steps.patch_rows) + _filling(machine, mapping, steps)
    words = first_input_and_results(tiles, kept) + kernel.first
    return Counts(events, busy, steps.passes, _peak(tiles, machine), whole_cycles(busy, events, words, machine))


@dataclass(frozen=True)
class _KernelWords:
    """What comes of a kernel: words, words of bitmaps, words of the places of tiles, and all of the first tile.

    `looked_up` are the words of bitmaps that are read for rows of patches.
    """

    values: int = 0
    bitmaps: int = 0
    places: int = 0
    looked_up: int = 0
    first: int = 0


def _kernel_words(tiles: GemmTiles, machine: GemmMachine, blocks: Sequence[TileBlocks] | None) -> _KernelWords:
    if tiles.spec.main == PASS:
        return _KernelWords(0)
    repeats = tiles.repeats(Operand.KERNEL)
    if blocks is None:
        dense = math.prod(tiles.spec.kernel_shape)
        return _KernelWords(repeats * dense, first=tiles.held_words(Operand.KERNEL))
    place = words_of_place(machine.word_bits)
    values, bitmaps = (sum(each) for each in zip(*((one.values, one.bitmap_words) for one in blocks), strict=True))
    turns = sum(turns_of(size, tiles.mapping.split, machine.array.cols) * n for size, n in tiles.patches.items())
    first = place + blocks[0].bitmap_words + blocks[0].values
    return _KernelWords(repeats * values, repeats * bitmaps, repeats * place * len(blocks), bitmaps * turns, first)


def _held_kernel(tiles: GemmTiles, machine: GemmMachine, blocks: Sequence[TileBlocks] | None) -> _KernelWords:
    """Of a kernel in a hold, or none at all, nothing comes; passes look up where tiles in blocks are."""
    if blocks is None or tiles.spec.main == PASS:
        return _KernelWords()
    turns = sum(turns_of(size, tiles.mapping.split, machine.array.cols) * n for size, n in tiles.patches.items())
    places = len(blocks) * number(tiles.patches) * words_of_place(machine.word_bits)
    return _KernelWords(looked_up=sum(each.bitmap_words for each in blocks) * turns + places)


LINK = (
    *("dram.input.read", "dram.kernel.read", "dram.kernel.bitmap", "dram.extra.read", "dram.index.read"),
    *("dram.output.read", "dram.output.write"),
)
"""The events of words on the off-chip link."""


def whole_cycles(busy: int, events: dict[str, int], ends: int, machine: GemmMachine) -> int:
    """Cycles of a layer: array or link, whichever takes longer, and the link for first tiles and the last one."""
    link = sum(events[event] for event in LINK)
    return max(busy, machine.dram.cycles(link)) + machine.dram.cycles(ends)


def first_words(tiles: GemmTiles, has_kernel: bool, kept: Collection[str] = ()) -> int:
    """Words of the first tiles of input and kernel, and of the last results, for which the array waits."""
    return first_input_and_results(tiles, kept) + (tiles.held_words(Operand.KERNEL) if has_kernel else 0)


def first_input_and_results(tiles: GemmTiles, kept: Collection[str] = ()) -> int:
    """Words of the first tile of the input, and of the last results, that go over the link."""
    words = 0 if Operand.INPUT in kept else tiles.first_input_words()
    return words + (0 if Operand.OUTPUT in kept else _last_results(tiles))


def _last_results(tiles: GemmTiles) -> int:
    depth, words = tiles.above(Operand.OUTPUT), 1
    for dim in tiles.spec.dims:
        for kind in RELEVANT[Operand.OUTPUT]:
            count = dim.count(kind)
            tile = count if kind is LoopKind.OP and tiles.spec.main == PASS else max(depth.of(dim, kind))
            words *= count % tile or tile
    return words


def _filling(machine: GemmMachine, mapping: GemmMapping, steps: Steps) -> int:
    """Cycles in which words cross the array before it is full, once a pass."""
    array = machine.array
    return steps.passes * (array.rows // mapping.split + array.cols - 2) if array.fills else 0


def _peak(tiles: GemmTiles, machine: GemmMachine) -> int:
    """Elements at work at most."""
    split, cols = tiles.mapping.split, machine.array.cols

    return min(max(tiles.kernels), machine.array.rows // split) * min(max(tiles.patches), split * cols)


def _extra_words(tiles: GemmTiles, shape: tuple[int, ...]) -> int:
    """Words of a tensor that broadcasts to the output: every tile of results reads those it needs once."""
    depth, words = tiles.above(Operand.OUTPUT), 1
    for dim, extent in zip(tiles.spec.dims, shape, strict=True):
        words *= depth.count(dim, *RELEVANT[Operand.OUTPUT]) if extent == 1 else dim.output_extent
    return words
