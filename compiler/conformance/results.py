"""The recorded outcome of every case: `results.tsv`, a line a case, with the version of ONNX in the first one."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backends.registry import bundled_backends
from compiler.files import read_text, write_text

if TYPE_CHECKING:
    from compiler.conformance.cases import Case
    from compiler.conformance.suite import Outcome

RESULTS = Path(__file__).with_name("results.tsv")
INTERPRETER = "interpreter"
PASSED = "passed"
EXCLUDED = "excluded: "
NODE = "node"
"""The kind of the cases of single operators."""

EXPANDED = re.compile(r"_expanded(_ver\d+)?$")
"""The end of the name of a case whose operator has been replaced by its definition in other operators."""

_COLUMNS = ("case", "kind", "operator", "links")


@dataclass(frozen=True)
class Row:
    """What is recorded of a case: the links it is lowered to, if it is, and its status on each engine."""

    case: str
    kind: str
    operator: str
    links: int | None
    statuses: Mapping[str, str]

    @property
    def is_expanded(self) -> bool:
        """Whether the model holds the definition of the operator instead of the operator."""
        return EXPANDED.search(self.case) is not None

    @property
    def excluded(self) -> str:
        """Why the case does not count, "" if it does."""
        status = next(iter(self.statuses.values()), "")
        return status.removeprefix(EXCLUDED) if status.startswith(EXCLUDED) else ""


@dataclass(frozen=True)
class Results:
    """The outcome of all cases of one version of ONNX, sorted by name."""

    onnx_version: str
    rows: tuple[Row, ...]

    def text(self) -> str:
        """The content of the file."""
        engines = list(self.rows[0].statuses) if self.rows else []
        stream = io.StringIO()
        writer = csv.writer(stream, dialect="excel-tab", lineterminator="\n")
        writer.writerow(["onnx", self.onnx_version])
        writer.writerow([*_COLUMNS, *engines])
        for row in self.rows:
            links = "" if row.links is None else row.links
            writer.writerow([row.case, row.kind, row.operator, links, *(row.statuses[name] for name in engines)])
        return stream.getvalue()


def parse_results(text: str) -> Results:
    """The results in the content of a file."""
    (_, version), (*head,), *lines = csv.reader(io.StringIO(text), dialect="excel-tab")
    engines = head[len(_COLUMNS) :]
    rows = (
        Row(case, kind, operator, int(links) if links else None, dict(zip(engines, statuses, strict=True)))
        for case, kind, operator, links, *statuses in lines
    )
    return Results(version, tuple(rows))


def read_results() -> Results:
    """The recorded results."""
    return parse_results(read_text(str(RESULTS)))


def write_results(results: Results) -> None:
    """Record results."""
    write_text(RESULTS, results.text())


def recorded_engines() -> tuple[str, ...]:
    """The engines that results are recorded for: the interpreter, and the emulator of each of Catena's backends."""
    return (INTERPRETER, *(backend.name for backend in bundled_backends()))


def rows_of(cases: Iterable[Case], outcomes: Mapping[str, Mapping[str, Outcome]]) -> list[Row]:
    """What to record of cases, given what became of them by engine and name."""
    rows: list[Row] = []
    for case in cases:
        if case.excluded:
            statuses = dict.fromkeys(outcomes, EXCLUDED + case.excluded)
            rows.append(Row(case.name, case.kind, case.operator, None, statuses))
            continue
        statuses = {engine: found[case.name].status for engine, found in outcomes.items()}
        links = [found[case.name].links for found in outcomes.values()]
        rows.append(Row(case.name, case.kind, case.operator, links[0], statuses))
    return rows


def changes(before: Sequence[Row], after: Sequence[Row]) -> list[str]:
    """A line for every case that is recorded in another way, is new, or is gone; only engines in both count."""
    old, new = ({row.case: row for row in rows} for rows in (before, after))
    lines = [f"{name}: no such case" for name in old if name not in new]
    for name, row in new.items():
        recorded = old.get(name)
        if recorded is None:
            lines.append(f"{name}: new")
            continue
        for engine in row.statuses.keys() & recorded.statuses.keys():
            if row.statuses[engine] != recorded.statuses[engine]:
                lines.append(f"{name}: {recorded.statuses[engine]} -> {row.statuses[engine]} on {engine}")
        if (row.links, row.operator) != (recorded.links, recorded.operator):
            lines.append(f"{name}: {recorded.links} -> {row.links} links")
    return sorted(lines)
