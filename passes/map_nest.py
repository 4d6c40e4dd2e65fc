"""Pass `map-nest`: give every link of the chain a mapping onto the module's hierarchy of memories and axes."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import GConv, LinkOp
from dialects.gconv.interpreter import main_function
from dialects.locations import describe
from dialects.schedule import HostAttr, Mapping, MappingAttr
from dialects.target import NestMachine, require_nest_machine
from passes.assign_host import require_host
from passes.mapper.effort import Effort
from passes.mapper.free import best_mapping
from passes.mapper.legality import violations
from passes.mapper.search import best_in_dataflow
from passes.storage import Storage

_EFFORT = 100_000
"""Parts of mappings that are looked at for one link, at most: about a second."""


@dataclass(frozen=True)
class MapNestPass(ModulePass):
    """Search the best mapping of every link that has none, and check those that are given.

    Links with the same loops are searched once: in the machine's dataflow if it has one, otherwise among all mappings,
    with an effort that does not depend on the time it takes. Links whose results are
    updates at computed addresses are not cut, so that these leave in order. Links that the host executes keep
    `#schedule.host`.
    """

    name = "map-nest"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_nest_machine(op, "mapped")
        found: dict[GConv, MappingAttr] = {}
        problems: list[Diagnostic] = []
        block = main_function(op).body.block
        storage = Storage(block)
        for link in block.ops:
            if not isinstance(link, LinkOp):
                continue
            try:
                problems += _map(link, machine, found, in_order=storage.update(link.result) is not None)
            except CatenaError as error:
                problems += error.diagnostics
        if problems:
            raise CatenaError(problems)


def _best(spec: GConv, machine: NestMachine, node: str) -> Mapping:
    """The best mapping of the machine's dataflow, or the best of all that the search comes by within its effort."""
    if machine.dataflow is not None:
        return best_in_dataflow(spec, machine, node).mapping
    return best_mapping(spec, machine, node, effort=Effort(_EFFORT)).mapping


def _map(link: LinkOp, machine: NestMachine, found: dict[GConv, MappingAttr], *, in_order: bool) -> list[Diagnostic]:
    """Give a link its mapping, or one of `found`; what is wrong with it."""
    node = describe(link)
    match link.mapping:
        case None if in_order:
            link.properties["mapping"] = mapping = MappingAttr(Mapping(()))
        case None:
            loops = link.spec.bare
            if loops in found:
                # Checked on the first link with these loops.
                link.properties["mapping"] = found[loops]
                return []
            mapping = MappingAttr(_best(loops, machine, node))
            link.properties["mapping"] = found[loops] = mapping
        case MappingAttr():
            mapping = link.mapping
        case HostAttr():
            require_host(machine, "mapped", node)
            return []
        case _:
            found_text = str(link.mapping)
            message = "this notation is of another kind of machine"
            return [Diagnostic("CAT-R003", message, "mapped", node, expected="#schedule.mapping", found=found_text)]
    return violations(link.spec, mapping.data, machine, "mapped", node, in_order=in_order)
