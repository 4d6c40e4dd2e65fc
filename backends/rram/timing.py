"""Time on a chip of cores: each core by itself, but for the bus, which transfers have in the order of asking."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from backends.rram.activity import ActivityLog
from backends.rram.streams import Action, Do, Piece, Task

Effect = Callable[[Task, Piece, Action, int], tuple[int | None, int]]
"""Does an action in a turn; the cycles that it takes of the bus, None if it takes none, and then of the core."""


@dataclass
class History:
    """The values that a register got, and when."""

    values: list[int] = field(default_factory=list[int])
    times: list[int] = field(default_factory=list[int])


@dataclass
class Timeline:
    """When cores worked on layers, and how long they and the bus were busy; all in cycles."""

    tasks: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict[tuple[int, int], tuple[int, int]])
    """Start and end of every task, by core and its number in the stream."""
    bus: int = 0
    waiting: list[int] = field(default_factory=list[int])
    """Of every core, the cycles that it waited for registers."""
    working: list[int] = field(default_factory=list[int])
    """Of every core, the cycles that it worked or had the bus."""
    end: int = 0


class Simulation:
    """Cores, the bus and sequence registers over time.

    A core runs ahead by itself until it needs the bus. It gets it when it asks, or when those that asked before are
    done; of those that ask at the same time, the one with the lowest `rank` is first. `passed` is told which signal to
    a register let a core pass, `sent` that one was sent; `log` notes who worked when. Registers begin with the values
    `before`.
    """

    def __init__(
        self,
        streams: Sequence[Sequence[Task]],
        effect: Effect,
        before: Mapping[tuple[int, int], int],
        rank: Callable[[int], float] = float,
        passed: Callable[[int, int, int], None] | None = None,
        sent: Callable[[int, tuple[int, int]], None] | None = None,
        log: ActivityLog | None = None,
    ):
        self._log = log
        self._streams, self._effect, self._rank, self._passed, self._sent = streams, effect, rank, passed, sent
        self.registers = {register: History([value], [0]) for register, value in before.items()}
        self.timeline = Timeline(waiting=[0] * len(streams), working=[0] * len(streams))
        self._asking: list[tuple[int, float, int, int]] = []
        self._blocked: dict[tuple[int, int], tuple[int, int, int]] = {}
        """By register, the core that waits for it, since when and for what."""
        self._runs: list[Iterator[tuple[str, int, int]]] = []
        self._time = [0] * len(streams)
        self.blocked_at: dict[int, tuple[Task, Piece, int]] = {}

    @property
    def latest(self) -> dict[tuple[int, int], int]:
        """What registers hold."""
        return {register: history.values[-1] for register, history in self.registers.items() if history.values}

    def run(self) -> bool:
        """Run to the end; whether all cores got there."""
        self._runs = [self._core(core, stream) for core, stream in enumerate(self._streams)]
        for core in range(len(self._streams)):
            self._resume(core)
        free = 0
        while self._asking:
            time, _, core, cycles = heapq.heappop(self._asking)
            start = max(time, free)
            free = start + cycles
            self.timeline.bus += cycles
            self._time[core] = free
            self._resume(core)
        self.timeline.end = max(self._time, default=0)
        return not self._blocked

    def _resume(self, core: int) -> None:
        """Let a core go on from its time until it asks for the bus, or waits for a register."""
        request = next(self._runs[core], None)
        if request is None:
            return
        kind, first, second = request
        if kind == "bus":
            heapq.heappush(self._asking, (self._time[core], self._rank(core), core, first))
        else:
            self._blocked[core, first] = core, self._time[core], second

    def _core(self, core: int, stream: Sequence[Task]) -> Iterator[tuple[str, int, int]]:
        time, tasks = self._time, self.timeline.tasks
        for number, task in enumerate(stream):
            begun = time[core]
            for piece in task.pieces:
                for turn in range(piece.turns):
                    for action in piece.actions:
                        if action.do is Do.WAIT:
                            yield from self._wait(core, task, piece, action, turn)
                            continue
                        bus, own = self._effect(task, piece, action, turn)
                        if bus:
                            yield "bus", bus, 0
                        if self._log is not None:
                            self._log.transfer(task, time[core] - (bus or 0), time[core])
                            self._log.work(task, action.do, time[core], time[core] + own)
                        time[core] += own
                        self.timeline.working[core] += (bus or 0) + own
                        if action.do is Do.SIGNAL and bus:
                            self._signal(core, action, turn, time[core])
            tasks[core, number] = begun, time[core]

    def _wait(self, core: int, task: Task, piece: Piece, action: Action, turn: int) -> Iterator[tuple[str, int, int]]:
        number, (base, step, period, start, most) = action.given
        wanted = min(most, base + step * ((turn + start) // period))
        self._effect(task, piece, action, turn)
        if wanted <= 0:
            return
        history = self.registers.setdefault((core, number), History())
        at = bisect_left(history.values, wanted)
        if at == len(history.values):
            self.blocked_at[core] = task, piece, turn
            yield "wait", number, wanted
            del self.blocked_at[core]
            at = bisect_left(history.values, wanted)
        if history.times[at] > self._time[core]:
            self.timeline.waiting[core] += history.times[at] - self._time[core]
            self._time[core] = history.times[at]
        if self._passed is not None:
            self._passed(core, number, at)

    def _signal(self, sender: int, action: Action, turn: int, time: int) -> None:
        core, number, base, _ = action.given
        if self._sent is not None:
            self._sent(sender, (core, number))
        history = self.registers.setdefault((core, number), History())
        history.values.append(base + turn + 1)
        history.times.append(time)
        waiting = self._blocked.get((core, number))
        if waiting is not None and waiting[2] <= base + turn + 1:
            del self._blocked[core, number]
            self._resume(core)
