"""Explanations of layers: what their mappings hold, move and cost, and how far that is from what must be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from backends.program import GroupEntry, Program
from compiler.displaying import Displayed, Part
from compiler.explanation.layers import ExplainedLayer, explained_layers, selected
from compiler.reporting import report_of
from compiler.reports.layers import LayerReport, Provenance
from dialects.accelerator import Accelerator
from dialects.events import Counts
from dialects.gemm_mapping import GemmMapping
from dialects.multicore_machine import MulticoreMachine
from dialects.nest_machine import NestMachine
from dialects.schedule import Objective
from passes.explanation.facts import Facts
from passes.explanation.in_turns import time_in_turns
from passes.explanation.layer import facts_of
from passes.explanation.on_cores import CoreFacts, facts_on_cores
from passes.explanation.runners_up import RunnersUp, runners_up
from passes.explanation.searching import Deadline
from passes.explanation.sensitivity import Sensitivity, objective_of, sensitivity

_RUNNERS_UP = 5
"""Mappings that are shown beside the one that a layer has."""
_FOR_RUNNERS_UP = 0.3
"""The share of the time of a layer in which they are searched."""


@dataclass(frozen=True)
class Explanation:
    """A layer, what it counted or will count, and the facts of its mapping.

    There are none of what a host or a group does; what several cores do has facts of its own, `cores`. `turns` are
    the parts of the time of a layer in a group.

    If there was a search, `runners_up` are the next best mappings, and `sensitivity` says what binds the layer.
    """

    layer: ExplainedLayer
    report: LayerReport
    facts: Facts | None
    runners_up: RunnersUp | None = None
    sensitivity: Sensitivity | None = None
    cores: CoreFacts | None = None
    turns: tuple[tuple[str, float], ...] = ()

    @property
    def longest(self) -> tuple[str, float] | None:
        """The part of its time that takes longest, in a group what is busy longest, with cycles; None if unknown."""
        if self.facts is None:
            return self.turns[0] if self.turns else None
        return max(self.facts.time, key=lambda each: each[1], default=None)


@dataclass(frozen=True)
class Explanations(Displayed):
    """Some of the layers of a program on a machine, and where their counts come from."""

    model: str
    machine: Accelerator
    provenance: Provenance
    number_of_layers: int
    layers: tuple[Explanation, ...]
    groups: tuple[GroupEntry, ...] = ()

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        from compiler.explanation.cores import core_tables, cores_table
        from compiler.explanation.text import heading, layer_tables, overview_table

        if len(self.layers) != 1:
            return [cores_table(self) if self.has_cores else overview_table(self)]
        (each,) = self.layers
        tables = core_tables(each.cores) if each.cores is not None else layer_tables(each, self.machine)
        return [heading(each, self), *tables]

    @property
    def has_cores(self) -> bool:
        """Whether several cores share the work of layers."""
        return isinstance(self.machine, MulticoreMachine)

    @property
    def memories(self) -> tuple[str, ...]:
        """The memories of a machine of levels, outermost first."""
        return tuple(each.name for each in self.machine.memories) if isinstance(self.machine, NestMachine) else ()


def explain_program(
    program: Program, name: str | None = None, statistics: str | None = None, seconds: float = 0.0
) -> Explanations:
    """Explain the layers of a program that `name` means (`selected`), all by default.

    With `statistics`, a file of `catena run --stats`, counts are those of an emulation. For `seconds`, the next
    best mappings are searched, and those on machines that are larger somewhere. Raises `CatenaError`:
    CAT-C001 if no layer has that name, CAT-C003 for statistics of another program, CAT-P003 for a program of an older
    version.
    """
    report = report_of(program, statistics)
    layers = explained_layers(program)
    counted = {each.layer.name: each for each in report.layers}
    chosen = layers if name is None else selected(layers, name)
    deadline = Deadline(seconds) if seconds else None
    counts = [(layer, counted[layer.entry.name]) for layer in chosen if layer.entry.name in counted]
    found = tuple(
        _explained(layer, each, report.machine, deadline and deadline.share(1 / (len(counts) - place)))
        for place, (layer, each) in enumerate(counts)
    )
    return Explanations(report.model, report.machine, report.provenance, len(layers), found, program.groups)


def _explained(
    layer: ExplainedLayer, report: LayerReport, machine: Accelerator, deadline: Deadline | None
) -> Explanation:
    work = layer.work
    alone = layer.entry.alone
    if work is not None and layer.on_cores is not None and alone is not None and isinstance(machine, MulticoreMachine):
        predicted = Counts.of(layer.entry.predicted)
        on_cores = facts_on_cores(work, layer.on_cores, machine, predicted, alone, layer.output_bytes)
        return Explanation(layer, report, None, cores=on_cores)
    if work is None or layer.mapping is None:
        takes_turns = work is not None and layer.entry.group and not isinstance(machine, MulticoreMachine)
        turns = time_in_turns(report.counts, report.price, machine) if takes_turns else ()
        return Explanation(layer, report, None, turns=turns)
    facts = facts_of(work, layer.mapping, machine, report.counts)
    # Updates that leave in order have one mapping, which is not searched; products on other machines are not compared.
    if deadline is None or work.in_order or isinstance(layer.mapping, GemmMapping):
        return Explanation(layer, report, facts)
    noted = layer.entry.search
    objective = objective_of(machine) if noted is None else Objective(noted.objective)
    others = runners_up(work, facts, machine, objective, _RUNNERS_UP, deadline.share(_FOR_RUNNERS_UP))
    return Explanation(layer, report, facts, others, sensitivity(work, facts, machine, objective, deadline))
