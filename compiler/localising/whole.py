"""The instruction to blame in a whole program, where what one layer does to memory makes another one wrong."""

from __future__ import annotations

from collections.abc import Mapping

from backends.api import Emulator, WatchedEmulator
from backends.isa import Isa
from backends.program import Program
from compiler.arrays import Array
from compiler.localising.blame import Blame, Mends, instruction_at
from compiler.localising.constants import blamed_constants
from compiler.localising.edits import OUTSIDE, edits, repaired
from compiler.localising.instructions import blame_of, blamed_order
from compiler.localising.provenance import Intrusion, first_intrusion

_MOST_RUNS = 16
"""Runs of the whole program in each of which one instruction is repaired."""


def intrusion_in(program: Program, emulator: Emulator, inputs: Mapping[str, Array]) -> Intrusion | None:
    """The first word that a layer reads and another one spoiled, if the emulator shows what it reads and writes."""
    return first_intrusion(program, emulator, inputs) if isinstance(emulator, WatchedEmulator) else None


def blamed_in_whole(
    program: Program, again: Program, isa: Isa, mends: Mends, intrusion: Intrusion | None
) -> Blame | None:
    """The instruction that is not the compiler's, or brings constants that are not, if outputs are right with that."""
    found = blamed_order(program, again, isa, mends) or blamed_together(program, again, isa, mends, intrusion)
    return found or blamed_constants(program, again, program.layers, isa, mends)


def blamed_intrusion(program: Program, isa: Isa, intrusion: Intrusion | None) -> Blame | None:
    """The instruction that spoils a word, or reads one that is spoiled."""
    if intrusion is None or intrusion.site is None:
        return None
    site = intrusion.site
    text = isa.format(instruction_at(program, isa, site.core, site.address))
    return Blame(site.core, site.address, text, f"it {intrusion.text}", cores=len(program.code), layer=site.layer)


def blamed_together(
    program: Program, again: Program, isa: Isa, mends: Mends, intrusion: Intrusion | None
) -> Blame | None:
    """An instruction whose repair makes the results right, alone or with all others and the places of tensors."""
    found = edits(program, again, {OUTSIDE, *(each.name for each in program.layers)})
    site = None if intrusion is None else intrusion.site
    # What the layer does that spoils a word comes first.
    ordered = sorted(found, key=lambda edit: site is None or edit.layer != site.layer)
    edit = next((edit for edit in ordered[:_MOST_RUNS] if mends(repaired(program, again, [edit]))), None)
    if edit is None and ordered and (mends(repaired(program, again, found)) or mends(again)):
        edit = ordered[0]
    return None if edit is None else blame_of(program, again, edit, isa)
