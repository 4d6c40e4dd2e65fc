"""Tokens between cores: what a block waits for, as the fields of waits and signals, and as values turn by turn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dialects.multicore import RunOp, SignalOp, WaitOp
from dialects.spatial import integer
from passes.multicore.accesses import Run

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ramp:
    """Values min(most, base + step * ((turn + start) div period)), of the turns of a run."""

    base: int
    step: int
    period: int
    start: int
    most: int

    def values(self, turns: int) -> Ints:
        """The value of every turn."""
        return np.minimum(self.most, self.base + self.step * ((np.arange(turns) + self.start) // self.period))

    @classmethod
    def over(cls, needs: Ints, width: int, offset: int) -> Ramp:
        """A ramp that is nowhere below `needs`, which do not fall; `width` turns make a row.

        `offset` is the place of the first turn in its row. Turns of a row need as much as the last of them.
        """
        most = int(needs[-1])
        if most == int(needs[0]):
            return cls(most, 0, 1, 0, most)
        if np.array_equal(needs, needs[0] + np.arange(len(needs))):
            return cls(int(needs[0]), 1, 1, 0, most)
        rows = (np.arange(len(needs)) + offset) // width
        last = np.flatnonzero(np.concatenate((rows[1:] != rows[:-1], [True])))
        of_row = needs[last]
        step = int(np.max(np.diff(of_row), initial=0))
        base = int(np.max(of_row - step * rows[last]))
        return cls(max(base, 1), step, width, offset, most)


def wait_op(register: int, ramp: Ramp, base: int) -> WaitOp:
    """The op that waits for a ramp on top of what the register had before."""
    fields = {"base": base + ramp.base, "step": ramp.step, "period": ramp.period, "start": ramp.start}
    op = WaitOp.of(register=register, most=base + ramp.most, **fields)
    assert isinstance(op, WaitOp)
    return op


def waited(op: WaitOp, turns: int) -> Ints:
    """What an op waits for in every turn."""
    fields = (op.base, op.step, op.period, op.start, op.most)
    return Ramp(*(integer(each) for each in fields)).values(turns)


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
