"""What of a tensor is kept from one turn to another, as opposed to what a turn holds.

Designs that make their layers tile by tile have buffers for the rows and columns that neighbouring tiles share, beside
the tile at work. What such buffers hold follows from what the turns need.
"""

from __future__ import annotations

import numpy as np

from passes.fusion.inference import Tiles
from passes.fusion.region import Region


def kept(tiles: Tiles, tensor: str) -> tuple[int, ...]:
    """Words that each turn of a loop hands to the next, by loop: what all turns of the loops below it need in both.

    With loops over rows and columns these are rows, and within a row the columns of a tile, each in a buffer of its
    own. The first turn of every loop is left aside: it fills the pipeline of layers with tiles that are larger.
    """
    needed = tiles.needed[tensor]
    words: list[int] = []
    for loop in range(len(tiles.turns)):
        held = needed.over(range(loop + 1, len(tiles.turns)))
        for filled in range(loop + 1):
            held = held.at(filled, slice(1, None))
        shared = _common(held.at(loop, slice(None, -1)), held.at(loop, slice(1, None)))
        words.append(shared.largest if shared.boxes else 0)
    return tuple(words)


def live(tiles: Tiles, tensor: str) -> Region:
    """What is there in every turn if each element comes for its first use and leaves after its last."""
    needed = tiles.needed[tensor]
    since_first = needed.union(needed.before(0))
    until_last = needed.union(_reversed(_reversed(needed).before(0)))
    return _common(since_first, until_last)


def _common(one: Region, other: Region) -> Region:
    return one.minus(one.minus(other))


def _reversed(region: Region) -> Region:
    """All turns in the opposite order."""
    boxes = (tuple(np.flip(table, tuple(range(table.ndim - 1))) for table in box) for box in region.boxes)
    return Region(tuple(boxes), region.turns)
