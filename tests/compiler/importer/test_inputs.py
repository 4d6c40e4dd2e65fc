"""Dynamic inputs: given shapes, the batch, symbols, and what is said when something is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
import pytest
from onnx import TensorProto, helper

from compiler.importer import import_model
from dialects.diagnostics import CatenaError, Diagnostic
from tests.onnx_models import main_function, onnx_model, onnx_node

Shape = Sequence[int | str | None]


def dynamic_model(**shapes: Shape | None) -> onnx.ModelProto:
    nodes = [onnx_node("Relu", name, f"{name}.out") for name in shapes]
    return onnx_model(nodes, shapes, " ".join(f"{name}.out" for name in shapes))


def shapes_of(
    model: onnx.ModelProto, given: Mapping[str, Sequence[int]] = {}, batch: int | None = None
) -> list[object]:
    function = main_function(import_model(model, input_shapes=given, batch=batch))
    return [argument.type.get_shape() for argument in function.args]  # pyright: ignore[reportAttributeAccessIssue]


def problems_of_shapes(
    model: onnx.ModelProto, given: Mapping[str, Sequence[int]] = {}, batch: int | None = None
) -> tuple[Diagnostic, ...]:
    with pytest.raises(CatenaError) as caught:
        import_model(model, input_shapes=given, batch=batch)
    return caught.value.diagnostics


def test_static_shapes_are_kept() -> None:
    assert shapes_of(dynamic_model(x=[2, 3])) == [(2, 3)]


@pytest.mark.parametrize("leading", ["N", None])
def test_an_unknown_leading_dimension_is_one_or_the_batch(leading: str | None) -> None:
    assert shapes_of(dynamic_model(x=[leading, 3])) == [(1, 3)]
    assert shapes_of(dynamic_model(x=[leading, 3]), batch=4) == [(4, 3)]


def test_a_given_shape_counts_most() -> None:
    model = dynamic_model(x=["N", "H", 3])
    assert shapes_of(model, {"x": [2, 5, 3]}, batch=7) == [(2, 5, 3)]


def test_a_given_shape_fixes_its_symbols_elsewhere() -> None:
    model = dynamic_model(x=["N", "L"], mask=["N", 1, "L"])
    assert shapes_of(model, {"x": [2, 16]}) == [(2, 16), (2, 1, 16)]


def test_an_input_of_unknown_rank_can_be_given() -> None:
    assert shapes_of(dynamic_model(x=None), {"x": [2, 3]}) == [(2, 3)]


def test_all_unknown_dimensions_are_named_at_once_with_the_flag() -> None:
    problems = problems_of_shapes(dynamic_model(x=["N", 3, "height", None], y=None, z=[1, 2]))
    assert [problem.code for problem in problems] == ["CAT-M002", "CAT-M002"]
    assert problems[0].message == "input 'x' has dynamic dimensions: 2 (height), 3 (?)"
    assert problems[0].found == "[N, 3, height, ?]"
    assert problems[0].hint == "give it: --input-shape 'x:1,3,<height>,<D3>'"
    assert problems[1].message == "input 'y' has no shape"


@pytest.mark.parametrize(
    ("given", "batch", "message"),
    [
        ({"x": [1, 4]}, None, "shape of input 'x' does not fit the model"),
        ({"x": [1, 3, 1]}, None, "shape of input 'x' does not fit the model"),
        ({"x": [0, 3]}, None, "shape of input 'x'"),
        ({"y": [1, 3]}, None, "the model has no input 'y'"),
        ({}, 0, "batch"),
    ],
)
def test_given_shapes_that_do_not_fit(given: Mapping[str, Sequence[int]], batch: int | None, message: str) -> None:
    (problem,) = problems_of_shapes(dynamic_model(x=["N", 3]), given, batch)
    assert (problem.code, problem.message) == ("CAT-C001", message)


def test_a_symbol_has_one_value() -> None:
    model = dynamic_model(x=["N", "N"], y=["N", 1])
    assert len(problems_of_shapes(model, {"x": [2, 3]})) == 1
    assert len(problems_of_shapes(model, {"x": [2, 2], "y": [3, 1]})) == 1
    assert shapes_of(model, {"x": [2, 2]}) == [(2, 2), (2, 1)]


def test_a_batch_needs_a_dynamic_leading_dimension() -> None:
    (problem,) = problems_of_shapes(dynamic_model(x=[1, 3]), batch=4)
    assert (problem.code, problem.found) == ("CAT-C001", "x [1, 3]")


def test_initializers_are_no_inputs_even_if_listed() -> None:
    model = onnx_model(
        [onnx_node("Add", "x w", "y")], {"x": [2]}, "y", {"w": [1.0, 2.0]}, element_type=TensorProto.DOUBLE
    )
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.DOUBLE, [2]))
    assert shapes_of(model) == [(2,)]
    assert problems_of_shapes(model, {"w": [2]})[0].message == "the model has no input 'w'"


def test_an_input_that_is_no_tensor() -> None:
    model = dynamic_model(x=[2])
    model.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, [2]))
    (problem,) = problems_of_shapes(model)
    assert (problem.code, problem.found) == ("CAT-U002", "sequence")


def test_inputs_that_are_too_large_are_named() -> None:
    first, second = problems_of_shapes(dynamic_model(x=["N", 1 << 20], y=[1 << 40], z=[2]), batch=1 << 20)
    assert (first.code, first.message) == ("CAT-U002", "input 'x' is too large")
    assert first.found == f"[{1 << 20}, {1 << 20}], {1 << 40} elements"
    assert second.message == "input 'y' is too large"
