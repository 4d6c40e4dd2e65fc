"""What layers are called in mapping files."""

from __future__ import annotations

from collections.abc import Sequence

from dialects.gconv import LinkOp
from dialects.locations import node_names


def primary_names(links: Sequence[LinkOp]) -> list[str]:
    """One name for each link, as `distinct_names` has them."""
    return distinct_names(
        [(None if link.tensor is None else link.tensor.data, node_names(link.location)) for link in links]
    )


def distinct_names(links: Sequence[tuple[str | None, Sequence[str]]]) -> list[str]:
    """A name for each of all links of a chain, of which tensor (None: the model has none) and nodes are given.

    It is the tensor, else the first node, made different by `#2`, `#3` ...
    """
    taken: set[str] = set()
    names: dict[int, str] = {}
    # Tensors first: a node of the same name does not take the name of a tensor away.
    for place in sorted(range(len(links)), key=lambda each: links[each][0] is None):
        tensor, nodes = links[place]
        base = tensor if tensor is not None else nodes[0] if nodes else "link"
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}#{count}"
        taken.add(name)
        names[place] = name
    return [names[place] for place in range(len(links))]


def named_links(links: Sequence[LinkOp]) -> dict[str, LinkOp]:
    """Links by every name that a mapping file may use: primary names, then nodes (the first link of a node)."""
    known = dict(zip(primary_names(links), links, strict=True))
    for link in links:
        for node in node_names(link.location):
            known.setdefault(node, link)
    return known


def loops_text(link: LinkOp) -> str:
    """The loops of a link as a mapping file has them: as in the IR, without brackets."""
    return loops_in(str(link.nest))


def loops_in(nest: str) -> str:
    """The loops of a nest as IR prints it, as a mapping file has them."""
    return nest.removeprefix("#gconv.nest<").removesuffix(">")
