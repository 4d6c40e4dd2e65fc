"""The evaluators of constant ONNX nodes, each against NumPy or a value worked out by hand, old versions included."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest

from compiler.importer import import_model
from dialects.diagnostics import CatenaError
from dialects.onnx import AttributeValue, KnownValue, ValueType
from passes.constant_evaluation import FOLD_LIMIT, ConstantBudget, Node, fold
from tests.onnx_models import onnx_ops, returned_arrays


def folded(
    op_type: str,
    since_version: int,
    inputs: Sequence[Any],
    results: Sequence[ValueType | None] = (None,),
    **attributes: AttributeValue,
) -> tuple[np.ndarray | int, ...] | None:
    known = tuple(None if value is None else KnownValue.of(np.asarray(value)) for value in inputs)
    return fold(Node(op_type, since_version, attributes, known, tuple(results)), ConstantBudget())


def i64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


GRID = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("op_type", "version", "inputs", "attributes", "expected"),
    [
        ("Shape", 1, [GRID], {}, i64(2, 3, 4)),
        ("Shape", 15, [GRID], {"start": 1}, i64(3, 4)),
        ("Shape", 15, [GRID], {"start": -2, "end": -1}, i64(3)),
        ("Size", 13, [GRID], {}, np.int64(24)),
        ("Reshape", 5, [GRID, i64(0, -1)], {}, GRID.reshape(2, 12)),
        ("Reshape", 1, [GRID], {"shape": (4, -1)}, GRID.reshape(4, 6)),
        ("Reshape", 14, [np.zeros((0, 3)), i64(3, 0)], {"allowzero": 1}, np.zeros((3, 0))),
        ("Flatten", 9, [GRID], {"axis": 2}, GRID.reshape(6, 4)),
        ("Flatten", 13, [GRID], {"axis": -1}, GRID.reshape(6, 4)),
        ("Flatten", 9, [GRID], {"axis": 0}, GRID.reshape(1, 24)),
        ("Squeeze", 1, [GRID[:1]], {"axes": (0,)}, GRID[0]),
        ("Squeeze", 13, [GRID[:1], i64(-3)], {}, GRID[0]),
        ("Squeeze", 13, [GRID[:1, :1]], {}, GRID[0, 0]),
        ("Unsqueeze", 1, [GRID], {"axes": (0, 4)}, GRID.reshape(1, 2, 3, 4, 1)),
        ("Unsqueeze", 13, [GRID, i64(-1)], {}, GRID[..., None]),
        ("Transpose", 1, [GRID], {}, GRID.transpose()),
        ("Transpose", 13, [GRID], {"perm": (0, 2, 1)}, GRID.transpose(0, 2, 1)),
        ("Concat", 4, [GRID, GRID], {"axis": -1}, np.concatenate([GRID, GRID], 2)),
        ("Gather", 11, [GRID, i64(-1, 0)], {"axis": 1}, GRID[:, [-1, 0]]),
        ("Gather", 1, [i64(5, 6, 7), np.int64(2)], {}, np.int64(7)),
        ("Slice", 1, [GRID], {"starts": (1,), "ends": (9,), "axes": (2,)}, GRID[:, :, 1:]),
        ("Slice", 1, [GRID], {"starts": (0, 1), "ends": (1, -1)}, GRID[0:1, 1:-1]),
        ("Slice", 10, [GRID, i64(-1), i64(-(2**63)), i64(2), i64(-2)], {}, GRID[:, :, ::-2]),
        ("Slice", 13, [GRID, i64(0), i64(2**63 - 1), None, i64(2)], {}, GRID[::2]),
        ("Expand", 8, [np.ones((3, 1), np.float32), i64(2, 1, 4)], {}, np.ones((2, 3, 4), np.float32)),
        ("Tile", 6, [i64(1, 2), i64(2)], {}, i64(1, 2, 1, 2)),
        ("Range", 11, [np.int64(5), np.int64(-2), np.int64(-3)], {}, i64(5, 2, -1)),
        ("Range", 11, [np.float32(0), np.float32(1), np.float32(0.3)], {}, np.float32([0, 0.3, 0.6, 0.9])),
        ("Range", 11, [np.int64(5), np.int64(5), np.int64(1)], {}, i64()),
        ("ConstantOfShape", 9, [i64(2, 3)], {}, np.zeros((2, 3), np.float32)),
        ("ConstantOfShape", 9, [i64()], {"value": i64(7)}, np.int64(7)),
        ("Constant", 12, [], {"value_ints": (1, 2)}, i64(1, 2)),
        ("Constant", 12, [], {"value_float": 0.5}, np.float32(0.5)),
        ("Constant", 12, [], {"value_floats": (0.5,)}, np.float32([0.5])),
        ("Constant", 1, [], {"value": GRID}, GRID),
        ("Add", 7, [i64(1, 2), np.int64(3)], {}, i64(4, 5)),
        ("Div", 7, [i64(7, -7, 7, -7), i64(2, 2, -2, -2)], {}, i64(3, -3, -3, 3)),
        ("Div", 14, [np.uint8([250, 7]), np.uint8([3, 2])], {}, np.uint8([83, 3])),
        ("Div", 7, [np.float32([1, -1]), np.float32([0, 4])], {}, np.float32([np.inf, -0.25])),
        ("Mod", 10, [i64(-7, 7), i64(3, -3)], {}, i64(2, -2)),
        ("Mod", 10, [i64(-7, 7), i64(3, -3)], {"fmod": 1}, i64(-1, 1)),
        ("Pow", 13, [np.float32([2, 3]), i64(2)], {}, np.float32([4, 9])),
        ("Min", 8, [i64(1, 5), i64(3), i64(0, 9)], {}, i64(0, 3)),
        ("Sum", 8, [np.float32([1, 2]), np.float32([3]), np.float32([4, 4])], {}, np.float32([8, 9])),
        ("Round", 11, [np.float32([0.5, 1.5, -2.5])], {}, np.float32([0, 2, -2])),
        ("Where", 9, [np.array([True, False]), i64(1), i64(2)], {}, i64(1, 2)),
        ("Equal", 7, [i64(1, 2), i64(1)], {}, np.array([True, False])),
        ("Not", 1, [np.array([True])], {}, np.array([False])),
        ("ReduceProd", 11, [i64(2, 3, 4)], {"keepdims": 0}, np.int64(24)),
        ("ReduceSum", 1, [GRID], {"axes": (1,)}, GRID.sum(1, keepdims=True)),
        ("ReduceSum", 13, [GRID, i64(-1, 0)], {"keepdims": 0}, GRID.sum((0, 2))),
        ("ReduceSum", 13, [GRID], {"noop_with_empty_axes": 1}, GRID),
        ("ReduceMax", 18, [GRID, i64(0)], {}, GRID.max(0, keepdims=True)),
        ("ReduceMin", 13, [GRID], {"axes": (0, 1), "keepdims": 0}, GRID.min((0, 1))),
        ("Sigmoid", 13, [np.float32([0])], {}, np.float32([0.5])),
        ("MatMul", 13, [np.float32([[1, 2]]), np.float32([[3], [4]])], {}, np.float32([[11]])),
    ],
)
def test_values(
    op_type: str, version: int, inputs: Sequence[Any], attributes: dict[str, AttributeValue], expected: np.ndarray
) -> None:
    found = folded(op_type, version, inputs, **attributes)
    assert found is not None
    (array,) = found
    assert isinstance(array, np.ndarray)
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    np.testing.assert_allclose(array, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("version", "inputs", "attributes", "sizes"),
    [
        (2, [GRID], {"axis": 2}, [2, 2]),
        (2, [GRID], {"axis": 2, "split": (1, 3)}, [1, 3]),
        (13, [GRID, i64(3, 1)], {"axis": 2}, [3, 1]),
        (18, [GRID], {"axis": 1, "num_outputs": 2}, [2, 1]),
    ],
)
def test_splits(version: int, inputs: Sequence[Any], attributes: dict[str, AttributeValue], sizes: list[int]) -> None:
    found = folded("Split", version, inputs, (None, None), **attributes)
    axis = attributes["axis"]
    assert isinstance(axis, int)
    expected = np.split(GRID, np.cumsum(sizes)[:-1], axis)
    assert found is not None
    for part, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part, other)


def test_a_cast_goes_to_the_type_of_the_result() -> None:
    found = folded("Cast", 13, [np.float32([1.7, -1.7, 0])], [ValueType(np.dtype(np.int64), (3,))], to=7)
    np.testing.assert_array_equal(found, [i64(1, -1, 0)])
    found = folded("Cast", 13, [np.float32([1.7, -1.7, 0])], [ValueType(np.dtype(np.bool_), (3,))], to=9)
    np.testing.assert_array_equal(found, [[True, True, False]])


def test_the_shape_of_a_run_time_value_is_known() -> None:
    run_time = KnownValue(ValueType(np.dtype(np.float32), (1, 3)))
    (shape,) = fold(Node("Shape", 1, {}, (run_time,), (None,)), ConstantBudget()) or ()
    np.testing.assert_array_equal(shape, [1, 3])
    (matrix,) = fold(Node("EyeLike", 9, {"k": 1}, (run_time,), (run_time.type,)), ConstantBudget()) or ()
    np.testing.assert_array_equal(matrix, np.float32([[0, 1, 0]]))
    assert fold(Node("EyeLike", 9, {}, (run_time,), (None,)), ConstantBudget()) is None
    assert fold(Node("Relu", 14, {}, (run_time,), (None,)), ConstantBudget()) is None
    assert fold(Node("Reshape", 5, {}, (run_time, KnownValue.of(i64(3))), (None,)), ConstantBudget()) is None


@pytest.mark.parametrize(
    ("op_type", "version", "inputs", "attributes"),
    [
        ("Div", 7, [i64(1), i64(0)], {}),
        ("Mod", 10, [i64(1), i64(0)], {}),
        ("Pow", 13, [i64(2), i64(-1)], {}),
        ("Reshape", 5, [GRID, i64(5)], {}),
        ("Gather", 1, [GRID, i64(9)], {}),
        ("Range", 11, [np.int64(0), np.int64(2**62), np.int64(1)], {}),
        ("Range", 11, [np.int64(0), np.int64(1), np.int64(0)], {}),
        ("Concat", 4, [GRID, i64(1)], {"axis": 0}),
        ("MatMul", 13, [GRID, GRID], {}),
        ("Softmax", 11, [GRID], {}),
        ("Constant", 12, [], {"value_string": "text"}),
        ("TfIdfVectorizer", 9, [i64(1)], {}),
    ],
)
def test_what_cannot_be_computed_stays(
    op_type: str, version: int, inputs: Sequence[Any], attributes: dict[str, AttributeValue]
) -> None:
    assert folded(op_type, version, inputs, **attributes) is None


def test_the_reference_does_not_warn() -> None:
    """NumPy warns of the mean of nothing; warnings are errors in these tests."""
    found = folded("ReduceMean", 13, [np.zeros((0, 2), np.float32)], axes=(0,))
    assert found is not None
    assert np.isnan(found[0]).all()


def test_a_result_that_is_too_large_stays() -> None:
    large = ValueType(np.dtype(np.float32), (FOLD_LIMIT + 1,))
    assert folded("ConstantOfShape", 9, [i64(FOLD_LIMIT + 1)], [large]) is None


def test_a_result_of_another_type_than_declared_stays() -> None:
    assert folded("Neg", 13, [i64(1)], [ValueType(np.dtype(np.int32), (1,))]) is None
    assert folded("Neg", 13, [i64(1)], [ValueType(np.dtype(np.int64), (2,))]) is None
    assert folded("Neg", 13, [i64(1)], [ValueType(np.dtype(np.int64), (1,))]) is not None


@pytest.mark.slow
def test_onnx_node_tests_with_constant_inputs() -> None:
    """ONNX's own operator tests with their inputs as initializers: what folds has the expected value.

    bfloat16 is widened, so its tests round differently.
    """
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    checked = 0
    for case in cases:
        inputs, outputs = case.data_sets[0] if case.data_sets else ([], [])
        if case.model is None or not all(isinstance(value, np.ndarray) for value in (*inputs, *outputs)):
            continue
        if "bf16" in case.name or "bfloat16" in case.name:
            continue
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(value, declared.name)
            for declared, value in zip(model.graph.input, inputs, strict=False)
        )
        del model.graph.input[:]
        try:
            module = import_model(model)
        except CatenaError:
            continue
        if onnx_ops(module):
            continue
        for found, expected in zip(returned_arrays(module), outputs, strict=True):
            tolerance = 1e-2 if expected.dtype == np.float16 else 1e-3
            assert found.shape == expected.shape, case.name
            np.testing.assert_allclose(
                found.astype(np.float64), expected.astype(np.float64), tolerance, 1e-5, err_msg=case.name
            )
        checked += 1
    assert checked > 900


def test_a_result_of_unknown_size_stays_if_the_operands_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    ones = np.ones((3, 4), np.float32)
    assert folded("NonZero", 13, [ones]) is not None
    monkeypatch.setattr("passes.constant_evaluation._OPEN_LIMIT", 11)
    assert folded("NonZero", 13, [ones]) is None
