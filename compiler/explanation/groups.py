"""Fused groups as tables: who takes turns, on what, and what each layer brings from off-chip and works in all turns."""

from __future__ import annotations

from collections.abc import Iterator

from backends.program import GroupEntry
from compiler.explanation.explaining import Explanation, Explanations
from compiler.ir_text import new_context
from compiler.tables import Table, number, shortened, table
from dialects.fused_attribute import FusedAttr, branch_text, statements, stores
from dialects.fused_mapping import quoted
from dialects.multicore_machine import MulticoreMachine
from dialects.unicode_parser import UnicodeParser

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
    outer = "memory" if is_of_cores else found.memories[0] if found.memories else "dram"
    held = ", ".join(f"{words:,} words of {memory}" for memory, words in group.held.items())
    title = f"group {group.name}: {len(group.layers)} layers take turns; their tensors take {held or 'no words'}"
    moved, does = ("bus words", "on cores") if is_of_cores else ("off-chip words", "nest in its largest turn")
    columns = ("layer", number("operations"), number(moved), does)
    rows = [
        (
            shortened(each.layer.entry.name, _NAME_WIDTH),
            f"{each.report.counts.operations:,}",
            f"{_words(each, outer):,}",
            each.layer.entry.mapping,
        )
        for each in members
    ]
    return table(columns, rows, title)


def _words(each: Explanation, outer: str) -> int:
    read, sent = ("input.read", "kernel.read", "extra.read"), ("output.update", "output.add", "output.repeat")
    events = each.report.counts.events
    return sum(events.get(f"{outer}.{name}", 0) for name in (*read, *sent, "output.write"))


def _mapping_table(group: GroupEntry) -> Table:
    return table(("turns, outermost loop first, and where tensors lie",), [(line,) for line in _mapping_lines(group)])


def _mapping_lines(group: GroupEntry) -> Iterator[str]:
    if not group.mapping:
        yield "the program does not say"
        return
    attribute = UnicodeParser(new_context(), group.mapping).parse_attribute()
    if not isinstance(attribute, FusedAttr):
        yield group.mapping
        return
    depth = 0
    for line in statements(attribute.data):
        yield "  " * depth + line
        depth += line.startswith("for ")
    yield "  " * depth + f"{attribute.data.stages} {{"
    for line in stores(attribute.data, None):
        yield "  " * (depth + 1) + line
    for link, branch in attribute.data.branches:
        yield "  " * (depth + 1) + f"{quoted(link)}: {branch_text(branch)}"
    yield "  " * depth + "}"
