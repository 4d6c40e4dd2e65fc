"""What a few loops of the head mean for every tensor and link of a group, for many tile sizes at once.

Loops that never meet in one axis of a tensor are independent: what a turn of all loops needs is a product of what turns
of each `Factor` of the loops need, on axes of their own. The same holds of what is missing of an intermediate, because
what is needed and already there differs from what is needed along one factor at a time. So a factor is tabulated alone,
once for every order of its loops and every `Stance` of the intermediates to them, and all tile sizes together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from passes.fusion.group import Group
from passes.fusion.link_walk import Cut, Known, Ratios, Stance, Union
from passes.fusion.plain_walk import NotPlainError, PlainWalk
from passes.fusion.turn_walk import NotFactorisableError, TurnWalk, UncountedWalk


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
        self.known = Known(group)
        self.whole = TurnWalk(self.known, (), {})

    @cached_property
    def _least(self) -> TurnWalk:
        """The low walk without loops."""
        return TurnWalk(self.known, (), {}, low=True)

    def table(self, cuts: Sequence[Cut], stances: dict[str, tuple[Stance, ...]]) -> AxisTable:
        """The numbers for some loops, outermost first, and the stance of every intermediate to each.

        Raises `NotFactorisableError`.
        """
        walk = self._walk(tuple(cuts), stances)
        low = self._walk(tuple(cuts), stances, low=True) if walk.unions else walk
        return self._numbers(walk, low)

    def _walk(
        self, cuts: tuple[Cut, ...], stances: dict[str, tuple[Stance, ...]], low: bool = False
    ) -> PlainWalk | TurnWalk:
        if not cuts:
            return self._least if low else self.whole
        if len(cuts) == 1:
            try:
                return PlainWalk(self.known, cuts[0], stances, self._least if low else self.whole, low)
            except NotPlainError:
                pass
        return TurnWalk(self.known, cuts, stances, low)

    def first(self, cuts: Sequence[Cut]) -> Ratios:
        """What `AxisTable` calls `first`, of loops whose turns are too many for a table; zeros if it is not known."""
        names = [tensor.name for tensor in self.group.tensors]
        try:
            walk = TurnWalk(self.known, tuple(cuts), {}, low=True, first=True)
        except NotFactorisableError:
            return np.zeros((math.prod(len(cut.tiles) for cut in cuts), len(names)))
        return _parts([walk.counted[name].first for name in names], self._sizes)

    def first_of_smallest(self, cuts: Sequence[Cut]) -> dict[str, float]:
        """What the first turn needs at least of every tensor with the smallest tile of every loop."""
        walk = TurnWalk(self.known, (), {}, low=True, within={cut.loop: cut.tiles[0] for cut in cuts})
        return {tensor.name: float(walk.counted[tensor.name].first[0]) for tensor in self.group.tensors}

    def elements(self, tensor: str) -> float:
        """What all turns together need of a tensor."""
        return float(self.whole.counted[tensor].most[0])

    def operations(self, link: str) -> float:
        """The operations of a link, each once."""
        return float(self.whole.work[link][0])

    @property
    def readings(self) -> list[tuple[str, str]]:
        """Links and the tensors from off-chip that they read."""
        return self.whole.readings

    def elements_read(self, reading: tuple[str, str]) -> float:
        """What a link reads of a tensor in all turns together."""
        return float(self.whole.read[reading].most[0])

    def moved(self, cut: Cut) -> set[tuple[str, int]]:
        """The axes of tensors that depend on a loop, besides where whether anything is needed does."""
        stances: dict[str, tuple[Stance, ...]] = dict.fromkeys(self.group.intermediates, (Stance.FORGET,))
        try:
            return PlainWalk(self.known, cut, stances, self.whole).moved()
        except NotPlainError:
            # What others found of links does not say what moves.
            known = replace(self.known, steps={})
            return UncountedWalk(known, (Cut(cut.loop, cut.count, cut.tiles[:1]),), stances).moved()

    def _numbers(self, walk: PlainWalk | TurnWalk, low: PlainWalk | TurnWalk) -> AxisTable:
        sizes, names = self._sizes, [tensor.name for tensor in self.group.tensors]
        made, links = self.group.intermediates, [link.name for link in self.group.links]
        return AxisTable(
            _parts([walk.counted[name].common for name in names], sizes),
            _parts([walk.counted[name].most for name in names], sizes),
            _parts([low.counted[name].first for name in names], sizes),
            _parts([walk.made_words[name] for name in made], self._made) if made else np.ones((walk.combinations, 0)),
            _parts([walk.work[name] for name in links], self._work),
            _parts([walk.read[each].total for each in self.readings], self._read),
            _parts([walk.read[each].most for each in self.readings], self._read),
            tuple(walk.unions),
            walk.contents(),
        )

    @cached_property
    def _sizes(self) -> Ratios:
        """What all turns together need of each tensor."""
        return _wholes([self.whole.counted[tensor.name].most for tensor in self.group.tensors])

    @cached_property
    def _made(self) -> Ratios:
        """Words that are made of each intermediate."""
        return _wholes([self.whole.made_words[name] for name in self.group.intermediates])

    @cached_property
    def _work(self) -> Ratios:
        """Operations of each link."""
        return _wholes([self.whole.work[link.name] for link in self.group.links])

    @cached_property
    def _read(self) -> Ratios:
        """Words of each of the `readings`."""
        return _wholes([self.whole.read[each].most for each in self.readings])


def _wholes(numbers: list[Ratios]) -> Ratios:
    # Of nothing, everything is nothing.
    return np.array([max(float(each.max()), 1.0) for each in numbers])


def _parts(numbers: list[Ratios], of: Ratios) -> Ratios:
    """Numbers side by side, along the last axis, each as a part of its whole."""
    every = np.array(numbers)
    return every.transpose(*range(1, every.ndim), 0) / of
