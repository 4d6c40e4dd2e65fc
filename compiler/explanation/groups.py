"""Fused groups as tables: who takes turns, on what, and what each layer brings from off-chip and works in all turns."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import ArrayAttr
from xdsl.ir import Attribute

from backends.program import GroupEntry
from compiler.explanation.explaining import Explanation, Explanations
from compiler.ir_text import new_context
from compiler.tables import Table, number, shortened, table
from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.fused_attribute import FusedAttr, branch_text, statements, stores
from dialects.fused_mapping import FusedMapping, quoted
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmMapping
from dialects.multicore_machine import MulticoreMachine
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping
from dialects.unicode_parser import UnicodeParser
from passes.explanation.facts import Held
from passes.fusion.memories import levels_of
from passes.mapping_file.statements import written_group
from passes.off_chip import outer_name

_NAME_WIDTH = 36


def group_tables(found: Explanations) -> Iterator[Table]:
    """Two tables for each group whose layers are among those that are explained: its layers, and its mapping."""
    for group in found.groups:
        members = [each for each in found.layers if each.layer.entry.name in group.layers]
        if members:
            yield _layers_table(group, members, found)
            yield _mapping_table(group)


def _layers_table(group: GroupEntry, members: list[Explanation], found: Explanations) -> Table:
    is_of_cores = isinstance(found.machine, MulticoreMachine)
    held = ", ".join(f"{words:,} words of {memory}" for memory, words in group.held.items())
    turns = "1 layer takes turns" if len(group.layers) == 1 else f"{len(group.layers)} layers take turns"
    if (phases := len(_mappings(group))) > 1:
        turns = f"{len(group.layers)} layers in {phases} groups, between which tensors stay"
    title = f"group {group.name}: {turns}; what is held for whole turns fills {held or 'no words'}"
    moved = f"{outer_name(type(found.machine))} words"
    does = "on cores" if is_of_cores else "nest in its largest turn"
    columns = ("layer", number("operations"), number(moved), does)
    rows = [
        (
            shortened(each.layer.told, _NAME_WIDTH),
            f"{each.report.counts.operations:,}",
            f"{outer_words(each, found):,}",
            each.layer.entry.mapping,
        )
        for each in members
    ]
    return table(columns, rows, title)


def outer_words(each: Explanation, found: Explanations) -> int:
    """Words that a layer moves between the outermost memory, of cores the one they share, and all else."""
    is_of_cores = isinstance(found.machine, MulticoreMachine)
    outer = "memory" if is_of_cores else found.memories[0] if found.memories else "dram"
    read, sent = ("input.read", "kernel.read", "extra.read"), ("output.update", "output.add", "output.repeat")
    events = each.report.counts.events
    return sum(events.get(f"{outer}.{name}", 0) for name in (*read, *sent, "output.write"))


def capacities(machine: Accelerator) -> dict[str, int]:
    """The words of memories in which tensors of groups may lie, by name, as far as they have an end."""
    if isinstance(machine, NestMachine):
        memories = machine.memories
    elif isinstance(machine, Machine | GemmMachine):
        memories = levels_of(machine).memories
    else:
        return {}
    return {memory.name: memory.words for memory in memories if memory.words is not None}


def fullest_of(group: GroupEntry, machine: Accelerator) -> Held | None:
    """The memory that a group's tensors leave least room in."""
    room = capacities(machine)
    held = (Held(name, {}, words, room[name]) for name, words in group.held.items() if name in room)
    return max(held, key=lambda each: each.share, default=None)


def _mapping_table(group: GroupEntry) -> Table:
    return table(("turns, outermost loop first, and where tensors lie",), [(line,) for line in _mapping_lines(group)])


def _mapping_lines(group: GroupEntry) -> Iterator[str]:
    if not group.mapping:
        yield "the program does not say"
        return
    for each in _mappings(group):
        if isinstance(each, FusedAttr):
            yield from _lines_of(each.data)
        else:
            yield str(each)


def fused_mappings(group: GroupEntry) -> tuple[FusedMapping, ...]:
    """The mappings of a group, or of the groups between which tensors stay; none of those that are of cores."""
    return tuple(each.data for each in _mappings(group) if isinstance(each, FusedAttr))


def _mappings(group: GroupEntry) -> tuple[Attribute, ...]:
    """The mapping of a group, or those of groups between which tensors stay, which are one in a program."""
    if not group.mapping:
        return ()
    attribute = UnicodeParser(new_context(), group.mapping).parse_attribute()
    return tuple(attribute) if isinstance(attribute, ArrayAttr) else (attribute,)


def _lines_of(mapping: FusedMapping) -> Iterator[str]:
    if all(isinstance(branch, Mapping | GemmMapping) for _, branch in mapping.branches):
        # as a mapping file has it, to be taken over
        yield from written_group([link for link, _ in mapping.branches], mapping).splitlines()
        return
    yield from statements(mapping)
    yield f"{mapping.stages} {{"
    yield from (f"    {line}" for line in stores(mapping, None))
    yield from (f"    {quoted(link)}: {branch_text(branch)}" for link, branch in mapping.branches)
    yield "}"
