"""Fronts: exactly the points that no other is better than."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.design_space.front import front_of
from tests.examples import examples


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.tuples(*[st.integers(0, 4)] * n), max_size=12)))
def test_the_front_is_what_nothing_is_better_than(costs: list[tuple[int, ...]]) -> None:
    def is_beaten(one: tuple[int, ...]) -> bool:
        return any(all(a <= b for a, b in zip(other, one, strict=True)) and other != one for other in costs)

    assert front_of(costs) == [place for place, each in enumerate(costs) if not is_beaten(each)]
