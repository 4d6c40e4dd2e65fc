"""Which memories and axes of a machine are too small for a link, whatever its mapping: what to change in a description.

Messages begin with the key of the level, so that whoever knows the file can say the line.
"""

from __future__ import annotations

from collections.abc import Iterator

from dialects.diagnostics import Diagnostic
from dialects.hierarchy import Hierarchy, Memory
from dialects.schedule import Operand
from dialects.word_units import WordUnit
from passes.mapper.counts import Counts
from passes.mapper.dataflow import BoundFlow
from passes.mapper.problem import Problem


def too_small(problem: Problem, hierarchy: Hierarchy, node: str = "") -> list[Diagnostic]:
    """The memories (CAT-F001) that cannot hold a word of every operand which may not pass by."""
    found: list[Diagnostic] = []
    for memory in hierarchy.memories[1:]:
        staying = [each for each in problem.operands if each in memory.operands and each not in memory.bypass]
        found += _without_room(memory, dict.fromkeys(staying, 1), 0, hierarchy.word_unit(memory.name), node)
    return found


def too_small_for_flow(flow: BoundFlow, hierarchy: Hierarchy, node: str = "") -> list[Diagnostic]:
    """The levels (CAT-F001) that have no room for what the nest of a dataflow needs whatever its parameters are."""
    counts = Counts(flow.problem, hierarchy, flow.nest, flow.tiles({}, 1))
    # A larger tile is laid over fewer elements: one that a parameter decides over one, if it likes.
    open_tiles = [place for place, tile in enumerate(flow.expressions) if tile.names]
    found: list[Diagnostic] = []
    for axis in hierarchy.axes:
        used = int(counts.elements(axis.name, open_tiles)[0])
        if used > axis.size:
            message = f"levels.{axis.name}.size: the dataflow lays more of this link along it"
            found.append(_misfit(message, f"at least {used} positions", str(axis.size), node))
    for memory in hierarchy.memories[1:]:
        held = {operand: int(words[0]) for operand, words in counts.occupancy.get(memory.name, {}).items()}
        least, most = (int(each) for each in flow.reserved(memory.name, {}))
        if most < 0 and held and memory.words is not None:
            message = f"levels.{memory.name}.reserve: no mapping of this link fits, less than nothing is reserved"
            hint = "reserve words that something else takes: 0 or more"
            found.append(
                Diagnostic(
                    "CAT-F001", message, "mapped", node, expected="0 or more", found=f"at most {most}", hint=hint
                )
            )
        found += _without_room(memory, held, max(least, 0), hierarchy.word_unit(memory.name), node)
    return found


def _without_room(
    memory: Memory, held: dict[Operand, int], reserved: int, unit: WordUnit, node: str
) -> Iterator[Diagnostic]:
    """What is too small of a memory; `unit` is the word in which its description counts."""
    words = {operand: memory.buffers * number for operand, number in held.items()}
    for operand, number in words.items():
        room = memory.rooms.get(operand)
        if room is not None and room < number:
            message = (
                f"levels.{memory.name}.rooms: no mapping of this link fits, there is too little room for {operand}"
            )
            yield _misfit(message, f"at least {unit.at_least(number)} {unit.name}", str(unit.said(room)), node)
    need = sum(map(memory.whole_banks, words.values())) + reserved
    if words and memory.words is not None and memory.words < need:
        named = "" if unit.bits is None else "for elements "
        named += ", ".join(f"{operand} {number}" for operand, number in words.items())
        banks = f", in whole banks of {memory.bank}" if memory.bank else ""
        reserve = f", and {reserved} reserved" if reserved else ""
        message = f"levels.{memory.name}.words: no mapping of this link fits, the memory is too small"
        least = unit.at_least(memory.whole_banks(need))
        expected = f"at least {least} {unit.name} ({named}{banks}{reserve})"
        yield _misfit(message, expected, str(unit.said(memory.words)), node)


def _misfit(message: str, expected: str, found: str, node: str) -> Diagnostic:
    hint = "make it larger, or keep less there: operands, bypass, buffers, bank"
    return Diagnostic("CAT-F001", message, "mapped", node, expected=expected, found=found, hint=hint)
