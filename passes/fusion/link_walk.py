"""A walk from the head of a group back, link by link, with what the turns of some loops need of every tensor.

How sets of elements are written down is left to those who walk: `turn_walk` has tables of every turn, `plain_walk` has
words for loops whose turns share nothing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property, reduce
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from dialects.schedule import Loop
from passes.fusion.group import Group, GroupLink, Operand

Ratios = npt.NDArray[np.float64]

S = TypeVar("S")
"""A set of elements of a tensor, in every turn of the loops."""
W = TypeVar("W")
"""What a link works through, in every turn of the loops."""


class Stance(IntEnum):
    """Which earlier turns of a loop an intermediate is still there from, by where its place stands."""

    FORGET = 0
    """None: further loops stand between this one and the place, or nothing is reused."""
    SLIDE = 1
    """The turn before: the place stands right below the loop."""
    KEEP = 2
    """All: the place stands above the loop."""


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
class Counted:
    """Numbers of what is needed of a tensor, as in `AxisTable`, but of one tensor and not as parts."""

    common: Ratios
    most: Ratios
    first: Ratios

    @property
    def total(self) -> Ratios:
        """What all turns need."""
        return self.common[:, -1]


@dataclass(frozen=True)
class Step(Generic[S]):
    """What a walk finds of a link, for all tile sizes."""

    needed: S
    made: S
    counted: dict[str, Counted]
    """The result, and tensors from off-chip that only one operand reads."""
    made_words: Ratios
    work: Ratios
    read: tuple[tuple[str, S], ...]
    """Other tensors, for each operand that reads them."""
    unions: tuple[Union, ...]


@dataclass
class Known:
    """What walks of one group tell each other."""

    group: Group
    largest: dict[str, int] = field(default_factory=dict[str, int])
    """Which of the operands that read a tensor reads most of it without loops."""
    steps: dict[tuple[object, ...], Step[Any]] = field(default_factory=dict[tuple[object, ...], Step[Any]])
    """What walks found of a link, by all that it depends on."""
    plain: dict[tuple[object, ...], Counted] = field(default_factory=dict[tuple[object, ...], Counted])
    """What plain walks counted of a set, by all that it depends on."""

    @cached_property
    def readings(self) -> list[tuple[str, str]]:
        """Links and the tensors from off-chip that they read."""
        return [
            (link.name, tensor)
            for tensor in self.group.external
            for link in self.group.links
            if any(operand.tensor == tensor for operand in link.operands)
        ]

    @cached_property
    def joined(self) -> set[str]:
        """Tensors that are made in the group, or that several operands read."""
        several = (tensor.name for tensor in self.group.tensors if sum(1 for _ in self.group.readers(tensor.name)) > 1)
        return {*self.group.makers, *several}


class Walk(ABC, Generic[S, W]):
    """What loops of the head, outermost first, mean for a group, for every stance of its intermediates to them.

    A `low` walk has no unions: of what several operands read it takes the part that is largest without loops.
    """

    def __init__(self, known: Known, cuts: tuple[Cut, ...], stances: dict[str, tuple[Stance, ...]], low: bool):
        self.known, self.group, self.cuts, self.stances, self.low = known, known.group, cuts, stances, low
        self.combinations = math.prod(len(cut.tiles) for cut in cuts)
        """Of tile sizes."""
        self.readings = known.readings
        self.unions: list[Union] = []
        self.counted: dict[str, Counted] = {}
        self.read: dict[tuple[str, str], Counted] = {}
        self.made_words: dict[str, Ratios] = {}
        self.work: dict[str, Ratios] = {}
        self.results: list[tuple[str, S, S]] = []
        """What is needed and made of results."""

    def _walk(self) -> None:
        read: dict[str, list[tuple[str, S]]] = {}
        for link in reversed(self.group.links):
            step = self._step(link, read)
            self.counted |= step.counted
            self.made_words[link.result] = step.made_words
            self.work[link.name] = step.work
            self.results.append((link.result, step.needed, step.made))
            self.unions += step.unions
            for tensor, part in step.read:
                read.setdefault(tensor, []).append((link.name, part))
        for tensor in self.group.external:
            if tensor not in self.counted:
                parts, unions = read.get(tensor, []), list[Union]()
                self.counted[tensor] = self._count(tensor, self._joined(tensor, [part for _, part in parts], unions))
                for name in {link for link, _ in parts}:
                    mine = [part for link, part in parts if link == name]
                    joined = reduce(lambda one, other: self._union(unions, one, other), mine)
                    self.read[name, tensor] = self._count(tensor, joined, name)
                self.unions += unions
        for name, tensor in self.readings:
            self.read.setdefault((name, tensor), self.counted[tensor])

    def _step(self, link: GroupLink, read: dict[str, list[tuple[str, S]]]) -> Step[S]:
        group, unions = self.group, list[Union]()
        if link is group.head:
            needed, windows = self._head()
            self._note(link.result, needed)
            made = needed
        else:
            needed = self._joined(link.result, [part for _, part in read[link.result]], unions)
            made = self._missing(needed, self.stances.get(link.result, ()))
            windows = self._windows(link, made)
        counted = {link.result: self._count(link.result, needed)}
        kept: list[tuple[str, S]] = []
        for operand in link.operands:
            part = self._accessed(operand, link, windows)
            self._note(operand.tensor, part)
            if operand.tensor in self.known.joined:
                kept.append((operand.tensor, part))
            else:
                counted[operand.tensor] = self._count(operand.tensor, part)
        made_words, work = self._words(link.result, made), self._work(link, windows)
        return Step(needed, made, counted, made_words, work, tuple(kept), tuple(unions))

    def _joined(self, tensor: str, parts: list[S], unions: list[Union]) -> S:
        """The union of what several operands read, in case it is a product (`Union` says whether it is)."""
        if not parts:
            return self._nothing(tensor)
        if self.low:
            return parts[self.known.largest[tensor]]
        if not self.cuts:
            sizes = [float(self._words(tensor, part)[0]) for part in parts]
            self.known.largest[tensor] = sizes.index(max(sizes))
        return reduce(lambda one, other: self._union(unions, one, other), parts)

    @abstractmethod
    def _head(self) -> tuple[S, W]:
        """What the head makes, and what it works through for it."""

    @abstractmethod
    def _windows(self, link: GroupLink, made: S) -> W:
        """What a link works through to make some of its results."""

    @abstractmethod
    def _accessed(self, operand: Operand, link: GroupLink, windows: W) -> S:
        """What an operand of a link reads."""

    @abstractmethod
    def _nothing(self, tensor: str) -> S:
        """Nothing of a tensor, which nobody reads."""

    @abstractmethod
    def _union(self, unions: list[Union], first: S, second: S) -> S:
        """The union of two sets, in case it is a product; how they compare goes to `unions`."""

    @abstractmethod
    def _missing(self, needed: S, stances: tuple[Stance, ...]) -> S:
        """What of an intermediate is not there yet from earlier turns."""

    @abstractmethod
    def _count(self, tensor: str, part: S, link: str | None = None) -> Counted:
        """Elements of a set, and what turns share; it is what one link reads if that is given."""

    @abstractmethod
    def _words(self, tensor: str, part: S) -> Ratios:
        """Elements of a set in all turns, for each combination."""

    @abstractmethod
    def _work(self, link: GroupLink, windows: W) -> Ratios:
        """Operations in all turns, for each combination."""

    @abstractmethod
    def _note(self, tensor: str, part: S) -> None:
        """Keep for `moved` what the head makes, or an operand reads.

        Loops that move one axis of a tensor, each for another operand, are not independent, though no union of what
        these read may depend on either loop alone.
        """

    @abstractmethod
    def moved(self) -> set[tuple[str, int]]:
        """The axes of tensors that depend on the loops, besides where whether anything is needed does."""

    @abstractmethod
    def contents(self) -> tuple[bytes, ...]:
        """See `AxisTable`."""
