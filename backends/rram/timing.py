"""Time on a chip of cores: each core by itself, but for links (one bus, or those of a mesh), in the order of asking.

A core that overlaps turns has units that are each at a turn of their own (`units.py`).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from backends.rram.activity import ActivityLog
from backends.rram.deadlocks import Waiting
from backends.rram.network import Network, Route
from backends.rram.streams import Action, Do, Piece, Task
from backends.rram.units import followed, is_apart, share

Effect = Callable[[Task, Piece, Action, int], tuple[int | None, int]]
"""Does an action in a turn; the cycles that it takes of links, None if it moves nothing, and then of the core."""


class Listener(Protocol):
    """What is told in which order units of cores do things; a unit of a core is its number among all units."""

    def passed(self, unit: int, register: tuple[int, int], index: int) -> None:
        """A unit passes a wait, with signal `index` of those to the register."""
        ...

    def sent(self, unit: int, register: tuple[int, int]) -> None:
        """A unit signals."""
        ...

    def followed(self, unit: int, other: int, turn: int) -> None:
        """A unit begins a turn after another one of its core ended one."""
        ...

    def ended(self, unit: int, turn: int) -> None:
        """A unit ends a turn."""
        ...


@dataclass
class History:
    """The values that a register got, and when."""

    values: list[int] = field(default_factory=list[int])
    times: list[int] = field(default_factory=list[int])


@dataclass
class Timeline:
    """When cores worked on layers, and how long they and links were busy; all in cycles."""

    tasks: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict[tuple[int, int], tuple[int, int]])
    """Start and end of every task, by core and its number in the stream."""
    links: dict[str, int] = field(default_factory=dict[str, int])
    """Of every link of the network, by name, the cycles that it was taken."""
    waiting: list[int] = field(default_factory=list[int])
    """Of every core, the cycles that it waited for registers."""
    working: list[int] = field(default_factory=list[int])
    """Of every core, the cycles that it worked or moved words; of its busiest unit, if it has several."""
    end: int = 0

    @property
    def bus(self) -> int:
        """Cycles that the bus, or the busiest link, was taken."""
        return max(self.links.values(), default=0)


_Request = int | tuple[tuple[int, int], int] | None
"""Cycles of links that a unit asks for, a register that it waits for with the value, or None to go on later."""


class Simulation:
    """Cores, the network and sequence registers over time.

    A core, or each of its `units`, runs ahead by itself until it moves words. These cross the links of their route in
    turn; each link is had by those who come first, and of those that come at the same time by the one with the lowest
    `rank`. A link passes on what comes while the rest follows, and holds back what has to wait. `listener`
    is told who follows whom; `log` notes who worked when. Registers begin with the values `before`.
    """

    def __init__(
        self,
        streams: Sequence[Sequence[Task]],
        effect: Effect,
        before: Mapping[tuple[int, int], int],
        network: Network,
        rank: Callable[[int], float] = float,
        listener: Listener | None = None,
        log: ActivityLog | None = None,
        units: int = 1,
    ):
        self._log, self._units, self._network = log, units, network
        self._streams, self._effect, self._rank, self._listener = streams, effect, rank, listener
        self.registers = {register: History([value], [0]) for register, value in before.items()}
        self.timeline = Timeline()
        self._asking: list[tuple[int, float, int, int, int]] = []
        """Who comes to a link when: a rank, a unit, cycles, and how many links of its route are behind it."""
        self._blocked: dict[tuple[int, int], list[tuple[int, int]]] = {}
        """By register, the units that wait for it, and for what."""
        self._behind: dict[tuple[int, int], list[int]] = {}
        """By unit and turn, the units that wait for the end of it."""
        self._runs: list[Iterator[_Request]] = []
        count = len(streams) * units
        self._routes: list[Route | None] = [None] * count
        """Of every unit, the route of what it moves."""
        self._time, self._working, self._waiting = [0] * count, [0] * count, [0] * count
        self._ends: list[list[int]] = [[] for _ in range(count)]
        """Of every unit, when its turns ended; kept if cores have several."""
        self.blocked_at: dict[int, tuple[Task, Piece, int]] = {}

    @property
    def latest(self) -> dict[tuple[int, int], int]:
        """What registers hold."""
        return {register: history.values[-1] for register, history in self.registers.items() if history.values}

    @property
    def waiting(self) -> list[Waiting]:
        """Which units still wait for a register, and where."""
        return [Waiting(*at) for at in self.blocked_at.values()]

    def run(self) -> bool:
        """Run to the end; whether all cores got there."""
        units = range(self._units)
        self._runs = [self._unit(core, unit, stream) for core, stream in enumerate(self._streams) for unit in units]
        for unit in range(len(self._runs)):
            self._resume(unit)
        free: dict[int, int] = {}
        taken: dict[int, int] = {}
        while self._asking:
            time, rank, unit, cycles, passed = heapq.heappop(self._asking)
            route = self._routes[unit]
            assert route is not None
            link = route.links[passed]
            start = max(time, free.get(link, 0))
            free[link] = start + cycles
            taken[link] = taken.get(link, 0) + cycles
            if passed + 1 < len(route.links):
                heapq.heappush(self._asking, (start + route.hop, rank, unit, cycles, passed + 1))
                continue
            self._time[unit] = start + route.hop + cycles + route.after
            self._resume(unit)
        self.timeline.links = {name: taken.get(link, 0) for link, name in enumerate(self._network.names)}
        self.timeline.end = max(self._time, default=0)
        self.timeline.working, self.timeline.waiting = (
            [max(of_units[at : at + self._units]) for at in range(0, len(of_units), self._units)]
            for of_units in (self._working, self._waiting)
        )
        return not self.blocked_at

    def _resume(self, unit: int) -> None:
        """Let a unit go on from its time until it asks for the bus, or waits for a register or another unit."""
        request = next(self._runs[unit], None)
        if isinstance(request, int):
            route = self._routes[unit]
            assert route is not None
            begins = self._time[unit] + route.before
            heapq.heappush(self._asking, (begins, self._rank(unit // self._units), unit, request, 0))
        elif request is not None:
            register, wanted = request
            self._blocked.setdefault(register, []).append((unit, wanted))

    def _unit(self, core: int, place: int, stream: Sequence[Task]) -> Iterator[_Request]:
        unit, time, before = core * self._units + place, self._time, 0
        for number, task in enumerate(stream):
            begun = time[unit]
            for at, piece in enumerate(task.pieces):
                apart, actions = is_apart(piece, self._units), share(piece, place, self._units)
                for turn in range(piece.turns):
                    if self._units > 1:
                        alone = not apart or (at == 0 and turn == 0)
                        for other, last in followed(place, before + turn, apart=apart, alone=alone):
                            yield from self._follow(unit, core * self._units + other, last)
                    for action in actions:
                        if action.do is Do.WAIT:
                            yield from self._wait(unit, task, piece, action, turn)
                            continue
                        bus, own = self._effect(task, piece, action, turn)
                        if bus:
                            route = self._network.route_of(core, action)
                            self._routes[unit] = route
                            yield bus
                            bus += route.latency
                        if self._log is not None:
                            self._log.transfer(task, time[unit] - (bus or 0), time[unit])
                            self._log.work(task, action.do, time[unit], time[unit] + own)
                        time[unit] += own
                        self._working[unit] += (bus or 0) + own
                        if action.do is Do.SIGNAL and bus:
                            self._signal(unit, action, turn, time[unit])
                    if self._units > 1:
                        self._end(unit)
                before += piece.turns
            first, last = self.timeline.tasks.get((core, number), (begun, 0))
            self.timeline.tasks[core, number] = min(first, begun), max(last, time[unit])

    def _follow(self, unit: int, other: int, turn: int) -> Iterator[_Request]:
        ends = self._ends[other]
        if turn >= len(ends):
            self._behind.setdefault((other, turn), []).append(unit)
            yield None
        self._time[unit] = max(self._time[unit], ends[turn])
        if self._listener is not None:
            self._listener.followed(unit, other, turn)

    def _end(self, unit: int) -> None:
        turn = len(self._ends[unit])
        self._ends[unit].append(self._time[unit])
        if self._listener is not None:
            self._listener.ended(unit, turn)
        for other in self._behind.pop((unit, turn), ()):
            self._resume(other)

    def _wait(self, unit: int, task: Task, piece: Piece, action: Action, turn: int) -> Iterator[_Request]:
        register = unit // self._units, action.given[0]
        wanted = action.given[1].at(turn)
        self._effect(task, piece, action, turn)
        if wanted <= 0:
            return
        history = self.registers.setdefault(register, History())
        at = bisect_left(history.values, wanted)
        if at == len(history.values):
            self.blocked_at[unit] = task, piece, turn
            yield register, wanted
            del self.blocked_at[unit]
            at = bisect_left(history.values, wanted)
        if history.times[at] > self._time[unit]:
            self._waiting[unit] += history.times[at] - self._time[unit]
            self._time[unit] = history.times[at]
        if self._listener is not None:
            self._listener.passed(unit, register, at)

    def _signal(self, sender: int, action: Action, turn: int, time: int) -> None:
        core, number, base, _ = action.given
        register, value = (core, number), base + turn + 1
        if self._listener is not None:
            self._listener.sent(sender, register)
        history = self.registers.setdefault(register, History())
        history.values.append(value)
        history.times.append(time)
        waiting = self._blocked.pop(register, [])
        if late := [each for each in waiting if each[1] > value]:
            self._blocked[register] = late
        for unit, wanted in waiting:
            if wanted <= value:
                self._resume(unit)
