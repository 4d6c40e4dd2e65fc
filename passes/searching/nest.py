"""Searches among the mappings of a machine's dataflow, or among all mappings."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv
from dialects.hierarchy import Hierarchy
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping, Space
from passes.mapper.conflict import too_small_together
from passes.mapper.dataflow import parse_dataflow
from passes.mapper.effort import Effort
from passes.mapper.floor import least_value
from passes.mapper.free import Best, mapping_for
from passes.mapper.legality import violations
from passes.mapper.pricing import Prices
from passes.mapper.problem import Problem
from passes.mapper.room import too_small, too_small_for_flow
from passes.mapper.search import best_in_dataflow
from passes.mapping.roles import roles_in_nest
from passes.searching.task import Deadline, Found, Task


@dataclass(frozen=True)
class NestTask(Task):
    """A search for the best mapping of a link without its scalar functions, but for what these read.

    `effort` is how many parts of mappings are looked at, at most, if the machine has no dataflow; a `brief` search ends
    long before, with the first good mapping. `extras` are the shapes that `passes.mapper.problem.read_after` gives.
    """

    spec: GConv
    effort: float
    machine: NestMachine
    brief: bool = False
    extras: tuple[tuple[int, ...], ...] = ()

    @property
    def space(self) -> Space:
        """The mappings of the machine's dataflow if it has one, else all."""
        return Space.ALL if self.machine.dataflow is None else Space.DATAFLOW

    @property
    def signature(self) -> list[Any]:
        """Loops, the effort where it decides what is found, and what is read of other tensors."""
        limit = self.effort if self.space is Space.ALL and math.isfinite(self.effort) else None
        return [self._said_of_link, limit, sorted(map(astuple, self.problem.extras), key=str)]

    @cached_property
    def _said_of_link(self) -> tuple[Any, ...]:
        return astuple(self.spec)

    @property
    def problem(self) -> Problem:
        """The link as the mapper sees it."""
        return Problem.of(self.spec, self.extras)

    def look(self, deadline: Deadline) -> Found:
        """Search until the best mapping is found, or as long as effort and deadline allow."""
        if self.space is Space.DATAFLOW:
            return self._look_in_dataflow(deadline)
        return self.looked_for(self.problem, self.machine, deadline)

    def looked_for(self, problem: Problem, machine: Hierarchy, deadline: Deadline) -> Found:
        """The best mapping of a problem on a machine, of all that effort and deadline allow to look at."""
        if misfits := too_small(problem, machine, self.node):
            raise CatenaError(misfits)
        effort = Effort(self.effort, deadline)
        found = self.best(problem, machine, effort)
        # a search that is stopped early may know less than what is so of every mapping
        bound = max(found.bound, least_value(problem, Prices(machine, self.objective)))
        return Found(found.mapping, found.value, bound, deadline.was_met and bound < found.value)

    def best(self, problem: Problem, machine: Hierarchy, effort: Effort) -> Best:
        """The best mapping that a search finds. Raises `CatenaError` if there is none."""
        return mapping_for(problem, machine, self.node, self.objective, effort, brief=self.brief)

    def _look_in_dataflow(self, deadline: Deadline) -> Found:
        try:
            best = best_in_dataflow(
                self.spec,
                self.machine,
                self.node,
                objective=self.objective,
                should_stop=deadline,
                extras=self.extras,
            )
        except CatenaError as error:
            flow = parse_dataflow(self.machine).on(self.spec, roles_in_nest(self.spec))
            misfits = too_small_for_flow(flow, self.machine, self.node)
            misfits = misfits or too_small_together(flow, self.machine, self.node)
            raise CatenaError(misfits or error.diagnostics) from error
        return Found(best.mapping, best.value, best.bound, deadline.was_met and best.bound < best.value)

    def violations(self, mapping: Mapping) -> list[Diagnostic]:
        """Every rule of the machine that a mapping of the link breaks."""
        return violations(self.spec, mapping, self.machine, "mapped", self.node)
