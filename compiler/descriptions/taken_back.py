"""What a description says as if to take something back that it changes, where there is nothing to take back.

A weight of 1 and a kind of access with no events mean something only on top of another description that says otherwise.
So do levels that a nest does not use: what comes from another description stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from compiler.descriptions.files import DescribedTarget
from dialects.diagnostics import Diagnostic
from dialects.nest_machine import NestMachine
from dialects.toml_text import dotted
from passes.mapper.dataflow import parse_dataflow

_Tables = Mapping[str, Any]


def taken_back(described: DescribedTarget, machine: NestMachine) -> Iterator[Diagnostic]:
    """All that has no effect (CAT-C003) because no description that is changed says otherwise."""
    written = described.as_written
    changed = [each.description for each in (*(written.chain if written else ()), *described.chain[1:])]
    yield from _accesses(described.description, changed)
    for event, times in _table(described.description, "dataflow", "weigh").items():
        if times == 1 and not any(event in _table(each, "dataflow", "weigh") for each in changed):
            message = f"dataflow.weigh: {event!r} weighs as much anyway"
            hint = "leave it out: 1 takes back what another description has"
            yield _wrong(message, "another factor", f"{event} = {times:g}", hint)
    yield from _unused(machine, changed)


def _accesses(description: _Tables, changed: Sequence[_Tables]) -> Iterator[Diagnostic]:
    for name in _table(description, "accesses"):
        shown = dotted(["accesses", name, "events"])
        if not _table(description, "accesses", name, "events") and not any(
            name in _table(each, "accesses") for each in changed
        ):
            hint = "list events with how often each is such an access, or leave the table out"
            yield _wrong(f"{shown}: nothing is an access of this kind", "at least one event", "{}", hint)


def _unused(machine: NestMachine, changed: Sequence[_Tables]) -> Iterator[Diagnostic]:
    """Memories and axes that no mapping of the dataflow uses."""
    if machine.dataflow is None:
        return
    nodes = parse_dataflow(machine).nodes
    stored, laid = {node.memory for node in nodes}, {node.axis for node in nodes}
    known = {name for each in changed for name in _table(each, "levels")}
    for what, levels, used, statement in (
        ("the nest stores nothing there", machine.memories[1:], stored, "store {} [I]"),
        ("the nest lays nothing along it", machine.axes, laid, "par channels 1 on {}"),
    ):
        for level in levels:
            if level.name not in used and level.name not in known:
                hint = "add such a statement to dataflow.nest, or leave the level out"
                yield _wrong(f"{dotted(['levels', level.name])}: {what}", statement.format(level.name), "none", hint)


def _wrong(message: str, expected: str, found: str, hint: str) -> Diagnostic:
    return Diagnostic("CAT-C003", message, "target", "", "", expected, found, hint)


def _table(description: _Tables, *path: str) -> _Tables:
    """A table of a description, empty if it has none there."""
    table: object = description
    for name in path:
        table = cast("_Tables", table).get(name) if isinstance(table, Mapping) else None
    return cast("_Tables", table) if isinstance(table, Mapping) else {}
