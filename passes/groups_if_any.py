"""The fused groups of a chain that is placed, if it has any: what only groups need is loaded where there are some."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp

from dialects.gconv import LinkOp
from dialects.gconv.fused import has_groups
from dialects.gconv.interpreter import main_function

if TYPE_CHECKING:
    from dialects.hierarchy import Hierarchy
    from passes.place_groups import GatheredGroups, PlannedGroup


def opened_groups(module: ModuleOp, levels: Callable[[], Hierarchy]) -> dict[LinkOp, PlannedGroup]:
    """As `passes.place_groups.open_groups`, on a machine with these `levels`."""
    if not has_groups(main_function(module)):
        return {}
    from passes.place_groups import open_groups

    return open_groups(module, levels())


def gathered_groups(groups: dict[LinkOp, PlannedGroup]) -> dict[LinkOp, GatheredGroups]:
    """As `passes.place_groups.gather`."""
    if not groups:
        return {}
    from passes.place_groups import gather

    return gather(groups)
