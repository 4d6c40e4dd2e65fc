"""Tokens between cores: what a block waits for, as the fields of waits and signals, and as values turn by turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dialects.multicore import RunOp, SignalOp, WaitOp
from dialects.spatial import integer
from passes.multicore.accesses import Run

Ints = npt.NDArray[np.int64]
TOGETHER = 8
"""Rows that a period of a wait may have."""
MOST_TURNS = (1 << 16) - 1
"""Turns of a period, and growth from one to the next, at most: what fields of `wait` hold."""


@dataclass(frozen=True)
class Ramp:
    """Values min(most, base + step * ((turn + start) div period)), of the turns of a run.

    The first `after` turns have no value, 0; the others are counted from there.
    """

    base: int
    step: int
    period: int
    start: int
    most: int
    after: int = 0

    def values(self, turns: int) -> Ints:
        """The value of every turn."""
        numbers = np.arange(-self.after, turns - self.after)
        values = np.minimum(self.most, self.base + self.step * ((numbers + self.start) // self.period))
        return np.where(numbers >= 0, values, 0)

    @classmethod
    def over(cls, needs: Ints, width: int, offset: int) -> Ramp:
        """A ramp that is nowhere below `needs`, which do not fall; `width` turns make a row, the first begins `offset`
        turns before.

        Turns of some rows need as much as the last of them; as many rows together as waits for the least.
        """
        return _ramp(needs.astype(np.int64).tobytes(), width, offset)

    @classmethod
    def later(cls, needs: Ints, width: int) -> Ramp:
        """The same of needs that begin with zeros, which are no reason to wait."""
        first = int((needs > 0).argmax())
        return replace(cls.over(needs[first:], width, 0), start=0, after=first)


@lru_cache(64)
def _ramp(data: bytes, width: int, offset: int) -> Ramp:
    """The ramp over needs, as words of 64 bits: those of a layer's parts are often the same, one after another."""
    needs = np.frombuffer(data, np.int64)
    most = int(needs[-1])
    if most == int(needs[0]):
        return Ramp(most, 0, 1, 0, most)
    if np.array_equal(needs, needs[0] + np.arange(len(needs))):
        return Ramp(int(needs[0]), 1, 1, 0, most)
    found = [ramp for rows in range(1, TOGETHER + 1) for ramp in _steps(needs, rows * width, offset)]
    # If not even a row fits the fields, everything is waited for at once.
    return min(found, key=lambda ramp: int(ramp.values(len(needs)).sum()), default=Ramp(most, 0, 1, 0, most))


def _steps(needs: Ints, period: int, offset: int) -> Iterator[Ramp]:
    """Ramps of a period: with the largest step that there is, and with one of the mean."""
    start = offset % period
    periods = (np.arange(len(needs)) + start) // period
    last = np.flatnonzero(np.concatenate((periods[1:] != periods[:-1], [True])))
    if period > MOST_TURNS:
        return
    of_period = needs[last]
    mean = -(-int(of_period[-1] - of_period[0]) // max(len(last) - 1, 1))
    for step in {int(np.max(np.diff(of_period), initial=0)), mean}:
        if step < MOST_TURNS:
            base = int(np.max(of_period - step * periods[last]))
            yield Ramp(max(base, 1), step, period, start, int(needs[-1]))


def wait_op(register: int, producer: int, ramp: Ramp, base: int) -> WaitOp:
    """The op that waits for a ramp on top of what the register had before, which a core `producer` writes."""
    fields = {"base": base + ramp.base, "step": ramp.step, "period": ramp.period, "start": ramp.start}
    op = WaitOp.of(register=register, most=base + ramp.most, after=ramp.after or None, producer=producer, **fields)
    assert isinstance(op, WaitOp)
    return op


def waited(op: WaitOp, turns: int) -> Ints:
    """What an op waits for in every turn."""
    fields = (op.base, op.step, op.period, op.start, op.most)
    after = 0 if op.after is None else integer(op.after)
    return Ramp(*(integer(each) for each in fields), after=after).values(turns)


def signalled(op: SignalOp, run: Run | None, last_turn: int) -> tuple[Ints, Ints]:
    """The values that an op sends, and the turns of the block after which it does; behind all runs if in none."""
    if run is None:
        return np.array([integer(op.base) + 1]), np.array([last_turn])
    done = np.arange(1, run.turns + 1)
    sent = done[(done % integer(op.every) == 0) | (done == run.turns)]
    return integer(op.base) + sent, run.offset + sent - 1


def is_in_run(op: WaitOp | SignalOp) -> bool:
    """Whether an op stands in a run, and is done in each of its turns."""
    return isinstance(op.parent_op(), RunOp)
