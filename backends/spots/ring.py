"""Im2col units at work: patches made one after another, of words from the memory, the neighbour and the reserve.

Patch units of all arrays form one ring, and take patches in turn. Rounds lie across the last dimension with several
output positions, and follow one another along the one before it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from backends.spatial.codes import Kind
from backends.spatial.layer import LayerState
from backends.spatial.memory import Fault
from dialects.gemm_machine import Im2colUnits

Positions = frozenset[int]
Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Kept:
    """What the reserve holds of a round: which one it was, its rows of the input, of how many channels, and words.

    `place` are the output positions of the round: ranges across, single positions otherwise; the last one is along.
    """

    place: tuple[int, ...]
    rows: Positions
    channels: int
    words: int


@dataclass(frozen=True)
class Made:
    """Input words of the patches of a pass, by where they came from; what is kept at most, and when it is over."""

    memory: int
    neighbour: int
    reserve: int
    most: int
    kept: Kept | None


class PatchUnits:
    """The im2col units of a layer, and what their reserve holds between passes: words for every kernel range."""

    def __init__(self, layer: LayerState, units: Im2colUnits, reserved: int | None, *, resumes: bool, rewinds: bool):
        self._layer, self._units = layer, units
        self._reserved, self._resumes, self._rewinds = reserved, resumes, rewinds
        self._reserve: dict[Ranges, tuple[Kept, ...]] = {}
        self._known: dict[tuple[Ranges, Kept | None], Made] = {}

    def make(self, groups: int) -> Made:
        """Make the patches of the current ranges, for each of some groups the same.

        Raises `Fault` if a buffer cannot hold its words.
        """
        terms = self._ranges(Kind.KS)
        held = self._reserve.pop(terms, ())
        maker = PatchMaker(self._layer, self._units, self._reserved)
        before = next((each for each in held if maker.goes_on_from(each)), None)
        key = (*self._ranges(Kind.G), *self._ranges(Kind.OPC), *terms), before
        if key not in self._known:
            self._known[key] = maker.run(before)
        found = self._known[key]
        words = found.most
        if self._resumes:
            stays = before if self._rewinds else None
            others = sum(each.words for of_terms in self._reserve.values() for each in of_terms)
            there, kept = sum(each.words for each in held), 0 if stays is None else stays.words
            words = groups * (others + kept + max(found.most, there - kept))
            self._reserve[terms] = tuple(each for each in (stays, found.kept) if each is not None)
        if words > self._units.reserve_words:
            message = "more words are kept for the next row of patches than there is room"
            raise Fault("CAT-E001", message, f"{self._units.reserve_words} words", str(words))
        return found

    def _ranges(self, kind: Kind) -> Ranges:
        return tuple(
            (start[kind], size[kind]) for start, size in zip(self._layer.starts, self._layer.sizes, strict=True)
        )


class PatchMaker:
    """The im2col units while a pass runs for one group."""

    def __init__(self, layer: LayerState, units: Im2colUnits, reserved: int | None):
        self._layer, self._units, self._reserved = layer, units, reserved
        self._kept: Kept | None = None
        several = [index for index in range(len(layer.dims)) if layer.whole_sizes(index)[Kind.OPC] > 1]
        self._across = several[-1] if several else None
        self._along = several[-2] if len(several) > 1 else None

    def goes_on_from(self, kept: Kept) -> bool:
        """Whether the first round of the current ranges is the one after a round that words are kept of."""
        return self._along is not None and self._is_next(kept, self._place((0,) * len(self._layer.dims)))

    def run(self, before: Kept | None) -> Made:
        """Make the patches of the current ranges, beginning with what is kept of a pass before.

        Raises `Fault` if a buffer cannot hold its words.
        """
        self._kept = before
        layer, reserved = self._layer, self._reserved
        dims = range(len(layer.dims))
        outer = [range(layer.sizes[d][Kind.OPC]) if d != self._across else range(1) for d in dims]
        taps = {d: [self._positions(d, index) for index in range(layer.sizes[d][Kind.OPC])] for d in dims}
        patches: list[Positions] = [frozenset((0,))] if self._across is None else taps[self._across]
        new = [patches[0], *(after - before for before, after in itertools.pairwise(patches))]
        every, taken = sum(map(len, patches)), sum(map(len, new))
        span = len(frozenset[int]().union(*patches))
        if reserved is not None:
            self._check_neighbours(patches, new, taps)
        memory = neighbour = reserve = most = 0
        for place in itertools.product(*outer):
            rows = frozenset((0,)) if self._along is None else taps[self._along][place[self._along]]
            channels = math.prod(len(taps[d][place[d]]) for d in dims if d != self._across and d != self._along)
            needed = channels * len(rows)
            if reserved is None:
                memory += needed * every
                continue
            kept = self._found(place, rows, channels) * taken
            reserve += kept
            memory += needed * taken - kept
            neighbour += needed * (every - taken)
            self._keep(place, rows, min(channels, reserved), span)
            most = max(most, 0 if self._kept is None else self._kept.words)
        return Made(memory, neighbour, reserve, most, self._kept)

    def _positions(self, index: int, output: int) -> Positions:
        """The positions of a dimension that one output reads, counted within the current range; those that exist."""
        dim, start, size = self._layer.dims[index], self._layer.starts[index], self._layer.sizes[index]
        base = (start[Kind.OPC] + output) * dim.stride - dim.pad
        found: set[int] = set()
        for tap in range(start[Kind.KS], start[Kind.KS] + size[Kind.KS]):
            place, rest = divmod(base + tap * dim.dilation, dim.up)
            if not rest and 0 <= place < dim.extent:
                found.add(place)
        return frozenset(found)

    def _check_neighbours(
        self, patches: list[Positions], new: list[Positions], taps: dict[int, list[Positions]]
    ) -> None:
        shared = max(len(patch) - len(fresh) for patch, fresh in zip(patches, new, strict=True))
        rows = 1 if self._along is None else max(map(len, taps[self._along]))
        if shared * rows > self._units.neighbour_words:
            most = f"{self._units.neighbour_words} words"
            raise Fault("CAT-E001", "a patch gets more from its neighbour than it can hold", most, str(shared * rows))

    def _place(self, place: tuple[int, ...]) -> tuple[int, ...]:
        """Which round of the layer one of the current range is."""
        assert self._along is not None
        starts, sizes = self._layer.starts, self._layer.sizes
        at = [start[Kind.OPC] + index for start, index in zip(starts, place, strict=True)]
        groups = [value for start, size in zip(starts, sizes, strict=True) for value in (start[Kind.G], size[Kind.G])]
        width = 1 if self._across is None else sizes[self._across][Kind.OPC]
        others = (each for dim, each in enumerate(at) if dim != self._along)
        return (*groups, *others, width, at[self._along])

    def _is_next(self, kept: Kept, place: tuple[int, ...]) -> bool:
        *same, row = place
        return kept.place == (*same, row - 1)

    def _found(self, place: tuple[int, ...], rows: Positions, channels: int) -> int:
        """Words of a position across that are reserved: rows of the round before, of the channels that it kept."""
        if self._along is None or self._kept is None:
            return 0
        if not self._is_next(self._kept, self._place(place)):
            return 0
        return min(channels, self._kept.channels) * len(rows & self._kept.rows)

    def _keep(self, place: tuple[int, ...], rows: Positions, channels: int, span: int) -> None:
        """Keep what the next row of patches needs again, `span` positions across; after the last row nothing."""
        self._kept = None
        if self._along is None:
            return
        row = self._layer.starts[self._along][Kind.OPC] + place[self._along]
        if row + 1 < self._layer.dims[self._along].counts[Kind.OPC]:
            again = rows & self._positions(self._along, place[self._along] + 1)
            self._kept = Kept(self._place(place), again, channels, channels * len(again) * span)
