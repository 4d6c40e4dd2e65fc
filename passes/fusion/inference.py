"""What every turn of the loops around a group needs, makes and works: from the head's tile back to what lies off-chip.

LoopTree's tile-shape inference (arXiv 2409.13625, section 5; looptree.md 1.3) for any acyclic group of general
convolutions. A tensor with several readers is needed where any of them needs it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dialects.fused_mapping import FusedMapping, Retention
from dialects.gconv.spec import Dim, LoopKind
from dialects.schedule import Loop
from passes.fusion.access import Window, accessed, kernel_factors, operations
from passes.fusion.group import Group, GroupLink, Operand
from passes.fusion.region import Box, Region, Table


@dataclass(frozen=True)
class Tiles:
    """What a group does in every turn of the loops of a mapping.

    `needed` has for every tensor what the links of the group read of it in a turn, for the head's result what the turn
    works on; `made` has for every result what is made of it in a turn, which is not yet there.
    """

    group: Group
    mapping: FusedMapping
    turns: tuple[int, ...]
    needed: dict[str, Region]
    made: dict[str, Region]
    reads: dict[tuple[str, str], Region]
    """What a link reads of a tensor, by the names of link and tensor."""
    worked: dict[str, Region]
    """The operations of a link in every turn, by its name: results times kernel positions."""

    def taps(self, link: GroupLink) -> tuple[Table, ...]:
        """The kernel positions of a link's dimensions that are worked in every turn: all of them, but for the head."""
        return tuple(
            window(self.mapping, self.turns, Loop(dim.name, LoopKind.KS), dim.ks)
            if link is self.group.head
            else every(self.turns, dim.ks)
            for dim in link.spec.dims
        )


def infer(group: Group, mapping: FusedMapping) -> Tiles:
    """The tiles of all links and tensors of a group, which has one head."""
    turns = turns_of(group.head, mapping)
    return _Inference(group, mapping, turns).tiles


def turns_of(head: GroupLink, mapping: FusedMapping) -> tuple[int, ...]:
    """How many tiles each loop around a group makes; the last one may be smaller."""
    dims = {dim.name: dim for dim in head.spec.dims}
    counts = [dims[node.loop.dim].count(node.loop.kind) for node in mapping.loops]
    return tuple(-(-count // node.tile) for count, node in zip(counts, mapping.loops, strict=True))


class _Inference:
    def __init__(self, group: Group, mapping: FusedMapping, turns: tuple[int, ...]):
        self.group, self.mapping, self.turns = group, mapping, turns

    @cached_property
    def tiles(self) -> Tiles:
        group, head = self.group, self.group.head
        needed: dict[str, Region] = {}
        made: dict[str, Region] = {}
        reads: dict[tuple[str, str], Region] = {}
        worked: dict[str, Region] = {}
        for link in reversed(group.links):
            if link is head:
                windows = [tuple(self._head_window(dim) for dim in link.spec.dims)]
                needed[link.result] = made[link.result] = self._region([tuple(o for o, _ in windows[0])])
            else:
                needed[link.result] = self._needed(link.result, reads)
                made[link.result] = self._missing(needed[link.result], self.mapping.retention(link.result))
                taps = [every(self.turns, dim.ks) for dim in link.spec.dims]
                windows = [tuple(zip(box, taps, strict=True)) for box in made[link.result].boxes]
            worked[link.name] = self._region([operations(link, tile) for tile in windows])
            for tensor in {operand.tensor for operand in link.operands}:
                operands = [operand for operand in link.operands if operand.tensor == tensor]
                boxes = [self._accessed(operand, link, tile) for operand in operands for tile in windows]
                reads[link.name, tensor] = self._region(boxes)
        for tensor in group.external:
            needed[tensor] = self._needed(tensor, reads)
        return Tiles(group, self.mapping, self.turns, needed, made, reads, worked)

    def _accessed(self, operand: Operand, link: GroupLink, tile: tuple[Window, ...]) -> Box:
        if self.group.is_kernel_alone(operand.tensor):
            return kernel_factors(link, tile)
        return accessed(operand, link, tile, self.group.tensor(operand.tensor).shape)

    def _region(self, boxes: list[Box]) -> Region:
        return Region.union_of(boxes, self.turns)

    def _needed(self, tensor: str, reads: dict[tuple[str, str], Region]) -> Region:
        return self._region([box for (_, read), region in reads.items() if read == tensor for box in region.boxes])

    def _missing(self, needed: Region, retention: Retention) -> Region:
        """What of an intermediate is not there yet, and so has to be made."""
        if not retention.reuse:
            return needed
        assert retention.level is not None, f"{retention.tensor} lives from its maker to its readers"
        return needed.minus(needed.before(retention.level))

    def _head_window(self, dim: Dim) -> Window:
        loops = ((Loop(dim.name, kind), dim.count(kind)) for kind in LoopKind)
        g, op, opc, ks = (window(self.mapping, self.turns, *each) for each in loops)
        results = g[..., :, None, None] & op[..., None, :, None] & opc[..., None, None, :]
        return results.reshape(*results.shape[:-3], math.prod(results.shape[-3:])), ks


def every(turns: tuple[int, ...], count: int) -> Table:
    """All of so many indices in every turn."""
    return np.ones((1,) * len(turns) + (count,), np.bool_)


def window(mapping: FusedMapping, turns: tuple[int, ...], loop: Loop, count: int) -> Table:
    """Which indices of a loop of the head, of so many, a turn works through."""
    position = mapping.position(loop)
    if position is None:
        return every(turns, count)
    tile = mapping.loops[position].tile
    shape = [1] * len(turns) + [count]
    shape[position] = turns[position]
    return (np.arange(count) // tile == np.arange(turns[position])[:, None]).reshape(shape)
