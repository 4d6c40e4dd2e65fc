"""In which order a core of a ring visits its vectors, and where it is the first or the last to touch their sums."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dialects.multicore_mapping import Scheme
from passes.multicore.matrix import Part


@dataclass(frozen=True)
class Round:
    """Turns that do the same: turn t is turn `start` + t, around, of those that the part's vectors take."""

    start: int
    turns: int
    is_first: bool
    is_last: bool


def is_cyclic(part: Part, scheme: Scheme) -> bool:
    """Whether the cores of a ring begin at different vectors: each needs one to begin with at least."""
    return scheme is Scheme.CYCLIC and 1 < len(part.ring) <= part.vectors.turns


def regions(part: Part) -> tuple[int, int, int]:
    """Of a part of a cyclic ring, the first turn of its own region, how many it has, and how many the one before.

    Regions lie in the order opposite to places, so that a core follows the one of the place before, as in a linear
    ring: where all ask for the bus at a time, those that others wait for have it first.
    """
    count, cores = part.vectors.turns, len(part.ring)
    region = cores - 1 - part.place
    before, first, behind = (count * (region + each) // cores for each in (-1, 0, 1))
    return first, behind - first, first - before if region else count - count * (cores - 1) // cores


def rounds(part: Part, scheme: Scheme) -> Iterator[Round]:
    """The rounds of a part.

    All cores visit vectors in the same order, or each of a cyclic ring begins with a region of its own: there it is the
    first, then it follows the core before, and it is the last in the region of the core that follows it.
    """
    count, cores, place = part.vectors.turns, len(part.ring), part.place
    if not is_cyclic(part, scheme):
        yield Round(0, count, place == 0, place == cores - 1)
        return
    # Going around from its own region, a core comes to the next one first, and last to that before its own.
    at, own, last = regions(part)
    yield Round(at, own, is_first=True, is_last=False)
    if count - own - last:
        yield Round((at + own) % count, count - own - last, is_first=False, is_last=False)
    yield Round((at + count - last) % count, last, is_first=False, is_last=True)


def predecessors(part: Part, scheme: Scheme) -> tuple[int, npt.NDArray[np.int64]] | None:
    """The place of the core that touches vectors before this part's, and after how many of its turns; None for none.

    Turn t of this part needs that many turns of the other one, 0 where this part is the first.
    """
    count, cores, place = part.vectors.turns, len(part.ring), part.place
    turns = np.arange(count, dtype=np.int64)
    if is_cyclic(part, scheme):
        _, own, _ = regions(part)
        return (place - 1) % cores, np.where(turns < own, 0, turns - own + 1)
    if place == 0:
        return None
    return place - 1, np.full(count, count) if scheme is Scheme.SEQUENTIAL else turns + 1
