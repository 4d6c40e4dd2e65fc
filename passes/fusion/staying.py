"""Tensors that stay on the chip from one group to another: where they lie beside what groups have for themselves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from dialects.hierarchy import Hierarchy

MOST_ORDERED = 5
"""Tensors that are put into a memory in every order, of which the best counts."""


@dataclass(frozen=True)
class Staying:
    """What stays, as one group sees it.

    `first` has the first word of every such tensor of the group's own, by name, and `end` by memory the words up to
    which any lie while it runs.
    """

    first: Mapping[str, int]
    end: Mapping[str, int]


ALONE = Staying({}, {})
"""Nothing has been put anywhere yet: what stays lies where everything else does."""


def together(stays: Sequence[Collection[Hashable]]) -> list[range]:
    """Groups in a row, by what stays of each, as ranges of them between which nothing stays."""
    last = {key: place for place, keys in enumerate(stays) for key in keys}
    found: list[range] = []
    end = 0
    for place, keys in enumerate(stays):
        if place >= end:
            found.append(range(place, place + 1))
        end = max([end, place + 1, *(last[key] + 1 for key in keys)])
        found[-1] = range(found[-1].start, place + 1)
    return found


@dataclass(frozen=True)
class Stay:
    """A tensor that takes `words` of a memory from a group on up to another, by their places in a row of groups."""

    key: Hashable
    memory: str
    words: int
    first: int
    last: int

    def meets(self, other: Stay) -> bool:
        """Whether both are there at a time."""
        return self.first <= other.last and other.first <= self.last


def laid_out(
    stays: Sequence[Stay], needs: Sequence[Mapping[str, int]], hierarchy: Hierarchy
) -> tuple[dict[Hashable, int], list[dict[str, int]]]:
    """The first word of every tensor, by its key, and for every group by memory the words up to which any lie.

    `needs` are the words that each group wants behind them. Tensors that are there at a time share no words; in what
    order they take the first words that are free is that which leaves most of a memory free where least is left.
    """
    found: dict[Hashable, int] = {}
    ends: list[dict[str, int]] = [{} for _ in needs]
    for memory in hierarchy.memories[1:]:
        inside = [each for each in stays if each.memory == memory.name]
        wanted = [need.get(memory.name, 0) for need in needs]
        best = min(
            (_first_fit(order, memory.whole_banks) for order in _orders(inside)), key=lambda each: _size(each, wanted)
        )
        found |= {each.key: address for each, address in best.items()}
        for place, end in enumerate(_ends(best, len(needs))):
            if end:
                ends[place][memory.name] = end
    return found, ends


def _orders(stays: Sequence[Stay]) -> Iterable[Sequence[Stay]]:
    if len(stays) <= MOST_ORDERED:
        return permutations(stays)
    sooner = sorted(stays, key=lambda each: each.first)
    return sooner, sooner[::-1], sorted(stays, key=lambda each: -each.words), [*sooner[::2], *sooner[1::2]]


def _first_fit(stays: Iterable[Stay], whole: Callable[[int], int]) -> dict[Stay, int]:
    """First words, where every tensor takes the first that are free as long as it is there."""
    found: dict[Stay, int] = {}
    for stay in stays:
        address = 0
        for other, first in sorted(found.items(), key=lambda item: item[1]):
            if stay.meets(other) and first < address + whole(stay.words):
                address = max(address, first + whole(other.words))
        found[stay] = address
    return found


def _ends(placed: Mapping[Stay, int], groups: int) -> list[int]:
    """For every group, the words up to which tensors lie."""
    ends = [0] * groups
    for stay, address in placed.items():
        for place in range(stay.first, stay.last + 1):
            ends[place] = max(ends[place], address + stay.words)
    return ends


def _size(placed: Mapping[Stay, int], wanted: Sequence[int]) -> tuple[int, int]:
    ends = _ends(placed, len(wanted))
    return max(end + words for end, words in zip(ends, wanted, strict=True)), sum(ends)
