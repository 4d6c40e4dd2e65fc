"""Layers that have no code at all on a core where another program has some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from backends.program import DebugEntry, Program


@dataclass(frozen=True)
class Missing:
    """Code of a layer that belongs before `address`; `right` is where it begins in the other program."""

    core: int
    address: int
    right: int
    layer: str
    instructions: int


def first_missing(program: Program, again: Program) -> Missing | None:
    """The first code of a layer that a program does not have."""
    return next(_missing(program, again), None)


def with_missing_layers(program: Program, again: Program) -> Program:
    """The program with all code of layers that it has none of; of the others it has what it had."""
    width = program.metadata.word_bits // 8
    code = [bytearray(words) for words in program.code]
    debug = list(program.debug)
    # From the end, so that addresses of what is before stay.
    for each in reversed(list(_missing(program, again))):
        words = again.code[each.core][each.right * width : (each.right + each.instructions) * width]
        code[each.core][each.address * width : each.address * width] = bytes(words)
        debug = [_moved(entry, each) for entry in debug]
        debug.append(DebugEntry(each.core, each.address, each.address + each.instructions, each.layer))
    debug.sort(key=lambda entry: (entry.core, entry.start))
    return replace(program, code=tuple(bytes(words) for words in code), debug=tuple(debug))


def _moved(entry: DebugEntry, missing: Missing) -> DebugEntry:
    if entry.core != missing.core or entry.start < missing.address:
        return entry
    by = missing.instructions
    return replace(entry, start=entry.start + by, end=entry.end + by)


def _missing(program: Program, again: Program) -> Iterator[Missing]:
    for core in range(min(len(program.code), len(again.code))):
        here, there = ([entry for entry in each.debug if entry.core == core] for each in (program, again))
        names = {entry.layer for entry in here}
        for place, entry in enumerate(there):
            if entry.layer not in names:
                address = _end_of(here, there[:place])
                yield Missing(core, address, entry.start, entry.layer, entry.end - entry.start)


def _end_of(here: Sequence[DebugEntry], before: Sequence[DebugEntry]) -> int:
    """Where the code ends of the last entry before that the program has, as often as that has come."""
    for place in reversed(range(len(before))):
        same = [entry for entry in here if entry.layer == before[place].layer]
        if same:
            number = sum(entry.layer == before[place].layer for entry in before[: place + 1])
            return same[min(number, len(same)) - 1].end
    return here[0].start if here else 0
