"""Pass `duplicate-weights`: crossbars that are left hold further copies of the weights of the slowest layers."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.gconv import LinkOp
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarsAttr
from dialects.target import require_multicore
from passes.multicore.matrix import Grid, Matrix
from passes.multicore.placement import Placement
from passes.placing import links_of


@dataclass(frozen=True)
class DuplicateWeightsPass(ModulePass):
    """Give the layer that takes the longest one copy more, as long as all copies find their crossbars.

    Each copy works on its own part of the output. Only where the description's `schedule.duplicate` asks for it, or the
    option `always`.
    """

    name = "duplicate-weights"

    always: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "mapped")
        if not (machine.schedule.duplicate or self.always):
            return
        grids = _grids(links_of(op), machine)
        if not Placement.fits(grids.values(), machine):
            return
        # Layers by the vectors that their copies work on one after another; what cannot grow any more leaves the heap.
        waiting = [(-grid.matrix.vectors, number, link) for number, (link, grid) in enumerate(grids.items())]
        heapq.heapify(waiting)
        while waiting:
            _, number, link = heapq.heappop(waiting)
            grid = grids[link]
            copies = grid.mapping.copies + 1
            grids[link] = replace(grid, mapping=replace(grid.mapping, copies=copies))
            if copies > grid.matrix.vectors or not Placement.fits(grids.values(), machine):
                grids[link] = grid
            else:
                heapq.heappush(waiting, (-grid.matrix.vectors // copies, number, link))
        for link, grid in grids.items():
            link.properties["mapping"] = CrossbarsAttr(grid.mapping)


def _grids(links: list[LinkOp], machine: MulticoreMachine) -> dict[LinkOp, Grid]:
    found: dict[LinkOp, Grid] = {}
    for link in links:
        if isinstance(link.mapping, CrossbarsAttr) and not link.mapping.data.cores:
            found[link] = Grid.of(Matrix.of(link.spec), link.mapping.data, machine)
    return found
