"""The best mapping of a layer on a machine of either kind, as the passes that map would find it, within some time."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from dialects.accelerator import Accelerator
from dialects.machine_kinds import spatial_machine
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping, Objective
from passes.mapper.effort import USUAL, Effort
from passes.mapper.free import best_mappings as best_of_all
from passes.mapper.problem import read_after
from passes.mapper.search import several_in_dataflow
from passes.mapping.data_events import sparsity
from passes.mapping.search import best_mappings
from passes.work import Work


class Deadline:
    """When to stop searching."""

    def __init__(self, seconds: float):
        self._end = monotonic() + seconds

    def __call__(self) -> bool:
        """Whether the time is over."""
        return monotonic() >= self._end

    def share(self, part: float) -> Deadline:
        """A part of the time that is left."""
        return Deadline(max(0.0, self._end - monotonic()) * part)


def best_for(work: Work, machine: Accelerator, objective: Objective, should_stop: Callable[[], bool]) -> Mapping | None:
    """The best mapping that is found; None if none fits, or none is found before it is time to stop."""
    return next(iter(several_for(work, machine, objective, 1, should_stop)), None)


def several_for(
    work: Work, machine: Accelerator, objective: Objective, count: int, should_stop: Callable[[], bool]
) -> list[Mapping]:
    """The best mappings that are found, at most `count`, best first; none if it is time to stop, or if none fits."""
    spec = work.spec.bare
    if should_stop():
        return []
    if not isinstance(machine, NestMachine):
        array = spatial_machine(machine, "explain")
        data = sparsity(array, work.zeros, work.compressed[0], work.compressed[-1 - len(work.extra_shapes) : -1])
        shape, extras = work.input_shape, work.extra_shapes
        return best_mappings(spec, shape, array, count, objective, data, should_stop, extras, work.lookups)
    extras = read_after(work.spec, work.extra_shapes)
    if machine.dataflow is not None:
        found = several_in_dataflow(spec, machine, count, objective, should_stop=should_stop, extras=extras)
        return [each.mapping for each in found]
    return [each.mapping for each in best_of_all(spec, machine, count, Effort(USUAL, should_stop), objective, extras)]
