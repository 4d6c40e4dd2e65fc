"""The units of a core: one does everything, or bringing inputs, multiplying and what follows are done at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backends.rram.isa import What
from backends.rram.streams import Action, Do, Piece

BRING, MULTIPLY, FINISH = range(3)
"""Of a core that overlaps turns: what brings inputs, the crossbars, and what adds up, activates and stores."""
APART = 3
"""How many there are of these."""
DEPTH = 2
"""Of inputs and of sums, a core that overlaps turns has two buffers: a unit is that much ahead of the next, at most."""


def is_apart(piece: Piece, units: int) -> bool:
    """Whether the units of a core work on different turns of a piece at a time; else it is done all by itself.

    They do where there is a product, and while what sums of all vectors need is brought between runs of these.
    """
    return units > 1 and (_product(piece) is not None or all(_is_fixed(action) for action in piece.actions))


def _product(piece: Piece) -> int | None:
    return next((each.pc for each in piece.actions if each.do is Do.MULTIPLY), None)


def _is_fixed(action: Action) -> bool:
    return action.do is Do.LOAD and action.given is What.FIXED


def unit_of(piece: Piece, action: Action, units: int) -> int:
    """The unit that does an action; what is done all by itself is left to the first one."""
    if not is_apart(piece, units):
        return BRING
    product = _product(piece)
    if product is None or action.pc > product:
        return FINISH
    return BRING if action.pc < product else MULTIPLY


def share(piece: Piece, unit: int, units: int) -> Sequence[Action]:
    """What a unit does in every turn of a piece."""
    return [action for action in piece.actions if unit_of(piece, action, units) == unit]


def followed(unit: int, turn: int, *, apart: bool, alone: bool) -> Iterator[tuple[int, int]]:
    """Units, with their turns, that have to be over before a unit begins `turn`, counted from the first of a stream.

    `apart` says whether units work on this turn one after the other, `alone` whether nothing of turns before may go on.
    """
    if unit == BRING:
        if alone and turn:
            yield from ((other, turn - 1) for other in (MULTIPLY, FINISH))
    else:
        yield unit - 1, turn
    if apart and unit != FINISH and turn >= DEPTH:
        yield unit + 1, turn - DEPTH
