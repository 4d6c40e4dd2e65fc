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
from passes.mapping.lookups import IN_PLACE, Lookups
from passes.mapping.search import looks_at_all, search
from passes.searching.task import Deadline, Found, Task


@dataclass(frozen=True)
class RowStationaryTask(Task):
    """A search for the best row-stationary mapping of a link without its scalar functions, but for what these read.

    `extras` are the shapes of its post operands, `lookups` what it reads at computed addresses.
    """

    spec: GConv
    input_shape: tuple[int, ...]
    data: Sparsity
    machine: Machine
    extras: tuple[tuple[int, ...], ...] = ()
    lookups: Lookups = IN_PLACE

    @property
    def space(self) -> Space:
        """Row-stationary mappings, or those of even shares where there are many."""
        is_all = looks_at_all(self.spec, self.input_shape, self.machine)
        return Space.ROW_STATIONARY if is_all else Space.EVEN_ROW_STATIONARY

    @property
    def signature(self) -> list[Any]:
        """Loops, input shape, what zeros save and what is read of other tensors."""
        return [astuple(self.spec), self.input_shape, astuple(self.data), self.extras, astuple(self.lookups)]

    def look(self, deadline: Deadline) -> Found:
        """Search the whole space, if there is time."""
        spec, shape, machine = self.spec, self.input_shape, self.machine
        best = search(spec, shape, machine, self.objective, self.node, self.data, deadline, self.extras, self.lookups)
        return Found(best.mapping, best.value, best.bound, deadline.was_met and best.bound < best.value)

    def violations(self, mapping: Mapping) -> list[Diagnostic]:
        """Every rule of the machine that a mapping of the link breaks."""
        return violations(self.spec, mapping, self.machine, "mapped", self.node)
