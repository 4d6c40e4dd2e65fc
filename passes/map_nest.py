"""Pass `map-nest`: give every link of the chain a mapping onto the module's hierarchy of memories and axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp
from dialects.gconv.fused import has_groups
from dialects.gconv.interpreter import main_function
from dialects.locations import describe
from dialects.nest_machine import NestMachine
from dialects.schedule import HostAttr, Mapping, MappingAttr, Objective
from dialects.target import require_nest_machine
from passes.assign_host import require_host
from passes.chain_views import extra_shapes
from passes.mapper.effort import USUAL
from passes.mapper.legality import violations
from passes.mapper.problem import read_after
from passes.searching.links import map_links
from passes.searching.nest import NestTask
from passes.searching.objectives import objective_on
from passes.searching.options import SearchingPass
from passes.storage import Storage


@dataclass(frozen=True)
class MapNestPass(SearchingPass):
    """Search the best mapping of every link that has none, and check those that are given.

    Links with the same loops are searched once: in the machine's dataflow if it has one, otherwise among all mappings,
    as long as a time limit allows, or else with an effort that does not depend on the time it takes. Links whose
    results are updates at computed addresses are not cut, so that these leave in order. Links that the host executes
    keep `#schedule.host`. Links of a group get the nest of their
    largest turn, with their tensors where the group has them, that is best by `groups`, or else by the same objective.
    """

    name = "map-nest"

    groups: Literal["energy", "latency", "edp", "traffic"] | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_nest_machine(op, "mapped")
        function = main_function(op)
        block = function.body.block
        storage = Storage(block)

        def settled(link: LinkOp) -> bool:
            in_order = storage.update(link.result) is not None
            if link.mapping is None and in_order:
                link.properties["mapping"] = MappingAttr(Mapping(()))
            _check(link, machine, in_order=in_order)
            return link.mapping is not None

        map_links(block, settled, lambda link: self.task_of(link, machine), machine, self.options)
        if has_groups(function):
            self._map_groups(function, machine)

    def task_of(self, link: LinkOp, machine: NestMachine) -> NestTask:
        """The search for the mapping of a link."""
        objective, extras = objective_on(machine, Objective(self.objective)), read_after(link.spec, extra_shapes(link))
        return NestTask(objective, describe(link), link.spec.bare, self._effort, machine, extras=extras)

    def _map_groups(self, function: FuncOp, machine: NestMachine) -> None:
        from passes.fusion.series import series_of
        from passes.searching.nests_of_groups import NestsOfGroups
        from passes.searching.parts import map_groups

        nests = NestsOfGroups(machine, objective_on(machine, Objective(self.groups or self.objective)), self._effort)
        map_groups(series_of(function, "mapped"), machine, nests, self.options)

    @property
    def _effort(self) -> float:
        return USUAL if self.time_limit is None else math.inf


def _check(link: LinkOp, machine: NestMachine, *, in_order: bool) -> None:
    """Raises `CatenaError` if the mapping of a link, where it has one, is none for this machine."""
    node = describe(link)
    match link.mapping:
        case None:
            return
        case MappingAttr():
            if problems := violations(link.spec, link.mapping.data, machine, "mapped", node, in_order=in_order):
                raise CatenaError(problems)
        case HostAttr():
            require_host(machine, "mapped", node)
        case _:
            found = str(link.mapping)
            message = "this notation is of another kind of machine"
            raise CatenaError(
                Diagnostic("CAT-R003", message, "mapped", node, expected="#schedule.mapping", found=found)
            )
