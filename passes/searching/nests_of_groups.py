"""Nests for the links of fused groups: the best mapping of the largest turn, with tensors where the group has them.

Where holds keep an operand, its path begins in their memory. So it is searched on a machine on which that memory takes
it no more, and what the operand costs in the outermost memory is what it costs there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from dialects.diagnostics import Diagnostic
from dialects.hierarchy import Access, Axis, Hierarchy, Memory
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping as LinkMapping
from dialects.schedule import Objective, Operand, Storage
from passes.fusion.members import Member, member_violations
from passes.fusion.shapes import Shape, largest, part_of
from passes.mapper.counts import OPERAND_NAMES
from passes.mapper.legality import stored_in_dataflow
from passes.searching.nest import NestTask
from passes.searching.parts import Part
from passes.searching.task import Deadline, Found

_NEVER = 1e9
"""The energy of an access that must not happen."""


@dataclass(frozen=True)
class HeldTask(NestTask):
    """A search for the nest of a link's largest turn; `kept` are (operand, memory of its hold), `taken` words of holds.

    `machine` is the one that the link runs on, and mappings are for that.
    """

    kept: tuple[tuple[Operand, str], ...] = ()
    taken: tuple[tuple[str, int], ...] = ()
    member: Member | None = None
    shape: Shape = ()

    @property
    def signature(self) -> list[Any]:
        """Loops, where holds keep which operands, and what room they leave in memories that others pass through."""
        used = {memory.name for memory in self._inside.memories}
        taken = sorted((memory, words) for memory, words in self.taken if memory in used)
        return [*super().signature, sorted((str(each), memory) for each, memory in self.kept), taken]

    @cached_property
    def _inside(self) -> NestMachine:
        return machine_inside(self.machine, self.kept, dict(self.taken))

    def look(self, deadline: Deadline) -> Found:
        """Look for a good mapping: groups have many links. Without a limited effort, as long as the deadline allows."""
        brief = math.isfinite(self.effort)
        found = NestTask(self.objective, self.node, self.spec, self.effort, self._inside, brief).look(deadline)
        return replace(found, mapping=LinkMapping((*_first(self.machine, self.kept), *found.mapping.nodes)))

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


def machine_inside(machine: NestMachine, kept: Sequence[tuple[Operand, str]], taken: Mapping[str, int]) -> NestMachine:
    """A machine on which operands come from the outermost memory at the prices of the memories that keep them."""
    where = dict(kept)
    depth = {memory.name: number for number, memory in enumerate(machine.memories)}
    within = dict(_stored(machine, kept))
    flow = stored_in_dataflow(machine)
    levels: list[Memory | Axis] = []
    for number, level in enumerate(machine.levels):
        if isinstance(level, Memory) and number:
            inside = {each for each, memory in within.items() if depth[level.name] <= depth[memory]}
            passing = {each for each in Operand if flow is not None and (level.name, each) not in flow}
            operands = tuple(each for each in level.operands if each not in inside)
            if not operands:
                continue
            change: dict[str, Any] = {
                "operands": operands,
                "bypass": tuple(each for each in operands if each in {*level.bypass, *passing}),
                "reserve": "0",
            }
            if level.words is not None:
                change["words"] = max(level.words - taken.get(level.name, 0), 1)
            level = level.model_copy(update=change)
        elif isinstance(level, Memory) and len(set(where.values())) == 1 and len(where) >= 2:
            inner = machine.memory(next(iter(where.values())))
            level = level.model_copy(update={"read": inner.read, "write": inner.write})
        levels.append(level)
    fields = {name: getattr(machine, name) for name in NestMachine.model_fields}
    fields |= {"levels": tuple(levels), "dataflow": None, "accesses": tuple(_priced(machine, where))}
    return NestMachine.model_construct(machine.model_fields_set, **fields)


def _priced(machine: NestMachine, where: Mapping[Operand, str]) -> list[Access]:
    """Accesses, in which what kept operands cost in their memories stands for what they cost in the outermost one."""
    outer = machine.memories[0].name
    moved = {f"{memory}.{OPERAND_NAMES[each]}.": f"{outer}.{OPERAND_NAMES[each]}." for each, memory in where.items()}
    gone = tuple(moved.values())
    found: list[Access] = []
    for access in machine.accesses:
        events = {event: times for event, times in access.events.items() if not event.startswith(gone)}
        for before, after in moved.items():
            events |= {
                after + event.removeprefix(before): times
                for event, times in access.events.items()
                if event.startswith(before)
            }
        found.append(access.model_copy(update={"events": events}))
    if Operand.OUTPUT in where and Operand.OUTPUT not in machine.memory(where[Operand.OUTPUT]).operands:
        # sums that are not finished cannot go where the result lies
        found.append(Access(name="unfinished", energy=_NEVER, events={f"{outer}.output.add": 1}))
    return found


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
            kept=operands,
            taken=room,
            member=member,
            shape=shape,
        )
