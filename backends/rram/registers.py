"""What signals and waits of streams may name: registers that are there, and that no other core writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from backends.rram.chip import CoreFault
from backends.rram.pairs import PairFault
from backends.rram.streams import Action, Do, Task
from backends.spatial.memory import Fault


def missing_register(streams: Sequence[Sequence[Task]], count: int) -> CoreFault | None:
    """The first token that names a register which cores, with `count` of them, have not."""
    for task, action in _tokens(streams, Do.SIGNAL, Do.WAIT):
        owner, register = action.given[:2] if action.do is Do.SIGNAL else (task.core, action.given[0])
        if register >= count:
            message = f"register {register} of core {owner}, which is not there"
            fault = Fault("CAT-E001", message, f"below cores.registers = {count}", str(register))
            return CoreFault(fault, task, action.pc)
    return None


def foreign_signal(streams: Sequence[Sequence[Task]], writers: Mapping[tuple[int, int], int]) -> CoreFault | None:
    """The first signal to a register that has another writer; it names who waits there."""
    for task, action in _tokens(streams, Do.SIGNAL):
        owner, register = action.given[:2]
        writer = writers.get((owner, register), task.core)
        if writer != task.core:
            waits = _tokens(streams[owner : owner + 1], Do.WAIT)
            waiter = next(((each, wait.pc) for each, wait in waits if wait.given[0] == register), None)
            message = f"core {task.core} signals to register {register} of core {owner}, which core {writer} writes"
            found = "" if waiter is None else f"core {owner}, instruction {waiter[1]}, waits for it"
            fault = PairFault("CAT-E003", message, f"a signal of core {writer}", found, other=waiter)
            return CoreFault(fault, task, action.pc)
    return None


def _tokens(streams: Sequence[Sequence[Task]], *kinds: Do) -> Iterator[tuple[Task, Action]]:
    """Tokens of some kinds, with their tasks."""
    for task in (task for stream in streams for task in stream):
        for action in (action for piece in task.pieces for action in piece.actions):
            if action.do in kinds:
                yield task, action
