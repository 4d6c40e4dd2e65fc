"""Which mappings of a group mean something: what inference and model take for granted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dialects.fused_mapping import FusedMapping
from passes.fusion.group import Group


def violations(group: Group, mapping: FusedMapping) -> list[str]:
    """Everything that is wrong with a mapping of a group, in words; nothing if it can be priced."""
    if len(group.heads) != 1:
        names = ", ".join(link.name for link in group.heads)
        return [f"the group has {len(group.heads)} links whose results none of them reads ({names}): it needs one"]
    return [*_loops(group, mapping), *_retentions(group, mapping)]


def _loops(group: Group, mapping: FusedMapping) -> Iterator[str]:
    head = group.head
    dims = {dim.name: dim for dim in head.spec.dims}
    for loop, times in Counter(node.loop for node in mapping.loops).items():
        if times > 1:
            yield f"{loop} is cut {times} times: once at most"
        if loop.dim not in dims:
            yield f"{head.name}, the last link, has no dimension {loop.dim}: it has {', '.join(dims)}"
    for node in mapping.loops:
        count = dims[node.loop.dim].count(node.loop.kind) if node.loop.dim in dims else node.tile
        if not 1 <= node.tile <= count:
            yield f"a tile of {node.loop} has 1 to {count} indices, not {node.tile}"


def _retentions(group: Group, mapping: FusedMapping) -> Iterator[str]:
    known = {tensor.name for tensor in group.tensors}
    places = Counter(each.tensor for each in mapping.retentions)
    yield from (f"{name} is no tensor of the group" for name in places if name not in known)
    yield from (f"{name} has {places[name]} places: it needs one" for name in sorted(known) if places[name] != 1)
    depth = len(mapping.loops)
    for each in mapping.retentions:
        if each.level is None:
            if each.tensor in group.intermediates:
                yield f"{each.tensor} lives from its maker to its readers: its place cannot be within one link"
        elif not 0 <= each.level <= depth:
            yield f"{each.tensor} is retained below {each.level} loops: there are {depth}"
