"""Where the code of two programs differs: instructions that are others, are missing, or are there in addition."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

import numpy as np

from backends.program import DebugEntry, Program
from compiler.arrays import Array

OUTSIDE = ""
"""In the place of a layer: the code of none, as the instruction that ends a program."""
_MOST_PAIRS = 1 << 22
"""Pairs of instructions that are compared; where code differs in more places each is beside the one at its address."""


@dataclass(frozen=True)
class Edit:
    """An instruction of a program, at `address`, for which another one has that at `right`.

    Nothing is there in the one if not `found`: what is missing belongs before `address`. Nothing is in the other if not
    `expected`. `layer` is the one whose code differs, or `OUTSIDE`.
    """

    core: int
    address: int
    right: int
    layer: str
    found: bool = True
    expected: bool = True


def edits(program: Program, again: Program, names: Collection[str]) -> list[Edit]:
    """What makes the code of some layers, or of `OUTSIDE`, in one program that of another one, in program order."""
    differing = _in_place if have_places_in_common(program, again, names) else _aligned
    cores = range(len(program.code))
    return [edit for core in cores for edit in differing(program, again, core) if edit.layer in names]


def have_places_in_common(first: Program, second: Program, names: Collection[str]) -> bool:
    """Whether the code of some layers is at the same places in two programs."""
    places = [[entry for entry in each.debug if entry.layer in names] for each in (first, second)]
    places = [[(entry.core, entry.start, entry.end, entry.layer) for entry in each] for each in places]
    return places[0] == places[1] and all(
        len(one) == len(other) for one, other in zip(first.code, second.code, strict=True)
    )


def repaired(program: Program, again: Program, chosen: Sequence[Edit]) -> Program:
    """The program with the other one's instructions where some edits are."""
    width = program.metadata.word_bits // 8
    code = [bytearray(words) for words in program.code]
    debug = list(program.debug)
    for edit in reversed(chosen):
        right = again.code[edit.core][edit.right * width : (edit.right + 1) * width] if edit.expected else b""
        code[edit.core][edit.address * width : (edit.address + edit.found) * width] = bytes(right)
        debug = [_moved(entry, edit) for entry in debug]
    return replace(program, code=tuple(bytes(words) for words in code), debug=tuple(debug))


def _moved(entry: DebugEntry, edit: Edit) -> DebugEntry:
    """The place of some code after an edit."""
    by = edit.expected - edit.found
    if not by or entry.core != edit.core or edit.address >= entry.end + (edit.layer == entry.layer):
        return entry
    is_before = edit.address < entry.start or (edit.address == entry.start and edit.layer != entry.layer)
    start = entry.start + by * is_before
    return replace(entry, start=start, end=max(entry.end + by, start + 1))


def _in_place(program: Program, again: Program, core: int) -> Iterator[Edit]:
    first, second = (_words(each, core) for each in (program, again))
    entries = [entry for entry in again.debug if entry.core == core]
    for place in np.flatnonzero((first != second).any(axis=1)).tolist():
        layer = _layer_at(entries, place)
        yield Edit(core, place, place, layer)


def _words(program: Program, core: int) -> Array:
    return np.frombuffer(program.code[core], np.uint8).reshape(-1, program.metadata.word_bits // 8)


def _aligned(program: Program, again: Program, core: int) -> Iterator[Edit]:
    """What differs on a core, with the fewest instructions that are moved."""
    first, second = ([bytes(word) for word in _words(each, core)] for each in (program, again))
    same = _common(first, second)
    left = _common(first[same:][::-1], second[same:][::-1])
    one, other = first[same : len(first) - left], second[same : len(second) - left]
    here, there = ([entry for entry in each.debug if entry.core == core] for each in (program, again))

    def layer(address: int, right: int, expected: bool) -> str:
        """What is in addition between two layers is of the one of which the program says that it is."""
        inside = _layer_at(there, right)
        if expected or inside == (before := _layer_at(there, right - 1)):
            return inside
        said = _layer_at(here, address)
        return said if said in (before, inside) else inside or before

    if len(one) * len(other) > _MOST_PAIRS:
        opcodes = [("replace", 0, len(one), 0, len(other))]
    else:
        opcodes = SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    for _, i, j, k, m in opcodes:
        if one[i:j] == other[k:m]:
            continue
        for step in range(max(j - i, m - k)):
            address, right = same + min(i + step, j), same + min(k + step, m)
            expected = k + step < m
            if i + step < j and expected and one[i + step] == other[k + step]:
                continue
            yield Edit(core, address, right, layer(address, right, expected), found=i + step < j, expected=expected)


def _layer_at(entries: Sequence[DebugEntry], address: int) -> str:
    return next((entry.layer for entry in entries if entry.start <= address < entry.end), OUTSIDE)


def _common(first: Sequence[bytes], second: Sequence[bytes]) -> int:
    """How many instructions are the same from the beginning on."""
    pairs = zip(first, second, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(first), len(second)))
