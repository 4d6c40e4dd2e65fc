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


def beginnings(part: Part) -> list[int]:
    """Of each core of a cyclic ring, the turn of the vectors that it begins with; and the number of turns."""
    count, cores = part.vectors.turns, len(part.ring)
    return [count * place // cores for place in range(cores + 1)]


def rounds(part: Part, scheme: Scheme) -> Iterator[Round]:
    """The rounds of a part.

    All cores visit vectors in the same order, or each of a cyclic ring begins with a region of its own: there it is the
    first, then it follows the next core, and it is the last in the region of the core that follows it.
    """
    count, cores, place = part.vectors.turns, len(part.ring), part.place
    if not is_cyclic(part, scheme):
        yield Round(0, count, place == 0, place == cores - 1)
        return
    at = beginnings(part)
    own = at[place + 1] - at[place]
    # Going around from its own region, a core comes to that of the next place first, and last to that before its own.
    last = at[place] - at[place - 1] if place else at[cores] - at[cores - 1]
    yield Round(at[place], own, is_first=True, is_last=False)
    if count - own - last:
        yield Round((at[place] + own) % count, count - own - last, is_first=False, is_last=False)
    yield Round((at[place] + count - last) % count, last, is_first=False, is_last=True)


def predecessors(part: Part, scheme: Scheme) -> tuple[int, npt.NDArray[np.int64]] | None:
    """The place of the core that touches vectors before this part's, and after how many of its turns; None for none.

    Turn t of this part needs that many turns of the other one, 0 where this part is the first.
    """
    count, cores, place = part.vectors.turns, len(part.ring), part.place
    turns = np.arange(count, dtype=np.int64)
    if is_cyclic(part, scheme):
        at = beginnings(part)
        own = at[place + 1] - at[place]
        return (place + 1) % cores, np.where(turns < own, 0, turns - own + 1)
    if place == 0:
        return None
    return place - 1, np.full(count, count) if scheme is Scheme.SEQUENTIAL else turns + 1
