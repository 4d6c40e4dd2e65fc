"""Kernels in blocks of SPOTS as they lie off-chip: a stream for every tile, in the order in which tiles come.

There are two constants. The words of blocks that are kept lie one tile after another. The bitmaps begin with a place
for every tile, two numbers of 32 bits: the word of the bitmaps where its M1 and M2 begin, in whole words, and the word
of the first block. Tiles are counted by the loops around the transfer of the kernel, those inside faster. The matrix of
a tile has a row for every parallel kernel, and a column for every reduced index of every group.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.ir import BlockArgument

from dialects.encodings.attributes import encoding_of
from dialects.encodings.sections import SectionReader, bitmap_bytes
from dialects.encodings.spots_blocks import SpotsBlocks
from dialects.gconv import LinkOp, LoopKind, shape_of
from dialects.gconv.fused import FusedOp
from dialects.gconv.interpreter import take_view
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmAttr, GemmMapping
from dialects.schedule import Loop, Operand, Temporal
from dialects.weights import ConstantOp
from passes.chain_views import Source, source_of
from passes.gemm.tiles import RELEVANT, GemmTiles, ranges

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Range = tuple[int, int]
KINDS = RELEVANT[Operand.KERNEL]
PLACE_BYTES = 8
"""Bytes of the place of a tile."""


@dataclass(frozen=True)
class KernelBox:
    """A tile of a kernel: first index and size of the loops over groups, kernels and reduced indices, by dimension."""

    groups: tuple[Range, ...]
    kernels: tuple[Range, ...]
    terms: tuple[Range, ...]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Groups, parallel kernels of a group, reduced indices."""
        groups, kernels, terms = (
            math.prod(size for _, size in each) for each in (self.groups, self.kernels, self.terms)
        )
        return groups, kernels, terms


@dataclass(frozen=True)
class TileBlocks:
    """What a tile keeps of every group and reduced index: whether there is a column (M1), and how many words of it.

    `bitmap_words` are the words of M1 and M2.
    """

    box: KernelBox
    columns: Mask
    stored: npt.NDArray[np.int64]
    bitmap_words: int

    @property
    def values(self) -> int:
        """Words of the blocks that are kept."""
        return int(self.stored.sum())


@dataclass(frozen=True, eq=False)
class KernelStream:
    """A kernel in blocks of `height`: the words of those that are kept, and the bitmaps in words of the machine."""

    height: int
    values: Array
    bitmaps: Array

    @property
    def words(self) -> int:
        """Words that come over the link if every tile comes once."""
        return self.values.size + self.bitmaps.size


@dataclass(frozen=True)
class Encoded:
    """What the choice of a mapping knows of a kernel in blocks: their height, and what share of its words there is."""

    height: int
    share: float


def source_of_kernel(link: LinkOp) -> Source:
    """Where the kernel of a link comes from, through the group that it may be in."""
    assert link.kernel is not None
    source, around = source_of(link.kernel), link.parent_op()
    if not isinstance(source.base, BlockArgument) or not isinstance(around, FusedOp):
        return source
    return source_of(around.inputs[source.base.index]).through(source.view) or source


def encoding_of_kernel(link: LinkOp) -> SpotsBlocks | None:
    """The blocks in which the kernel of a link is to lie; None if it lies dense."""
    base = None if link.kernel is None else source_of_kernel(link).base
    encoding = encoding_of(base.type) if base is not None and isinstance(base.owner, ConstantOp) else None
    return encoding if isinstance(encoding, SpotsBlocks) else None


def encoded_kernel(link: LinkOp, machine: GemmMachine) -> Encoded | None:
    """What the choice of a link's mapping goes by. Raises `CatenaError` (CAT-R004) as `ConstantOp.array`."""
    encoding = encoding_of_kernel(link)
    if encoding is None or link.kernel is None:
        return None
    owner = source_of_kernel(link).base.owner
    assert isinstance(owner, ConstantOp)
    bits = encoding.size(owner.array, machine.word_bits).bits
    return Encoded(encoding.height, round(bits / max(owner.array.size * machine.word_bits, 1), 2))


def words_of_place(word_bits: int) -> int:
    """Words of the place of a tile."""
    return PLACE_BYTES * 8 // word_bits


def kernel_boxes(tiles: GemmTiles) -> list[KernelBox]:
    """The tiles of a link's kernel in the order in which the loops around its storage make them.

    Of a kernel that lies in a hold they are those of passes.
    """
    spec, is_stored = tiles.spec, tiles.mapping.tiles.position(Operand.KERNEL) is not None
    depth = tiles.above(Operand.KERNEL) if is_stored else tiles.in_pass
    whole = {(dim.name, kind): (0, spec.worked(dim, kind)) for dim in spec.dims for kind in KINDS}
    cut = [
        ((loop.dim, loop.kind), ranges(whole[loop.dim, loop.kind][1], depth.pieces[loop]))
        for loop in _loops_around(tiles.mapping)
    ]
    found: list[KernelBox] = []
    for pieces in itertools.product(*(each for _, each in cut)):
        here = {**whole, **dict(zip((loop for loop, _ in cut), pieces, strict=True))}
        found.append(KernelBox(*(tuple(here[dim.name, kind] for dim in spec.dims) for kind in KINDS)))
    return found


def _loops_around(mapping: GemmMapping) -> list[Loop]:
    """The loops around the storage of the kernel, or around passes, that it depends on."""
    position = mapping.tiles.position(Operand.KERNEL)
    nodes = mapping.tiles.nodes[:position]
    return [node.loop for node in nodes if isinstance(node, Temporal) and node.loop.kind in KINDS]


def kernel_of(link: LinkOp) -> Array:
    """A link's constant kernel with an axis for every loop, (g, op, ks) of every dimension in turn."""
    source = source_of_kernel(link)
    assert isinstance(source.base.owner, ConstantOp)
    words = take_view(source.view, source.base.owner.array)
    return words.reshape([size for dim in link.spec.dims for size in (dim.g, dim.op, dim.ks)])


def tile_matrix(kernel: Array, box: KernelBox) -> Array:
    """A tile of a kernel as (parallel kernels, groups, reduced indices)."""
    pieces = [each for of_dim in zip(box.groups, box.kernels, box.terms, strict=True) for each in of_dim]
    tile = kernel[tuple(slice(first, first + size) for first, size in pieces)]
    rank = len(box.groups)
    order = [3 * dim + part for part in (1, 0, 2) for dim in range(rank)]
    groups, kernels, terms = box.sizes
    return np.ascontiguousarray(tile.transpose(order)).reshape(kernels, groups, terms)


def encode_kernel(kernel: Array, boxes: Sequence[KernelBox], height: int, word_bits: int) -> KernelStream:
    """The streams of all tiles of a kernel, given as by `kernel_of`."""
    encoding, word_bytes = SpotsBlocks(height), word_bits // 8
    values: list[Array] = []
    bitmaps: list[npt.NDArray[np.uint8]] = []
    places = np.zeros((len(boxes), 2), "<u4")
    word, value = len(boxes) * words_of_place(word_bits), 0
    for number, box in enumerate(boxes):
        parts = encoding.split(tile_matrix(kernel, box))
        bits = np.concatenate((bitmap_bytes(parts.columns), bitmap_bytes(parts.blocks)))
        places[number] = word, value
        bitmaps.append(np.pad(bits, (0, -bits.size % word_bytes)))
        values.append(parts.values)
        word += bitmaps[-1].size // word_bytes
        value += parts.values.size
    stream = np.concatenate((places.reshape(-1).view(np.uint8), *bitmaps))
    kept = np.concatenate(values) if value else np.zeros(1, kernel.dtype)  # a buffer has a word
    return KernelStream(height, kept, stream.view(f"<u{word_bytes}"))


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


def blocks_of_tiles(bitmaps: Array, boxes: Sequence[KernelBox], height: int) -> list[TileBlocks]:
    """What every tile of a kernel keeps, by its bitmaps. Raises `CatenaError` (CAT-P005) if they are none."""
    encoding, word_bytes = SpotsBlocks(height), bitmaps.dtype.itemsize
    stream = np.ascontiguousarray(bitmaps).view(np.uint8)
    places = stream[: len(boxes) * PLACE_BYTES].view("<u4").reshape(-1, 2).astype(np.int64)
    found: list[TileBlocks] = []
    for (word, _), box in zip(places, boxes, strict=True):
        groups, kernels, terms = box.sizes
        reader = SectionReader(encoding.name, stream[int(word) * word_bytes :])
        columns, blocks = encoding.read_bitmaps(reader, (kernels, groups, terms))
        stored = np.zeros(columns.size, np.int64)
        stored[columns] = blocks @ encoding.heights(kernels)
        words = -(-reader.position // word_bytes)
        found.append(TileBlocks(box, columns.reshape(groups, terms), stored.reshape(groups, terms), words))
    return found


def bitmap_words(tiles: GemmTiles, height: int, word_bits: int) -> int:
    """Words of the bitmaps of the largest tile of a kernel, if every column is kept."""
    largest = tiles.above(Operand.KERNEL).largest
    groups, kernels, terms = (
        math.prod(size for loop, size in largest.items() if loop.kind is kind)
        for kind in (LoopKind.G, LoopKind.OP, LoopKind.KS)
    )
    columns = groups * terms
    sections = (columns, columns * SpotsBlocks(height).blocks_of(kernels))
    return -(-sum(-(-bits // 8) for bits in sections) // (word_bits // 8))
