"""Running the kit on a target: which cases there are, what became of each, and the tables of it."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from compiler.backend_kit.checking import Finding, check_model, depends_on_data
from compiler.backend_kit.models import SmallModel
from compiler.backend_kit.networks import NETWORKS, build_network
from compiler.backend_kit.operators import EVERY_ENGINE, operator_cases
from compiler.displaying import Displayed, Part
from compiler.tables import Table, table
from compiler.targets import Target
from dialects.diagnostics import CODES, CatenaError, Diagnostic, ExitCode

NETWORK = "network"
"""The type under which networks stand in tables."""
_REFUSALS = (ExitCode.UNSUPPORTED, ExitCode.DOES_NOT_FIT)


class Status(StrEnum):
    """What became of a case. `REFUSED`: the target said that it cannot, with a code that says so."""

    PASSED = "passed"
    REFUSED = "refused"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Case:
    """A model to run: its row and its column in the table, what makes it, and whether all engines have to run it."""

    name: str
    row: str
    column: str
    build: Callable[[], SmallModel]
    every_engine: bool = True


@dataclass(frozen=True)
class CaseResult:
    """What became of a case; `findings` say why it failed, or with which code it was refused."""

    case: Case
    status: Status
    findings: tuple[Finding, ...] = ()

    @property
    def json(self) -> dict[str, Any]:
        """As plain data."""
        found = [{"check": each.check, "message": each.message} for each in self.findings]
        return {"case": self.case.name, "status": self.status.value, "findings": found}


@dataclass(frozen=True)
class KitReport(Displayed):
    """What became of all cases on a target."""

    target: str
    counts_compared: bool
    results: tuple[CaseResult, ...] = field(default=())

    def having(self, status: Status) -> list[CaseResult]:
        """The cases of which this became."""
        return [each for each in self.results if each.status is status]

    @property
    def conforms(self) -> bool:
        """Whether all cases were run, none failed, and at least one network passed if there were any."""
        networks = [each.status for each in self.results if each.case.column == NETWORK]
        if self.having(Status.FAILED) or self.having(Status.NOT_RUN):
            return False
        return Status.PASSED in networks if networks else bool(self.having(Status.PASSED))

    @property
    def exit_code(self) -> ExitCode:
        """That of the command."""
        if self.conforms:
            return ExitCode.OK
        return ExitCode.PARTIAL if self.having(Status.NOT_RUN) and not self.having(Status.FAILED) else ExitCode.MISMATCH

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Every finding of cases that failed."""
        found = [
            Diagnostic(
                "CAT-V003", each.message, "conformance", result.case.name, expected=_EXPECTED.get(each.check, "")
            )
            for result in self.having(Status.FAILED)
            for each in result.findings
        ]
        if not found and not self.conforms and not self.having(Status.NOT_RUN):
            message = "no network can be compiled: a backend that refuses all of them conforms to nothing"
            found.append(Diagnostic("CAT-V003", message, "conformance", expected="a network that runs"))
        return tuple(found)

    @property
    def json(self) -> dict[str, Any]:
        """As plain data."""
        totals = {status.value: len(self.having(status)) for status in Status}
        return {
            "target": self.target,
            "conforms": self.conforms,
            "counts_compared": self.counts_compared,
            "totals": totals,
            "cases": [each.json for each in self.results],
        }

    def table(self) -> Table:
        """Cases that passed of those that there are, by operator and type; what was refused, and what failed."""
        columns = list(dict.fromkeys(each.case.column for each in self.results))
        rows = list(dict.fromkeys(each.case.row for each in self.results))
        cells = [[row, *(_cell(self._at(row, column)) for column in columns)] for row in rows]
        return table(("case", *columns), cells, f"Conformance of {self.target}: cases that passed, of all")

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [self.table()]

    def _at(self, row: str, column: str) -> list[CaseResult]:
        return [each for each in self.results if (each.case.row, each.case.column) == (row, column)]


_OF_OTHERS = {"compiler", "backends", "passes", "dialects", "numpy", "onnx", "xdsl", *sys.stdlib_module_names}
"""Packages whose code is not a plug-in's."""

_EXPECTED = {
    "outputs": "what the interpreter of the chain computes",
    "counts": "what the cost model predicts",
    "single layers": "the same tensors as in a run of the whole program",
    "assembly": "the same bytes",
    "bytes": "the same bytes",
    "error": "a program, or a refusal (exit code 3 or 4)",
}


def _cell(results: Sequence[CaseResult]) -> str:
    if not results:
        return ""
    parts = [f"{sum(each.status is Status.PASSED for each in results)}/{len(results)}"]
    for status in (Status.REFUSED, Status.FAILED, Status.NOT_RUN):
        found = [each for each in results if each.status is status]
        if found and status is Status.REFUSED:
            parts.append(" ".join(sorted({finding.check for each in found for finding in each.findings})))
        elif found:
            parts.append(f"{len(found)} {status}")
    return " ".join(parts)


def all_cases() -> Iterator[Case]:
    """Every case: operators in types and shapes, then networks."""
    for each in operator_cases():
        yield Case(each.name, each.operator, each.dtype.name, each.build, each.shape.name == EVERY_ENGINE)
    for name in NETWORKS:
        yield Case(f"{NETWORK}/{name}", name, NETWORK, lambda name=name: build_network(name))


def run_kit(
    target: Target,
    patterns: Sequence[str] = (),
    time_limit: float | None = None,
    show: Callable[[str], None] = lambda _: None,
) -> KitReport:
    """Run the cases whose names match a pattern (all without any) on a target, for at most so many seconds.

    Cases that are left over then, or when Ctrl-C comes, are not run. `show` is told which one is at work. Raises
    `CatenaError` (CAT-C001) if no case matches.
    """
    cases = [
        each for each in all_cases() if not patterns or any(fnmatchcase(each.name, pattern) for pattern in patterns)
    ]
    if not cases:
        hint = f"names are as in {next(all_cases()).name!r}; * stands for anything"
        raise CatenaError(Diagnostic("CAT-C001", f"no case matches {' or '.join(patterns)}", hint=hint))
    start = time.monotonic()
    results: list[CaseResult] = []
    for number, case in enumerate(cases):
        if time_limit is not None and time.monotonic() - start > time_limit:
            results.append(CaseResult(case, Status.NOT_RUN))
            continue
        show(f"{number + 1} of {len(cases)}: {case.name}")
        try:
            results.append(run_case(case, target))
        except KeyboardInterrupt:
            results += [CaseResult(each, Status.NOT_RUN) for each in cases[number:]]
            break
    return KitReport(target.machine.name, not depends_on_data(target), tuple(results))


def run_case(case: Case, target: Target) -> CaseResult:
    """Compile a case, run it, and look at what came out."""
    try:
        findings = tuple(check_model(case.build(), target, every_engine=case.every_engine))
    except CatenaError as error:
        first = error.diagnostics[0]
        if CODES[first.code].exit_code in _REFUSALS:
            return CaseResult(case, Status.REFUSED, (Finding(first.code, first.message),))
        cause = error.__cause__
        at = f" ({_raised_at(cause)})" if first.code == "CAT-I001" and isinstance(cause, Exception) else ""
        findings = tuple(Finding("error", f"{each}{at}") for each in error.diagnostics)
    except Exception as error:  # a plug-in may raise anything, which is what the kit is there to find
        findings = (Finding("error", f"{type(error).__name__}: {error} ({_raised_at(error)})"),)
    return CaseResult(case, Status.FAILED if findings else Status.PASSED, findings)


def _raised_at(error: Exception) -> str:
    """File and line that an exception comes from: the innermost that is neither Catena's nor that of its libraries."""
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [each for each in frames if each[0].f_globals.get("__name__", "").partition(".")[0] not in _OF_OTHERS]
    frame, line = (own or frames)[-1]
    return f"{frame.f_code.co_filename}, line {line}"
