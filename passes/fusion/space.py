"""The mappings of a fused group that `search` chooses from.

A mapping cuts any subset of the head's loops (a kind of a dimension with more than one turn), each at most once, in any
order, in tiles of any size of `Tiles`. A tile as large as its loop cuts nothing, and is no choice. Every tensor of the
group has a retention level of its own, from above all loops (0) to below the last; tensors from off-chip and the head's
result may lie within the links instead (None), and an intermediate may be made anew in every turn.

Left out because another choice is never worse, in any cost, for any tensor:
- tensors from off-chip and the head's result without reuse: what a place gets with reuse is a part of what it holds;
- an intermediate made anew and placed above the last loop: it is made as often, and its place is no smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dialects.fused_mapping import Stages
from dialects.gconv.spec import LoopKind
from dialects.schedule import Loop
from passes.fusion.group import Group


class TileSizes(StrEnum):
    """Which tile sizes of a loop are tried."""

    EVERY = "every"
    """All, from 1 up."""
    BALANCED = "balanced"
    """For every number of turns the smallest size, which makes the turns as equal as can be. Others with as many turns
    need no smaller places, but where the first or last turn of a padded window reads less they may read less in all."""


@dataclass(frozen=True)
class Space:
    """Which mappings are looked at.

    Loops of the head are of these `kinds`. Those with more turns than `every_up_to` are cut in balanced tiles only,
    those with fewer than `fewest_turns` not at all. At most `most_loops` loops are cut. Parts of mappings whose numbers
    are no products of those of independent loops (in joins, where neither reader of a tensor needs all that the other
    does) take a few hundred times as long as others; they are given up unless `all_joins`. With `pieces`, links bring
    what they have within themselves in pieces (`own_nests`), except where what a link makes in a turn is no product of
    ranges. With `one_level` all tensors of a
    group have their places below the same loops, which are all that are cut: loops below a place change nothing of it.
    Unless they may be `unfinished`, sums of the head stay in their place until they are whole: `ks` is cut below it,
    and last of all.
    """

    kinds: tuple[LoopKind, ...] = tuple(LoopKind)
    every_up_to: int = 16
    fewest_turns: int = 2
    most_loops: int | None = 3
    schedule: tuple[Loop, ...] | None = None
    all_joins: bool = True
    stages: Stages = Stages.SEQUENTIAL
    pieces: bool = False
    one_level: bool = False
    unfinished: bool = True

    def tiles(self, count: int) -> tuple[int, ...]:
        """The tile sizes of a loop with so many turns, smallest first."""
        kind = TileSizes.EVERY if count <= self.every_up_to else TileSizes.BALANCED
        return tile_sizes(count, kind)


def tile_sizes(count: int, kind: TileSizes) -> tuple[int, ...]:
    """Sizes of tiles that cut a loop of `count` turns, smallest first."""
    if kind is TileSizes.EVERY:
        return tuple(range(1, count))
    return tuple(sorted({-(-count // turns) for turns in range(2, count + 1)}))


def loops_of(group: Group, fewest_turns: int = 2, kinds: tuple[LoopKind, ...] = tuple(LoopKind)) -> tuple[Loop, ...]:
    """The loops of a group's head that can be cut, of these kinds and of at least so many turns."""
    dims = group.head.spec.dims
    return tuple(Loop(dim.name, kind) for dim in dims for kind in kinds if dim.count(kind) >= fewest_turns)
