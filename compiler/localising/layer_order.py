"""The order in which the code of layers stands: layers that run before those whose results they read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from backends.program import DebugEntry, Program


@dataclass(frozen=True)
class Misplaced:
    """Code of a layer that stands where that of another one is expected: addresses in the one program and the other."""

    core: int
    address: int
    layer: str
    right: int
    expected: str


def first_misplaced(program: Program, again: Program) -> Misplaced | None:
    """The first code that stands in the place of another layer's, if two programs have it in different orders."""
    for core in range(len(program.code)):
        found, expected = (_entries(each, core) for each in (program, again))
        if _names(found) == _names(expected) or not _have_the_same(found, expected):
            continue
        one, other = next(pair for pair in zip(found, expected, strict=True) if pair[0].layer != pair[1].layer)
        return Misplaced(core, one.start, one.layer, other.start, other.layer)
    return None


def in_order(program: Program, again: Program) -> Program:
    """The program with its code in the order of another one, as far as that has code of the same layers."""
    code = list(program.code)
    debug: list[DebugEntry] = []
    width = program.metadata.word_bits // 8
    for core, words in enumerate(program.code):
        found, expected = (_entries(each, core) for each in (program, again))
        if _names(found) == _names(expected) or not _have_the_same(found, expected) or not _are_together(found):
            debug += found
            continue
        waiting = {name: [entry for entry in found if entry.layer == name] for name in set(_names(found))}
        ordered = [waiting[entry.layer].pop(0) for entry in expected]
        at = found[0].start
        parts = [bytes(words[: at * width])]
        for entry in ordered:
            parts.append(bytes(words[entry.start * width : entry.end * width]))
            end = at + entry.end - entry.start
            debug.append(replace(entry, start=at, end=end))
            at = end
        code[core] = b"".join([*parts, bytes(words[at * width :])])
    return replace(program, code=tuple(code), debug=tuple(debug))


def _entries(program: Program, core: int) -> list[DebugEntry]:
    return [entry for entry in program.debug if entry.core == core]


def _names(entries: Sequence[DebugEntry]) -> list[str]:
    return [entry.layer for entry in entries]


def _have_the_same(first: Sequence[DebugEntry], second: Sequence[DebugEntry]) -> bool:
    return Counter(_names(first)) == Counter(_names(second))


def _are_together(entries: Sequence[DebugEntry]) -> bool:
    return all(one.end == other.start for one, other in pairwise(entries))
