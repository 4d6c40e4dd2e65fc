"""Pass `place-cores`: every part of a layer gets its core, and networks larger than the chip are cut into phases."""

from __future__ import annotations

from dataclasses import replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.gconv import LinkOp
from dialects.multicore_mapping import CrossbarsAttr, VectorAttr, VectorMapping
from dialects.target import require_multicore
from passes.multicore.matrix import Grid, Matrix
from passes.multicore.placement import Placement
from passes.placing import links_of


class PlaceCoresPass(ModulePass):
    """Put the parts of matrices on cores with free crossbars, those of a layer on different ones.

    When no crossbars are left, a phase begins: its layers are programmed when their turn comes, into crossbars that
    others used before. Parts of other links go to cores that have no crossbars in use, and the fewest such parts. On a
    mesh, parts of a ring lie next to each other, and others near the memory.
    """

    name = "place-cores"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_multicore(op, "mapped")
        placement = Placement(machine)
        mesh = machine.bus.mesh
        vector_parts = [0] * machine.cores.count
        others: list[tuple[LinkOp, VectorMapping]] = []
        with_crossbars: set[int] = set()
        for link in links_of(op):
            match link.mapping:
                case CrossbarsAttr(data=mapping) if not mapping.cores:
                    cores, phase = placement.cores(Grid.of(Matrix.of(link.spec), mapping, machine))
                    link.properties["mapping"] = CrossbarsAttr(replace(mapping, cores=cores, phase=phase))
                    with_crossbars.update(cores)
                case VectorAttr(data=mapping):
                    others.append((link, mapping))
                case CrossbarsAttr(data=mapping):
                    with_crossbars.update(mapping.cores)
                case _:
                    pass
        near = range(machine.cores.count)
        if mesh is not None:
            last = placement.last
            near = sorted(near, key=lambda core: mesh.links_to_memory(core) + mesh.links_between(core, last))
        for link, mapping in others:
            order = sorted(near, key=lambda core: (core in with_crossbars, vector_parts[core]))
            cores = tuple(sorted(order[: len(mapping.cores)]))
            for core in cores:
                vector_parts[core] += 1
            link.properties["mapping"] = VectorAttr(replace(mapping, cores=cores))
