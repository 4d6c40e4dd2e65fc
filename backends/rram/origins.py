"""Who would have written a word that was read too early: streams are gone through without time, and without values."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from backends.rram.chip import Chip, CoreFault
from backends.rram.holds import HOLDS
from backends.rram.pairs import PairFault
from backends.rram.streams import Action, Do, Piece, Task
from backends.spatial.blank import Blank
from backends.spatial.memory import Addresses, Fault, MemoryBank, UnwrittenFault
from dialects.multicore_machine import MulticoreMachine


class _Found(Exception):
    """The word is written."""


def read_too_early(
    fault: UnwrittenFault,
    reader: Task,
    machine: MulticoreMachine,
    streams: Sequence[Sequence[Task]],
    banks: tuple[MemoryBank, MemoryBank],
) -> Fault:
    """The fault of a task that reads a word before it is written, with who writes it, if another core does."""
    found = writer_of(fault.word, fault.memory, reader, machine, streams, banks)
    if found is None:
        return fault
    task, action = found
    said = f"{fault.found}; core {task.core}, instruction {action.pc}, writes word {fault.word}"
    return PairFault(fault.code, fault.message, fault.expected, said, other=(task, action.pc))


def writer_of(
    word: int,
    memory: str,
    reader: Task,
    machine: MulticoreMachine,
    streams: Sequence[Sequence[Task]],
    banks: tuple[MemoryBank, MemoryBank],
) -> tuple[Task, Action] | None:
    """The task of another core, with the instruction, that first writes a word of a memory; None if none does.

    `banks` are the shared memory and that of sums. Elements of tensors in holds are words, too: by their names.
    """

    where = banks[0].name if memory == HOLDS else memory

    def told(name: str, words: Addresses) -> None:
        if name == where and bool((words == word).any()):
            raise _Found

    plain = [[without_holds(task) for task in stream] for stream in streams]
    dram, sums = (Blank(bank, lambda words, _, name=bank.name: told(name, words)) for bank in banks)
    chip = Chip(machine, plain, dram, sums)
    try:
        chip.program_residents()
    except CoreFault:
        return None
    others = (task for stream in plain for task in stream if task.core != reader.core)
    for task in sorted(others, key=lambda each: each.layer.index):
        writing = _writing(chip, task)
        if writing is not None:
            return task, writing
    return None


def _writing(chip: Chip, task: Task) -> Action | None:
    """The action of a task by which the word is written."""
    for piece in task.pieces:
        for turns in batches(chip, task, piece):
            for action in (each for each in piece.actions if each.do not in (Do.WAIT, Do.SIGNAL)):
                try:
                    chip.perform(task, piece, action, turns)
                except _Found:
                    return action
                except CoreFault:
                    return None
    return None


def batches(chip: Chip, task: Task, piece: Piece) -> list[range]:
    """The turns of a piece, as many at a time as may be executed so."""
    most = chip.most_turns(task)
    return [range(at, min(at + most, piece.turns)) for at in range(0, piece.turns, most)]


def without_holds(task: Task) -> Task:
    """A task whose tensors all lie in the memory."""
    layer = copy(task.layer)
    layer.keeps = {}
    return replace(task, layer=layer)
