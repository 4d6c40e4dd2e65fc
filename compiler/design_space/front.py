"""Which points are best when several figures are all to be small."""

from __future__ import annotations

from collections.abc import Sequence

Costs = Sequence[float]


def front_of(costs: Sequence[Costs]) -> list[int]:
    """The places of those costs that no others are as good as everywhere and better than somewhere; equals stay."""
    order = sorted(range(len(costs)), key=lambda place: tuple(costs[place]))
    kept: list[int] = []
    for place in order:
        # whoever is better than this one in all that counts comes before it in this order
        if not any(_dominates(costs[other], costs[place]) for other in kept):
            kept.append(place)
    return sorted(kept)


def _dominates(one: Costs, other: Costs) -> bool:
    return one != other and all(mine <= theirs for mine, theirs in zip(one, other, strict=True))
