"""The instruction to blame: where a program and the one compiled again differ, and whose repair mends the layer."""

from __future__ import annotations

from collections.abc import Sequence

from backends.isa import Isa
from backends.program import LayerEntry, Program
from compiler.localising.blame import Blame, Mends, instruction_at
from compiler.localising.constants import blamed_constants, other_constants
from compiler.localising.edits import OUTSIDE, Edit, edits, repaired
from compiler.localising.layer_order import first_misplaced, in_order
from compiler.localising.missing_layers import first_missing, with_missing_layers
from compiler.localising.relocating import relocated
from dialects.diagnostics import CatenaError

_MOST_REPAIRS = 256
"""Instructions that are repaired one by one."""


def blamed_instruction(
    program: Program, again: Program, layers: Sequence[LayerEntry], isa: Isa, mends: Mends
) -> Blame | None:
    """The first instruction of some layers that mends their result if repaired, or brings constants that do.

    If no repair of one instruction does, the first that differs is blamed where all repairs together mend the result.
    None if code and constants are those that the compiler makes, or have nothing to do with it.
    """
    moved = relocated(again, program, isa)
    if moved is not again and edits(program, again, {each.name for each in layers}):
        found = _blamed_instruction(program, moved, layers, isa, mends)
        if found is not None:
            return found
    return _blamed_instruction(program, again, layers, isa, mends)


def _blamed_instruction(
    program: Program, again: Program, layers: Sequence[LayerEntry], isa: Isa, mends: Mends
) -> Blame | None:
    misplaced = blamed_order(program, again, isa, mends) or _blamed_absence(program, again, isa, mends)
    if misplaced is not None:
        return misplaced
    names = {each.name for each in layers}
    found = edits(program, again, names)
    blamed = _mending(program, again, found, mends)
    if blamed is not None:
        return blame_of(program, again, blamed, isa)
    constants = blamed_constants(program, again, layers, isa, mends)
    if constants is not None:
        return constants
    outside = edits(program, again, {OUTSIDE})
    blamed = _mending(program, again, outside, mends) if outside else None
    if (
        blamed is None
        and outside
        and found
        and mends(repaired(program, again, edits(program, again, {OUTSIDE, *names})))
    ):
        blamed = found[0]
    return None if blamed is None else blame_of(program, again, blamed, isa)


def _mending(program: Program, again: Program, found: Sequence[Edit], mends: Mends) -> Edit | None:
    """The first edit that makes the result right alone, else the first of all if they do together."""
    alone = next((edit for edit in found[:_MOST_REPAIRS] if mends(repaired(program, again, [edit]))), None)
    if alone is None and len(found) > 1 and mends(repaired(program, again, found)):
        alone = found[0]
    return alone


def _blamed_absence(program: Program, again: Program, isa: Isa, mends: Mends) -> Blame | None:
    """The first instruction of a layer that has no code at all, if the result is right with the compiler's."""
    found = first_missing(program, again)
    if found is None or not mends(with_missing_layers(program, again)):
        return None
    text = isa.format(instruction_at(again, isa, found.core, found.right))
    reason = f"all code of {found.layer} is expected here, and missing: {found.instructions} instructions"
    return Blame(found.core, found.address, text, reason, text, "no instruction", len(program.code), found.layer)


def blamed_order(program: Program, again: Program, isa: Isa, mends: Mends) -> Blame | None:
    """The first instruction of a layer whose code stands too early, if the result is right in the compiler's order."""
    found = first_misplaced(program, again)
    if found is None or not mends(in_order(program, again)):
        return None
    text = _text_at(program, isa, found.core, found.address)
    expected = f"{_text_at(again, isa, found.core, found.right)} of {found.expected}"
    reason = f"the code of {found.layer} stands where that of {found.expected} is expected"
    return Blame(found.core, found.address, text, reason, expected, text, len(program.code), found.layer)


def are_the_same(program: Program, again: Program, layers: Sequence[LayerEntry]) -> bool:
    """Whether two programs have the same code and constants for some layers."""
    code = edits(program, again, {each.name for each in layers})
    return not code and not any(other_constants(program, again, layers))


def together(program: Program, layers: Sequence[LayerEntry]) -> list[LayerEntry]:
    """Some layers with all of their groups: these run together, so that any of them may be to blame."""
    names, groups = {each.name for each in layers}, {each.group for each in layers} - {""}
    return [each for each in program.layers if each.name in names or each.group in groups]


def blame_of(program: Program, again: Program, edit: Edit, isa: Isa) -> Blame:
    """An instruction that is not the compiler's."""
    core, address, cores = edit.core, edit.address, len(program.code)
    place = "here" if edit.layer == OUTSIDE else "of the layer"
    if not edit.expected:
        text = _text_at(program, isa, core, address)
        return Blame(core, address, text, "it is there in addition", "no instruction", text, cores, edit.layer)
    right = instruction_at(again, isa, core, edit.right)
    if not edit.found:
        text = isa.format(right)
        reason = "it is expected here, and missing"
        return Blame(core, address, text, reason, text, "no instruction", cores, edit.layer)
    try:
        wrong = instruction_at(program, isa, core, address)
    except CatenaError:
        return Blame(
            core, address, "no instruction", "the word cannot be decoded", isa.format(right), "", cores, edit.layer
        )
    if type(wrong) is type(right):
        names = [
            each.name
            for each in isa.specs[type(right)].fields
            if not _same(getattr(wrong, each.name), getattr(right, each.name))
        ]
        within = f"in {' and '.join(names)} " if names else ""
        reason = f"{within}it is not what the compiler makes {place}"
    else:
        reason = f"it is another instruction than the compiler makes {place}"
    return Blame(core, address, isa.format(wrong), reason, isa.format(right), isa.format(wrong), cores, edit.layer)


def _text_at(program: Program, isa: Isa, core: int, address: int) -> str:
    try:
        return isa.format(instruction_at(program, isa, core, address))
    except CatenaError:
        return "no instruction"


def _same(first: object, second: object) -> bool:
    return first == second or (first != first and second != second)
