"""Pass `map-row-stationary`: give every link of the chain a mapping onto the module's machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import ConcatOp, GConv, LinkOp, ScatterOp, Zeros, shape_of
from dialects.gconv.interpreter import main_function
from dialects.locations import describe
from dialects.schedule import HostAttr, MappingAttr, RowStationaryAttr
from dialects.target import Machine, require_spatial
from passes.assign_host import require_host
from passes.chain_views import source_of
from passes.mapping.column_costs import Objective
from passes.mapping.data_events import Sparsity, sparsity
from passes.mapping.fit import violations
from passes.mapping.in_order import in_order_mapping
from passes.mapping.row_stationary import expand
from passes.mapping.search import best_mapping
from passes.storage import Storage


@dataclass(frozen=True)
class MapRowStationaryPass(ModulePass):
    """Search the best row-stationary mapping of every link that has none; check and expand those that are given.

    Links with the same loops and input shape, and as many zeros, are searched once. `objective` is what the search
    minimises. Links whose results are updates at computed addresses get the mapping with the largest tiles that keeps
    their order. Links that the host executes keep `#schedule.host`.
    """

    name = "map-row-stationary"

    objective: Literal["energy", "latency", "edp"] = "edp"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_spatial(op, "mapped")
        found: dict[tuple[GConv, tuple[int, ...], Sparsity], MappingAttr] = {}
        problems: list[Diagnostic] = []
        block = main_function(op).body.block
        storage = Storage(block)
        for link in block.ops:
            if not isinstance(link, LinkOp):
                continue
            updates = storage.update(link.result) is not None
            try:
                match link.mapping:
                    case None if updates:
                        mapping = in_order_mapping(link.spec, machine, describe(link))
                    case None:
                        loops, shape, data = link.spec.bare, shape_of(link.input), _sparsity(link, machine)
                        key = (loops, shape, data)
                        if key in found:
                            # Checked on the first link with these loops.
                            link.properties["mapping"] = found[key]
                            continue
                        objective = Objective(self.objective)
                        mapping = best_mapping(loops, shape, machine, objective, describe(link), data)
                        found[key] = MappingAttr(mapping)
                    case RowStationaryAttr():
                        mapping = expand(link.spec, link.mapping.data, machine, describe(link))
                    case MappingAttr():
                        mapping = link.mapping.data
                    case HostAttr():
                        require_host(machine, "mapped", describe(link))
                        continue
                    case _:
                        raise CatenaError(
                            Diagnostic("CAT-R003", f"{link.mapping} is no mapping", "mapped", describe(link))
                        )
                problems += violations(link.spec, mapping, machine, "mapped", describe(link), in_order=updates)
            except CatenaError as error:
                problems += error.diagnostics
                continue
            link.properties["mapping"] = MappingAttr(mapping)
        if problems:
            raise CatenaError(problems)


def _sparsity(link: LinkOp, machine: Machine) -> Sparsity:
    """What is known of the zeros of a link; inputs of the network and constants are not compressed."""
    is_made = isinstance(source_of(link.input).base.owner, LinkOp | ConcatOp | ScatterOp)
    return sparsity(machine, Zeros() if link.zeros is None else link.zeros.data, is_made)
