"""What a few loops of the head mean for every tensor and link of a group, for many tile sizes at once.

Loops that never meet in one axis of a tensor are independent: what a turn of all loops needs is a product of what turns
of each `Factor` of the loops need, on axes of their own. The same holds of what is missing of an intermediate, because
what is needed and already there differs from what is needed along one factor at a time. So a factor is tabulated alone,
once for every order of its loops and every `Stance` of the intermediates to them, and all tile sizes together.

Tables have the axes (tile size of each loop, turn of each loop, index). Tile sizes with fewer turns are padded with
turns that need nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial, reduce

import numpy as np
import numpy.typing as npt

from dialects.gconv.spec import Dim, LoopKind
from dialects.schedule import Loop
from passes.fusion.access import Window, accessed, operations
from passes.fusion.group import Group, GroupLink
from passes.fusion.region import Box, Table, any_of

Ratios = npt.NDArray[np.float64]


class Stance(IntEnum):
    """Which earlier turns of a loop an intermediate is still there from, by where its place stands."""

    FORGET = 0
    """None: further loops stand between this one and the place, or nothing is reused."""
    SLIDE = 1
    """The turn before: the place stands right below the loop."""
    KEEP = 2
    """All: the place stands above the loop."""


class NotFactorisableError(Exception):
    """Two axes of a tensor depend on one loop, or two loops on one axis in a way that is no product."""


@dataclass(frozen=True)
class Cut:
    """A loop of the head with the tile sizes that it may be cut in."""

    loop: Loop
    count: int
    tiles: tuple[int, ...]

    @property
    def turns(self) -> npt.NDArray[np.int64]:
        """How many turns each tile size makes."""
        return -(-self.count // np.asarray(self.tiles))


@dataclass(frozen=True)
class Union:
    """How two sets of which a third is the union compare, for every combination of tile sizes."""

    first_in_second: npt.NDArray[np.bool_]
    second_in_first: npt.NDArray[np.bool_]
    differing: npt.NDArray[np.int64]
    """The axes on which they differ, one bit for each."""


@dataclass(frozen=True)
class AxisTable:
    """Numbers of one factor, each as a part of the number without loops; shape (combinations of tile sizes, ...).

    With m loops of the factor cut, `common` has 2m + 1 codes: for code 2j + s what a turn shares with the turn before,
    summed, where the outer j loops stay, the next one steps (s = 1) or all further ones begin again after their last
    turn (s = 0). Code 2m is what all turns need.
    """

    common: Ratios
    """(combinations, codes, tensors)."""
    most: Ratios
    """What the turn that needs most needs: (combinations, tensors)."""
    first: Ratios
    """What the first turn needs at least, which does not depend on stances: (combinations, tensors)."""
    made: Ratios
    """What all turns make of intermediates: (combinations, intermediates)."""
    work: Ratios
    """Operations of all turns: (combinations, links)."""
    read: Ratios
    """What links read of tensors from off-chip in all turns: (combinations, readings)."""
    most_read: Ratios
    """In the turn that reads most: (combinations, readings)."""
    unions: tuple[Union, ...]
    contents: tuple[bytes, ...]
    """What is needed and made, for each combination: equal where it makes no difference to anything."""


class Tabulation:
    """Tabulates loops of the head for one group."""

    def __init__(self, group: Group):
        self.group = group
        self.readings = [
            (link.name, tensor)
            for tensor in group.external
            for link in group.links
            if any(operand.tensor == tensor for operand in link.operands)
        ]
        self.steps: dict[tuple[object, ...], _Step] = {}
        """What walks found of a link, by all that it depends on."""
        self.largest: dict[str, int] = {}
        """Which of the operands that read a tensor reads most of it."""
        self.whole = _Walk(self, (), {})

    def table(self, cuts: Sequence[Cut], stances: dict[str, tuple[Stance, ...]]) -> AxisTable:
        """The numbers for some loops, outermost first, and the stance of every intermediate to each.

        Raises `NotFactorisableError`.
        """
        walk = _Walk(self, tuple(cuts), stances)
        low = _Walk(self, tuple(cuts), stances, low=True) if walk.unions else walk
        return walk.table(self.whole, low)

    def elements(self, tensor: str) -> float:
        """What all turns together need of a tensor."""
        return float(self.whole.counted[tensor].most[0])

    def operations(self, link: str) -> float:
        """The operations of a link, each once."""
        return float(self.whole.work[link][0])

    def elements_read(self, reading: tuple[str, str]) -> float:
        """What a link reads of a tensor in all turns together."""
        return float(self.whole.read[reading].most[0])

    def moved(self, cut: Cut) -> set[tuple[str, int]]:
        """The axes of tensors that depend on a loop, besides where whether anything is needed does."""
        finest = Cut(cut.loop, cut.count, cut.tiles[:1])
        walk = _Walk(self, (finest,), dict.fromkeys(self.group.intermediates, (Stance.FORGET,)), watched=True)
        return walk.moved


@dataclass(frozen=True)
class _Counted:
    """Numbers of what is needed of a tensor; as in `AxisTable`, of one tensor and not as parts."""

    common: Ratios
    most: Ratios
    first: Ratios

    @property
    def total(self) -> Ratios:
        return self.common[:, -1]


@dataclass(frozen=True)
class _Step:
    """What a walk finds of a link, for all tile sizes."""

    needed: Box
    made: Box
    counted: dict[str, _Counted]
    """The result, and tensors from off-chip that only one operand reads."""
    made_words: Ratios
    work: Ratios
    read: tuple[tuple[str, Box], ...]
    """Other tensors, for each operand that reads them."""
    unions: tuple[Union, ...]


class _Walk:
    """One walk from the head back, with sets for all tile sizes and turns.

    A `low` walk has no unions: of what several operands read it takes the part that is largest without loops.
    """

    def __init__(
        self,
        tabulation: Tabulation,
        cuts: tuple[Cut, ...],
        stances: dict[str, tuple[Stance, ...]],
        low: bool = False,
        watched: bool = False,
    ):
        self.low, self.watched = low, watched
        self.tabulation, self.group, self.cuts, self.stances = tabulation, tabulation.group, cuts, stances
        self.unions: list[Union] = []
        self.moved: set[tuple[str, int]] = set()
        """The axes that depend on the loops, if it is a `watched` walk."""
        self.counted: dict[str, _Counted] = {}
        self.read: dict[tuple[str, str], _Counted] = {}
        self.made_words: dict[str, Ratios] = {}
        self.work: dict[str, Ratios] = {}
        self.boxes: list[Box] = []
        """What is needed and made of results."""
        self._presence = self._turns_there()
        self._walk()

    def _walk(self) -> None:
        read: dict[str, list[tuple[str, Box]]] = {}
        stances: list[tuple[str, tuple[Stance, ...]]] = []
        for link in reversed(self.group.links):
            stances.append((link.result, self.stances.get(link.result, ())))
            key = (self.cuts, self.low, self.watched, *stances)
            step = self.tabulation.steps.get(key)
            if step is None:
                step = self.tabulation.steps[key] = self._step(link, read)
            self.counted |= step.counted
            self.made_words[link.result] = step.made_words
            self.work[link.name] = step.work
            self.boxes += [step.needed, step.made]
            self.unions += step.unions
            for tensor, box in step.read:
                read.setdefault(tensor, []).append((link.name, box))
        for tensor in self.group.external:
            if tensor not in self.counted:
                boxes, unions = read.get(tensor, []), list[Union]()
                self.counted[tensor] = self._count(tensor, self._joined(tensor, [box for _, box in boxes], unions))
                for name in {link for link, _ in boxes}:
                    mine = [box for link, box in boxes if link == name]
                    self.read[name, tensor] = self._count(tensor, reduce(partial(self._union, unions), mine))
                self.unions += unions
        for name, tensor in self.tabulation.readings:
            self.read.setdefault((name, tensor), self.counted[tensor])

    def _step(self, link: GroupLink, read: dict[str, list[tuple[str, Box]]]) -> _Step:
        group, unions = self.group, list[Union]()
        if link is group.head:
            windows = tuple(self._head_window(dim) for dim in link.spec.dims)
            needed = made = self._there(tuple(results for results, _ in windows))
        else:
            needed = self._joined(link.result, [box for _, box in read[link.result]], unions)
            made = self._missing(needed, self.stances.get(link.result, ()))
            windows = tuple(
                (results, np.ones((1,) * (2 * len(self.cuts)) + (dim.ks,), np.bool_))
                for results, dim in zip(made, link.spec.dims, strict=True)
            )
        counted = {link.result: self._count(link.result, needed)}
        kept: list[tuple[str, Box]] = []
        for operand in link.operands:
            tensor = operand.tensor
            box = self._there(accessed(operand, link, windows, group.tensor(tensor).shape))
            if tensor in group.makers or sum(1 for _ in group.readers(tensor)) > 1:
                kept.append((tensor, box))
            else:
                counted[tensor] = self._count(tensor, box)
        work = self._sums(self._counts(operations(link, windows)))
        return _Step(needed, made, counted, self._sums(self._counts(made)), work, tuple(kept), tuple(unions))

    def _count(self, tensor: str, box: Box) -> _Counted:
        counts = self._flat(self._counts(box))
        if self.watched:
            self.moved |= {(tensor, axis) for axis, table in enumerate(box) if not _is_guard(table)}
        return _Counted(self._common(box), counts.max(axis=1), counts[:, 0])

    # Tiles ------------------------------------------------------------------------------------------------------------

    def _turns_there(self) -> Table:
        """Which turns tile sizes have at all, as a table with one index."""
        there: Table = np.ones((1,) * (2 * len(self.cuts)) + (1,), np.bool_)
        for index, cut in enumerate(self.cuts):
            most = int(cut.turns.max())
            there = there & self._placed(index, np.arange(most) < cut.turns[:, np.newaxis], 1)
        return there

    def _placed(self, index: int, table: Table, extent: int) -> Table:
        shape = [1] * (2 * len(self.cuts)) + [extent]
        shape[index], shape[len(self.cuts) + index] = table.shape[:2]
        return table.reshape(shape)

    def _head_window(self, dim: Dim) -> Window:
        g, op, opc, ks = (self._tile(Loop(dim.name, kind), dim.count(kind)) for kind in LoopKind)
        results = g[..., :, None, None] & op[..., None, :, None] & opc[..., None, None, :]
        return results.reshape(*results.shape[:-3], math.prod(results.shape[-3:])), ks

    def _tile(self, loop: Loop, count: int) -> Table:
        for index, cut in enumerate(self.cuts):
            if cut.loop == loop:
                turn = np.arange(int(cut.turns.max()))[np.newaxis, :, np.newaxis]
                tiles = np.asarray(cut.tiles)[:, np.newaxis, np.newaxis]
                return self._placed(index, np.arange(count) // tiles == turn, count)
        return np.ones((1,) * (2 * len(self.cuts)) + (count,), np.bool_)

    # Sets -------------------------------------------------------------------------------------------------------------

    def _there(self, box: Box) -> Box:
        """A box with at most one axis that depends on the loops, and nothing in turns that are not there."""
        if not self.cuts:
            return box
        loops = 2 * len(self.cuts)
        moving = [axis for axis, table in enumerate(box) if max(table.shape[:loops]) > 1]
        real = [axis for axis in moving if not _is_guard(box[axis])]
        if len(real) > 1:
            raise NotFactorisableError
        (kept,) = real or moving[:1] or [0]
        pieces = list(box)
        pieces[kept] = pieces[kept] & self._presence
        for axis in moving:
            if axis != kept:
                pieces[kept] = pieces[kept] & any_of(pieces[axis], -1)
                pieces[axis] = any_of(pieces[axis].reshape(-1, pieces[axis].shape[-1]), 0).reshape((1,) * loops + (-1,))
        return tuple(pieces)

    def _joined(self, tensor: str, boxes: list[Box], unions: list[Union]) -> Box:
        """The union of what several operands read, in case it is a product (`Union` says whether it is)."""
        if not boxes:
            nothing = np.zeros((1,) * (2 * len(self.cuts)) + (1,), np.bool_)
            return self._there(tuple(nothing for _ in self.group.tensor(tensor).shape))
        if self.low:
            return boxes[self.tabulation.largest[tensor]]
        if not self.cuts:
            sizes = [_total(box) for box in boxes]
            self.tabulation.largest[tensor] = sizes.index(max(sizes))
        return reduce(partial(self._union, unions), boxes)

    def _union(self, unions: list[Union], first: Box, second: Box) -> Box:
        count = len(self.cuts)
        shape = tuple(len(cut.tiles) for cut in self.cuts)

        def always(table: Table) -> npt.NDArray[np.bool_]:
            holds = table.all(axis=(*range(count, 2 * count), -1))
            return np.broadcast_to(holds, shape).ravel()

        within, around = np.ones(math.prod(shape), np.bool_), np.ones(math.prod(shape), np.bool_)
        differing = np.zeros(math.prod(shape), np.int64)
        for axis, (mine, theirs) in enumerate(zip(first, second, strict=True)):
            less, more = always(~mine | theirs), always(~theirs | mine)
            within, around = within & less, around & more
            differing |= np.where(less & more, 0, 1 << axis)
        unions.append(Union(within, around, differing))
        return self._there(tuple(mine | theirs for mine, theirs in zip(first, second, strict=True)))

    def _missing(self, needed: Box, stances: tuple[Stance, ...]) -> Box:
        if not self.cuts:
            return needed
        count = len(self.cuts)
        axis = self._moving(needed)
        table: Table = needed[axis]
        missing = table
        for loop, stance in enumerate(stances):
            if stance is not Stance.FORGET:
                turn = count + loop
                inner: Table = np.any(table, axis=tuple(range(turn + 1, 2 * count)), keepdims=True)
                if stance is Stance.KEEP:
                    inner = np.logical_or.accumulate(inner, axis=turn)
                where = (slice(None),) * turn
                before = np.zeros_like(inner)
                before[(*where, slice(1, None))] = inner[(*where, slice(None, -1))]
                missing = missing & ~before
        return (*needed[:axis], missing, *needed[axis + 1 :])

    def _moving(self, box: Box) -> int:
        """The axis that depends on the loops."""
        sizes = [math.prod(table.shape[:-1]) for table in box]
        return sizes.index(max(sizes))

    # Numbers ----------------------------------------------------------------------------------------------------------

    def table(self, whole: _Walk, low: _Walk) -> AxisTable:
        def parts(numbers: list[Ratios], of: list[Ratios]) -> Ratios:
            # Of nothing, everything is nothing.
            return np.stack([n / max(float(w.max()), 1.0) for n, w in zip(numbers, of, strict=True)], axis=-1)

        names = [tensor.name for tensor in self.group.tensors]
        sizes = [whole.counted[name].most for name in names]
        made, links = self.group.intermediates, [link.name for link in self.group.links]
        readings = self.tabulation.readings
        read = [whole.read[each].most for each in readings]
        combinations = math.prod(len(cut.tiles) for cut in self.cuts)
        return AxisTable(
            parts([self.counted[name].common for name in names], sizes),
            parts([self.counted[name].most for name in names], sizes),
            parts([low.counted[name].first for name in names], sizes),
            parts([self.made_words[name] for name in made], [whole.made_words[name] for name in made])
            if made
            else np.ones((combinations, 0)),
            parts([self.work[name] for name in links], [whole.work[name] for name in links]),
            parts([self.read[each].total for each in readings], read),
            parts([self.read[each].most for each in readings], read),
            tuple(self.unions),
            self._contents(combinations),
        )

    def _counts(self, box: Box) -> Ratios:
        """Elements in every turn that is there."""
        counts = self._presence[..., 0].astype(np.float64)
        for table in box:
            counts = counts * np.count_nonzero(table, axis=-1)
        return counts

    def _flat(self, numbers: Ratios) -> Ratios:
        """Numbers with axes for tile sizes only, or with turns behind them: (combinations, turns)."""
        tiles = [len(cut.tiles) for cut in self.cuts]
        turns = [int(cut.turns.max()) for cut in self.cuts]
        return np.broadcast_to(numbers, (*tiles, *turns)).reshape(math.prod(tiles), math.prod(turns))

    def _sums(self, counts: Ratios) -> Ratios:
        return self._flat(counts).sum(axis=1)

    def _common(self, box: Box) -> Ratios:
        """See `AxisTable.common`: (combinations, codes)."""
        if not self.cuts:
            return np.array([[_total(box)]])
        count, axis = len(self.cuts), self._moving(box)
        others = _total((*box[:axis], *box[axis + 1 :]))
        codes: list[Ratios] = []
        for stay, step in [*itertools.product(range(count), (0, 1)), (count, 0)]:
            now = before = box[axis]
            for loop in range(stay, count):
                turn = count + loop
                if step and loop == stay:
                    now, before = _part(now, turn, slice(1, None)), _part(before, turn, slice(0, -1))
                else:
                    now, before = _part(now, turn, slice(0, 1)), self._last(before, loop)
            shared = np.count_nonzero(now & before, axis=-1).astype(np.float64)
            sums = shared.sum(axis=tuple(range(count, 2 * count)))
            codes.append(sums.ravel() * others)
        return np.stack(codes, axis=-1)

    def _last(self, table: Table, loop: int) -> Table:
        count = len(self.cuts)
        shape = [1] * table.ndim
        shape[loop] = -1
        last = (self.cuts[loop].turns - 1).reshape(shape)
        return np.take_along_axis(table, last, axis=count + loop)

    def _contents(self, combinations: int) -> tuple[bytes, ...]:
        parts: list[npt.NDArray[np.uint8]] = []
        for box in self.boxes:
            axis = self._moving(box)
            full = np.broadcast_to(box[axis], (*self._presence.shape[:-1], box[axis].shape[-1]))
            parts += [np.full((combinations, 1), axis, np.uint8), np.packbits(full.reshape(combinations, -1), axis=1)]
        return tuple(row.tobytes() for row in np.concatenate(parts, axis=1))


def _total(box: Box) -> float:
    """Elements of a box that depends on no loop."""
    return float(math.prod(int(np.count_nonzero(table)) for table in box))


def _part(table: Table, axis: int, part: slice) -> Table:
    return table[(*(slice(None),) * axis, part)]


def _is_guard(table: Table) -> bool:
    """Whether all that depends on the loops is whether anything is there."""
    flat = table.reshape(-1, table.shape[-1])
    return bool(np.array_equal(flat, flat.any(axis=0) & flat.any(axis=1, keepdims=True)))
