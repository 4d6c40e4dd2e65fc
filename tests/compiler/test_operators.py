"""The list of operators says what becomes of each, from the lowerings and the recorded results."""

from __future__ import annotations

from onnx import defs

from compiler.conformance.results import Results, Row
from compiler.operators import Status, operators, shares
from passes.lower_onnx import LOWERINGS

PASSED = {"interpreter": "passed", "eyeriss": "CAT-U006"}
FAILED = {"interpreter": "differs", "eyeriss": "CAT-U006"}
EXCLUDED = {"interpreter": "excluded: random", "eyeriss": "excluded: random"}


def results_of(*rows: Row) -> Results:
    return Results("1", rows)


def test_every_operator_is_listed_once() -> None:
    schemas = {schema.name for schema in defs.get_all_schemas_with_history() if not schema.domain}
    listed = [each.name for each in operators()]
    assert listed == sorted(schemas)
    assert set(LOWERINGS) <= schemas


def test_versions_are_those_of_the_schemas() -> None:
    (add,) = (each for each in operators() if each.name == "Add")
    assert add.versions == (1, 6, 7, 13, 14)


def test_status_comes_from_the_lowering_or_from_what_passes() -> None:
    rows = (
        Row("shape", "node", "ConstantOfShape", 0, PASSED),
        Row("loop", "node", "Loop", 7, PASSED),
        Row("gru_expanded", "node", "DFT", 9, PASSED),
        Row("nonzero", "node", "NonZero", None, FAILED),
    )
    found = {each.name: each.status for each in operators(results_of(*rows))}
    assert found["Conv"] is Status.CHAIN
    assert found["Transpose"] is Status.VIEW
    assert found["ConstantOfShape"] is Status.CONSTANT
    assert found["Range"] is Status.CHAIN
    assert found["Loop"] is Status.CHAIN
    assert found["If"] is Status.CHAIN
    # That the definition of an operator compiles does not say that the operator does.
    assert found["DFT"] is Status.REFUSED or "DFT" in LOWERINGS
    assert found["NonZero"] is Status.HOST
    assert found["ImageDecoder"] is Status.REFUSED


def test_operators_that_are_no_chain_have_a_reason() -> None:
    assert all(each.doc for each in operators())
    reasons = {each.name: each.doc for each in operators(results_of())}
    assert "depends on the values" in reasons["NonZero"]
    assert "random" in reasons["RandomUniform"]


def test_cases_and_links_are_counted_where_they_count() -> None:
    rows = (
        Row("a", "node", "Softmax", 3, PASSED),
        Row("b", "node", "Softmax", 5, PASSED),
        Row("a_expanded_ver18", "node", "Softmax", 40, PASSED),
        Row("c", "node", "Softmax", 90, FAILED),
        Row("d", "node", "Softmax", None, EXCLUDED),
    )
    (softmax,) = (each for each in operators(results_of(*rows)) if each.name == "Softmax")
    assert (softmax.links, softmax.cases, softmax.passed) == ((3, 5), 4, {"interpreter": 3, "eyeriss": 0})
    assert list(shares(rows, "node")) == [("interpreter", 3, 4), ("eyeriss", 0, 4)]
