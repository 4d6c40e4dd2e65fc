"""Run ONNX's conformance suite and record what came out.

    python -m compiler.conformance [PATTERN ...]

runs all cases, or those whose name or operator a pattern matches (regular expressions, as a whole), on every engine;
writes what changed into `results.tsv` and prints it, and with patterns also says why cases fail.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import onnx

from compiler.conformance.cases import Case, conformance_cases
from compiler.conformance.results import (
    PASSED,
    RESULTS,
    Results,
    changes,
    read_results,
    recorded_engines,
    rows_of,
    write_results,
)
from compiler.conformance.suite import run_cases


def main(patterns: Sequence[str]) -> int:
    """Run and record."""
    cases = conformance_cases()
    chosen = [case for case in cases if not patterns or _matches(case, patterns)]
    outcomes = {engine: run_cases(chosen, engine) for engine in recorded_engines()}
    found = {row.case: row for row in rows_of(chosen, outcomes)}
    before = read_results() if RESULTS.is_file() else Results(onnx.__version__, ())
    kept = {row.case: row for row in before.rows if patterns and row.case in {case.name for case in cases}}
    after = Results(onnx.__version__, tuple(row for _, row in sorted((kept | found).items())))
    write_results(after)
    for engine, results in outcomes.items():
        for name, outcome in results.items():
            if patterns and outcome.status != PASSED:
                print(f"{engine}: {name}: {outcome.status}: {outcome.message}")
        passed = sum(outcome.status == PASSED for outcome in results.values())
        print(f"{engine}: {passed} of {len(results)} passed")
    print("\n".join(changes(before.rows, after.rows)) or "nothing changed")
    return 0


def _matches(case: Case, patterns: Sequence[str]) -> bool:
    return any(re.fullmatch(pattern, text) for pattern in patterns for text in (case.name, case.operator))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
