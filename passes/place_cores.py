"""Pass `place-cores`: every part of a layer gets its core, and networks larger than the chip are cut into phases."""

from __future__ import annotations

from dataclasses import replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.multicore_mapping import CrossbarsAttr, VectorAttr
from dialects.target import require_multicore
from passes.multicore.matrix import Grid, Matrix
from passes.multicore.placement import Placement
from passes.placing import links_of


class PlaceCoresPass(ModulePass):
    """Put the parts of matrices on cores with free crossbars, those of a layer on different ones.

    When no crossbars are left, a phase begins: its layers are programmed when their turn comes, into crossbars that
    others used before. Parts of other links go round the cores.
    """

    name = "place-cores"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "mapped")
        placement, next_core = Placement(machine), 0
        for link in links_of(op):
            match link.mapping:
                case CrossbarsAttr(data=mapping) if not mapping.cores:
                    cores, phase = placement.cores(Grid.of(Matrix.of(link.spec), mapping, machine))
                    link.properties["mapping"] = CrossbarsAttr(replace(mapping, cores=cores, phase=phase))
                case VectorAttr(data=mapping):
                    parts = len(mapping.cores)
                    cores = tuple(sorted((next_core + part) % machine.cores.count for part in range(parts)))
                    next_core = (next_core + parts) % machine.cores.count
                    link.properties["mapping"] = VectorAttr(replace(mapping, cores=cores))
                case _:
                    pass
