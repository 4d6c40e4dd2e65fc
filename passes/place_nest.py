"""Pass `place-nest`: a mapped chain becomes buffers with addresses, places in memories, and nests of transfers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import IntegerAttr, ModuleOp, StringAttr, UnitAttr, i64
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import main_function
from dialects.levels import ComputeOp, DrainOp, FillOp, OpenOp, ParOp, PlaceOp, numbers
from dialects.locations import describe
from dialects.nest_machine import NestMachine
from dialects.schedule import HostAttr, LoopAttr, MappingAttr, Operand
from dialects.spatial import ForOp
from dialects.target import require_nest_machine
from passes.assign_host import require_host
from passes.dram import Storages
from passes.groups_if_any import gathered_groups, opened_groups
from passes.mapper.counts import Counts
from passes.mapper.held import HeldCounts
from passes.mapper.legality import violations
from passes.mapper.nest import For, Par, Store, nest_of
from passes.mapper.problem import Problem
from passes.mapper.transfers import Plan, plan
from passes.placing import Buffers, links_of, place

if TYPE_CHECKING:
    from dialects.groups import KeepOp
    from passes.fusion.members import Member
    from passes.place_groups import PlannedGroup

NO_KEEPS: Mapping[str, KeepOp] = MappingProxyType({})


class PlaceNestPass(ModulePass):
    """Give tensors addresses and turn every mapped link into a layer of places, loops and transfers.

    Tiles lie one behind the other in each memory. Where sums leave the chip before they are finished, they wait behind
    the tensors in the outermost memory. The layer of a link that the host executes holds `spatial.offload`.
    Links of a group become layers of an op that says what is done in its turns (`dialects.groups`).
    """

    name = "place-nest"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_nest_machine(op, "placed")
        groups = opened_groups(op, lambda: machine)
        storages = Storages(main_function(op))
        _require_mappings(links_of(op), machine, storages, groups)
        gathered = gathered_groups(groups)

        def body(link: LinkOp, buffers: Buffers) -> list[Operation]:
            assert isinstance(link.mapping, MappingAttr)
            if link in groups:
                group = groups[link]
                return _member_body(link, group, gathered[link].keeps(link), machine, buffers)
            problem = Problem.of(link.spec)
            mapping = link.mapping.data
            counts = Counts(problem, machine, *nest_of(problem, mapping))
            places = _places(problem, counts, machine, buffers.end, {})
            return [*places, *_nest(plan(problem, mapping, machine), 0)]

        place(op, None, storages, body, [each.gathered for each in dict.fromkeys(gathered.values())])


def _member_body(
    link: LinkOp, group: PlannedGroup, keeps: dict[str, KeepOp], machine: NestMachine, buffers: Buffers
) -> list[Operation]:
    """What stands in the layer of a link of a group: the nest of its largest turn, with outermost tiles in holds."""
    from passes.fusion.shapes import largest, part_of

    member = _member(link, group)
    problem = Problem.of(part_of(link.spec, largest(group.shapes(link))))
    first = [keep for role, keep in keeps.items() if role not in (Operand.INPUT, Operand.KERNEL)]
    counts = HeldCounts(problem, machine, *nest_of(problem, member.mapping), kept=member.held)
    places = _places(problem, counts, machine, buffers.end, group.taken(link))
    return [*first, *places, *_nest(plan(problem, member.mapping, machine), 0, keeps)]


def _member(link: LinkOp, group: PlannedGroup) -> Member:
    from passes.fusion.members import Member

    assert isinstance(link.mapping, MappingAttr)
    kept = {role: group.plan.holds[number].memory for role, number in group.kept(link).items()}
    return Member(link.spec, link.mapping.data, kept)


def _member_violations(link: LinkOp, group: PlannedGroup, machine: NestMachine) -> list[Diagnostic]:
    from passes.fusion.members import member_violations
    from passes.fusion.shapes import largest

    shape, taken = largest(group.shapes(link)), group.taken(link)
    return member_violations(_member(link, group), shape, machine, taken, "placed", describe(link))


def _require_mappings(
    links: list[LinkOp], machine: NestMachine, storages: Storages, groups: dict[LinkOp, PlannedGroup]
) -> None:
    problems: list[Diagnostic] = []
    for link in links:
        if link in groups:
            problems += _member_violations(link, groups[link], machine)
        elif isinstance(link.mapping, HostAttr):
            require_host(machine, "placed", describe(link))
        elif not isinstance(link.mapping, MappingAttr):
            message = "the link has no mapping"
            problems.append(Diagnostic("CAT-R003", message, "placed", describe(link), hint="run map-nest"))
        else:
            in_order = storages.lookups(link)[1] is not None
            problems += violations(link.spec, link.mapping.data, machine, "placed", describe(link), in_order=in_order)
    if problems:
        raise CatenaError(problems)


def _places(
    problem: Problem, counts: Counts, machine: NestMachine, end: int, taken: Mapping[str, int]
) -> Iterator[Operation]:
    """A place for every tile, and one from word `end` of the outermost memory for sums that come back to it.

    Tiles lie behind the words of each memory that are `taken`.
    """
    outermost = machine.memories[0].name
    if counts.events.get(f"{outermost}.output.add", (0,))[0]:
        sums = 1
        for loop, extent in enumerate(problem.extents):
            sums *= extent if problem.is_relevant(Operand.OUTPUT, loop) else 1
        yield PlaceOp.of(Operand.OUTPUT, outermost, end, sums)
    for memory in machine.memories[1:]:
        address = memory.whole_banks(taken.get(memory.name, 0))
        held = counts.occupancy.get(memory.name, {})
        for operand in (each for each in Operand if each in held):
            words = int(held[operand][0])
            yield PlaceOp.of(operand, memory.name, address, words)
            address += memory.whole_banks(words)


def _nest(made: Plan, position: int, keeps: Mapping[str, KeepOp] = NO_KEEPS) -> list[Operation]:
    """The ops of a nest from node `position` inwards; `keeps` stand for tiles that lie in holds."""
    nodes = made.nest.nodes
    if position == len(nodes):
        return [_compute(made)]
    node, tile = nodes[position], made.tiles[position]
    if isinstance(node, Store) and node.operand in keeps and node.operand is not Operand.OUTPUT:
        rest = {role: keep for role, keep in keeps.items() if role != node.operand}
        return [keeps[node.operand], *_nest(made, position + 1, rest)]
    inner = _nest(made, position + 1, keeps)
    match node:
        case For(loop):
            return [ForOp.of(LoopAttr(made.problem.loops[loop]), tile, inner)]
        case Par(loop, axis):
            return [ParOp.of(LoopAttr(made.problem.loops[loop]), tile, axis, inner)]
        case Store(memory, Operand.OUTPUT):
            transfer = made.at(position, Operand.OUTPUT)
            once = IntegerAttr(transfer.once, i64)
            opening = OpenOp(properties={"memory": StringAttr(memory), "once": once})
            drain = DrainOp(
                properties={"memory": StringAttr(memory), "target": StringAttr(transfer.upper), "once": once}
            )
            return [opening, *inner, drain]
        case Store(memory, operand):
            return [_fill(made, position, memory, operand), *inner]


def _fill(made: Plan, position: int, memory: str, operand: Operand) -> FillOp:
    transfer = made.at(position, operand)
    return FillOp(
        properties={
            "operand_name": StringAttr(operand),
            "source": StringAttr(transfer.upper),
            "memory": StringAttr(memory),
            "once": IntegerAttr(transfer.once, i64),
            "slides": UnitAttr() if transfer.slides else None,
            "shared": numbers(transfer.shared),
        }
    )


def _compute(made: Plan) -> ComputeOp:
    end = len(made.nest.nodes)
    source, result = made.at(end, Operand.INPUT), made.at(end, Operand.OUTPUT)
    kernel = made.at(end, Operand.KERNEL) if Operand.KERNEL in made.problem.operands else None
    return ComputeOp(
        properties={
            "input_memory": StringAttr(source.upper),
            "input_shared": numbers(source.shared),
            "kernel_memory": None if kernel is None else StringAttr(kernel.upper),
            "kernel_shared": None if kernel is None else numbers(kernel.shared),
            "output_memory": StringAttr(result.upper),
        }
    )
