"""Pass `duplicate-weights`: crossbars that are left hold further copies of the weights of the slowest layers."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.gconv import LinkOp
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarsAttr, VectorAttr
from dialects.target import require_multicore
from passes.multicore.matrix import Grid, Matrix
from passes.multicore.placement import Placement
from passes.placing import links_of

SUM_BYTES = 4
MOST_ABREAST = 255
"""What the field of `vectors` holds."""


@dataclass(frozen=True)
class DuplicateWeightsPass(ModulePass):
    """Give the layer that takes the longest more copies, as long as all of them find their crossbars.

    First there are several within the same cores, as many as divide a row of the output and fit crossbars and buffer;
    then further cores get copies, which go through the output row by row, in turn. Where layers run as a pipeline, a
    copy has to have cores of its own, and some are left for what crossbars do not do: a core goes from layer to layer
    in order. A network larger than the chip is looked at phase by phase. Only where the description's
    `schedule.duplicate` asks for it, or the option `always`.
    """

    name = "duplicate-weights"

    always: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "mapped")
        if not (machine.schedule.duplicate or self.always):
            return
        links = links_of(op)
        grids = _grids(links, machine)
        others = [link.mapping.data for link in links if isinstance(link.mapping, VectorAttr)]
        beside = min(sum(len(each.cores) for each in others), machine.cores.count // 8)
        for phase in _phases(grids, machine):
            # Where there are too few cores for layers to have their own, copies go only where a layer is already.
            taken = max(machine.cores.count - beside, _cores_of(phase))
            room = _Room(machine, taken if machine.pipelines_layers else None)
            for link, grid in _duplicated(phase, machine, room).items():
                link.properties["mapping"] = CrossbarsAttr(grid.mapping)


@dataclass(frozen=True)
class _Room:
    """What copies may take: crossbars, and so many cores, none of them twice."""

    machine: MulticoreMachine
    cores: int | None

    def holds(self, grids: Mapping[LinkOp, Grid]) -> bool:
        """Whether there is room for all of them."""
        if self.cores is not None and _cores_of(grids) > self.cores:
            return False
        return Placement.fits(grids.values(), self.machine)


def _cores_of(grids: Mapping[LinkOp, Grid]) -> int:
    """Cores, if no layer shares one with another."""
    return sum(each.tall * each.wide * each.mapping.copies for each in grids.values())


def _grids(links: list[LinkOp], machine: MulticoreMachine) -> dict[LinkOp, Grid]:
    found: dict[LinkOp, Grid] = {}
    for link in links:
        if isinstance(link.mapping, CrossbarsAttr) and not link.mapping.data.cores:
            found[link] = Grid.of(Matrix.of(link.spec), link.mapping.data, machine)
    return found


def _phases(grids: Mapping[LinkOp, Grid], machine: MulticoreMachine) -> list[dict[LinkOp, Grid]]:
    """The layers that are on the chip at a time."""
    placement = Placement(machine)
    found: dict[int, dict[LinkOp, Grid]] = {}
    for link, grid in grids.items():
        _, phase = placement.cores(grid)
        found.setdefault(phase, {})[link] = grid
    return list(found.values())


def _duplicated(grids: dict[LinkOp, Grid], machine: MulticoreMachine, room: _Room) -> dict[LinkOp, Grid]:
    """Layers with as many copies as there is room for, those that take longest first."""
    found = dict(grids)
    if not room.holds(found):
        return found
    # What cannot grow any more leaves the heap.
    waiting = [(-_cycles(grid, machine), number, link) for number, (link, grid) in enumerate(grids.items())]
    heapq.heapify(waiting)
    while waiting:
        _, number, link = heapq.heappop(waiting)
        more = next((each for each in _larger(found[link], machine) if room.holds({**found, link: each})), None)
        if more is not None:
            found[link] = more
            heapq.heappush(waiting, (-_cycles(more, machine), number, link))
    return found


def _larger(grid: Grid, machine: MulticoreMachine) -> Iterator[Grid]:
    """The layer with more copies within its cores, and with one more on others."""
    mapping, matrix = grid.mapping, grid.matrix
    size = max(part.crossbars for part in grid.parts()[: grid.tall * grid.wide]) // mapping.abreast
    fitting = machine.cores.buffer_bytes // _bytes(grid, buffers=2 if machine.cores.overlap else 1)
    most = min(machine.cores.crossbars // size, fitting, MOST_ABREAST)
    wider = [n for n in range(mapping.abreast + 1, most + 1) if matrix.width % n == 0]
    if wider:
        yield replace(grid, mapping=replace(mapping, abreast=wider[0]))
    if (mapping.copies + 1) * mapping.abreast <= matrix.vectors:
        yield replace(grid, mapping=replace(mapping, copies=mapping.copies + 1))


def _part(grid: Grid) -> tuple[int, int]:
    """Rows and columns of a part."""
    rows, columns = (tile * tiles for tile, tiles in zip(grid.mapping.tile, grid.mapping.span, strict=True))
    return min(rows, grid.matrix.rows * grid.matrix.groups), min(columns, grid.matrix.columns * grid.matrix.groups)


def _bytes(grid: Grid, buffers: int) -> int:
    """Bytes of a core's buffer that a vector takes: inputs and sums, and sums or operands that are fetched."""
    rows, columns = _part(grid)
    return buffers * rows + (buffers + 1) * columns * SUM_BYTES


def _cycles(grid: Grid, machine: MulticoreMachine) -> int:
    """Cycles in which a copy does its part of the output, on a bus that is free."""
    rows, columns = _part(grid)
    moved = machine.transfer_cycles(rows) + machine.transfer_cycles(columns * SUM_BYTES)
    turn = machine.crossbar.mvm_cycles + grid.mapping.abreast * moved
    return -(-grid.matrix.vectors // (grid.mapping.copies * grid.mapping.abreast)) * turn
