"""Tables of the words that a block of turns touches, and what two of them say of each other.

A table is an array over a range of addresses, with the first and the last turn that touches each word of it: two tables
are compared by slices, word for word, however their words are spread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Turns = npt.NDArray[np.int32]

Owner = TypeVar("Owner")

NEVER = np.iinfo(np.int32).max
"""The first turn of words that no turn touches."""


class Point(IntEnum):
    """Where in a turn an access stands: before the product, or with the sums and results after it."""

    LOAD = 0
    STORE = 1


@dataclass(frozen=True, eq=False)
class Access:
    """Words of a memory, `low` and what follows it, and the first and last turn of the block that touches each.

    Of words that no turn touches these are `NEVER` and -1.
    """

    memory: str
    tensor: str
    point: Point
    writes: bool
    low: int
    first: Turns
    last: Turns
    strides: tuple[int, ...] = ()
    """Of the tensor; words so far from each other may be touched in the same turns: those of all channels often are."""

    @classmethod
    def of(
        cls,
        memory: str,
        tensor: str,
        point: Point,
        writes: bool,
        touched: Iterable[tuple[Ints, Turns, Turns]],
        strides: Iterable[int] = (),
    ) -> Access | None:
        """The table of words with first and last turns, which may come several times; None of no words."""
        given = [each for each in touched if len(each[0])]
        if not given:
            return None
        low, high = min(int(words.min()) for words, *_ in given), max(int(words.max()) for words, *_ in given)
        first, last = np.full(high - low + 1, NEVER, np.int32), np.full(high - low + 1, -1, np.int32)
        for words, begins, ends in given:
            np.minimum.at(first, words - low, begins)
            np.maximum.at(last, words - low, ends)
        return cls(memory, tensor, point, writes, low, first, last, tuple(strides))

    @cached_property
    def high(self) -> int:
        """The last word."""
        return self.low + len(self.first) - 1

    @cached_property
    def begins(self) -> int:
        """The first turn that touches any word."""
        return int(self.first.min())

    @cached_property
    def ends(self) -> int:
        """The last turn that touches any word."""
        return int(self.last.max())

    @cached_property
    def period(self) -> int:
        """A number of words after which the table repeats itself; its own length if it does not."""
        for step in sorted({each for each in self.strides if 1 < each < len(self.first)}):
            if all((each[step:] == each[:-step]).all() for each in (self.first, self.last)):
                return step
        return len(self.first)

    def beside(self, before: Access) -> tuple[int, Turns, Turns]:
        """Of the addresses that both tables have: the first one, when this one touches them first, the other last."""
        low, stop = max(self.low, before.low), min(self.high, before.high) + 1
        return low, self.first[low - self.low : stop - self.low], before.last[low - before.low : stop - before.low]

    def _once(self, before: Access) -> tuple[Turns, Turns]:
        """The same, without what only repeats itself."""
        _, first, last = self.beside(before)
        short, long = sorted((self.period, before.period))
        return (first, last) if long % short else (first[:long], last[:long])

    def needs(self, before: Access, turns: int) -> Ints | None:
        """How many turns of the other block each of `turns` of this one needs to be over; None for no word of both.

        A turn needs those that touch words last that it is the first to touch.
        """
        first, last = self._once(before)
        needs = np.zeros(turns + 1, np.int32)
        # What one of the tables does not touch falls behind the last turn, or needs none.
        np.maximum.at(needs, np.minimum(first, turns), last + np.int32(1))
        found = needs[:turns].astype(np.int64)
        return found if found.any() else None

    def meets(self, other: Access) -> bool:
        """Whether the two touch a word both."""
        first, last = self._once(other)
        return bool(((first != NEVER) & (last >= 0)).any())


class Touched(Generic[Owner]):
    """Accesses with their owners, to be asked for those that may conflict with another one."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, bool], list[tuple[Owner, Access]]] = {}
        self._bounds: dict[tuple[str, bool], tuple[Ints, Ints]] = {}

    def add(self, owner: Owner, accesses: Iterable[Access]) -> None:
        """Note what an owner touches."""
        for access in accesses:
            key = access.memory, access.writes
            self._entries.setdefault(key, []).append((owner, access))
            self._bounds.pop(key, None)

    def conflicting(self, access: Access) -> Iterator[tuple[Owner, Access]]:
        """What may touch the same words, one of the two writing."""
        for writes in (True, False) if access.writes else (True,):
            key = access.memory, writes
            if key not in self._entries:
                continue
            if key not in self._bounds:
                pairs = [(each.low, each.high) for _, each in self._entries[key]]
                low, high = np.array(pairs, np.int64).T
                self._bounds[key] = low, high
            low, high = self._bounds[key]
            for index in np.flatnonzero((low <= access.high) & (access.low <= high)):
                yield self._entries[key][index]
