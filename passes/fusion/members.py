"""A link of a fused group as a layer: the nest of its largest turn, whether it is legal, and what its runs count.

The nest of a link is an ordinary mapping of its largest turn. Tensors that lie in holds stand in it where it stores
them first, before all loops. Runs on smaller ranges go through the same nest.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dialects.diagnostics import Diagnostic
from dialects.events import Counts as EventCounts
from dialects.gconv.spec import GConv
from dialects.hierarchy import Axis, Memory
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping as LinkMapping
from dialects.schedule import Operand, Storage
from passes.fusion.placed import NAMES
from passes.fusion.shapes import RunKind, Shape, largest, part_of
from passes.mapper.counts import Counts
from passes.mapper.held import HeldCounts
from passes.mapper.legality import violations
from passes.mapper.nest import nest_of
from passes.mapper.prediction import Turns, sums_of, whole_cycles
from passes.mapper.pricing import Prices
from passes.mapper.problem import Problem


@dataclass(frozen=True)
class Member:
    """What a link of a group runs: `spec` of all of it, the mapping of its largest turn, and the memories of its holds.

    `kept` has a memory by role (`I`, `K`, `O`, `P0`, ...); `extras` are the shapes of post operands.
    """

    spec: GConv
    mapping: LinkMapping
    kept: Mapping[str, str]
    extras: tuple[tuple[int, ...], ...] = ()

    @property
    def held(self) -> dict[Operand, str]:
        """The memories of the operands that holds keep."""
        return {operand: self.kept[operand] for operand in Operand if operand in self.kept}

    def read_from(self, operand: int, machine: NestMachine) -> str:
        """The memory that a post operand is read from."""
        return self.kept.get(f"P{operand}", machine.memories[0].name)


def member_violations(
    member: Member, shape: Shape, machine: NestMachine, taken: Mapping[str, int], stage: str, node: str
) -> list[Diagnostic]:
    """Every rule that the nest of a link breaks in its largest turn; `taken` are the words that holds leave it not."""
    first = _stored_first(member.mapping)
    found = [
        Diagnostic(
            "CAT-F002",
            f"{role} lies in {memory} when a turn begins, and the nest does not take it from there",
            stage,
            node,
            expected=f"store {memory} [{role}] before all loops",
            found=str(member.mapping),
        )
        for role, memory in member.kept.items()
        if role in tuple(Operand)
        and memory not in first.get(Operand(role), ())[:1]
        and (role != Operand.OUTPUT or role in machine.memory(memory).operands)
    ]
    part = part_of(member.spec, shape)
    if not found and Operand.OUTPUT in member.held and not first.get(Operand.OUTPUT):
        found += _unfinished(member, part, machine, stage, node)
    if found:
        return found
    machine = _passing(_with_holds(machine, member, part, taken), member)
    return violations(part.bare, member.mapping, machine, stage, node)


def _unfinished(member: Member, part: GConv, machine: NestMachine, stage: str, node: str) -> Iterator[Diagnostic]:
    """Sums that come about elsewhere leave for the hold when they are finished, and only then."""
    problem = Problem.of(part)
    counts = Counts(problem, machine, *nest_of(problem, member.mapping))
    if counts.events[f"{machine.memories[0].name}.output.add"][0]:
        memory = member.kept[Operand.OUTPUT]
        message = f"sums leave for {memory}, where the result lies, before they are finished"
        hint = "store O outside of all ks loops"
        yield Diagnostic("CAT-F002", message, stage, node, found=str(member.mapping), hint=hint)


def _stored_first(mapping: LinkMapping) -> dict[Operand, list[str]]:
    """The memories that store operands before any loop, from the outside in."""
    first: dict[Operand, list[str]] = defaultdict(list)
    for node in mapping.nodes:
        if not isinstance(node, Storage):
            break
        for operand in node.operands:
            first[operand].append(node.memory)
    return first


def _with_holds(machine: NestMachine, member: Member, part: GConv, taken: Mapping[str, int]) -> NestMachine:
    """The machine with as many words as holds leave, and those that the nest thinks it needs for what they hold."""
    problem = Problem.of(part)
    counts = Counts(problem, machine, *nest_of(problem, member.mapping))
    room: dict[str, int] = {}
    for memory in machine.memories[1:]:
        if memory.words is None:
            continue
        stored = counts.occupancy.get(memory.name, {})
        inside = (each for each, where in member.held.items() if where == memory.name and each in stored)
        again = [int(stored[each][0]) for each in inside]
        room[memory.name] = (
            memory.words
            - taken.get(memory.name, 0)
            + sum(memory.whole_banks(memory.buffers * words) for words in again)
        )
    return with_words(machine, room, member.held)


def _passing(machine: NestMachine, member: Member) -> NestMachine:
    """A machine whose outer memories let pass what holds further in keep."""
    depth = {memory.name: number for number, memory in enumerate(machine.memories)}
    levels: list[Memory | Axis] = []
    for level in machine.levels:
        if isinstance(level, Memory):
            past = {each for each in member.held if depth[level.name] < depth[member.kept[each]]}
            if past:
                level = level.model_copy(update={"bypass": tuple({*level.bypass, *past})})
        levels.append(level)
    return _with_levels(machine, levels)


def with_words(machine: NestMachine, words: Mapping[str, int], unlimited: Collection[Operand]) -> NestMachine:
    """A machine with other capacities of some memories, and no limits on some of the operands in them."""
    levels: list[Memory | Axis] = []
    for level in machine.levels:
        if isinstance(level, Memory) and level.name in words:
            rooms = {operand: room for operand, room in level.rooms.items() if operand not in unlimited}
            level = level.model_copy(update={"words": max(words[level.name], 1), "rooms": rooms})
        levels.append(level)
    return _with_levels(machine, levels)


def _with_levels(machine: NestMachine, levels: Sequence[Memory | Axis]) -> NestMachine:
    fields = {name: getattr(machine, name) for name in NestMachine.model_fields}
    return NestMachine.model_construct(machine.model_fields_set, **(fields | {"levels": tuple(levels)}))


@dataclass(frozen=True)
class Transfer:
    """Words that go between off-chip and a hold for a link, in all turns: what it is to the link, the hold's memory."""

    role: str
    memory: str
    words: int
    is_fetch: bool

    def events(self, machine: NestMachine) -> tuple[str, str]:
        """What a word of it counts."""
        return transfer_events(self.role if self.is_fetch else Operand.OUTPUT, self.memory, machine)

    def cycles(self, machine: NestMachine) -> float:
        """Cycles that it takes; the slower memory decides."""
        return self.words / transfer_rate(self.memory, machine, is_fetch=self.is_fetch)


def transfer_events(role: str, memory: str, machine: NestMachine) -> tuple[str, str]:
    """What a word counts that goes between off-chip and a hold in a memory; results are sent, others are fetched."""
    outer = machine.memories[0].name
    if role == Operand.OUTPUT:
        return f"{memory}.output.send", f"{outer}.output.update"
    name = NAMES.get(role, "extra")
    return f"{outer}.{name}.read", f"{memory}.{name}.fill"


def transfer_rate(memory: str, machine: NestMachine, *, is_fetch: bool) -> float:
    """Words in a cycle between off-chip and a hold in a memory."""
    outer, inner = machine.memories[0], machine.memory(memory)
    rates = (outer.read, inner.write) if is_fetch else (inner.read, outer.write)
    return min((rate for rate in rates if rate is not None), default=math.inf)


def predict_in_group(
    member: Member, machine: NestMachine, runs: Mapping[RunKind, int], transfers: Iterable[Transfer]
) -> EventCounts:
    """What a link counts in all turns of its group, the transfers included that count for it."""
    counts = predict_runs(member, machine, runs)
    cycles = 0.0
    for transfer in transfers:
        for event in transfer.events(machine):
            counts.events[event] = counts.events.get(event, 0) + transfer.words
        cycles += transfer.cycles(machine)
    counts.cycles = (counts.cycles or 0) + whole_cycles(cycles)
    return counts


def predict_runs(member: Member, machine: NestMachine, runs: Mapping[RunKind, int]) -> EventCounts:
    """What the runs of a link count together, by how often there is each kind."""
    total = EventCounts(dict.fromkeys(sorted(machine.event_names), 0), cycles=0)
    whole = largest(run.shape for run in runs)
    problem = Problem.of(part_of(member.spec, whole))
    nest, tiles = nest_of(problem, member.mapping)
    planned = Counts(problem, machine, nest, tiles)
    for kind, times in runs.items():
        part = part_of(member.spec, kind.shape)
        read = [step.operand for step in part.post if step.operand is not None] if kind.finishes else []
        smaller = problem.of_part(part, [member.extras[operand] for operand in read])
        smaller = smaller.reading_from([member.read_from(operand, machine) for operand in read])
        counted = HeldCounts(smaller, machine, nest, tiles, member.held, planned, begins=kind.begins)
        turns = Turns(smaller, nest, tuple(int(column[0]) for column in tiles))
        run = _predict_run(member, machine, part, counted, turns, finishes=kind.finishes)
        total.add(_times(run, times))
    return total


def _predict_run(
    member: Member, machine: NestMachine, part: GConv, counted: HeldCounts, turns: Turns, *, finishes: bool
) -> EventCounts:
    """What a run counts; without `finishes` its sums stay where they are, and nothing is made of them yet."""
    outer = machine.memories[0].name
    events = {event: int(column[0]) for event, column in counted.events.items()}
    operations = events.pop("operation")
    events["operation.mac" if part.is_multiply_accumulate else "operation.other"] = operations
    outputs = math.prod(part.output_shape) if finishes else 0
    events["operation.post"] = outputs * len(part.post)
    if "O" in member.kept:
        events[f"{member.kept['O']}.output.hold"] = outputs
    else:
        events[f"{outer}.output.repeat"] = outputs - sums_of(part)
    cycles = whole_cycles(Prices(machine).cycles(counted)[0])
    return EventCounts(events, int(counted.steps[0]), turns.of_nest, turns.side_by_side, cycles)


def _times(counts: EventCounts, times: int) -> EventCounts:
    events = {event: times * count for event, count in counts.events.items()}
    cycles = times * (counts.cycles or 0)
    return EventCounts(events, times * counts.array_cycles, times * counts.passes, counts.peak_pes, cycles)
