"""Pass `place-spatial`: a mapped chain becomes buffers with addresses and layers of loops, transfers and passes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from dialects.array_machine import Machine
from dialects.diagnostics import CatenaError, Diagnostic
from dialects.gconv import PASS, GConv, LinkOp, LoopKind
from dialects.gconv.interpreter import main_function
from dialects.locations import describe
from dialects.schedule import HostAttr, LoopAttr, Mapping, MappingAttr, Operand, Spatial, Storage, Temporal
from dialects.spatial import ForOp, LoadOp, OpenOp, PassOp, PlaceOp, SpreadOp, StoreOp
from dialects.target import require_spatial
from passes.assign_host import require_host
from passes.dram import Storages
from passes.groups_if_any import gathered_groups, opened_groups
from passes.mapping.fit import buffer_tiles, violations
from passes.mapping.tiling import Tiling
from passes.placing import Buffers, links_of, place

if TYPE_CHECKING:
    from dialects.groups import KeepOp
    from dialects.hierarchy import Hierarchy
    from passes.place_groups import PlannedGroup


class PlaceSpatialPass(ModulePass):
    """Give tensors addresses and turn every mapped link into a layer of loops, transfers and processing passes.

    The layer of a link that the host executes holds `spatial.offload`. Links of a group become layers of an op that
    says what is done in its turns (`dialects.groups`): their tiles lie behind what the group has in the buffer.
    """

    name = "place-spatial"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = require_spatial(op, "placed")
        groups = opened_groups(op, lambda: _levels_of(machine))
        storages = Storages(main_function(op))
        _require_mappings(links_of(op), machine, storages, groups)
        gathered = gathered_groups(groups)

        def body(link: LinkOp, _: Buffers) -> list[Operation]:
            assert isinstance(link.mapping, MappingAttr)
            if link in groups:
                group = groups[link]
                return _member_body(link, group, gathered[link].keeps(link), machine)
            mapping = link.mapping.data
            return [*_configuration(link.spec, mapping, machine), *_loops(mapping, 0)]

        place(op, machine.dram.words, storages, body, [each.gathered for each in dict.fromkeys(gathered.values())])


def _levels_of(machine: Machine) -> Hierarchy:
    from passes.fusion.memories import levels_of

    return levels_of(machine)


def _member_body(link: LinkOp, group: PlannedGroup, keeps: dict[str, KeepOp], machine: Machine) -> list[Operation]:
    """What stands in the layer of a link of a group: the nest of its largest turn, with tiles behind the holds."""
    from passes.fusion.shapes import largest, part_of

    assert isinstance(link.mapping, MappingAttr)
    mapping, holds_input = link.mapping.data, Operand.INPUT in keeps
    part, taken = part_of(link.spec, largest(group.shapes(link))), group.taken(link).get("glb", 0)
    return [
        *keeps.values(),
        *_configuration(part, mapping, machine, taken, holds_input=holds_input),
        *_loops(mapping, 0, holds_input=holds_input),
    ]


def _member_violations(link: LinkOp, group: PlannedGroup, machine: Machine) -> list[Diagnostic]:
    from passes.fusion.array_members import array_violations

    assert isinstance(link.mapping, MappingAttr)
    kept, shapes, taken = group.kept(link), list(group.shapes(link)), group.taken(link).get("glb", 0)
    return array_violations(link.spec, link.mapping.data, kept, shapes, machine, taken, "placed", describe(link))


def _require_mappings(
    links: Sequence[LinkOp], machine: Machine, storages: Storages, groups: dict[LinkOp, PlannedGroup]
) -> None:
    problems: list[Diagnostic] = []
    legal: set[tuple[GConv, Mapping, bool]] = set()
    for link in links:
        if link in groups:
            problems += _member_violations(link, groups[link], machine)
        elif isinstance(link.mapping, HostAttr):
            require_host(machine, "placed", describe(link))
        elif not isinstance(link.mapping, MappingAttr):
            problems.append(
                Diagnostic(
                    "CAT-R003", "the link has no mapping", "placed", describe(link), hint="run map-row-stationary"
                )
            )
        else:
            in_order = storages.lookups(link)[1] is not None
            spec, mapping = link.spec.bare, link.mapping.data
            if (spec, mapping, in_order) in legal:
                continue
            found = violations(spec, mapping, machine, "placed", describe(link), in_order=in_order)
            problems += found
            if not found:
                legal.add((spec, mapping, in_order))
    if problems:
        raise CatenaError(problems)


def _configuration(
    spec: GConv, mapping: Mapping, machine: Machine, taken: int = 0, *, holds_input: bool = False
) -> list[Operation]:
    """Array configuration and on-chip places: inputs from the first bank, partial sums from the next whole bank.

    Banks of the first `taken` words are left out, and so is an input that a group holds.
    """
    bank = machine.glb.bank_words
    tiles = buffer_tiles(spec, mapping)
    base = -(-taken // bank) * bank
    ops: list[Operation] = []
    ops += [SpreadOp.of(LoopAttr(node.loop), node.tile, node.axis) for node in mapping.spatial]
    if not holds_input:
        ops.append(PlaceOp.of(Operand.INPUT, "glb", base, tiles[Operand.INPUT]))
        base += -(-tiles[Operand.INPUT] // bank) * bank
    if spec.main != PASS:
        sizes = Tiling(spec, mapping).in_pass.largest
        words = math.prod(size for loop, size in sizes.items() if loop.kind is not LoopKind.OPC)
        ops.append(PlaceOp.of(Operand.KERNEL, "spad", 0, words))
    ops.append(PlaceOp.of(Operand.OUTPUT, "glb", base, tiles[Operand.OUTPUT]))
    return ops


def _loops(mapping: Mapping, position: int, *, holds_input: bool = False) -> list[Operation]:
    """The ops of a mapping from node `position` inwards; an input that a group holds is not loaded."""
    if position == len(mapping.nodes):
        return [PassOp.create()]
    inner = _loops(mapping, position + 1, holds_input=holds_input)
    match mapping.nodes[position]:
        case Temporal(loop, tile):
            return [ForOp.of(LoopAttr(loop), tile, inner)]
        case Spatial():
            return inner
        case Storage(_, operands):
            moved = [each for each in operands if each is not Operand.INPUT or not holds_input]
            drain = [StoreOp.create()] if Operand.OUTPUT in operands else []
            return [*map(_transfer, moved), *inner, *drain]


def _transfer(operand: Operand) -> Operation:
    return OpenOp.create() if operand is Operand.OUTPUT else LoadOp.of(operand)
