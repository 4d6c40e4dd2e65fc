"""How one mapping differs from another, in a few words."""

from __future__ import annotations

from collections import Counter

from dialects.schedule import Mapping, Node, Operand, Spatial, Storage

_MOST = 4
"""Differences that are named; more are counted."""


def differences(mapping: Mapping, other: Mapping) -> str:
    """What `other` does otherwise than `mapping`: tiles of another size, further and missing nodes, their order."""
    mine, theirs = _pieces(mapping), _pieces(other)
    gone, come = list((Counter(mine) - Counter(theirs)).elements()), list((Counter(theirs) - Counter(mine)).elements())
    parts: list[str] = []
    for node in list(come):
        before = next((each for each in gone if _place(each) == _place(node)), None)
        if before is not None:
            gone.remove(before)
            come.remove(node)
            parts.append(f"{before} -> {_tile(node)}")
    parts += [f"with {node}" for node in come]
    parts += [f"without {node}" for node in gone]
    if not parts:
        parts = _moved(mine, theirs)
    more = [f"and {len(parts) - _MOST} more"] if len(parts) > _MOST else []
    return "; ".join([*parts[:_MOST], *more])


def _pieces(mapping: Mapping) -> list[Node]:
    """The nodes, with a store for each operand."""
    pieces: list[Node] = []
    for node in mapping.nodes:
        pieces += [Storage(node.memory, (each,)) for each in node.operands] if isinstance(node, Storage) else [node]
    return pieces


def _place(node: Node) -> tuple[str, str, str] | Storage:
    """What stays the same when a tile has another size."""
    if isinstance(node, Storage):
        return node
    return (type(node).__name__, str(node.loop), node.axis if isinstance(node, Spatial) else "")


def _tile(node: Node) -> str:
    return str(node) if isinstance(node, Storage) else str(node.tile)


def _moved(mine: list[Node], theirs: list[Node]) -> list[str]:
    """Of two orders of the same nodes: stores that have other loops outside of them, else the first that differs."""
    parts: list[str] = []
    for operand in Operand:
        for node in (each for each in mine if isinstance(each, Storage) and each.operands == (operand,)):
            before, after = (
                Counter(each for each in some[: some.index(node)] if not isinstance(each, Storage))
                for some in (mine, theirs)
            )
            parts += [f"{node} outside of {each}" for each in before - after]
            parts += [f"{node} inside of {each}" for each in after - before]
    if not parts:
        parts = [f"{b} before {a}" for a, b in zip(mine, theirs, strict=True) if a != b][:1]
    return parts
