"""Pass `partition-crossbars`: tiles of matrices are gathered for cores, loops of other links cut into parts."""

from __future__ import annotations

import math
from dataclasses import replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from dialects.element_types import numpy_dtype_of
from dialects.gconv import PASS, LinkOp, LoopKind, element_type_of_value, shape_of
from dialects.gconv.interpreter import main_function
from dialects.multicore_machine import MulticoreMachine
from dialects.multicore_mapping import CrossbarMapping, CrossbarsAttr, VectorAttr
from dialects.schedule import Loop
from dialects.target import require_multicore
from passes.multicore.matrix import Grid, Matrix
from passes.multicore.tiles import row_loop
from passes.placing import links_of
from passes.storage import Storage

LEAST_WORK = 256
"""Cycles of a vector unit below which a link is not given to one core more."""
LEAST_BESIDE = 1 << 14
"""The same where layers run side by side: still little beside what layers on crossbars take."""


class PartitionCrossbarsPass(ModulePass):
    """Decide how many tiles below and beside one another each core holds, and which loop vector units share.

    A core takes tiles below one another first: what its own crossbars add up needs neither bus nor shared memory. In a
    pipeline every layer should have cores of its own; if these do not suffice, layers are packed more densely. Links
    that update words at computed addresses are not cut, so that their updates stay in order.
    """

    name = "partition-crossbars"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "mapped")
        storage = Storage(main_function(op).body.block)
        grids: dict[LinkOp, Grid] = {}
        beside = 0
        for link in links_of(op):
            match link.mapping:
                case CrossbarsAttr(data=mapping) if not mapping.cores:
                    matrix = Matrix.of(link.spec)
                    grids[link] = Grid.of(matrix, _gathered(matrix, mapping, machine), machine)
                case VectorAttr(data=mapping) if not mapping.cores:
                    updates = storage.update(link.result) is not None
                    loop, parts = (None, 1) if updates else _cut(link, machine)
                    link.properties["mapping"] = VectorAttr(replace(mapping, loop=loop, cores=tuple(range(parts))))
                    beside += parts
                case _:
                    pass
        if machine.pipelines_layers:
            _pack(grids, machine, machine.cores.count - min(beside, machine.cores.count // 8))
        for link, grid in grids.items():
            link.properties["mapping"] = CrossbarsAttr(grid.mapping)


def _gathered(matrix: Matrix, mapping: CrossbarMapping, machine: MulticoreMachine) -> CrossbarMapping:
    grid = Grid.of(matrix, mapping, machine)
    room = machine.cores.crossbars // grid.crossbars_of_tile
    high = min(grid.tall_tiles, room)
    # Parts below one another as even as possible, so that none of them is waited for.
    high = -(-grid.tall_tiles // -(-grid.tall_tiles // high))
    return replace(mapping, span=(high, min(grid.wide_tiles, room // high)))


def _pack(grids: dict[LinkOp, Grid], machine: MulticoreMachine, cores: int) -> None:
    """Have layers take no more than so many cores together, if that can be: those that save the most at a time."""
    while sum(grid.tall * grid.wide for grid in grids.values()) > cores:
        found = [(grid.tall * grid.wide, link, _denser(grid, machine)) for link, grid in grids.items()]
        saved = [(taken - other.tall * other.wide, link, other) for taken, link, other in found if other is not None]
        if not saved:
            return
        _, link, chosen = max(saved, key=lambda each: each[0])
        grids[link] = chosen


def _denser(grid: Grid, machine: MulticoreMachine) -> Grid | None:
    """The layer with more parts below one another, but fewer in all; None if there is no such way."""
    room = machine.cores.crossbars // grid.crossbars_of_tile
    for tall in range(grid.tall + 1, grid.tall_tiles + 1):
        high = -(-grid.tall_tiles // tall)
        span = high, min(grid.wide_tiles, room // high)
        other = replace(grid, mapping=replace(grid.mapping, span=span))
        if other.tall * other.wide < grid.tall * grid.wide:
            return other
    return None


def _cut(link: LinkOp, machine: MulticoreMachine) -> tuple[Loop | None, int]:
    """The longest loop of results, and how many cores get a part of it.

    That is as many as it takes to compute while the bus moves the tensors, twice that to be sure. In a pipeline all
    cores go through the rows together.
    """
    spec = link.spec
    row = row_loop(spec) if machine.pipelines_layers else None
    kinds = [LoopKind.G, LoopKind.OPC, *([LoopKind.OP] if spec.main != PASS else [])]
    loops = [(dim.count(kind), Loop(dim.name, kind)) for dim in spec.dims for kind in kinds]
    extent, loop = max((each for each in loops if each[1] != row), key=lambda each: each[0], default=(1, None))
    if loop is None or extent == 1:
        return None, 1
    work = (spec.trips + math.prod(spec.output_shape) * len(spec.post)) / machine.cores.lanes
    moved = sum(_bytes(value) for value in (*link.operands, link.result)) / machine.memory_bytes
    least = LEAST_BESIDE if machine.pipelines_layers else LEAST_WORK
    wanted = min(work // least, 2 * work // moved + 1)
    return loop, max(1, min(extent, int(wanted), machine.cores.count))


def _bytes(value: SSAValue) -> int:
    return math.prod(shape_of(value)) * numpy_dtype_of(element_type_of_value(value)).itemsize
