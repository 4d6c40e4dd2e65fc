"""What room a group takes at least, whatever its mapping: known before its loops are looked at one by one.

No turn is smaller than the first one in the smallest tiles of all loops. What it needs of an intermediate lies there
for all links, what it needs of other tensors at least for the one link that uses them.
"""

from __future__ import annotations

from collections.abc import Collection

from passes.fusion.factors import GroupTables


def least_room(tables: GroupTables, resident: Collection[str] = ()) -> int:
    """Words of the buffer that a group takes at least, in which all it needs of those named as `resident` lies."""
    group, least = tables.group, tables.least
    lasting = {*resident, *group.intermediates}
    room = sum(int(tables.tabulation.elements(name) if name in resident else least[name]) for name in lasting)
    if tables.space.pieces:  # links need no more than a piece of what only they use
        return room
    local = dict.fromkeys((link.name for link in group.links), 0)
    for name in {*group.external, group.head.result} - lasting:
        users = {link.name for link, _ in group.readers(name)} or {group.head.name}
        if len(users) == 1:
            local[users.pop()] += int(least[name])
    return room + max(local.values())
