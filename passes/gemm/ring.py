"""What im2col units read, by closed forms: words of patches that come from the memory, the neighbour, the reserve.

A round is a row of patches: all output positions along one dimension, `across`, for one index of the dimension `along`
before it and of all others. A patch takes from the patch before it in the round what both have. What the round before
had of the same rows of the input comes from the reserve, for the channels that are reserved, if that round was whole.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dialects.gconv import Dim, LoopKind
from passes.gemm.tiles import GemmTiles

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
    def _window(self) -> tuple[int | None, int | None]:
        return self._across, self._along

    def _taps(self, index: int) -> int:
        return self._largest[self._dims[index].name, LoopKind.KS]

    def words(self) -> PatchWords:
        """Words of the patches of all passes."""
        tiles, total = self._tiles, PatchWords()
        choices = [self._distinct(index) for index in range(len(self._dims))]
        outer = tiles.groups * sum(tiles.kernels.values())
        for combination in itertools.product(*choices):
            outputs, taps = [each.outputs for each in combination], [each.taps for each in combination]
            total = total.plus(self._pass(outputs, taps), outer * math.prod(each.times for each in combination))
        return total

    def _distinct(self, index: int) -> list[_Windows]:
        """The ranges of a dimension that passes work on, those alike once: most differ only at borders."""
        dim, found = self._dims[index], dict[tuple[int, bytes], _Windows]()
        all_outputs, all_taps = self._tiles.windows()[dim.name]
        for taps in all_taps:
            for outputs in all_outputs:
                existing = existing_taps(dim, self._extents[index], outputs, taps)
                fresh = existing_taps(dim, self._extents[index], outputs, taps, shared_taps(dim, taps[1]))
                key = taps[1], existing.tobytes() + fresh.tobytes()
                before = found.get(key)
                found[key] = _Windows(outputs, taps, 1 if before is None else before.times + 1)
        return list(found.values())

    def _pass(self, outputs: Sequence[tuple[int, int]], taps: Sequence[tuple[int, int]]) -> PatchWords:
        """Words of one pass over ranges of outputs and kernel positions of every dimension."""
        across, along = self._across, self._along
        split, reserved = self._tiles.mapping.split, self._tiles.mapping.reserved
        width = 1 if across is None else outputs[across][1]
        rows = 1 if along is None else outputs[along][1]
        rounds = math.prod(size for _, size in outputs) // width
        channels = self._channels(outputs, taps)
        if across is None:
            return PatchWords(int(channels.sum()))
        all_across = self._existing(across, outputs, taps)
        all_along = np.ones(1, np.int64) if along is None else self._existing(along, outputs, taps)
        if reserved is None:
            return PatchWords(int(np.outer(channels, all_along).sum() * all_across.sum()))
        fresh_across = self._existing(across, outputs, taps, fresh=True)
        fresh_along = all_along if along is None else self._existing(along, outputs, taps, fresh=True)
        whole, fresh = np.cumsum(np.append(0, all_across)), np.cumsum(np.append(0, fresh_across))
        part = -(-rounds * width // split)
        found = PatchWords()
        for start in range(0, rounds * width, part):
            end = min(start + part, rounds * width)
            number = np.arange(start // width, -(-end // width))
            first = np.maximum(start - number * width, 0)
            last = np.minimum(end - number * width, width)
            of_round = channels[number // rows]
            taken = whole[first + 1] - whole[first] + fresh[last] - fresh[first + 1]
            every = whole[last] - whole[first]
            row = number % rows
            follows = (number > number[0]) & (row > 0)
            follows[1:] &= (first[:-1] == 0) & (last[:-1] == width)
            kept = np.where(follows, np.minimum(of_round, reserved), 0) * (all_along[row] - fresh_along[row])
            needed = of_round * all_along[row]
            reserve, neighbour = int((kept * taken).sum()), int((needed * (every - taken)).sum())
            found = found.plus(PatchWords(int((needed * taken).sum()) - reserve, neighbour, reserve), 1)
        return found

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
