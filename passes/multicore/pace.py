"""When cores do what their streams say if nobody else wants the bus: recurrences over all turns of a stream at once.

A turn of a unit ends when the one before has, and what it waits for has come, and its own cycles are over: in max-plus
algebra a running maximum over sums. A core does everything in order, or has units that bring inputs, multiply and
finish sums, each at a turn of its own, with two buffers between them: then the recurrences of the units are repeated
until nothing grows any more. So are those of streams, in program order, as long as signals come later than was known.
All times only grow from below, so that the end is the least solution: the time of a run on a free bus, to the cycle.
With a bus each transfer may have to wait, in sum at most for all that the bus is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Register = tuple[int, int]
"""A core, and the number of one of its registers."""
BRING, MULTIPLY, FINISH = range(3)
"""Units of a core that overlaps turns; one that does not has the first alone."""
DEPTH = 2
"""Turns that a unit may be ahead of the next one: buffers of inputs, and of sums."""


@dataclass(frozen=True)
class _Token:
    """A wait or a signal of a unit: values in some turns of a stretch, and the cycles of each turn before it."""

    unit: int
    register: Register
    turns: Numbers
    values: Numbers
    before: Numbers


@dataclass
class _Stretch:
    """Turns in which units work on different ones at a time, if there are several; cycles by unit."""

    cycles: list[Numbers]
    waits: list[_Token] = field(default_factory=list[_Token])
    signals: list[_Token] = field(default_factory=list[_Token])

    @cached_property
    def steady(self) -> list[Numbers]:
        """By unit, when turns end if nothing holds them up."""
        return [np.cumsum(cycles) for cycles in self.cycles]

    def behind(self, token: _Token) -> Numbers:
        """Cycles of the turns of a token from it on."""
        return self.cycles[token.unit][token.turns] - token.before


class Course:
    """What a core does for a layer, in turns with the cycles that they take.

    `overlap` says whether turns that are `apart` are done by several units.
    """

    def __init__(self, core: int, *, overlap: bool):
        self.core = core
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

    def spend(self, unit: int, cycles: Numbers | int) -> None:
        """Cycles of a unit in each of the turns that were begun last."""
        spent = self._stretches[-1].cycles
        spent[min(unit, len(spent) - 1)][-self._turns :] += cycles

    def wait(self, unit: int, register: Register, values: Numbers) -> None:
        """A unit waits for values of a register, in turns whose value is not 0, before it goes on."""
        turns = np.flatnonzero(values > 0)
        self._stretches[-1].waits.append(self._token(unit, register, turns, values[turns]))

    def signal(self, unit: int, register: Register, values: Numbers, turns: Numbers, cycles: Numbers) -> None:
        """A unit sends values to a register in some turns, once their cycles are over."""
        spent = np.zeros(self._turns, np.int64)
        spent[turns] = cycles
        self.spend(unit, spent)
        self._stretches[-1].signals.append(self._token(unit, register, turns, values))

    def _token(self, unit: int, register: Register, turns: Numbers, values: Numbers) -> _Token:
        spent = self._stretches[-1].cycles
        unit = min(unit, len(spent) - 1)
        at = len(spent[unit]) - self._turns + turns
        return _Token(unit, register, at, values, spent[unit][at])

    @property
    def work(self) -> int:
        """Cycles of all units."""
        return sum(int(cycles.sum()) for stretch in self._stretches for cycles in stretch.cycles)

    @property
    def waits(self) -> Iterator[_Token]:
        """All waits, in order."""
        return (wait for stretch in self._stretches for wait in stretch.waits)

    @property
    def signals(self) -> Iterator[_Token]:
        """All signals, in order."""
        return (signal for stretch in self._stretches for signal in stretch.signals)

    def run(self, start: int, passing: Sequence[Numbers]) -> _Ran:
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
        return _Ran(max(begins, start), time, {register: np.concatenate(each) for register, each in sent.items()})


@dataclass(frozen=True)
class _Ran:
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


# All streams ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """Where the values come from that a wait is for in some of its turns: signals of a stream, by their number."""

    stream: int
    turns: Numbers
    signals: Numbers


@dataclass
class _Sent:
    """Signals to a register in order: values, and which signal of which stream each is."""

    values: list[Numbers] = field(default_factory=list[Numbers])
    streams: list[Numbers] = field(default_factory=list[Numbers])
    numbers: list[Numbers] = field(default_factory=list[Numbers])

    def add(self, stream: int, values: Numbers) -> None:
        """Signals of a stream that come behind those that are there."""
        before = sum(int((each == stream).sum()) for each in self.streams)
        self.values.append(values)
        self.streams.append(np.full(len(values), stream))
        self.numbers.append(before + np.arange(len(values)))

    @cached_property
    def joined(self) -> tuple[Numbers, Numbers, Numbers]:
        """All of them; values as the largest so far."""
        values, streams, numbers = (np.concatenate(each) for each in (self.values, self.streams, self.numbers))
        return np.maximum.accumulate(values), streams, numbers


class Paces:
    """The streams of a program in its order, timed together or some of them alone."""

    def __init__(self, courses: Sequence[Course]):
        self._courses = courses
        sent: dict[Register, _Sent] = {}
        for number, course in enumerate(courses):
            for token in course.signals:
                sent.setdefault(token.register, _Sent()).add(number, token.values)
        self._sources = [[list(_sources(sent.get(wait.register), wait)) for wait in each.waits] for each in courses]
        self._readers: dict[int, set[int]] = {}
        for number, of_waits in enumerate(self._sources):
            for source in (source for sources in of_waits for source in sources):
                self._readers.setdefault(source.stream, set()).add(number)

    def run(self, chosen: Sequence[int]) -> Mapping[int, _Ran]:
        """Times of some streams, in program order, as if all others were over before.

        Cores that wait for ever are not done before all cores together have worked; then times say no more than that.
        """
        ran: dict[int, _Ran] = {}
        before: dict[int, int] = {}
        after: dict[int, int] = {}
        last: dict[int, int] = {}
        for number in chosen:
            core = self._courses[number].core
            if core in last:
                before[number], after[last[core]] = last[core], number
            last[core] = number
        longest = sum(self._courses[number].work for number in chosen)
        waiting = set(chosen)
        while waiting:
            for number in chosen:
                if number not in waiting:
                    continue
                waiting.discard(number)
                start = ran[before[number]].end if before.get(number) in ran else 0
                found = self._courses[number].run(start, self._passing(number, ran))
                known = ran.get(number)
                ran[number] = found
                if found.end > longest:
                    return ran
                if number in after and (known is None or found.end > known.end):
                    waiting.add(after[number])
                if known is None or not _same(found.sent, known.sent):
                    waiting |= self._readers.get(number, set()) & ran.keys()
        return ran

    def _passing(self, number: int, ran: Mapping[int, _Ran]) -> list[Numbers]:
        """When each wait of a stream passes in each of its turns, as far as is known."""
        found: list[Numbers] = []
        for wait, sources in zip(self._courses[number].waits, self._sources[number], strict=True):
            times = np.zeros(len(wait.turns), np.int64)
            for source in sources:
                if source.stream in ran:
                    times[source.turns] = ran[source.stream].sent[wait.register][source.signals]
            found.append(times)
        return found


def _sources(sent: _Sent | None, wait: _Token) -> Iterator[_Source]:
    """Where the first signals come from that are large enough for a wait."""
    if sent is None:
        return
    values, streams, numbers = sent.joined
    at = np.searchsorted(values, wait.values)
    there = np.flatnonzero(at < len(values))
    at = at[there]
    for stream in np.unique(streams[at]).tolist():
        of_stream = streams[at] == stream
        yield _Source(stream, there[of_stream], numbers[at[of_stream]])


def _same(sent: Mapping[Register, Numbers], other: Mapping[Register, Numbers]) -> bool:
    return all(np.array_equal(times, other[register]) for register, times in sent.items())


def span(ran: Iterable[_Ran]) -> tuple[int, int]:
    """When the first of some streams begins, and the last one ends."""
    several = list(ran)
    return min(each.begin for each in several), max(each.end for each in several)


def postponed(spans: Sequence[tuple[int, int]], bus: Sequence[int]) -> list[int]:
    """The cycles by which layers put off the end of the program, each with the cycles that it takes of the bus.

    `spans` are those on a free bus. The bus serves layers in their order, none before it begins; whatever that delays
    delays what comes behind it.
    """
    ends, delays, found = [0], [0], [0]
    queue = 0
    for (begin, end), cycles in zip(spans, bus, strict=True):
        behind = int(np.searchsorted(ends, begin, side="right")) - 1
        queue = max(queue, begin + delays[behind]) + cycles
        ends.append(max(ends[-1], end))
        found.append(max(found[-1], ends[-1] + delays[-1], queue))
        delays.append(found[-1] - ends[-1])
    return [later - before for before, later in pairwise(found)]
