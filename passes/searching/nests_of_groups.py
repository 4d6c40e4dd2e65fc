"""Nests for the links of fused groups: the best mapping of the largest turn, with tensors where the group has them.

Where holds keep an operand, its path begins in their memory. So it is searched on a machine on which that memory, and
those further out, take it no more (`HeldMachine`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from dialects.diagnostics import Diagnostic
from dialects.hierarchy import Access, Axis, Hierarchy, Memory
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping as LinkMapping
from dialects.schedule import Objective, Operand, Storage
from passes.fusion.members import Member, member_violations
from passes.fusion.shapes import Shape, largest, part_of
from passes.mapper.begun import Begun, begun_together
from passes.mapper.effort import Effort
from passes.mapper.free import Best
from passes.mapper.legality import stored_in_dataflow
from passes.mapper.problem import Problem, read_after
from passes.searching.nest import NestTask
from passes.searching.parts import Part
from passes.searching.task import Deadline, Found, Task

_NEVER = 1e9
"""The energy of an access that must not happen, so that bounds tell."""

_FINISHED = "finished results"
"""Where results lie that may not go on: no memory of a description has such a name."""


@dataclass(frozen=True)
class HeldTask(NestTask):
    """A search for the nest of a link's largest turn; `kept` are (operand, memory of its hold), `taken` words of holds.

    `machine` is the one that the link runs on, and mappings are for that. `read_from` are the memories of `extras`.
    """

    kept: tuple[tuple[Operand, str], ...] = ()
    taken: tuple[tuple[str, int], ...] = ()
    read_from: tuple[str, ...] = ()
    member: Member | None = None
    shape: Shape = ()
    begun: Begun | None = field(default=None, compare=False, repr=False)

    @property
    def signature(self) -> list[Any]:
        """Loops, where holds keep which operands, and what room they leave in memories that others pass through."""
        return [*super().signature, sorted((str(each), memory) for each, memory in self.kept), self._room_left]

    @property
    def _room_left(self) -> list[tuple[str, int]]:
        """The words of holds in memories that operands may lie in."""
        used = {memory.name for memory in self.inside.memories if memory.operands}
        return sorted((memory, words) for memory, words in self.taken if memory in used)

    @property
    def problem(self) -> Problem:
        """The part as the mapper sees it, with what its results read where that lies."""
        problem = Problem.of(self.spec, self.extras).reading_from(self.read_from)
        is_in_place = any(operand is Operand.OUTPUT for operand, _ in _stored(self.machine, self.kept))
        return problem.finished_in_place if is_in_place else problem

    @cached_property
    def inside(self) -> HeldMachine:
        """The machine on which the nest is searched."""
        return machine_inside(self.machine, self.kept, dict(self.taken))

    def look(self, deadline: Deadline) -> Found:
        """Look for a good mapping: groups have many links. Without a limited effort, as long as the deadline allows."""
        found = self.looked_for(self.problem, self.inside, deadline)
        return replace(found, mapping=LinkMapping((*_first(self.machine, self.kept), *found.mapping.nodes)))

    def best(self, problem: Problem, machine: Hierarchy, effort: Effort) -> Best:
        """As of any link, or what becomes of the search that was begun."""
        return super().best(problem, machine, effort) if self.begun is None else self.begun.ended(self.node, effort)

    @classmethod
    def begun_together(cls, tasks: Sequence[Task], is_stopped: Callable[[], bool]) -> Sequence[Task]:
        """With the first dives of brief searches on the same machine, with the same holds."""
        alike: dict[object, list[tuple[int, HeldTask]]] = {}
        for number, task in enumerate(tasks):
            if isinstance(task, HeldTask) and task.brief and task.machine.nested:
                key = (id(task.machine), task.kept, *task._room_left, task.objective, task.effort)
                alike.setdefault(key, []).append((number, task))
        begun = list(tasks)
        for some in alike.values():
            first, effort = some[0][1], Effort(some[0][1].effort, is_stopped)
            found = begun_together([task.problem for _, task in some], first.inside, first.objective, effort)
            for (number, task), each in zip(some, found, strict=True):
                begun[number] = replace(task, begun=each)
        return begun

    def violations(self, mapping: LinkMapping) -> list[Diagnostic]:
        """Every rule of the machine that a mapping of the link breaks."""
        assert self.member is not None
        member = replace(self.member, mapping=mapping)
        return member_violations(member, self.shape, self.machine, dict(self.taken), "mapped", self.node)


def _first(machine: NestMachine, kept: Sequence[tuple[Operand, str]]) -> list[Storage]:
    """What stands before all loops: operands in the memories of their holds."""
    inside = _stored(machine, kept)
    stores = (
        (memory.name, tuple(each for each, where in inside if where == memory.name)) for memory in machine.memories
    )
    return [Storage(memory, operands) for memory, operands in stores if operands]


def _stored(machine: NestMachine, kept: Sequence[tuple[Operand, str]]) -> list[tuple[Operand, str]]:
    """What nests store where holds keep it: all but results in memories that take no sums."""
    return [(each, memory) for each, memory in kept if each in machine.memory(memory).operands]


class HeldMachine(NestMachine, frozen=True):
    """A machine on which the paths of some operands begin where holds keep them."""

    homes: tuple[tuple[Operand, str], ...] = ()

    def begins(self, operand: Operand) -> str:
        """The memory of the hold, where there is one."""
        return dict(self.homes).get(operand) or super().begins(operand)

    @property
    def forbidden(self) -> tuple[str, ...]:
        """Sums do not come back from where only finished results lie."""
        return (f"{_FINISHED}.output.add",) if (Operand.OUTPUT, _FINISHED) in self.homes else ()


def machine_inside(machine: NestMachine, kept: Sequence[tuple[Operand, str]], taken: Mapping[str, int]) -> HeldMachine:
    """A machine on which the paths of `kept` operands begin in their memories, which have as much room as is left."""
    homes = dict(kept)
    depth = {memory.name: number for number, memory in enumerate(machine.memories)}
    within = dict(_stored(machine, kept))
    flow = stored_in_dataflow(machine)
    levels: list[Memory | Axis] = []
    for number, level in enumerate(machine.levels):
        if isinstance(level, Memory) and number:
            inside = {each for each, memory in within.items() if depth[level.name] <= depth[memory]}
            passing = {each for each in Operand if flow is not None and (level.name, each) not in flow}
            operands = tuple(each for each in level.operands if each not in inside)
            change: dict[str, Any] = {
                "operands": operands,
                "bypass": tuple(each for each in operands if each in {*level.bypass, *passing}),
                "reserve": "0",
            }
            if level.words is not None:
                change["words"] = max(level.words - taken.get(level.name, 0), 1)
            level = level.model_copy(update=change)
        levels.append(level)
        if Operand.OUTPUT not in within and level.name == homes.get(Operand.OUTPUT):
            # results are put there when they are finished, which no mapping changes
            levels.append(Memory.model_construct(kind="memory", name=_FINISHED, operands=()))
    accesses = machine.accesses
    if Operand.OUTPUT in homes and Operand.OUTPUT not in within:
        homes[Operand.OUTPUT] = _FINISHED
        accesses = (*accesses, Access(name="unfinished", energy=_NEVER, events={f"{_FINISHED}.output.add": 1}))
    fields = {name: getattr(machine.executed, name) for name in NestMachine.model_fields}
    fields |= {"levels": tuple(levels), "dataflow": None, "accesses": accesses, "homes": tuple(homes.items())}
    return HeldMachine.model_construct(machine.model_fields_set, **fields)


@dataclass(frozen=True)
class NestsOfGroups:
    """The nests of links of groups on a machine of levels."""

    machine: NestMachine
    objective: Objective
    effort: float

    @property
    def levels(self) -> Hierarchy:
        """The memories that tensors of groups lie in."""
        return self.machine

    def violations(self, part: Part, nest: LinkMapping) -> list[Diagnostic]:
        """Every rule that a nest of a link breaks."""
        member = Member(part.spec, nest, part.kept)
        return member_violations(member, largest(part.shapes), self.machine, part.taken, "mapped", part.node)

    def task(self, part: Part) -> HeldTask:
        """The search for the nest of a link."""
        shape = largest(part.shapes)
        operands = tuple((each, part.kept[each]) for each in Operand if each in part.kept)
        room = tuple(sorted(part.taken.items()))
        member = Member(part.spec, LinkMapping(()), part.kept)
        bare = part_of(part.spec, shape).bare
        return HeldTask(
            self.objective,
            part.node,
            bare,
            self.effort,
            self.machine,
            math.isfinite(self.effort),
            read_after(part.spec, part.extras),
            kept=operands,
            taken=room,
            read_from=tuple(
                member.read_from(step.operand, self.machine) for step in part.spec.post if step.operand is not None
            ),
            member=member,
            shape=shape,
        )
