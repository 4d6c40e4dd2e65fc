"""What a fused group moves, holds and works: off-chip words, words in every memory, operations, steps.

LoopTree's model (arXiv 2409.13625, section 6; looptree.md 1.4 to 1.6) on the tiles that `inference` finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dialects.fused_mapping import FusedMapping, Retention, Stages
from dialects.schedule import Temporal
from passes.fusion.group import Group, GroupLink
from passes.fusion.inference import Tiles, infer
from passes.fusion.pieces import Use, own_loops, pieces
from passes.fusion.region import Counts, Region


@dataclass(frozen=True)
class Work:
    """Operations of a link in all turns, and how many of them a mapping without recomputation would have."""

    operations: int
    needed: int

    @property
    def recomputed(self) -> int:
        """Operations that make again what was made before."""
        return self.operations - self.needed


class FusedCosts:
    """The costs of a group under a mapping. All words are tensor elements."""

    def __init__(self, group: Group, mapping: FusedMapping):
        self.group, self.mapping = group, mapping

    @cached_property
    def tiles(self) -> Tiles:
        """What every turn needs, makes and works."""
        return infer(self.group, self.mapping)

    # Off-chip traffic -------------------------------------------------------------------------------------------------

    @cached_property
    def reads(self) -> dict[str, int]:
        """Words read from off-chip, by tensor: inputs, kernels, and sums that come back to be added to."""
        result = self.group.head.result
        if self._stays(result):
            return {**{tensor: self._filled(tensor) for tensor in self.group.external}, result: 0}
        again = self._filled(result) - self.tiles.needed[result].over(range(len(self.tiles.turns))).total
        return {**{tensor: self._filled(tensor) for tensor in self.group.external}, result: again}

    @cached_property
    def writes(self) -> dict[str, int]:
        """Words written off-chip, by tensor: the head's result, and intermediates that are wanted outside as well."""
        exported = {
            tensor: 0 if self._stays(tensor) else self.tiles.made[tensor].total
            for tensor in sorted(self.group.exported)
        }
        return {**exported, self.group.head.result: self._filled(self.group.head.result)}

    @property
    def traffic(self) -> int:
        """Words that go over the off-chip link."""
        return sum(self.reads.values()) + sum(self.writes.values())

    def _filled(self, tensor: str) -> int:
        """Words that come into a tensor's place, or leave it, in all turns."""
        retention = self.mapping.retention(tensor)
        if retention.resident:
            return 0
        if retention.level is None:
            return sum(use.moved for use in self._local[tensor].values())
        held = self._held(retention)
        if not retention.reuse:
            return held.total
        return sum(new.total for new in _changes(held, retention.level))

    def _stays(self, tensor: str) -> bool:
        return self.mapping.retention(tensor).resident

    def _held(self, retention: Retention) -> Region:
        """What a place holds in every turn of the loops above it."""
        needed = self.tiles.needed[retention.tensor]
        return needed.over(range(retention.level or 0, len(needed.turns)))

    @cached_property
    def _local(self) -> dict[str, dict[str, Use]]:
        """What each link uses of tensors in places of its own, by name of the tensor and of the link."""
        found: dict[str, dict[str, Use]] = {each.tensor: {} for each in self.mapping.retentions if each.level is None}
        for link in self.group.links:
            for tensor in {link.result, *(operand.tensor for operand in link.operands)} & found.keys():
                found[tensor][link.name] = self._use(link, tensor)
        return found

    def _use(self, link: GroupLink, tensor: str) -> Use:
        if loops := own_loops(self.mapping, link, tensor):
            return pieces(self.tiles, link, tensor, tuple(each for each in loops if isinstance(each, Temporal)))
        return Use.whole(self.tiles.made[tensor] if link.result == tensor else self.tiles.reads[link.name, tensor])

    def used(self, tensor: str) -> dict[str, int]:
        """What each link that reads or writes a tensor off-chip uses of it in the turn that uses most, by its name."""
        return {link: use.largest for link, use in self._local[tensor].items()}

    # Occupancy --------------------------------------------------------------------------------------------------------

    @cached_property
    def occupancy(self) -> dict[str, int]:
        """Words that the place of a tensor needs, by tensor: what it holds in the turn that needs most."""
        return {
            each.tensor: self._held(each).largest
            if each.level is not None
            else max((use.largest for use in self._local[each.tensor].values()), default=0)
            for each in self.mapping.retentions
        }

    def capacity(self, memory: str) -> int:
        """Words that all places in a memory need, each as large as it ever has to be.

        Places within links are there for one link after the other, or for all of them at once in a pipeline.
        """
        lasting = sum(self.occupancy[each.tensor] for each in self._in(memory) if each.level is not None)
        return lasting + self._staged([sum(each.largest for each in uses) for uses in self._within_links(memory)])

    def occupancy_over_time(self, memory: str) -> Counts:
        """Words that are held in a memory in every turn; an extent of 1 where a loop makes no difference."""
        held: Counts = np.zeros((1,) * len(self.tiles.turns), np.int64)
        for each in self._in(memory):
            if each.level is not None:
                held = held + self._held(each).counts
        uses = [sum((each.counts for each in uses), np.zeros_like(held)) for uses in self._within_links(memory)]
        return held + self._staged_counts(uses)

    def peak(self, memory: str) -> int:
        """The most words that are held in a memory in any turn."""
        return int(self.occupancy_over_time(memory).max())

    def _in(self, memory: str) -> list[Retention]:
        return [each for each in self.mapping.retentions if each.memory == memory]

    def _within_links(self, memory: str) -> Iterator[list[Use]]:
        """For every link what it uses in places of its own."""
        local = [self._local[each.tensor] for each in self._in(memory) if each.level is None]
        for link in self.group.links:
            yield [uses[link.name] for uses in local if link.name in uses]

    def _staged(self, words: list[int]) -> int:
        return sum(words) if self.mapping.stages is Stages.PIPELINE else max(words, default=0)

    def _staged_counts(self, counts: list[Counts]) -> Counts:
        shape = np.broadcast_shapes(*(each.shape for each in counts))
        stacked = np.stack([np.broadcast_to(each, shape) for each in counts])
        return stacked.sum(axis=0) if self.mapping.stages is Stages.PIPELINE else stacked.max(axis=0)

    # Work and time ----------------------------------------------------------------------------------------------------

    @cached_property
    def work(self) -> dict[str, Work]:
        """The operations of every link, by its name."""
        all_loops = range(len(self.tiles.turns))
        return {name: Work(region.total, region.over(all_loops).total) for name, region in self.tiles.worked.items()}

    def steps(self, parallelism: Mapping[str, int]) -> int:
        """Steps of the whole group if a link makes so many operations at a time, by its name (1 unless given)."""
        per_turn = [
            -(-self.tiles.worked[link.name].counts // parallelism.get(link.name, 1)) for link in self.group.links
        ]
        turns = tuple(max(count, 1) for count in self.tiles.turns)
        stages = np.stack([np.broadcast_to(each, turns).ravel() for each in per_turn], axis=1)
        total = int(stages.sum())
        return total - _overlapped(stages) if self.mapping.stages is Stages.PIPELINE else total


def _overlapped(stages: Counts) -> int:
    """Steps that a pipeline saves: in every turn but the last, what its stages can do beside one another.

    Counted from a stage, the others' next turns run meanwhile; the stage with least of that decides (looptree.md 1.6).
    """
    turns, links = stages.shape
    flat = np.concatenate([[0], np.cumsum(stages.ravel())])
    count = (turns - 1) * links
    following = flat[links : links + count] - flat[1 : 1 + count]
    return int(following.reshape(turns - 1, links).min(axis=1).sum()) if turns > 1 else 0


def _changes(held: Region, level: int) -> Iterator[Region]:
    """What a place below the first `level` loops gets: what it holds at first, then what is new in every turn."""
    first = held
    for loop in range(level):
        first = first.at(loop, slice(0, 1))
    yield first
    now = before = held
    for loop in reversed(range(level)):
        yield now.at(loop, slice(1, None)).minus(before.at(loop, slice(0, -1)))
        now, before = now.at(loop, slice(0, 1)), before.at(loop, slice(-1, None))
