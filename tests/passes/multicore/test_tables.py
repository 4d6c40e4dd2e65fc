"""Tables of touched words: what one needs of another is what a search word by word finds."""

from __future__ import annotations

import numpy as np
import pytest

from passes.multicore.tables import NEVER, Access, Point

TURNS = 9


def _table(random: np.random.Generator, period: int) -> tuple[Access, dict[int, tuple[int, int]]]:
    """A table, some of them of a plane that repeats itself, and the same as a dictionary of words."""
    low, size = int(random.integers(0, 40)), int(random.integers(1, 30))
    plane = random.random(period or size) < 0.7
    begins = random.integers(0, TURNS, len(plane))
    ends = np.minimum(begins + random.integers(0, 3, len(plane)), TURNS - 1)
    words = {
        low + at: (int(begins[at % len(plane)]), int(ends[at % len(plane)]))
        for at in range(size)
        if plane[at % len(plane)]
    }
    given = [(np.array([word]), np.array([a], np.int32), np.array([b], np.int32)) for word, (a, b) in words.items()]
    access = Access.of("memory", "I", Point.LOAD, False, given, (period, 1))
    return access or Access(
        "memory", "I", Point.LOAD, False, low, np.full(1, NEVER, np.int32), -np.ones(1, np.int32)
    ), words


@pytest.mark.parametrize("seed", range(200))
def test_needs_are_those_of_words(seed: int) -> None:
    random = np.random.default_rng(seed)
    (mine, of_mine), (theirs, of_theirs) = (_table(random, int(random.choice([0, 3, 4, 6]))) for _ in range(2))
    both = sorted(of_mine.keys() & of_theirs.keys())
    expected = np.zeros(TURNS, np.int64)
    for word in both:
        expected[of_mine[word][0]] = max(expected[of_mine[word][0]], of_theirs[word][1] + 1)
    if mine.low > theirs.high or theirs.low > mine.high:
        assert not both
        return
    found = mine.needs(theirs, TURNS)
    assert (found is not None) == bool(both) == mine.meets(theirs)
    np.testing.assert_array_equal(expected if found is None else found, expected)


def test_a_table_of_planes_repeats_itself() -> None:
    words = np.arange(12)
    turns = (words % 4).astype(np.int32)
    access = Access.of("memory", "I", Point.LOAD, False, [(words, turns, turns)], (4, 1))
    assert access is not None
    assert access.period == 4
