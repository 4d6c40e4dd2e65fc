"""What a group takes of the buffer at least is known without a search, and is what the smallest mappings come near."""

from __future__ import annotations

import random
from typing import NoReturn

import pytest

from passes.fusion.canonical import numbered
from passes.fusion.factors import GroupTables
from passes.fusion.front import Objective
from passes.fusion.group import Group
from passes.fusion.least_paths import Found
from passes.fusion.least_room import least_room
from passes.fusion.network import GroupSearches, NetworkSpace
from passes.fusion.search import GroupSearch, Limits
from passes.fusion.space import Space
from passes.mapper.effort import Effort
from tests.passes.fusion.groups import conv_pair, fc_pair, gram, random_group

BUFFER = "glb"
SPACE = Space(most_loops=2)


def _fits(group: Group, space: Space, room: int, resident: frozenset[str] = frozenset()) -> bool:
    """Whether a search finds a mapping in so much room."""
    limits, effort = Limits(capacity=room), Effort(20_000)
    return bool(GroupSearch(group, BUFFER, space, limits, effort, Objective.TRAFFIC, resident).run().front)


@pytest.mark.parametrize("seed", range(24))
def test_no_mapping_takes_less_room(seed: int) -> None:
    group = random_group(random.Random(seed))
    for space in (SPACE, Space(most_loops=1, fewest_turns=3), Space(most_loops=2, pieces=True)):
        least = least_room(GroupTables(group, space))
        assert not _fits(group, space, least - 1)


@pytest.mark.parametrize("seed", range(12))
def test_all_that_stays_is_there(seed: int) -> None:
    group = random_group(random.Random(100 + seed))
    resident = frozenset([group.head.result, *group.external[:1]])
    least = least_room(GroupTables(group, SPACE), resident)
    assert least >= group.tensor(group.head.result).size
    assert not _fits(group, SPACE, least - 1, resident)


@pytest.mark.parametrize(
    ("group", "space"),
    [
        (fc_pair(3, 2, 3, 2), Space(most_loops=None)),
        (conv_pair(6, 1), Space(most_loops=None)),
        (gram(3, 2), Space(most_loops=0, fewest_turns=99)),
    ],
    ids=["fc", "conv", "gram"],
)
def test_where_all_loops_may_be_cut_a_mapping_takes_no_more(group: Group, space: Space) -> None:
    assert _fits(group, space, least_room(GroupTables(group, space)))


def test_what_cannot_fit_is_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    group = numbered(conv_pair(6, 1)).group
    searches = GroupSearches(BUFFER, NetworkSpace(groups=Space(most_loops=None), most_work=None))
    room = least_room(searches.tables(group))
    assert searches.best(group, frozenset(), room, 1 << 40).mapping is not None
    assert searches.front(group, frozenset(), room, None)[0]

    def refuse(*_: object) -> NoReturn:
        raise AssertionError("it is searched for")

    monkeypatch.setattr(GroupSearch, "__init__", refuse)
    found = searches.best(group, frozenset(), room - 1, 1 << 40)
    assert found == Found(0, found.cost, None, exact=True)
    assert searches.front(group, frozenset(), room - 1, None) == ([], True)
