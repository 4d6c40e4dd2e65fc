"""What is noted of a case: passed, differing outputs, a refusal, anything else. Nothing is skipped."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
import pytest

import compiler.conformance.suite as suite
from compiler.arrays import Array
from compiler.conformance.cases import Case
from compiler.conformance.results import Results, Row, changes, parse_results
from compiler.driver import Observer
from compiler.onnx_backend import Engine, engine_named
from dialects.diagnostics import CatenaError, Diagnostic

RELU = Case("relu", "node", "Relu")
NOT = Case("not_2d", "node", "Not")


class Failing:
    """An engine that loads every model and fails to run it in a way of its own."""

    def __init__(self, execute: Callable[[Mapping[str, Array]], Mapping[str, Array]]):
        self.execute = execute

    def load(self, model: onnx.ModelProto, shapes: object) -> Callable[[Mapping[str, Array]], Mapping[str, Array]]:
        return self.execute


def status_on(engine: Engine, case: Case, monkeypatch: pytest.MonkeyPatch) -> str:
    def named(name: str, observers: tuple[Observer, ...] = ()) -> Engine:
        return engine

    monkeypatch.setattr(suite, "engine_named", named)
    return suite.run_cases([case], "any")[case.name].status


def refusing(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    raise CatenaError(Diagnostic("CAT-U001", "no"))


def broken(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    raise ZeroDivisionError


def test_every_way_to_fail_has_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    assert status_on(Failing(lambda arrays: {"y": np.maximum(arrays["x"], 0)}), RELU, monkeypatch) == "passed"
    assert status_on(Failing(lambda arrays: {"y": arrays["x"]}), RELU, monkeypatch) == "differs"
    assert status_on(Failing(lambda arrays: {"y": np.zeros(2, np.float32)}), RELU, monkeypatch) == "differs"
    assert status_on(Failing(refusing), RELU, monkeypatch) == "CAT-U001"
    assert status_on(Failing(broken), RELU, monkeypatch) == "ZeroDivisionError"


def test_the_types_of_the_outputs_are_those_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Failing(lambda arrays: {"not": np.logical_not(arrays["x"])})
    assert status_on(right, NOT, monkeypatch) == "passed"
    words = Failing(lambda arrays: {"not": np.logical_not(arrays["x"]).astype(np.float32)})
    assert status_on(words, NOT, monkeypatch) == "differs"


def test_links_are_counted_before_fusion() -> None:
    outcome = suite.run_cases([Case("softmax_example", "node", "Softmax")], "interpreter")["softmax_example"]
    assert (outcome.status, outcome.links) == ("passed", 3)


def test_excluded_cases_do_not_run() -> None:
    assert suite.run_cases([Case("no_such_case", "node", "Relu", excluded="random")], "interpreter") == {}


def test_unknown_targets_are_refused() -> None:
    with pytest.raises(CatenaError, match="CAT-C001"):
        engine_named("no-such-target")


def test_results_survive_the_file() -> None:
    rows = (
        Row("a", "node", "Abs", 2, {"interpreter": "passed", "eyeriss": "CAT-U006"}),
        Row("b", "simple", "", None, {"interpreter": "excluded: random", "eyeriss": "excluded: random"}),
    )
    results = Results("1.2.3", rows)
    assert parse_results(results.text()) == results
    assert [row.excluded for row in rows] == ["", "random"]


def test_changes_name_case_and_engine() -> None:
    before = [Row("a", "node", "Abs", 1, {"x": "passed", "y": "passed"}), Row("c", "node", "Abs", 1, {"x": "passed"})]
    after = [Row("a", "node", "Abs", 2, {"x": "differs"}), Row("b", "node", "Abs", 1, {"x": "passed"})]
    assert changes(before, after) == ["a: 1 -> 2 links", "a: passed -> differs on x", "b: new", "c: no such case"]
    assert not changes(before, before)
