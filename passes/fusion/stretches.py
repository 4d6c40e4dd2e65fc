"""What a network may be cut into: links in a row, and which tensors stay on the chip before and behind them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from passes.fusion.canonical import Alike, numbered
from passes.fusion.group import Group

if TYPE_CHECKING:
    from passes.fusion.network import Network, NetworkSpace

Node = tuple[int, frozenset[str]]
"""A cut, and what stays on the chip there."""


@dataclass(frozen=True)
class Stretch:
    """Links from `first` up to and without `end`, and the tensors that stay on the chip before and behind them."""

    first: int
    end: int
    before: frozenset[str]
    behind: frozenset[str]

    @property
    def nodes(self) -> tuple[Node, Node]:
        """The cuts at its ends."""
        return (self.first, self.before), (self.end, self.behind)

    @property
    def is_plain(self) -> bool:
        """Whether it is a single link, and nothing stays."""
        return self.end == self.first + 1 and not self.before | self.behind


@dataclass(frozen=True)
class Part:
    """A stretch as a group: numbered, the tensors of its own that stay, and the words of others that do."""

    stretch: Stretch
    alike: Alike
    resident: frozenset[str]
    passing: int


def parts_of(network: Network, capacity: int, space: NetworkSpace) -> Iterator[Part]:
    """All stretches of a network that groups can be made of, in the order of their first links.

    None in which a tensor would come or go, or where what stays does not fit the capacity.
    """
    known: dict[Group, Group] = {}
    states = [_staying(network, cut, capacity, space) for cut in range(network.count + 1)]
    for first in range(network.count):
        for end in network.ends(first, space.longest):
            group = network.group(first, end)
            if len(group.heads) > 1:
                continue
            alike = numbered(group)
            # one object for all that are alike is compared soon
            alike = replace(alike, group=known.setdefault(alike.group, alike.group))
            for before in states[first]:
                for behind in states[end]:
                    if part := _part(network, Stretch(first, end, before, behind), alike, capacity):
                        yield part


def _staying(network: Network, cut: int, capacity: int, space: NetworkSpace) -> list[frozenset[str]]:
    """What may stay on the chip at a cut."""
    fitting = [name for name in network.crossing(cut) if network.words(name) <= capacity]
    names = fitting[: space.staying]
    return [frozenset(some) for count in range(len(names) + 1) for some in combinations(names, count)]


def _part(network: Network, stretch: Stretch, alike: Alike, capacity: int) -> Part | None:
    through = {*network.crossing(stretch.first)} & {*network.crossing(stretch.end)}
    if stretch.before & through != stretch.behind & through:
        return None
    staying = stretch.before | stretch.behind
    touched = {tensor.name for tensor in network.group(stretch.first, stretch.end).tensors}
    if sum(map(network.words, staying)) > capacity:
        return None
    return Part(stretch, alike, staying & touched, sum(map(network.words, staying - touched)))
