"""Functions that a model defines itself: bodies in the place of calls, and what is refused before they multiply."""

from __future__ import annotations

from itertools import pairwise

import onnx
import pytest
from onnx import helper

from compiler.importer import import_model
from compiler.importer.local_functions import MOST_NODES
from dialects.diagnostics import CatenaError, Diagnostic
from tests.onnx_models import onnx_model, onnx_node, onnx_ops

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def function(name: str, called: str, times: int) -> onnx.FunctionProto:
    """`times` calls of an operator or function, one after another."""
    nodes = [
        helper.make_node(called, [f"v{i}"], [f"v{i + 1}"], f"{called}{i}", domain="" if called == "Neg" else "own")
        for i in range(times)
    ]
    return helper.make_function("own", name, ["v0"], [f"v{times}"], nodes, OPSETS)


def calling(functions: list[onnx.FunctionProto], first: str) -> onnx.ModelProto:
    node = onnx_node(first, "x", "y", "call", domain="own")
    return onnx_model([node], {"x": [2]}, "y", opset=17, functions=functions, domains=["own"])


def refusal(model: onnx.ModelProto) -> Diagnostic:
    with pytest.raises(CatenaError) as caught:
        import_model(model)
    return caught.value.diagnostics[0]


def test_functions_that_call_functions_are_inlined() -> None:
    model = calling([function("inner", "Neg", 2), function("outer", "inner", 3)], "outer")
    assert [op.op_type for op in onnx_ops(import_model(model))] == ["Neg"] * 6


def test_functions_that_multiply_are_refused_before_they_are_inlined() -> None:
    """Eight functions of ten calls each come to 10^8 nodes."""
    names = ["Neg", *(f"f{i}" for i in range(8))]
    model = calling([function(name, called, 10) for called, name in pairwise(names)], "f7")
    problem = refusal(model)
    assert (problem.code, problem.node) == ("CAT-U004", "call")
    assert str(MOST_NODES) in problem.expected
    assert problem.found.startswith(f"{10**8} nodes")


@pytest.mark.parametrize(
    ("functions", "first", "says"),
    [
        ([function("f", "g", 1), function("g", "f", 1)], "f", "f calls itself"),
        ([function("f0", "Neg", 1), *(function(f"f{i}", f"f{i - 1}", 1) for i in range(1, 200))], "f199", "100 deep"),
    ],
    ids=["itself", "deep"],
)
def test_functions_without_end(functions: list[onnx.FunctionProto], first: str, says: str) -> None:
    problem = refusal(calling(functions, first))
    assert problem.code == "CAT-M001"
    assert says in problem.message
