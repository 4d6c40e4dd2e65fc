"""ONNX's conformance suite gives what is recorded: a case that newly passes or fails has to be recorded again."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import pytest

from compiler.conformance.cases import Case, conformance_cases
from compiler.conformance.results import INTERPRETER, Row, changes, read_results, recorded_engines, rows_of
from compiler.conformance.suite import run_cases
from compiler.descriptions.files import DEFAULT_TARGET

SHARDS = 16
"""Parts of the suite on each engine, so that several processes share the work."""

IN_TURN = (INTERPRETER, DEFAULT_TARGET)
"""Engines that share a quarter of the suite in every test run, each case on one of them. They compute the same chain,
and the other engines are the same machine in other sizes, or compute layers from that chain: a few cases show whether
anything is wrong with them. `python3 tasks.py exhaustive`, which CI runs, compares the rest on these two."""

OTHERS = tuple(engine for engine in recorded_engines() if engine not in IN_TURN)
FEW = 4 * SHARDS
"""Of so many cases, one runs on every other engine in every test run."""

EVERY = 3
"""In the exhaustive run, every other engine takes one of so many parts of the suite, and together they take all.
`python3 tasks.py conformance` runs every case on every engine."""

TOO_LONG = {("nlr", "MaxPool2d_stride_padding_dilation")}
"""Cases that an engine is left out of here: windows of 60 x 80 that the mapping of least product of energy and time
goes through position by position, in five million passes, take the emulator twenty minutes."""

REMEDY = "run: python3 tasks.py conformance"


def parts() -> Iterator[object]:
    """Every part of the suite on the engines that take turns, and some on every other that results are recorded for."""
    for number, engine in enumerate(OTHERS):
        for shard in range(number % EVERY, SHARDS, EVERY):
            yield pytest.param(engine, shard, marks=pytest.mark.exhaustive)
    for engine in IN_TURN:
        for shard in range(SHARDS):
            is_usual = shard % (4 * len(IN_TURN)) == IN_TURN.index(engine)
            marks = () if is_usual else pytest.mark.exhaustive
            yield pytest.param(engine, shard, marks=marks)


def recorded_rows(cases: list[Case]) -> list[Row]:
    names = {case.name for case in cases}
    return [row for row in read_results().rows if row.case in names]


def test_results_are_of_every_case_and_engine() -> None:
    results, engines = read_results(), recorded_engines()
    assert results.onnx_version == onnx.__version__, REMEDY
    assert all(tuple(row.statuses) == engines for row in results.rows), REMEDY


@pytest.mark.slow
def test_every_case_is_recorded() -> None:
    recorded = [(row.case, row.kind, row.operator, row.excluded) for row in read_results().rows]
    assert recorded == [(case.name, case.kind, case.operator, case.excluded) for case in conformance_cases()], REMEDY


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "shard"), list(parts()))
def test_outcomes_are_those_recorded(engine: str, shard: int) -> None:
    _compare(engine, list(conformance_cases()[shard::SHARDS]))


@pytest.mark.slow
@pytest.mark.parametrize("engine", OTHERS)
def test_a_few_outcomes_are_those_recorded(engine: str) -> None:
    _compare(engine, list(conformance_cases()[::FEW]))


def _compare(engine: str, every: list[Case]) -> None:
    cases = [case for case in every if (engine, case.name) not in TOO_LONG]
    found = rows_of(cases, {engine: run_cases(cases, engine)})
    different = changes(recorded_rows(cases), found)
    if different:
        pytest.fail("\n".join([*different, REMEDY]), pytrace=False)
