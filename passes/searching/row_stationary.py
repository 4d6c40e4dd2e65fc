"""Searches among row-stationary mappings."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Any

from dialects.array_machine import Machine
from dialects.diagnostics import Diagnostic
from dialects.gconv import GConv
from dialects.schedule import Mapping, Space
from passes.mapping.data_events import Sparsity
from passes.mapping.fit import violations
from passes.mapping.search import search
from passes.searching.task import Deadline, Found, Task


@dataclass(frozen=True)
class RowStationaryTask(Task):
    """A search for the best row-stationary mapping of a link without its scalar functions."""

    spec: GConv
    input_shape: tuple[int, ...]
    data: Sparsity
    machine: Machine

    @property
    def space(self) -> Space:
        """Row-stationary mappings."""
        return Space.ROW_STATIONARY

    @property
    def signature(self) -> list[Any]:
        """Loops, input shape and what zeros save."""
        return [astuple(self.spec), self.input_shape, astuple(self.data)]

    def look(self, deadline: Deadline) -> Found:
        """Search the whole space, if there is time."""
        best = search(self.spec, self.input_shape, self.machine, self.objective, self.node, self.data, deadline)
        return Found(best.mapping, best.value, best.bound, deadline.was_met and best.bound < best.value)

    def violations(self, mapping: Mapping) -> list[Diagnostic]:
        """Every rule of the machine that a mapping of the link breaks."""
        return violations(self.spec, mapping, self.machine, "mapped", self.node)
