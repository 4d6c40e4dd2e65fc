"""fuse-layers: links become groups that take turns on tiles, so that less is moved off-chip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.fused_attribute import FusedAttr
from dialects.fused_mapping import FusedMapping
from dialects.gconv import LinkOp
from dialects.gconv.interpreter import main_function
from dialects.gconv.spec import LoopKind
from dialects.nest_machine import NestMachine
from dialects.schedule import Operand
from dialects.target import find_machine
from passes.fusion.group import Group
from passes.fusion.grouping import group_links, group_problems
from passes.fusion.holds import addresses, misfits, plan_group
from passes.fusion.names import chain_names, group_names
from passes.fusion.network import Chosen, GroupSearches, NetworkSearch, NetworkSpace
from passes.fusion.runs import fusible_runs, network_of
from passes.fusion.space import Space

LOWERED = (LoopKind.G, LoopKind.OP, LoopKind.OPC)
"""Loops around groups that code is made of: between turns of others sums would stay unfinished."""


@dataclass(frozen=True)
class FuseLayersPass(ModulePass):
    """Make a `gconv.fused` of links in a row wherever this moves less over the off-chip link.

    The network of groups with the least traffic within the outermost memory on the chip, of at most `longest` links
    each (`passes.fusion.network`), is found by search. Groups take at most a tenth more operations, to make halos
    again. Links that are left alone keep their own mappings for later passes; links with a mapping join no group. It
    needs the machine in the module, of levels.

    Raises `CatenaError` (CAT-U006) if the outermost memory on the chip is not outside of the array, has no size, or
    takes no inputs or kernels.
    """

    name = "fuse-layers"

    longest: int = 3

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Form groups in every run of links."""
        machine = _machine(op)
        memory = machine.memories[1]
        groups = Space(kinds=LOWERED, most_loops=2, fewest_turns=4, all_joins=False)
        searches = GroupSearches(memory.name, NetworkSpace(self.longest, 0, groups))
        function = main_function(op)
        for run in list(fusible_runs(function)):
            self._fuse(function, run, machine, searches)

    def _fuse(self, function: FuncOp, run: list[LinkOp], machine: NestMachine, searches: GroupSearches) -> None:
        words, called = machine.memories[1].words, group_names(run, chain_names(function))
        network = network_of(run, function)
        if network is None or words is None:
            return
        search = NetworkSearch(network, words, searches, lambda group, mapping: _runs_on(group, mapping, machine))
        plan = search.run()
        place = 0
        for part in plan.parts if plan else ():
            links = run[place : place + len(part.group.links)]
            place += len(links)
            if len(links) > 1 and not group_problems(links):
                _form(function, links, part, called)


def _machine(module: ModuleOp) -> NestMachine:
    machine = find_machine(module)
    if isinstance(machine, NestMachine) and len(machine.memories) > 1:
        outermost = machine.memories[1]
        takes_operands = {Operand.INPUT, Operand.KERNEL} <= {*outermost.operands}
        if outermost.words is not None and takes_operands and not machine.axes_outside(outermost.name):
            return machine
    message = "layers are fused on machines of levels that have, outside of all axes, a memory of some size for I and K"
    found, hint = "no machine" if machine is None else machine.name, "take another target, or do without --fuse"
    raise CatenaError(Diagnostic("CAT-U006", message, "mapped", found=found, hint=hint))


def _runs_on(group: Group, mapping: FusedMapping, machine: NestMachine) -> bool:
    """Whether code can be made of a mapping."""
    try:
        plan = plan_group(group, mapping, machine, "mapped", "")
    except CatenaError:
        return False
    placed = addresses(plan.holds, tuple(link.name for link in group.links), machine)
    return not list(misfits(plan, placed, machine, "mapped", ""))


def _form(function: FuncOp, links: list[LinkOp], part: Chosen, called: Mapping[SSAValue, str]) -> None:
    """Make a group of links, with the mapping that was found of them; `called` are the names that it has."""
    known = chain_names(function)
    names = {called[value]: name for value, name in group_names(links, known).items() if value in called}
    retentions = (replace(each, tensor=names.get(each.tensor, each.tensor)) for each in part.mapping.retentions)
    group = group_links(links, known=known)
    group.properties["mapping"] = FusedAttr.of(replace(part.mapping, retentions=tuple(retentions)))
