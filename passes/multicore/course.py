"""What a core does for a layer, as turns with their cycles, and when these end if nobody else wants the bus.

A turn of a unit ends when the one before has, and what it waits for has come, and its own cycles are over: in max-plus
algebra a running maximum over sums, for all turns at once. A core does everything in order, or has units that bring
inputs, multiply and finish sums, each at a turn of its own, with two buffers between them: then the recurrences of the
units are repeated until nothing grows any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from passes.multicore.traffic import Moved, Numbers, Way

Register = tuple[int, int]
"""A core, and the number of one of its registers."""
BRING, MULTIPLY, FINISH = range(3)
"""Units of a core that overlaps turns; one that does not has the first alone."""
DEPTH = 2
"""Turns that a unit may be ahead of the next one: buffers of inputs, and of sums."""


@dataclass(frozen=True)
class Token:
    """A wait or a signal of a unit: values in some turns of a stretch, and the cycles of each turn before it."""

    unit: int
    register: Register
    turns: Numbers
    values: Numbers
    before: Numbers


@dataclass(frozen=True)
class Item:
    """What a unit does in every turn of a block: works, moves something over a way, waits for a register, or signals.

    `cycles` are its own ones, or those for which it takes each link of `way`; `values` those that it waits for or
    sends, 0 in turns in which it does not.
    """

    unit: int
    cycles: Numbers
    way: Way | None = None
    register: Register | None = None
    values: Numbers | None = None


@dataclass
class Block:
    """Turns in which the same is done in the same order; by several units if they work on different turns at a time."""

    turns: int
    units: int
    items: list[Item] = field(default_factory=list[Item])


@dataclass
class _Stretch:
    """Turns in which units work on different ones at a time, if there are several; cycles by unit."""

    cycles: list[Numbers]
    waits: list[Token] = field(default_factory=list[Token])
    signals: list[Token] = field(default_factory=list[Token])

    @cached_property
    def steady(self) -> list[Numbers]:
        """By unit, when turns end if nothing holds them up."""
        return [np.cumsum(cycles) for cycles in self.cycles]

    def behind(self, token: Token) -> Numbers:
        """Cycles of the turns of a token from it on."""
        return self.cycles[token.unit][token.turns] - token.before


class Course:
    """What a core does for a layer, in turns with the cycles that they take.

    `overlap` says whether turns that are `apart` are done by several units.
    """

    def __init__(self, core: int, *, overlap: bool):
        self.core = core
        self.blocks: list[Block] = []
        self._overlap = overlap
        self._stretches: list[_Stretch] = []
        self._turns = 0

    def begin(self, turns: int, *, apart: bool = False) -> None:
        """So many more turns, on which units work one after the other if they are `apart`."""
        units = FINISH + 1 if apart and self._overlap else 1
        added = [np.zeros(turns, np.int64) for _ in range(units)]
        if self._stretches and len(self._stretches[-1].cycles) == units:
            last = self._stretches[-1]
            last.cycles = [np.append(*both) for both in zip(last.cycles, added, strict=True)]
        else:
            self._stretches.append(_Stretch(added))
        self._turns = turns
        self.blocks.append(Block(turns, units))

    def spend(self, unit: int, cycles: Numbers | int) -> None:
        """Cycles of a unit itself in each of the turns that were begun last."""
        self._add(unit, np.broadcast_to(np.asarray(cycles, np.int64), self._turns))

    def move(self, unit: int, moved: Moved) -> None:
        """What a unit moves in each of these turns."""
        self._add(unit, moved.cycles, moved)

    def wait(self, unit: int, register: Register, values: Numbers) -> None:
        """A unit waits for values of a register, in turns whose value is not 0, before it goes on."""
        turns = np.flatnonzero(values > 0)
        self._stretches[-1].waits.append(self._token(unit, register, turns, values[turns]))
        none = np.zeros(self._turns, np.int64)
        self.blocks[-1].items.append(Item(self._unit(unit), none, register=register, values=values))

    def signal(self, unit: int, register: Register, values: Numbers, turns: Numbers, moved: Moved) -> None:
        """A unit sends values to a register in some turns, once they are moved."""
        cycles, sent = np.zeros((2, self._turns), np.int64)
        cycles[turns], sent[turns] = moved.cycles, values
        self._add(unit, cycles, Moved(moved.way, cycles), register, sent)
        self._stretches[-1].signals.append(self._token(unit, register, turns, values))

    def _unit(self, unit: int) -> int:
        return min(unit, self.blocks[-1].units - 1)

    def _add(
        self,
        unit: int,
        cycles: Numbers,
        moved: Moved | None = None,
        register: Register | None = None,
        values: Numbers | None = None,
    ) -> None:
        unit = self._unit(unit)
        self._stretches[-1].cycles[unit][-self._turns :] += cycles if moved is None else moved.alone
        self.blocks[-1].items.append(Item(unit, cycles, None if moved is None else moved.way, register, values))

    def _token(self, unit: int, register: Register, turns: Numbers, values: Numbers) -> Token:
        spent, unit = self._stretches[-1].cycles, self._unit(unit)
        at = len(spent[unit]) - self._turns + turns
        return Token(unit, register, at, values, spent[unit][at])

    @property
    def work(self) -> int:
        """Cycles of all units."""
        return sum(int(cycles.sum()) for stretch in self._stretches for cycles in stretch.cycles)

    @property
    def waits(self) -> Iterator[Token]:
        """All waits, in order."""
        return (wait for stretch in self._stretches for wait in stretch.waits)

    @property
    def signals(self) -> Iterator[Token]:
        """All signals, in order."""
        return (signal for stretch in self._stretches for signal in stretch.signals)

    def run(self, start: int, passing: Sequence[Numbers]) -> Ran:
        """Its times, from `start` on, given when each of its waits may pass."""
        sent: dict[Register, list[Numbers]] = {}
        given, time, begins = iter(passing), start, -1
        for stretch in self._stretches:
            ends = _ends(stretch, time, [next(given) for _ in stretch.waits])
            worked = np.flatnonzero(stretch.cycles[0])
            if begins < 0 and len(worked):
                begins = int(ends[0][worked[0]] - stretch.cycles[0][worked[0]])
            for token in stretch.signals:
                times = ends[token.unit][token.turns] - stretch.behind(token)
                sent.setdefault(token.register, []).append(times)
            time = max(int(each[-1]) for each in ends)
        return Ran(max(begins, start), time, {register: np.concatenate(each) for register, each in sent.items()})


@dataclass(frozen=True)
class Ran:
    """When a stream begins and ends, and when each of its signals to a register is sent."""

    begin: int
    end: int
    sent: dict[Register, Numbers]


def _ends(stretch: _Stretch, start: int, passing: Sequence[Numbers]) -> list[Numbers]:
    """By unit, when every turn ends."""
    floors = [np.zeros(len(cycles), np.int64) for cycles in stretch.cycles]
    for token, times in zip(stretch.waits, passing, strict=True):
        floor = floors[token.unit]
        floor[token.turns] = np.maximum(floor[token.turns], times + stretch.behind(token))
    if len(floors) == 1:
        return [_follow(stretch, 0, start, floors[0])]
    cycles = stretch.cycles
    ends = [np.zeros(len(floor), np.int64) for floor in floors]
    while True:
        bring = _follow(stretch, BRING, start, np.maximum(floors[BRING], _later(ends[MULTIPLY]) + cycles[BRING]))
        begun = np.maximum(bring, _later(ends[FINISH])) + cycles[MULTIPLY]
        multiply = _follow(stretch, MULTIPLY, start, np.maximum(floors[MULTIPLY], begun))
        finish = _follow(stretch, FINISH, start, np.maximum(floors[FINISH], multiply + cycles[FINISH]))
        found = [bring, multiply, finish]
        if all(np.array_equal(*both) for both in zip(found, ends, strict=True)):
            return found
        ends = found


def _follow(stretch: _Stretch, unit: int, start: int, floor: Numbers) -> Numbers:
    """When turns of a unit end, which follow one another, none before its floor."""
    steady = stretch.steady[unit]
    return steady + np.maximum(start, np.maximum.accumulate(floor - steady))


def _later(ends: Numbers) -> Numbers:
    """By turn, when the one ended whose buffer it takes."""
    found = np.zeros(len(ends), np.int64)
    found[DEPTH:] = ends[:-DEPTH]
    return found
