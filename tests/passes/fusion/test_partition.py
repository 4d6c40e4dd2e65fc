"""Partitions of a chain into groups: equal to trying every cut and every mapping."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from passes.fusion.front import Costs
from passes.fusion.partition import Partition, partitions


def _random_fronts(rng: random.Random, links: int) -> dict[tuple[int, int], Costs]:
    """Some costs for every run of links; none for some runs, as where links have two heads."""

    def front() -> Costs:
        rows = rng.randint(0, 3) if rng.random() < 0.8 else 0
        return np.array([[rng.randint(1, 9) for _ in range(3)] for _ in range(rows)], np.int64).reshape(-1, 3)

    return {(first, end): front() for first, end in itertools.combinations(range(links + 1), 2)}


def _all(links: int, fronts: dict[tuple[int, int], Costs], longest: int) -> set[tuple[int, int, int]]:
    found: set[tuple[int, int, int]] = set()
    for cuts in itertools.chain.from_iterable(itertools.combinations(range(1, links), n) for n in range(links)):
        runs = list(itertools.pairwise((0, *cuts, links)))
        if any(end - first > longest for first, end in runs):
            continue
        for rows in itertools.product(*(fronts[run].tolist() for run in runs)):
            capacities, traffics, works = zip(*rows, strict=True)
            found.add((max(capacities), sum(traffics), sum(works)))
    return found


def _best(costs: set[tuple[int, int, int]]) -> set[tuple[int, int, int]]:
    def beaten(each: tuple[int, int, int]) -> bool:
        return any(o != each and all(a <= b for a, b in zip(o, each, strict=True)) for o in costs)

    return {each for each in costs if not beaten(each)}


def _costs(found: list[Partition]) -> list[tuple[int, int, int]]:
    return [(each.capacity, each.traffic, each.operations) for each in found]


@pytest.mark.parametrize("seed", range(60))
def test_partitions_are_the_front_of_all_of_them(seed: int) -> None:
    rng = random.Random(seed)
    links, longest = rng.randint(1, 6), rng.randint(1, 6)
    fronts = _random_fronts(rng, links)
    found = partitions(links, lambda first, end: fronts[first, end], longest)
    best = _best(_all(links, fronts, longest))
    assert len(found) == len(best)
    assert set(_costs(found)) == best
    for each in found:
        assert [part.first for part in each.parts] == [0, *(part.end for part in each.parts[:-1])]
        rows = [fronts[part.first, part.end][part.row].tolist() for part in each.parts]
        assert max(row[0] for row in rows) == each.capacity
        assert [sum(row[cost] for row in rows) for cost in (1, 2)] == [each.traffic, each.operations]
    capacity = rng.randint(1, 9)
    within = partitions(links, lambda first, end: fronts[first, end], longest, capacity)
    assert set(_costs(within)) == {costs for costs in best if costs[0] <= capacity}


def test_nothing_fits() -> None:
    assert partitions(2, lambda *_: np.array([[5, 1, 1]], np.int64), 2, capacity=4) == []
