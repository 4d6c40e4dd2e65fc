"""Pass `map-row-stationary`: give every link of the chain a mapping onto the module's machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import ConcatOp, LinkOp, ScatterOp, Zeros, shape_of
from dialects.gconv.fused import has_groups
from dialects.gconv.interpreter import main_function
from dialects.locations import describe
from dialects.schedule import HostAttr, Mapping, MappingAttr, Objective, RowStationaryAttr
from dialects.target import require_spatial
from passes.assign_host import require_host
from passes.chain_views import extra_shapes, source_of
from passes.computed_addresses import read_lookup
from passes.mapping.data_events import Sparsity, sparsity
from passes.mapping.fit import violations
from passes.mapping.in_order import in_order_mapping
from passes.mapping.lookups import Lookups
from passes.mapping.row_stationary import expand
from passes.searching.links import map_links
from passes.searching.options import SearchingPass
from passes.searching.row_stationary import RowStationaryTask
from passes.storage import Storage


@dataclass(frozen=True)
class MapRowStationaryPass(SearchingPass):
    """Search the best row-stationary mapping of every link that has none; check and expand those that are given.

    Links with the same loops and shapes of input, post operands and indices, and as many zeros, are searched once.
    `objective` is what the search minimises. Links whose results are updates at computed addresses get the mapping with
    the largest tiles that keeps their order. Links that the host executes keep `#schedule.host`. Links of a group that
    have no nest get that of their largest turn, with their tensors where the group has them.
    """

    name = "map-row-stationary"

    objective: Literal["energy", "latency", "edp", "traffic"] = "edp"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_spatial(op, "mapped")
        objective = Objective(self.objective)
        function = main_function(op)
        block = function.body.block
        storage = Storage(block)

        def settled(link: LinkOp) -> bool:
            updates = storage.update(link.result) is not None
            mapping = _given(link, machine, in_order=updates)
            if mapping is not None:
                if problems := violations(link.spec, mapping, machine, "mapped", describe(link), in_order=updates):
                    raise CatenaError(problems)
                link.properties["mapping"] = MappingAttr(mapping)
            return link.mapping is not None

        def task(link: LinkOp) -> RowStationaryTask:
            spec, shape, extras = link.spec.bare, shape_of(link.input), tuple(extra_shapes(link))
            data, lookups = sparsity_of(link, machine), lookups_of(link)
            return RowStationaryTask(objective, describe(link), spec, shape, data, machine, extras, lookups)

        map_links(block, settled, task, machine, self.options)
        if has_groups(function):
            from passes.fusion.series import series_of
            from passes.searching.parts import map_groups
            from passes.searching.rows_of_groups import RowsOfGroups

            map_groups(series_of(function, "mapped"), machine, RowsOfGroups(machine, objective), self.options)


def _given(link: LinkOp, machine: Machine, *, in_order: bool) -> Mapping | None:
    """The mapping of a link that needs no search; None if it does, and if the host executes it.

    Raises `CatenaError` if what it carries is no mapping, or needs a host that the machine does not have.
    """
    match link.mapping:
        case None:
            return in_order_mapping(link.spec, machine, describe(link)) if in_order else None
        case RowStationaryAttr():
            return expand(link.spec, link.mapping.data, machine, describe(link))
        case MappingAttr():
            return link.mapping.data
        case HostAttr():
            require_host(machine, "mapped", describe(link))
            return None
        case _:
            raise CatenaError(Diagnostic("CAT-R003", f"{link.mapping} is no mapping", "mapped", describe(link)))


def lookups_of(link: LinkOp) -> Lookups:
    """What a link that updates nothing addresses by index tensors."""
    read = read_lookup(link)
    return Lookups(None if read is None else read.index_shape)


def sparsity_of(link: LinkOp, machine: Machine) -> Sparsity:
    """What is known of the zeros of a link; inputs of the network and constants are not compressed."""

    def is_made(value: SSAValue) -> bool:
        return isinstance(source_of(value).base.owner, LinkOp | ConcatOp | ScatterOp)

    zeros = Zeros() if link.zeros is None else link.zeros.data
    return sparsity(machine, zeros, is_made(link.input), [is_made(each) for each in link.extras])
