"""When the cores of a program do what their streams say if nobody waits for the bus.

Streams are timed (`course.py`) in program order, and again as long as signals come later than was known. All times only
grow from below, so that the end is the least solution: the time of a run on a free bus, to the cycle. With a bus each
transfer may have to wait, in sum at most for all that the bus is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from passes.multicore.course import Course, Ran, Register, Token
from passes.multicore.traffic import Numbers


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

    def run(self, chosen: Sequence[int]) -> Mapping[int, Ran]:
        """Times of some streams, in program order, as if all others were over before.

        Cores that wait for ever are not done before all cores together have worked; then times say no more than that.
        """
        ran: dict[int, Ran] = {}
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

    def end(self, chosen: Sequence[int]) -> int:
        """When the last of some streams ends that begin as if all others were over before."""
        return max((each.end for each in self.run(chosen).values()), default=0)

    def _passing(self, number: int, ran: Mapping[int, Ran]) -> list[Numbers]:
        """When each wait of a stream passes in each of its turns, as far as is known."""
        found: list[Numbers] = []
        for wait, sources in zip(self._courses[number].waits, self._sources[number], strict=True):
            times = np.zeros(len(wait.turns), np.int64)
            for source in sources:
                if source.stream in ran:
                    times[source.turns] = ran[source.stream].sent[wait.register][source.signals]
            found.append(times)
        return found


def _sources(sent: _Sent | None, wait: Token) -> Iterator[_Source]:
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
