"""Words for tensors that stay on the chip while several groups run: none is shared, and few are left free between."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from passes.fusion.staying import Stay, laid_out, together
from tests.backends.generic.layers import machine
from tests.examples import examples

GROUPS = 6
MACHINE = machine({"glb": {"kind": "memory", "bank": 4}})
SPANS = st.lists(st.tuples(st.integers(0, GROUPS - 2), st.integers(1, 3), st.integers(1, 40)), max_size=7)


def _stays(spans: list[tuple[int, int, int]]) -> list[Stay]:
    return [
        Stay(key, "glb", words, first, min(first + length, GROUPS - 1))
        for key, (first, length, words) in enumerate(spans)
    ]


@settings(max_examples=examples(60), deadline=None)
@given(SPANS)
def test_what_is_there_at_a_time_shares_no_bank(spans: list[tuple[int, int, int]]) -> None:
    stays = _stays(spans)
    found, ends = laid_out(stays, [{}] * GROUPS, MACHINE)
    for one, other in combinations(stays, 2):
        if one.meets(other):
            first, second = sorted((one, other), key=lambda each: found[each.key])
            assert found[second.key] >= -(-(found[first.key] + first.words) // 4) * 4
    for place, end in enumerate(ends):
        there = [found[each.key] + each.words for each in stays if each.first <= place <= each.last]
        assert end.get("glb", 0) == max(there, default=0)


def test_tensors_lie_so_that_the_group_with_least_room_has_most() -> None:
    # in the order of their groups the second would lie behind the first, and the third behind the second
    stays = _stays([(0, 1, 40), (1, 1, 20), (2, 1, 12)])
    found, ends = laid_out(stays, [{}, {}, {"glb": 100}, {}, {}, {}], MACHINE)
    assert ends[2]["glb"] == 32
    assert ends[1]["glb"] == 60
    assert found == {0: 20, 1: 0, 2: 20}


@settings(max_examples=examples(60), deadline=None)
@given(SPANS)
def test_groups_between_which_nothing_stays_are_apart(spans: list[tuple[int, int, int]]) -> None:
    stays = _stays(spans)
    keys = [{each.key for each in stays if place in (each.first, each.last)} for place in range(GROUPS)]
    rows = together(keys)
    assert [place for row in rows for place in row] == list(range(GROUPS))
    cuts = {place for place in range(1, GROUPS) if not any(each.first < place <= each.last for each in stays)}
    assert {row.start for row in rows} - {0} == cuts
