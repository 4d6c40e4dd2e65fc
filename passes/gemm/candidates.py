"""Mappings of a link to matrix products that a search looks at: all divisions of the array, the largest tiles that fit.

The space is, for every division, every whole number of rounds of kernels that elements keep results of (or one kernel),
and six sizes of the reduction: the largest tile of patches that fits, and the largest that leaves no column idle, with
loops over kernels around those over patches or within. As many groups share a pass as fit.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from dialects.gconv import PASS, Dim, GConv, LoopKind
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import SRAM, GemmMapping
from dialects.schedule import Loop, Mapping, Node, Operand, Storage, Temporal
from passes.gemm.legality import operands_of, room_of, room_of_bitmaps
from passes.gemm.ring import Ring
from passes.gemm.streams import Encoded, bitmap_words
from passes.gemm.tiles import RELEVANT, GemmTiles, turns_of
from passes.mapping.tiling import indices_of


def candidates(
    spec: GConv,
    machine: GemmMachine,
    input_shape: tuple[int, ...],
    kernel: Encoded | None,
    most: Callable[[], float],
) -> Iterator[GemmMapping]:
    """Mappings for every division of the array and number of kernels in a pass, if they may take less than `most`."""
    kernels, patches, terms = (math.prod(spec.worked(dim, kind) for dim in spec.dims) for kind in _SIDES)
    groups, array = math.prod(dim.g for dim in spec.dims), machine.array
    for split in array.splits:
        rows = array.rows // split
        of_kernels = {1, *(min(rows * times, kernels) for times in range(1, array.accumulators + 1))}
        for size in sorted(of_kernels, reverse=True):
            kernel_tiles = _box(spec, LoopKind.OP, size)
            found = math.prod(kernel_tiles)
            rounds = kernels // found * math.ceil(found / rows)
            if groups * rounds * turns_of(patches, split, array.cols) * terms >= most():
                continue
            chunk = min(terms, room_of(Operand.KERNEL, machine) // found if spec.main != PASS else terms)
            for term_tiles in _chunks(spec, terms, chunk):
                for box in _patch_boxes(spec, machine, input_shape, kernel, split, kernel_tiles, term_tiles, patches):
                    is_cut = math.prod(box) < patches and found < kernels
                    for kernels_first in (True, False) if is_cut else (True,):
                        yield _mapping(spec, split, kernel_tiles, box, term_tiles, kernels_first=kernels_first)


_SIDES = (LoopKind.OP, LoopKind.OPC, LoopKind.KS)


def _chunks(spec: GConv, terms: int, most: int) -> Iterator[tuple[int, ...]]:
    """Tiles of the reduction: the largest that fits, and smaller ones, which leave room and come sooner."""
    seen: set[tuple[int, ...]] = set()
    for divisor in (1, 2, 4, 16, 128, terms):
        size = min(most, -(-terms // divisor))
        if size >= 1:
            tiles = _box(spec, LoopKind.KS, size)
            if tiles not in seen:
                seen.add(tiles)
                yield tiles


def _patch_boxes(
    spec: GConv,
    machine: GemmMachine,
    input_shape: tuple[int, ...],
    kernel: Encoded | None,
    split: int,
    kernel_tiles: tuple[int, ...],
    term_tiles: tuple[int, ...],
    patches: int,
) -> list[tuple[int, ...]]:
    """The largest tile of patches that fits, and the largest that leaves no column of the arrays idle."""
    size = min(patches, max(room_of(Operand.OUTPUT, machine) // math.prod(kernel_tiles), 1))
    while size:
        box = _box(spec, LoopKind.OPC, size)
        mapping = _mapping(spec, split, kernel_tiles, box, term_tiles, kernels_first=True)
        fullest = _fullest(GemmTiles(spec, mapping, input_shape), machine, kernel)
        if fullest <= 1:
            even = _even(box, split * machine.array.cols)
            return [box] if even is None or math.prod(box) == patches else [even, box]
        size = min(math.prod(box) - 1, max(int(math.prod(box) / fullest), 1))
    return []


def _even(box: tuple[int, ...], columns: int) -> tuple[int, ...] | None:
    """A smaller box of a whole number of times `columns` patches; None if there is none, or it is that already."""
    cut = next((index for index, tile in enumerate(box) if tile > 1), None)
    if cut is None:
        return None
    step = columns // math.gcd(columns, math.prod(box[cut + 1 :]))
    tile = box[cut] // step * step
    return (*box[:cut], tile, *box[cut + 1 :]) if 0 < tile < box[cut] else None


def _fullest(tiles: GemmTiles, machine: GemmMachine, kernel: Encoded | None) -> float:
    """The share of half of its memory that the tile takes, or its bitmaps, which takes most."""
    shares = [tiles.held_words(operand) / room_of(operand, machine) for operand in operands_of(tiles.spec)]
    if kernel is not None:
        shares.append(bitmap_words(tiles, kernel.height, machine.word_bits) / room_of_bitmaps(machine))
    return max(shares)


def _box(spec: GConv, kind: LoopKind, size: int) -> tuple[int, ...]:
    """Tiles of the loops of a kind with at most `size` indices together: inner dimensions stay whole longest."""
    tiles: list[int] = []
    for dim in reversed(spec.dims):
        extent = spec.worked(dim, kind)
        tile = max(min(extent, size), 1)
        tiles.append(tile)
        size = size // extent if tile == extent else 0
    return tuple(reversed(tiles))


def _mapping(
    spec: GConv,
    split: int,
    kernels: Sequence[int],
    patches: Sequence[int],
    terms: Sequence[int],
    *,
    kernels_first: bool,
) -> GemmMapping:
    """Groups outermost, then kernels and patches in either order, then the reduction; storage as far out as may be."""
    groups = _loops(spec.dims, LoopKind.G, [1] * len(spec.dims))
    sides = [_loops(spec.dims, LoopKind.OP, kernels), _loops(spec.dims, LoopKind.OPC, patches)]
    loops = [*groups, *itertools.chain(*(sides if kernels_first else reversed(sides)))]
    loops += _loops(spec.dims, LoopKind.KS, terms)
    counts = indices_of(spec)
    cut = [node for node in loops if node.tile < counts[node.loop]]
    return GemmMapping(split, None, Mapping(tuple(_stored(spec, cut))))


def _stored(spec: GConv, loops: Sequence[Temporal]) -> Iterator[Node]:
    """Loops with the storage of every tensor right below the last one that it depends on."""
    below: dict[int, list[Operand]] = {}
    for operand in operands_of(spec):
        depth = max((i + 1 for i, node in enumerate(loops) if node.loop.kind in RELEVANT[operand]), default=0)
        below.setdefault(depth, []).append(operand)
    for depth in range(len(loops) + 1):
        # results are begun before words for them come
        for operand in sorted(below.get(depth, ()), key=lambda each: each is not Operand.OUTPUT):
            yield Storage(SRAM, (operand,))
        if depth < len(loops):
            yield loops[depth]


def _loops(dims: Sequence[Dim], kind: LoopKind, tiles: Sequence[int]) -> list[Temporal]:
    return [Temporal(Loop(dim.name, kind), tile) for dim, tile in zip(dims, tiles, strict=True)]


def in_order_of_results(
    spec: GConv,
    machine: GemmMachine,
    input_shape: tuple[int, ...],
    kernel: Encoded | None,
    _: Callable[[], float],
) -> Iterator[GemmMapping]:
    """The largest tiles of results that leave in row-major order, on one array."""
    loops = [Loop(dim.name, kind) for dim in spec.dims for kind in RELEVANT[Operand.OUTPUT]]
    counts = indices_of(spec)
    for place, loop in enumerate(loops):
        tile = counts[loop]
        while tile:
            cut = [Temporal(each, 1) for each in loops[:place] if counts[each] > 1]
            cut += [Temporal(loop, tile)] if tile < counts[loop] else []
            mapping = GemmMapping(1, None, Mapping(tuple(_stored(spec, cut))))
            tiles = GemmTiles(spec, mapping, input_shape)
            if _fullest(tiles, machine, kernel) <= 1 and max(tiles.kernels) <= machine.array.resident(1):
                yield mapping
                return
            tile //= 2


def with_groups(
    spec: GConv,
    mapping: GemmMapping,
    machine: GemmMachine,
    input_shape: tuple[int, ...],
    kernel: Encoded | None,
) -> GemmMapping:
    """A mapping of one group at a time with as many groups in a pass as fit."""
    groups = math.prod(dim.g for dim in spec.dims)
    if groups == 1 or not any(isinstance(n, Temporal) and n.loop.kind is LoopKind.G for n in mapping.tiles.nodes):
        return mapping
    tiles = GemmTiles(spec, mapping, input_shape)
    room = min(room_of(each, machine) // max(tiles.held_words(each), 1) for each in operands_of(spec))
    while room > 1:
        sizes = dict(zip((dim.name for dim in spec.dims), _box(spec, LoopKind.G, min(room, groups)), strict=True))
        counts = {dim.name: dim.g for dim in spec.dims}
        loops: list[Temporal] = []
        for node in mapping.tiles.nodes:
            if isinstance(node, Temporal):
                is_group = node.loop.kind is LoopKind.G
                tile = sizes[node.loop.dim] if is_group else node.tile
                if not is_group or tile < counts[node.loop.dim]:
                    loops.append(Temporal(node.loop, tile))
        larger = replace(mapping, tiles=Mapping(tuple(_stored(spec, loops))))
        if _fullest(GemmTiles(spec, larger, input_shape), machine, kernel) <= 1:
            return larger
        room //= 2
    return mapping


def with_ring(spec: GConv, mapping: GemmMapping, machine: GemmMachine, input_shape: tuple[int, ...]) -> GemmMapping:
    """A mapping whose patches share as many words as buffers of im2col units have room for."""
    ring = Ring(GemmTiles(spec, mapping, input_shape))
    along = ring.reserve_words_per_channel
    if not ring.neighbour_words and not along:
        return replace(mapping, reserved=None)
    if ring.neighbour_words > machine.im2col.neighbour_words:
        return replace(mapping, reserved=None)
    channels = machine.im2col.reserve_words // along if along else 0
    anew = replace(mapping, reserved=min(ring.channels, channels))
    if not along or not ring.has_strips:
        return anew
    resumed = replace(mapping, reserved=0, resumes=True)
    ways = (
        [resumed, replace(resumed, rewinds=True)]
        if Ring(GemmTiles(spec, resumed, input_shape)).repeats_strips
        else [resumed]
    )
    found = [_with_most_channels(ring, each, channels) for each in ways]
    return min(*found, anew, key=lambda each: Ring(GemmTiles(spec, each, input_shape)).words().memory)


def _with_most_channels(ring: Ring, mapping: GemmMapping, room: int) -> GemmMapping:
    """A mapping that keeps as many channels of every pass as fit together: there are fewer of them in the last one."""
    of_passes = (replace(mapping, reserved=each) for each in range(min(ring.channels, room), 0, -1))
    return next((each for each in of_passes if ring.reserved_channels(each) <= room), mapping)
