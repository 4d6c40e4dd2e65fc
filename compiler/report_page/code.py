"""The instructions of a program by layer, as far as a report can hold them."""

from __future__ import annotations

from dataclasses import dataclass

from backends.disassembly import nested_instructions
from backends.isa import Isa
from backends.program import Program

LONGEST = 1_500
"""Instructions of a layer on one core that a report shows; all of them are in `catena disasm`."""


@dataclass(frozen=True)
class Piece:
    """Instructions of one layer that stand together on a core: where, how many, and the text of the first ones."""

    core: int
    start: int
    count: int
    lines: tuple[str, ...]


def code_by_layer(program: Program, isa: Isa) -> dict[str, list[Piece]]:
    """The pieces of every layer, by core and address.

    Raises `CatenaError` (CAT-P001) for code that does not decode.
    """
    found: dict[str, list[Piece]] = {}
    cores = [[text for text, _ in nested_instructions(program, isa, core)] for core in range(len(program.code))]
    for entry in program.debug:
        pieces = found.setdefault(entry.layer, [])
        shown = sum(len(each.lines) for each in pieces if each.core == entry.core)
        end = min(entry.end, entry.start + max(0, LONGEST - shown))
        lines = tuple(cores[entry.core][entry.start : end])
        pieces.append(Piece(entry.core, entry.start, entry.end - entry.start, lines))
    return found
