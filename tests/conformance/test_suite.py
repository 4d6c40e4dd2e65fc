"""ONNX's conformance suite gives what is recorded: a case that newly passes or fails has to be recorded again."""

from __future__ import annotations

import onnx
import pytest

from compiler.conformance.cases import Case, conformance_cases
from compiler.conformance.results import Row, changes, read_results, recorded_engines, rows_of
from compiler.conformance.suite import run_cases

SHARDS = 8
"""Parts of the suite on each engine, so that several processes share the work."""

REMEDY = "run: python3 tasks.py conformance"


def recorded_rows(cases: list[Case]) -> list[Row]:
    names = {case.name for case in cases}
    return [row for row in read_results().rows if row.case in names]


def test_results_are_of_every_case_and_engine() -> None:
    results = read_results()
    assert results.onnx_version == onnx.__version__, REMEDY
    assert all(tuple(row.statuses) == recorded_engines() for row in results.rows), REMEDY


@pytest.mark.slow
def test_every_case_is_recorded() -> None:
    recorded = [(row.case, row.kind, row.operator, row.excluded) for row in read_results().rows]
    assert recorded == [(case.name, case.kind, case.operator, case.excluded) for case in conformance_cases()], REMEDY


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("engine", recorded_engines())
def test_outcomes_are_those_recorded(engine: str, shard: int) -> None:
    cases = list(conformance_cases()[shard::SHARDS])
    found = rows_of(cases, {engine: run_cases(cases, engine)})
    different = changes(recorded_rows(cases), found)
    if different:
        pytest.fail("\n".join([*different, REMEDY]), pytrace=False)
