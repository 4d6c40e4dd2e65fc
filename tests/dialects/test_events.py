"""Counts: events by name, sums over layers, differences, the flat form."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.events import EVENTS, LEVELS, OPTIONAL, Counts
from tests.examples import examples

NUMBERS = st.integers(0, 1 << 50)
COUNTS = st.builds(Counts, st.fixed_dictionaries(dict.fromkeys(EVENTS, NUMBERS)), NUMBERS, NUMBERS, NUMBERS)


def test_every_event_belongs_to_a_level_or_is_an_operation() -> None:
    assert {name.split(".")[0] for name in EVENTS} == {*LEVELS, "operation", "host", "segment", "patch", "bitmap"}
    assert all(EVENTS.values())
    assert Counts().events == dict.fromkeys(EVENTS, 0)


@settings(max_examples=examples(30), derandomize=True, deadline=None)
@given(COUNTS, COUNTS)
def test_layers_add_up_but_share_the_array(one: Counts, other: Counts) -> None:
    total = Counts.of(one.flat())
    total.add(other)
    for name, count in total.flat().items():
        both = one.flat().get(name, 0), other.flat().get(name, 0)
        assert count == (max(both) if name == "array.peak_pes" else sum(both))


@settings(max_examples=examples(30), derandomize=True, deadline=None)
@given(COUNTS)
def test_the_flat_form_is_complete(counts: Counts) -> None:
    flat = counts.flat()
    names = [name for name in EVENTS if counts.events[name] or name not in OPTIONAL]
    assert set(flat) == {*names, "array.cycles", "array.passes", "array.peak_pes"}
    assert list(Counts.of(flat).flat()) == [*names, "array.cycles", "array.passes", "array.peak_pes"]
    assert Counts.of(flat) == counts
    assert not counts.differences(Counts.of(flat))


def test_differences_are_named_with_both_numbers() -> None:
    one, other = Counts(), Counts(array_cycles=5)
    one.events["dram.input.read"] = 3
    other.events["operation.gated"] = 2
    assert one.differences(other) == {"dram.input.read": (3, 0), "operation.gated": (0, 2), "array.cycles": (0, 5)}


def test_counts_of_incomplete_or_wrong_numbers() -> None:
    flat = Counts().flat()
    with pytest.raises(KeyError, match=r"operation\.mac"):
        Counts.of({name: n for name, n in flat.items() if name != "operation.mac"})
    with pytest.raises(ValueError, match="many"):
        Counts.of({**flat, "array.cycles": "many"})  # pyright: ignore[reportArgumentType]


def test_charged_events_and_operations() -> None:
    counts = Counts({name: index for index, name in enumerate(EVENTS)})
    index = {name: i for i, name in enumerate(EVENTS)}
    assert counts.charged([]) == 0
    assert counts.charged(["glb.input.read", "glb.input.read"]) == 2 * index["glb.input.read"]
    assert counts.operations == index["operation.mac"] + index["operation.other"]
