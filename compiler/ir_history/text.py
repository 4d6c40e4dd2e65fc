"""What passes did, for a terminal: a table of passes, and differences op by op."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from compiler.ir_history.comparing import Change, Kind
from compiler.ir_history.history import Step
from compiler.tables import Table, number, table
from dialects.diagnostics import CatenaError, Diagnostic, did_you_mean

ALL = "all"
KINDS_SHOWN = 4


class Mark(StrEnum):
    """What a line of a difference is."""

    HEAD = "head"
    NODES = "nodes"
    REMOVED = "-"
    ADDED = "+"
    MOVED = "~"


@dataclass(frozen=True)
class MarkedLine:
    """A line of a difference."""

    mark: Mark
    text: str


def passes_table(steps: Sequence[Step]) -> Table:
    """One row a pass: what it did, how many ops there are then, of which kinds there are more or fewer."""
    rows = [
        (
            step.stage,
            step.name,
            *(str(step.counts[kind] or "") for kind in Kind),
            f"{sum(step.kinds.values()):,}",
            f"{_characters(step) / 1000:,.1f}",
            "" if step.seconds is None else f"{1000 * step.seconds:,.0f}",
            _kinds(step),
        )
        for step in steps
    ]
    counts = (number(str(kind)) for kind in Kind)
    columns = ("stage", "pass", *counts, number("ops"), number("text kB"), number("wall ms"), "kinds of ops")
    return table(columns, rows, "Passes, and what each did to the IR")


def selected(steps: Sequence[Step], which: str) -> list[Step]:
    """The steps of a pass or a stage, or `all` that did anything.

    Raises `CatenaError` (CAT-C001) if nothing of that name ran.
    """
    if which == ALL:
        return [step for step in steps if step.changes]
    found = [step for step in steps if which in (step.name, step.stage)]
    if not found:
        names = dict.fromkeys((ALL, *(step.stage for step in steps if step.stage), *(step.name for step in steps)))
        message = f"no pass or stage {which!r} has run"
        raise CatenaError(Diagnostic("CAT-C001", message, hint=did_you_mean(which, names)))
    return found


def of_node(steps: Sequence[Step], node: str) -> list[Step]:
    """The steps that did anything to an ONNX node. Raises `CatenaError` (CAT-C001) if none of them knows it."""
    found = [step for step in steps if changes_of(step, node)]
    if not found and steps:
        names = dict.fromkeys(
            name for step in steps for each in step.changes for name in (*each.nodes, *each.came_from)
        )
        if node not in names:
            message = f"no pass did anything to a node {node!r}"
            raise CatenaError(Diagnostic("CAT-C001", message, hint=did_you_mean(node, names)))
    return found


def changes_of(step: Step, node: str | None) -> list[Change]:
    """What a step did, or only what concerns an ONNX node."""
    return [each for each in step.changes if node is None or node in each.nodes or node in each.came_from]


def change_lines(steps: Iterable[Step], node: str | None = None) -> Iterator[MarkedLine]:
    """Differences op by op, under the ONNX nodes that they came from."""
    for step in steps:
        found = changes_of(step, node)
        place = f"{step.stage}: {step.name}" if step.stage else step.name
        yield MarkedLine(Mark.HEAD, f"// ----- {place}: {summary(found)} -----")
        nodes: tuple[str, ...] | None = None
        for each in found:
            if each.nodes != nodes:
                nodes = each.nodes
                yield MarkedLine(Mark.NODES, f"// {' + '.join(nodes) or 'no node'}")
            yield from _lines(step, each)


def summary(found: Sequence[Change]) -> str:
    """`3 added, 1 changed`."""
    counts = [(kind, sum(each.kind is kind for each in found)) for kind in Kind]
    return ", ".join(f"{count:,} {kind}" for kind, count in counts if count) or "nothing"


def steps_json(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """What each pass did, in numbers."""
    return [
        {
            "stage": step.stage,
            "pass": step.spec,
            "seconds": step.seconds,
            **{str(kind): count for kind, count in step.counts.items()},
            "ops": dict(sorted(step.kinds.items())),
            "characters": _characters(step),
        }
        for step in steps
    ]


def changes_json(steps: Sequence[Step], node: str | None = None) -> list[dict[str, Any]]:
    """The changes of every pass, with the text of their ops."""
    return [
        {
            "stage": step.stage,
            "pass": step.spec,
            "changes": [
                {
                    "kind": str(each.kind),
                    "op": each.name,
                    "nodes": list(each.nodes),
                    "what": list(each.what),
                    "before": step.line_before(each),
                    "after": step.line_after(each),
                }
                for each in changes_of(step, node)
            ],
        }
        for step in steps
    ]


def _lines(step: Step, each: Change) -> Iterator[MarkedLine]:
    before, after = step.line_before(each), step.line_after(each)
    if each.kind is Kind.MOVED:
        yield MarkedLine(Mark.MOVED, f"~ {after}")
        return
    if before is not None:
        yield MarkedLine(Mark.REMOVED, f"- {before}")
    if after is not None:
        what = f"  // {', '.join(each.what)}" if each.what else ""
        yield MarkedLine(Mark.ADDED, f"+ {after}{what}")


def _characters(step: Step) -> int:
    return sum(len(line) + 1 for line in step.after.lines)


def _kinds(step: Step) -> str:
    """The kinds of which there are more or fewer, those that differ most first."""
    differ = {name: step.kinds[name] - step.kinds_before[name] for name in {*step.kinds, *step.kinds_before}}
    found = sorted((name for name, more in differ.items() if more), key=lambda name: (-abs(differ[name]), name))
    shown = [f"{differ[name]:+,} {name}" for name in found[:KINDS_SHOWN]]
    return ", ".join(shown + ([f"{len(found) - KINDS_SHOWN} kinds more"] if len(found) > KINDS_SHOWN else []))
