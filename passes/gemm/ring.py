"""What im2col units read, by closed forms: words of patches that come from the memory, the neighbour, the reserve.

A round is a row of patches: all output positions along one dimension, `across`, for one index of the dimension `along`
before it and of all others. A patch takes from the patch before it in the round what both have. What the round before
had of the same rows of the input comes from the reserve, for the channels that are reserved. The first round of a pass
finds something there if the mapping resumes, and if the pass that had the same kernel positions last ended one row
before, with the same indices of everything else; or, if it rewinds, if the last one that ended there did.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dialects.gconv import Dim, LoopKind
from dialects.gemm_mapping import GemmMapping
from dialects.schedule import Loop, Temporal
from passes.gemm.tiles import GemmTiles
from passes.mapping.tiling import Pieces, number, products

Column = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PatchWords:
    """Input words of patches by where they come from; padding is made up."""

    memory: int = 0
    neighbour: int = 0
    reserve: int = 0

    def plus(self, other: PatchWords, times: int) -> PatchWords:
        """These words and those of something else, several times."""
        return PatchWords(
            self.memory + other.memory * times,
            self.neighbour + other.neighbour * times,
            self.reserve + other.reserve * times,
        )


def window_dims(dims: Sequence[Dim]) -> tuple[int | None, int | None]:
    """The dimensions across and along which rounds of patches lie: the last two with several output positions."""
    several = [index for index, dim in enumerate(dims) if dim.opc > 1]
    return (several[-1] if several else None), (several[-2] if len(several) > 1 else None)


def shared_taps(dim: Dim, taps: int) -> int:
    """Of the kernel positions of one output, those whose input words the output before has, too."""
    return max(taps - dim.stride // dim.dilation, 0) if dim.stride % dim.dilation == 0 else 0


def existing_taps(dim: Dim, extent: int, outputs: tuple[int, int], taps: tuple[int, int], skipped: int = 0) -> Column:
    """How many input words every output of a range has under a range of taps but the first few; no padding, no gaps."""
    output = np.arange(outputs[0], outputs[0] + outputs[1])[:, None]
    tap = np.arange(taps[0] + skipped, taps[0] + taps[1])[None, :]
    place = output * dim.stride + tap * dim.dilation - dim.pad
    return ((place % dim.up == 0) & (place >= 0) & (place < extent * dim.up)).sum(axis=1)


@dataclass(frozen=True)
class _Windows:
    """Ranges of output and kernel positions of a dimension, and how many have the same words."""

    outputs: tuple[int, int]
    taps: tuple[int, int]
    times: int


class Ring:
    """The patches of a link under a mapping."""

    def __init__(self, tiles: GemmTiles):
        self._tiles = tiles
        self._dims, self._extents = tiles.spec.dims, tiles.extents
        self._across, self._along = window_dims(self._dims)
        self._largest = {(loop.dim, loop.kind): size for loop, size in tiles.in_pass.largest.items()}

    @property
    def neighbour_words(self) -> int:
        """Words of a channel that a patch takes from the one before it, padding included."""
        if self._across is None:
            return 0
        rows = 1 if self._along is None else self._taps(self._along)
        return rows * shared_taps(self._dims[self._across], self._taps(self._across))

    @property
    def reserve_words_per_channel(self) -> int:
        """Words of a channel that the next round needs again, padding included."""
        if self._across is None or self._along is None:
            return 0
        dim = self._dims[self._across]
        outputs = self._largest[dim.name, LoopKind.OPC]
        width = (outputs - 1) * dim.stride + (self._taps(self._across) - 1) * dim.dilation + 1
        return width * shared_taps(self._dims[self._along], self._taps(self._along))

    @property
    def channels(self) -> int:
        """Kernel positions of a pass in other dimensions: what is reserved is reserved for each."""
        return math.prod(self._taps(index) for index in range(len(self._dims)) if index not in self._window)

    @property
    def has_strips(self) -> bool:
        """Whether passes have fewer rows of patches than there are, and may go on where others ended."""
        along = self._along
        return along is not None and self._largest[self._dims[along].name, LoopKind.OPC] < self._dims[along].opc

    @property
    def repeats_strips(self) -> bool:
        """Whether strips have several tiles of kernels, of which only the first goes on from the strip before."""
        resumed = self._resumed_kernels(rewinds=False)
        return 0 < resumed < number(self._tiles.kernels)

    def reserved_channels(self, mapping: GemmMapping) -> int:
        """Channels that words are kept of at a time: those of a pass, or of all passes over the same rows.

        `mapping` has these tiles; while it rewinds, there are those of the strip before as well.
        """
        reserved = mapping.reserved or 0
        if not mapping.resumes:
            return reserved
        pieces: Pieces = {1: 1}
        passes = 1
        for index, dim in enumerate(self._dims):
            of_dim = self._tiles.in_pass.of(dim, LoopKind.KS)
            if index in self._window:
                passes *= number(of_dim)
            else:
                pieces = products(pieces, of_dim)
        groups = math.prod(self._largest[dim.name, LoopKind.G] for dim in self._dims)
        channels = sum(min(size, reserved) * times for size, times in pieces.items())
        return (1 + mapping.rewinds) * groups * passes * channels

    @property
    def _window(self) -> tuple[int | None, int | None]:
        return self._across, self._along

    def _taps(self, index: int) -> int:
        return self._largest[self._dims[index].name, LoopKind.KS]

    def words(self) -> PatchWords:
        """Words of the patches of all passes."""
        tiles, total = self._tiles, PatchWords()
        choices = [self._distinct(index) for index in range(len(self._dims))]
        kernels, resumed = number(tiles.kernels), self._resumed_kernels(rewinds=tiles.mapping.rewinds)
        for combination in itertools.product(*choices):
            outputs, taps = [each.outputs for each in combination], [each.taps for each in combination]
            times = tiles.groups * math.prod(each.times for each in combination)
            again = resumed if self._follows(outputs) else 0
            total = total.plus(self._pass(outputs, taps, resumed=False), times * (kernels - again))
            if again:
                total = total.plus(self._pass(outputs, taps, resumed=True), times * again)
        return total

    def _resumed_kernels(self, *, rewinds: bool) -> int:
        """For how many tiles of kernels a strip of rows goes on where the one before ended.

        Of tiles of kernels that are worked on strip by strip, the first finds the rows before; then come those of its
        own strip, unless what the first one found is kept for the others. Nothing goes on if other patches, or groups,
        come in between.
        """
        tiles, along = self._tiles, self._along
        if not tiles.mapping.resumes or along is None:
            return 0
        counts = {Loop(dim.name, kind): dim.count(kind) for dim in self._dims for kind in LoopKind}
        rows, inside, kernels = Loop(self._dims[along].name, LoopKind.OPC), False, number(tiles.kernels)
        for node in tiles.mapping.tiles.nodes:
            if not isinstance(node, Temporal):
                continue
            times = -(-counts[node.loop] // node.tile)
            if inside and times > 1 and node.loop.kind in (LoopKind.G, LoopKind.OPC):
                return 0
            if inside and node.loop.kind is LoopKind.OP and not rewinds:
                kernels //= times
            inside |= node.loop == rows
        return kernels

    def _follows(self, outputs: Sequence[tuple[int, int]]) -> bool:
        """Whether patches of a pass are rows one after another, and there is a row before."""
        others = (size for index, (_, size) in enumerate(outputs) if index not in self._window)
        return self._along is not None and outputs[self._along][0] > 0 and math.prod(others) == 1

    def _distinct(self, index: int) -> list[_Windows]:
        """The ranges of a dimension that passes work on, those alike once: most differ only at borders."""
        dim, found = self._dims[index], dict[tuple[int, bool, bytes], _Windows]()
        all_outputs, all_taps = self._tiles.windows()[dim.name]
        for taps in all_taps:
            for outputs in all_outputs:
                existing = existing_taps(dim, self._extents[index], outputs, taps)
                fresh = existing_taps(dim, self._extents[index], outputs, taps, shared_taps(dim, taps[1]))
                key = taps[1], outputs[0] > 0, existing.tobytes() + fresh.tobytes()
                before = found.get(key)
                found[key] = _Windows(outputs, taps, 1 if before is None else before.times + 1)
        return list(found.values())

    def _pass(
        self, outputs: Sequence[tuple[int, int]], taps: Sequence[tuple[int, int]], *, resumed: bool
    ) -> PatchWords:
        """Words of one pass over ranges of outputs and kernel positions of every dimension."""
        across, along = self._across, self._along
        reserved = self._tiles.mapping.reserved
        channels = self._channels(outputs, taps)
        if across is None:
            return PatchWords(int(channels.sum()))
        all_across = self._existing(across, outputs, taps)
        all_along = np.ones(1, np.int64) if along is None else self._existing(along, outputs, taps)
        needed = int(channels.sum() * all_along.sum())
        if reserved is None:
            return PatchWords(needed * int(all_across.sum()))
        fresh_across = self._existing(across, outputs, taps, fresh=True)
        fresh_along = all_along if along is None else self._existing(along, outputs, taps, fresh=True)
        every, taken = int(all_across.sum()), int(all_across[0] + fresh_across[1:].sum())
        again = (all_along - fresh_along)[0 if resumed else 1 :]
        kept = int(np.minimum(channels, reserved).sum() * again.sum()) * taken
        return PatchWords(needed * taken - kept, needed * (every - taken), kept)

    def _channels(self, outputs: Sequence[tuple[int, int]], taps: Sequence[tuple[int, int]]) -> Column:
        """Words of other dimensions of every index of these, in row-major order."""
        found = np.ones(1, np.int64)
        for index in range(len(self._dims)):
            if index not in self._window:
                found = np.outer(found, self._existing(index, outputs, taps)).reshape(-1)
        return found

    def _existing(
        self, index: int, outputs: Sequence[tuple[int, int]], taps: Sequence[tuple[int, int]], *, fresh: bool = False
    ) -> Column:
        dim = self._dims[index]
        skipped = shared_taps(dim, taps[index][1]) if fresh else 0
        return existing_taps(dim, self._extents[index], outputs[index], taps[index], skipped)
