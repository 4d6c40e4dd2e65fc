"""Races, found as they happen: vector clocks of cores, and for every word who wrote it and who read it, and when.

Where cores overlap turns, each of their units has a clock of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backends.rram.pairs import PairFault
from backends.rram.streams import Action, Task
from backends.rram.units import DEPTH
from backends.spatial.memory import Addresses, Fault
from backends.spatial.watched import Seen

Clock = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Access:
    """What a core did: in a turn of a task, at an instruction."""

    task: Task
    action: Action
    turn: int


class _Shadow:
    """Of every word of a memory, 1 + its last writer, or 0, and the time; by reader the time of its last read."""

    def __init__(self, words: int):
        # Zeros take no room until they are written; memories are large, and little of them is used.
        self.writer = np.zeros(words, np.int32)
        self.written = np.zeros(words, np.int64)
        self.read: dict[int, Clock] = {}


class RaceDetector:
    """Vector clocks of `units`, those of all cores, over all accesses, in the order in which these happen.

    A unit's own time counts its accesses. What it knows of others it gets with signals: a wait hands on what the sender
    knew when it sent the first signal that was large enough. Of units of its core it knows what was over when it began
    a turn. `ended` is the last word of each memory, by name.
    """

    def __init__(self, units: int, ended: dict[str, int]):
        self._clocks = np.zeros((units, units), np.int64)
        self._shadows = {name: _Shadow(end) for name, end in ended.items()}
        self._accesses: list[list[Access]] = [[] for _ in range(units)]
        self._payloads: dict[tuple[int, int], list[Clock]] = {}
        self._turns: dict[tuple[int, int], Clock] = {}
        """What units knew at the end of their turns, of those that others may still follow."""
        self._now: Access | None = None
        self._unit = 0

    def begin(self, registers: Sequence[tuple[int, int]]) -> None:
        """Registers that hold something before the program starts, of which nothing follows."""
        for register in registers:
            self._payloads[register] = [np.zeros(len(self._clocks), np.int64)]

    def at(self, unit: int, task: Task, action: Action, turn: int) -> None:
        """What a unit does next."""
        self._unit, self._now = unit, Access(task, action, turn)

    def sent(self, unit: int, register: tuple[int, int]) -> None:
        """A unit signals."""
        self._payloads.setdefault(register, []).append(self._clocks[unit].copy())

    def passed(self, unit: int, register: tuple[int, int], index: int) -> None:
        """A unit passes a wait, with signal `index` of those to a register of its core."""
        self._learn(unit, self._payloads[register][index])

    def followed(self, unit: int, other: int, turn: int) -> None:
        """A unit begins a turn after another one of its core ended one."""
        self._learn(unit, self._turns[other, turn])

    def ended(self, unit: int, turn: int) -> None:
        """A unit ends a turn; no unit follows one that is further back than there are buffers."""
        self._turns[unit, turn] = self._clocks[unit].copy()
        self._turns.pop((unit, turn - 2 * DEPTH - 1), None)

    def _learn(self, unit: int, known: Clock) -> None:
        np.maximum(self._clocks[unit], known, out=self._clocks[unit])

    def seen(self, memory: str) -> Seen:
        """What to tell of the words of a memory."""

        def see(words: Addresses, writes: bool) -> None:
            if self._now is not None:
                self._see(memory, words.reshape(-1), writes)

        return see

    def _see(self, memory: str, words: Addresses, writes: bool) -> None:
        assert self._now is not None
        unit, shadow = self._unit, self._shadows[memory]
        clock = self._clocks[unit]
        writer, written = shadow.writer[words] - 1, shadow.written[words]
        late = (writer >= 0) & (writer != unit) & (written > clock[np.maximum(writer, 0)])
        if late.any():
            at = int(late.argmax())
            raise self._race(memory, int(words[at]), int(writer[at]), int(written[at]), True, writes)
        if writes:
            for reader, read in shadow.read.items():
                late = read[words] > clock[reader]
                if reader != unit and late.any():
                    at = int(late.argmax())
                    raise self._race(memory, int(words[at]), reader, int(read[words[at]]), False, writes)
        self._accesses[unit].append(self._now)
        clock[unit] = len(self._accesses[unit])
        if writes:
            shadow.writer[words], shadow.written[words] = unit + 1, clock[unit]
        else:
            if unit not in shadow.read:
                shadow.read[unit] = np.zeros(len(shadow.writer), np.int64)
            shadow.read[unit][words] = clock[unit]

    def _race(self, memory: str, word: int, other: int, time: int, wrote: bool, writes: bool) -> Fault:
        assert self._now is not None
        before = self._accesses[other][time - 1]
        verbs = {True: "writes", False: "reads"}
        one, two = f"{verbs[wrote]} it", f"{verbs[writes]} it"
        return RaceFault(before, memory, word, f"{one} {_where(before)}", f"{two} {_where(self._now)}")


def _where(access: Access) -> str:
    return f"at instruction {access.action.pc} of core {access.task.core}, turn {access.turn}"


class RaceFault(PairFault):
    """Two cores touch a word, and nothing orders them; `before` is the access that came first this time."""

    def __init__(self, before: Access, memory: str, word: int, one: str, two: str):
        message = f"cores race for word {word} of {memory}: one {one}, the other {two}"
        expected = "a signal from one to the other, and a wait for it"
        super().__init__("CAT-E004", message, expected, other=(before.task, before.action.pc), came_first=True)
