"""What rows with one more loop move, told before there are such rows, is what they do move."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest

from passes.fusion import search as searching
from passes.fusion.columns import Pricing
from passes.fusion.cut_traffic import CutTraffic
from passes.fusion.factors import Ids
from passes.fusion.front import Objective
from passes.fusion.group import Group
from passes.fusion.rows import WITHIN, Numbers, Rows
from passes.fusion.search import GroupSearch, Limits
from passes.fusion.space import Space
from passes.mapper.effort import Effort
from tests.passes.fusion.groups import conv_pair, fc_pair, random_group

BUFFER = "glb"


@dataclass
class _Watched:
    """`CutTraffic` of some rows, whose words are compared with those that the rows have once they are made."""

    traffic: CutTraffic
    pricing: Pricing
    rows: Rows
    index: int

    compared = 0

    def words(self, of: Ids, states: Ids) -> Numbers:
        words = self.traffic.words(of, states)
        rows, placed = self.rows.where(of), self.pricing.factors[self.index]
        rows.states[:, self.index] = states
        level = int(rows.positions.max(initial=-1)) + 1
        for row, state in enumerate(states.tolist()):
            inner = placed.factor.blocks[state // placed.factor.width].loops[-1]
            rows.positions[row, placed.loops[inner]] = level
        open_ = rows.levels == WITHIN
        known = ~open_[:, self.pricing.intermediates].any(axis=1) & self.pricing.product(rows)
        moved = rows.costs[:, 1] + (self.pricing.columns(rows).moved * open_).sum(axis=1)
        assert np.array_equal(words[known], moved[known])
        assert (words[~known] <= moved[~known]).all()
        _Watched.compared += int(known.sum())
        return words


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    made = CutTraffic.of

    class Watching:
        @staticmethod
        def of(pricing: Pricing, rows: Rows, index: int) -> _Watched | None:
            traffic = made(pricing, rows, index)
            return None if traffic is None else _Watched(traffic, pricing, rows, index)

    monkeypatch.setattr(searching, "CutTraffic", Watching)


def _compared(group: Group, space: Space, objective: Objective, limits: Limits | None = None) -> int:
    before = _Watched.compared
    GroupSearch(group, BUFFER, space, limits, Effort(5_000), objective).run()
    return _Watched.compared - before


@pytest.mark.parametrize("objective", Objective)
@pytest.mark.parametrize("unfinished", [True, False])
@pytest.mark.parametrize(
    "group",
    [conv_pair(9, 3), fc_pair(5, 4, 3, 6)],
    ids=["conv", "fc"],
)
def test_words_are_those_of_the_rows(group: Group, unfinished: bool, objective: Objective) -> None:
    limits = Limits(capacity=sum(tensor.size for tensor in group.tensors) // 3)
    assert _compared(group, Space(most_loops=3, unfinished=unfinished), objective, limits) > 100


@pytest.mark.parametrize("seed", range(8))
def test_words_are_those_of_the_rows_in_random_groups(seed: int) -> None:
    group = random_group(random.Random(seed))
    words = sum(tensor.size for tensor in group.tensors)
    for limits in (Limits(), Limits(capacity=words // 2), Limits(traffic=2 * words)):
        _compared(group, Space(most_loops=2), Objective.TRAFFIC, limits)
    assert _Watched.compared


def test_searches_with_few_words_to_spare_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(conv_pair(12, 4).links[1:], conv_pair(12, 4).tensors[2:])
    for capacity in (100, 200, 400):
        limits = Limits(capacity=capacity)
        mine, other = GroupSearch(group, BUFFER, Space(), limits, objective=Objective.TRAFFIC), None
        mine.run()
        with monkeypatch.context() as patched:
            patched.setattr(GroupSearch, "_of_little_traffic", lambda _, part, *__: part)
            other = GroupSearch(group, BUFFER, Space(), limits, objective=Objective.TRAFFIC).run()
        assert (mine.front, mine.exact) == (other.front, other.exact)
        assert mine.effort.spent == other.effort.spent
