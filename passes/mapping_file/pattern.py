"""Mappings that are given in part: `?` in the place of a tile leaves it open, `...` stands for any statements.

...
par C.op ? on col
par H.opc 1 on col
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dialects.schedule import Mapping, Node, Spatial, Storage

ANYTHING = "..."
"""The statement that stands for any number of others."""
OPEN = "?"
"""The tile that stands for any other."""


@dataclass(frozen=True)
class Item:
    """A statement: its node, with any tile if that is open, or any number of nodes if there is none; and its line."""

    node: Node | None
    is_open: bool
    line: int

    def __str__(self) -> str:
        if self.node is None:
            return ANYTHING
        if isinstance(self.node, Storage) or not self.is_open:
            return str(self.node)
        return str(self.node).replace(f"{self.node.loop} {self.node.tile}", f"{self.node.loop} {OPEN}")

    def fits(self, node: Node) -> bool:
        """Whether it stands for a node, if it stands for one."""
        mine = self.node
        if isinstance(mine, Storage) and isinstance(node, Storage):
            return mine.memory == node.memory and set(mine.operands) == set(node.operands)
        if mine is None or isinstance(mine, Storage) or isinstance(node, Storage):
            return False
        return mine == node or (self.is_open and mine == replace(node, tile=mine.tile))


@dataclass(frozen=True)
class Pattern:
    """The statements of a mapping that is given in part."""

    items: tuple[Item, ...]

    @property
    def has_gaps(self) -> bool:
        """Whether statements are left open, not only tiles."""
        return any(item.node is None for item in self.items)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that are given, open tiles with any size."""
        return tuple(item.node for item in self.items if item.node is not None)

    @property
    def tiles(self) -> tuple[Item, ...]:
        """The statements that give a tile its size."""
        return tuple(item for item in self.items if not item.is_open and not isinstance(item.node, Storage | None))

    def fits(self, mapping: Mapping) -> bool:
        """Whether it stands for a mapping."""
        return _fits(self.items, mapping.nodes)


def place_of(node: Node) -> tuple[str, str, str]:
    """What two loops have in common that differ in their tiles at most."""
    if isinstance(node, Storage):
        return ("store", node.memory, "")
    return (type(node).__name__, str(node.loop), node.axis if isinstance(node, Spatial) else "")


def _fits(items: Sequence[Item], nodes: Sequence[Node]) -> bool:
    """As shell patterns match, by the ends that items so far can reach."""
    ends = {0}
    for item in items:
        if item.node is None:
            ends = set(range(min(ends), len(nodes) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(nodes) and item.fits(nodes[end])}
        if not ends:
            return False
    return len(nodes) in ends
