"""What layers are called in mapping files."""

from __future__ import annotations

from collections.abc import Sequence

from dialects.gconv import LinkOp
from dialects.locations import node_names


def primary_names(links: Sequence[LinkOp]) -> list[str]:
    """One name for each link: the tensor it makes, else its first node, made different by `#2`, `#3` ..."""
    taken: set[str] = set()
    names: dict[LinkOp, str] = {}
    # Tensors first: a node of the same name does not take the name of a tensor away.
    for link in sorted(links, key=lambda each: each.tensor is None):
        nodes = node_names(link.location)
        base = link.tensor.data if link.tensor is not None else nodes[0] if nodes else "link"
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}#{count}"
        taken.add(name)
        names[link] = name
    return [names[link] for link in links]


def named_links(links: Sequence[LinkOp]) -> dict[str, LinkOp]:
    """Links by every name that a mapping file may use: primary names, then nodes (the first link of a node)."""
    known = dict(zip(primary_names(links), links, strict=True))
    for link in links:
        for node in node_names(link.location):
            known.setdefault(node, link)
    return known


def loops_text(link: LinkOp) -> str:
    """The loops of a link as a mapping file has them: as in the IR, without brackets."""
    return str(link.nest).removeprefix("#gconv.nest<").removesuffix(">")
