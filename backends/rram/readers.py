"""Which instruction brings a constant word: streams are gone through without time, for what they read alone."""

from __future__ import annotations

from collections.abc import Sequence

from backends.rram.chip import Chip, CoreFault
from backends.rram.origins import batches, without_holds
from backends.rram.streams import Action, Do, Piece, Task
from backends.spatial.blank import Blank, ConstantRead, ConstantReads, raise_if_read
from backends.spatial.memory import Addresses, MemoryBank
from dialects.multicore_machine import MulticoreMachine


def reader_of(
    words: Addresses,
    layers: Sequence[int],
    machine: MulticoreMachine,
    streams: Sequence[Sequence[Task]],
    banks: tuple[MemoryBank, MemoryBank],
) -> tuple[int, int, int] | None:
    """Core and address of the first instruction that reads constants of the shared memory, and the first one it reads.

    `words` are those looked for, `layers` the numbers of the layers looked at, `banks` the shared memory and that of
    sums. Loads read constants, and so does what writes weights into crossbars.
    """
    plain = [[without_holds(task) for task in stream if task.layer.index in layers] for stream in streams]
    dram, sums = ConstantReads(banks[0], words), Blank(banks[1], lambda read, writes: None)
    chip = Chip(machine, plain, dram, sums)
    tasks = (task for stream in plain for task in stream)
    for task in sorted(tasks, key=lambda each: (layers.index(each.layer.index), each.core)):
        found = _reading(chip, task, words)
        if found is not None:
            return task.core, *found
    return None


def _reading(chip: Chip, task: Task, words: Addresses) -> tuple[int, int] | None:
    """The address of the first instruction of a task that reads some words, and the first of them."""
    for piece in task.pieces:
        for turns in batches(chip, task, piece):
            for action in _reads(piece):
                try:
                    if action.do is Do.PROGRAM:
                        raise_if_read(chip.part(task).kernel_addresses(), words)
                    else:
                        chip.perform(task, piece, action, turns)
                except ConstantRead as found:
                    return action.pc, found.first
                except CoreFault:
                    return None
    return None


def _reads(piece: Piece) -> list[Action]:
    """What reads constants in a piece, and the action with which its turns begin."""
    acting = [each for each in piece.actions if each.do not in (Do.WAIT, Do.SIGNAL)]
    return [each for place, each in enumerate(acting) if each.do in (Do.PROGRAM, Do.LOAD) or not place]
