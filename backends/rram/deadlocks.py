"""Cores that wait for ever: which of them is why, and who should have signalled to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from backends.rram.chip import CoreFault, awaited
from backends.rram.pairs import PairFault
from backends.rram.streams import Action, Do, Piece, Task

Register = tuple[int, int]
"""A core, and the number of one of its registers."""


@dataclass(frozen=True)
class Waiting:
    """A core, or a unit of it, that waits in a turn."""

    task: Task
    piece: Piece
    turn: int


@dataclass(frozen=True)
class Sender:
    """An instruction that signals to a register, or behind which a signal to it belongs."""

    task: Task
    pc: int


@dataclass(frozen=True)
class _Wait:
    """What a core waits for."""

    at: Waiting
    action: Action
    wanted: int

    @property
    def register(self) -> Register:
        return self.at.task.core, self.action.given[0]


def deadlock(
    waiting: Sequence[Waiting],
    registers: Mapping[Register, int],
    streams: Sequence[Sequence[Task]],
    writers: Mapping[Register, int],
) -> CoreFault:
    """The fault of cores that wait for ever; of those whose signal is due, if there is one.

    A signal is due where its writer did all turns that are waited for; others wait for cores that wait themselves.
    """
    done = _turns_done(waiting, streams)
    waits = [wait for each in waiting for wait in _waits(each, registers)]

    def rank(wait: _Wait) -> int:
        writer = writers.get(wait.register)
        if writer is not None and done[writer] >= wait.wanted:
            return 0
        sender = _sender(streams, wait)
        return 1 if sender is None or _last_value(streams, wait) < wait.wanted else 2

    wait = min(waits, key=rank)
    who, sender = _who(wait, streams, writers, is_due=rank(wait) == 0)
    core, number = wait.register
    message = f"core {core} waits for ever for register {number}, in turn {wait.at.turn}"
    limits = f"at least {wait.wanted}", f"{registers.get(wait.register, 0)}; {who}"
    fault = PairFault("CAT-E005", message, *limits, other=None if sender is None else (sender.task, sender.pc))
    return CoreFault(fault, wait.at.task, wait.action.pc)


def _waits(at: Waiting, registers: Mapping[Register, int]) -> Iterator[_Wait]:
    for action in at.piece.actions:
        if action.do is Do.WAIT:
            wanted = int(awaited(action, range(at.turn, at.turn + 1))[0])
            if wanted > registers.get((at.task.core, action.given[0]), 0):
                yield _Wait(at, action, wanted)


def _who(
    wait: _Wait, streams: Sequence[Sequence[Task]], writers: Mapping[Register, int], *, is_due: bool
) -> tuple[str, Sender | None]:
    """Who signals to a register, or should."""
    sender, writer = _sender(streams, wait), writers.get(wait.register)
    due = None if writer is None or writer >= len(streams) else _due(streams[writer], wait.wanted)
    if due is not None and (is_due or sender is None):
        return f"core {due.task.core} does not signal it behind instruction {due.pc}", due
    if sender is None:
        return "no instruction signals to it", None
    return f"core {sender.task.core}, instruction {sender.pc}, signals to it and does not get so far", sender


def _signals(streams: Sequence[Sequence[Task]], register: Register) -> Iterator[tuple[Task, Piece, Action]]:
    for task in (task for stream in streams for task in stream):
        for piece in task.pieces:
            for action in piece.actions:
                if action.do is Do.SIGNAL and action.given[:2] == register:
                    yield task, piece, action


def _sender(streams: Sequence[Sequence[Task]], wait: _Wait) -> Sender | None:
    """The task and instruction that signal as much as is waited for, or else the last that signal to the register."""
    found = None
    for task, piece, action in _signals(streams, wait.register):
        found = Sender(task, action.pc)
        if action.given[2] + piece.turns >= wait.wanted:
            break
    return found


def _last_value(streams: Sequence[Sequence[Task]], wait: _Wait) -> int:
    """The largest value that is ever signalled to a register."""
    return max((action.given[2] + piece.turns for _, piece, action in _signals(streams, wait.register)), default=0)


def _counted(task: Task) -> list[Piece]:
    """The pieces of a task whose turns registers count: those of its loops, or the last one of a task without any."""
    return [piece for piece in task.pieces if piece.is_run or piece.is_nest] or task.pieces[-1:]


def _turns_done(waiting: Sequence[Waiting], streams: Sequence[Sequence[Task]]) -> list[int]:
    """By core, the turns that are over."""
    done = [sum(piece.turns for task in stream for piece in _counted(task)) for stream in streams]
    for each in waiting:
        before = 0
        for task in streams[each.task.core]:
            if task is each.task:
                break
            before += sum(piece.turns for piece in _counted(task))
        counted, at = _counted(each.task), each.task.pieces.index(each.piece)
        before += sum(piece.turns for piece in each.task.pieces[:at] if piece in counted)
        before += each.turn if each.piece in counted else 0
        done[each.task.core] = min(done[each.task.core], before)
    return done


def _due(stream: Sequence[Task], wanted: int) -> Sender | None:
    """The last instruction, but for tokens, of the turn after which a core did as many turns as are waited for."""
    found = None
    for task in stream:
        for piece in _counted(task):
            does = [action for action in piece.actions if action.do not in (Do.WAIT, Do.SIGNAL)]
            found = Sender(task, does[-1].pc) if does else found
            wanted -= piece.turns
            if wanted <= 0:
                return found
    return found
