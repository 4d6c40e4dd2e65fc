"""Im2col units at work: patches made one after another, of words from the memory, the neighbour and the reserve."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from backends.spatial.codes import Kind
from backends.spatial.layer import Dimension, LayerState
from backends.spatial.memory import Fault
from dialects.gemm_machine import Im2colUnits

Positions = frozenset[int]


@dataclass
class PatchCounts:
    """Input words that went into patches, by where they came from."""

    memory: int = 0
    neighbour: int = 0
    reserve: int = 0


@dataclass
class _Unit:
    """What an im2col unit remembers: the rows of the input that its last round had, and of how many channels."""

    place: tuple[int, ...] = ()
    row: int = -1
    rows: Positions = frozenset()
    channels: int = 0


class PatchMaker:
    """The im2col units while a pass runs: every one makes the patches of its array, row by row.

    Rounds lie across the last dimension with several output positions, and follow one another along the one before it.
    """

    def __init__(self, layer: LayerState, units: Im2colUnits, split: int, reserved: int | None):
        self._layer, self._units = layer, units
        self._split, self._reserved = split, reserved
        several = [index for index, dim in enumerate(layer.dims) if dim.counts[Kind.OPC] > 1]
        self._across = several[-1] if several else None
        self._along = several[-2] if len(several) > 1 else None

    def run(self) -> PatchCounts:
        """Make the patches of the current ranges of one group. Raises `Fault` if a buffer cannot hold its words."""
        found = PatchCounts()
        dims = range(len(self._layer.dims))
        width = 1 if self._across is None else self._layer.sizes[self._across][Kind.OPC]
        outer = [range(self._layer.sizes[d][Kind.OPC]) if d != self._across else range(1) for d in dims]
        rounds = math.prod(len(each) for each in outer)
        share = -(-rounds * width // self._split)
        taps = {d: [self._positions(d, index) for index in range(self._layer.sizes[d][Kind.OPC])] for d in dims}
        patches: list[Positions] = [frozenset((0,))] if self._across is None else taps[self._across]
        new = [patches[0], *(after - before for before, after in itertools.pairwise(patches))]
        if self._reserved is not None:
            self._check_neighbours(patches, new, taps)
        every, fresh = [len(each) for each in patches], [len(each) for each in new]
        all_every, all_fresh = _sums(every), _sums(fresh)
        span = len(frozenset[int]().union(*patches))
        units = [_Unit() for _ in range(self._split)]
        for number, place in enumerate(itertools.product(*outer)):
            begin = number * width
            rows = frozenset((0,)) if self._along is None else taps[self._along][place[self._along]]
            channels = math.prod(len(taps[d][place[d]]) for d in dims if d != self._across and d != self._along)
            while begin < (number + 1) * width:
                unit = begin // share
                end = min((unit + 1) * share, (number + 1) * width)
                first, last = begin - number * width, end - number * width
                needed = channels * len(rows) * (all_every[last] - all_every[first])
                if self._reserved is None:
                    found.memory += needed
                else:
                    taken = every[first] + all_fresh[last] - all_fresh[first + 1]
                    kept = self._kept(units[unit], place, rows, channels) * taken
                    found.reserve += kept
                    found.memory += channels * len(rows) * taken - kept
                    found.neighbour += needed - channels * len(rows) * taken
                    self._remember(units[unit], place, rows, channels, is_whole=last - first == width)
                    self._check_reserve(units[unit], place, taps, span)
                begin = end
        return found

    def _positions(self, index: int, output: int) -> Positions:
        """The positions of a dimension that one output of the current range reads, padding and gaps left out."""
        dim: Dimension = self._layer.dims[index]
        start, size = self._layer.starts[index], self._layer.sizes[index]
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

    def _kept(self, unit: _Unit, place: tuple[int, ...], rows: Positions, channels: int) -> int:
        """Words of a position across that the round before has left: rows of the reserved channels."""
        if self._along is None or unit.row < 0 or unit.row + 1 != place[self._along]:
            return 0
        same = (*place[: self._along], unit.row, *place[self._along + 1 :])
        return min(channels, unit.channels) * len(rows & unit.rows) if same == unit.place else 0

    def _check_reserve(self, unit: _Unit, place: tuple[int, ...], taps: dict[int, list[Positions]], span: int) -> None:
        """What the next row of patches needs again of the reserved channels has room, `span` positions across."""
        if self._along is None or unit.row < 0 or unit.row + 1 >= len(taps[self._along]):
            return
        again = unit.rows & taps[self._along][unit.row + 1]
        words = unit.channels * len(again) * span
        if words > self._units.reserve_words:
            most = f"{self._units.reserve_words} words"
            raise Fault(
                "CAT-E001", "more words are kept for the next row of patches than there is room", most, str(words)
            )

    def _remember(self, unit: _Unit, place: tuple[int, ...], rows: Positions, channels: int, *, is_whole: bool) -> None:
        if self._along is None or not is_whole:
            unit.row = -1
            return
        unit.place, unit.row, unit.rows, unit.channels = (
            place,
            place[self._along],
            rows,
            min(channels, self._reserved or 0),
        )


def _sums(values: list[int]) -> list[int]:
    return [0, *itertools.accumulate(values)]
