"""When the cores of a program do what their streams say, each link of the bus or mesh having one transfer at a time.

Streams (`course.py`) become steps of units: what takes links, waits, signals; all cycles in between are added up. Units
run ahead until they move something. Each link is had by what comes first and, of what comes at the same time, by the
core with the lowest number. No data and no instruction is looked at: only how many cycles what moves takes.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from dialects.multicore_machine import MulticoreMachine
from passes.multicore.course import BRING, DEPTH, FINISH, Block, Course, Item, Register
from passes.multicore.traffic import Numbers, Way

MOVE, WAIT, SEND, END = range(4)
"""Kinds of steps: take links for some cycles along a way, wait until a register has a value, give it one, or the end of
a stream."""
Step = tuple[int, int, int, int]
"""Cycles of the unit before it, its kind, and two numbers: cycles and a way, a register and a value, or a stream."""


Span = tuple[int, int]
"""When a stream first does anything but wait, and when it ends."""


def queued_spans(courses: Sequence[Course], machine: MulticoreMachine) -> list[Span]:
    """When each stream is at work, given all of a program in order; those that wait for ever end at 0."""
    return _Queues(courses, machine.units).run()


class _Columns:
    """Steps of a unit in the turns of a block, a column each."""

    def __init__(self, turns: int):
        self._turns = turns
        self._own = np.zeros(turns, np.int64)
        self._befores: list[Numbers] = []
        self._kinds: list[int] = []
        self._numbers: list[tuple[int | Numbers, int | Numbers]] = []
        self._done: list[npt.NDArray[np.bool_] | None] = []

    def work(self, cycles: Numbers) -> None:
        """Cycles of the unit itself."""
        self._own = self._own + cycles

    def add(
        self, kind: int, first: int | Numbers, second: int | Numbers, done: npt.NDArray[np.bool_] | None = None
    ) -> None:
        """A step that is done in some turns, or all."""
        self._befores.append(self._own)
        self._own = np.zeros(self._turns, np.int64)
        self._kinds.append(kind)
        self._numbers.append((first, second))
        self._done.append(done)

    def steps(self, rest: int) -> tuple[list[Step], int]:
        """All of them in order, and the cycles that are left after the last one; `rest` is what was left before."""
        shape = self._turns, len(self._kinds)
        own = np.stack([*self._befores, self._own], axis=1)
        done, first, second = np.ones(shape, np.bool_), np.empty(shape, np.int64), np.empty(shape, np.int64)
        for at, (some, numbers) in enumerate(zip(self._done, self._numbers, strict=True)):
            first[:, at], second[:, at] = numbers
            if some is not None:
                done[:, at] = some
        kept = np.flatnonzero(done)
        turns, places = np.divmod(kept, max(len(self._kinds), 1))
        until = np.cumsum(own)
        reached = until[turns * (len(self._kinds) + 1) + places]
        before = np.diff(reached, prepend=-rest)
        left = int(until[-1]) - (int(reached[-1]) if len(kept) else -rest)
        kinds = np.array(self._kinds, np.int64)[places]
        columns = before, kinds, first.reshape(-1)[kept], second.reshape(-1)[kept]
        return list(zip(*(each.tolist() for each in columns), strict=True)), left


class _Unit:
    """The steps of a unit of a core, block after block of its streams."""

    def __init__(self, queues: _Queues, core: int, place: int, courses: Sequence[tuple[int, Course]]):
        self._queues, self._core, self._place = queues, core, place
        self._courses = courses
        self._turns = 0
        """Turns so far in which units were at different ones."""

    def steps(self) -> Iterator[list[Step]]:
        """Those of every block, and of the end of every stream."""
        rest = 0
        for number, course in self._courses:
            is_first = True
            for block in course.blocks:
                if block.units > 1 or self._place == BRING:
                    steps, rest = self._of_block(block, is_first=is_first).steps(rest)
                    yield steps
                self._turns += block.turns if block.units > 1 else 0
                is_first = False
            yield [(rest, END, number, 0)]
            rest = 0

    def _of_block(self, block: Block, *, is_first: bool) -> _Columns:
        columns, numbers = _Columns(block.turns), np.arange(1, block.turns + 1) + self._turns
        apart = block.units > 1
        if self._place == BRING and self._turns and (is_first or not apart):
            # Nothing of the turns before goes on.
            columns.add(WAIT, self._ends(FINISH), self._turns, numbers == numbers[0])
        if apart:
            if self._place != BRING:
                columns.add(WAIT, self._ends(self._place - 1), numbers)
            if self._place != FINISH:
                columns.add(WAIT, self._ends(self._place + 1), numbers - DEPTH, numbers > DEPTH)
        for item in block.items:
            if item.unit == self._place:
                self._add(item, columns)
        if apart:
            columns.add(SEND, self._ends(self._place), numbers)
        return columns

    def _add(self, item: Item, columns: _Columns) -> None:
        register = None if item.register is None else self._queues.register(item.register)
        if item.way is None and register is None:
            columns.work(item.cycles)
            return
        if item.way is not None:
            columns.add(MOVE, item.cycles, self._queues.way(item.way), item.cycles > 0)
        if register is not None:
            assert item.values is not None
            kind = WAIT if item.way is None else SEND
            columns.add(kind, register, item.values, item.values > 0)

    def _ends(self, place: int) -> int:
        """The register that counts how many turns of a unit of this core are over."""
        return self._queues.register((self._core, -1 - place))


class _Queues:
    """Units, links and registers over time."""

    def __init__(self, courses: Sequence[Course], units: int):
        cores = sorted({course.core for course in courses})
        of_core = {core: [each for each in enumerate(courses) if each[1].core == core] for core in cores}
        self._units = [_Unit(self, core, place, of_core[core]) for core in cores for place in range(units)]
        self._ends = [0] * len(courses)
        self._begins: list[int | None] = [None] * len(courses)
        self._streams = [[number for number, _ in of_core[core]] for core in cores for _ in range(units)]
        """Of every unit, the streams that it is not done with, the next one last."""
        for streams in self._streams:
            streams.reverse()
        self._registers: dict[Register, int] = {}
        self._ways: dict[Way, int] = {}
        self._numbered: list[Way] = []
        self._values: list[list[int]] = []
        self._times: list[list[int]] = []
        self._waiting: list[list[int]] = []
        """By register, the units that wait for it."""
        self._steps = [self._flat(unit) for unit in self._units]
        self._clocks = [0] * len(self._units)
        self._moving: list[tuple[int, Way]] = [(0, Way(()))] * len(self._units)
        """Of every unit, what it moves: for how many cycles it takes each link of which way."""
        self._asking: list[tuple[int, int, int]] = []
        """When which unit comes to a link of its way."""
        self._pending: list[Step | None] = [None] * len(self._units)
        """Of every unit, the wait that it stopped at."""

    @staticmethod
    def _flat(unit: _Unit) -> Iterator[Step]:
        return (step for steps in unit.steps() for step in steps)

    def register(self, register: Register) -> int:
        """The number of a register."""
        number = self._registers.setdefault(register, len(self._registers))
        if number == len(self._values):
            self._values.append([])
            self._times.append([])
            self._waiting.append([])
        return number

    def way(self, way: Way) -> int:
        """The number of a way."""
        number = self._ways.setdefault(way, len(self._ways))
        if number == len(self._numbered):
            self._numbered.append(way)
        return number

    def run(self) -> list[Span]:
        """When each stream is at work."""
        free: dict[int, int] = {}
        asking = self._asking
        for unit in range(len(self._units)):
            self._advance([unit])
        while asking:
            time, unit, at = heapq.heappop(asking)
            cycles, way = self._moving[unit]
            link = way.links[at]
            start = max(time, free.get(link, 0))
            free[link] = start + cycles
            if not at:
                self._begin(unit, start - way.before)
            if at + 1 < len(way.links):
                heapq.heappush(asking, (start + way.hop, unit, at + 1))
                continue
            self._clocks[unit] = start + way.hop + cycles + way.after
            self._advance([unit])
        return [(end if begin is None else begin, end) for begin, end in zip(self._begins, self._ends, strict=True)]

    def _begin(self, unit: int, time: int) -> None:
        """A unit does something."""
        stream = self._streams[unit][-1]
        begin = self._begins[stream]
        if begin is None or time < begin:
            self._begins[stream] = time

    def _advance(self, ready: list[int]) -> None:
        """Let units go on until they move something or wait for what is not there, and those that this lets go on."""
        while ready:
            unit = ready.pop()
            time, steps = self._clocks[unit], self._steps[unit]
            step = self._pending[unit] or next(steps, None)
            self._pending[unit] = None
            while step is not None:
                before, kind, first, second = step
                if before:
                    self._begin(unit, time)
                if kind == MOVE:
                    way = self._numbered[second]
                    self._moving[unit] = first, way
                    heapq.heappush(self._asking, (time + before + way.before, unit, 0))
                    break
                if kind == WAIT:
                    values = self._values[first]
                    at = bisect_left(values, second)
                    if at == len(values):
                        self._waiting[first].append(unit)
                        self._clocks[unit], self._pending[unit] = time, step
                        break
                    time = max(time + before, self._times[first][at])
                elif kind == SEND:
                    time += before
                    self._values[first].append(second)
                    self._times[first].append(time)
                    if self._waiting[first]:
                        ready += self._waiting[first]
                        self._waiting[first] = []
                else:
                    time += before
                    self._ends[first] = max(self._ends[first], time)
                    self._streams[unit].pop()
                step = next(steps, None)
