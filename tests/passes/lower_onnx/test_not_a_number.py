"""Integers that are made of tensors with NaN: places lie within their tensors, and what ONNX Runtime defines holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import compiler
from tests.onnx_models import onnx_node
from tests.passes.lower_onnx.models import check, check_values, integers, model_of, one_node

pytest.importorskip("onnxruntime")

NAN, INF = np.nan, np.inf
ROWS = np.array([[NAN] * 6, [1, NAN, 3, NAN, 2, 2], [1, INF, NAN, -INF, 2, 2], [4, 3, 2, 4, 1, 1]], np.float32)


def first_of(op_type: str, rows: np.ndarray) -> np.ndarray:
    """NumPy's answer: NaN is the largest and the smallest."""
    return (np.argmax if op_type == "ArgMax" else np.argmin)(rows, axis=1)


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
def test_positions_of_extremes(op_type: str, last: int) -> None:
    model = one_node(op_type, {"x": ROWS}, axis=1, keepdims=0, select_last_index=last)
    expected = first_of(op_type, ROWS) if not last else 5 - first_of(op_type, ROWS[:, ::-1])
    check_values(model, {"x": ROWS}, {"y0": expected}, links=3)


def test_hardmax_marks_one_place_of_every_row() -> None:
    expected = np.eye(6, dtype=np.float32)[first_of("ArgMax", ROWS)]
    check_values(one_node("Hardmax", {"x": ROWS}), {"x": ROWS}, {"y0": expected}, links=4)


def test_places_of_the_maxima_of_windows() -> None:
    x = ROWS.reshape(1, 1, 4, 6)
    model = one_node("MaxPool", {"x": x}, outputs=2, kernel_shape=[2, 2], strides=[2, 2])
    windows = ROWS.reshape(2, 2, 3, 2).transpose(0, 2, 1, 3).reshape(2, 3, 4)
    within = np.argmax(windows, axis=2)
    rows, columns = 2 * np.arange(2)[:, np.newaxis] + within // 2, 2 * np.arange(3) + within % 2
    places = 6 * rows + columns
    check_values(
        model, {"x": x}, {"y0": windows.max(axis=2)[np.newaxis, np.newaxis], "y1": places[np.newaxis, np.newaxis]}
    )


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("k", [1, 3, 6])
def test_nan_sorts_as_infinity(k: int, largest: int) -> None:
    """As in ONNX Runtime, to which infinity is less than NaN where a row has both."""
    rows = np.where(np.isposinf(ROWS), np.float32(9), ROWS)
    model = one_node("TopK", {"x": rows}, {"k": integers(k)}, opset=11, outputs=2, largest=largest)
    check(model, {"x": rows})


def test_infinity_and_nan_sort_by_their_places() -> None:
    model = one_node("TopK", {"x": ROWS[2:3]}, {"k": integers(3)}, opset=11, outputs=2)
    check_values(model, {"x": ROWS[2:3]}, {"y0": np.array([[INF, NAN, 2]], np.float32), "y1": np.array([[1, 2, 4]])})


@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16])
def test_quantized_it_is_the_smallest_integer(dtype: type, zero: int) -> None:
    constants = {"scale": np.float32(0.5), "zero": dtype(zero)}
    check(one_node("QuantizeLinear", {"x": ROWS}, constants, opset=21), {"x": ROWS})


@pytest.mark.parametrize("engine", ["blocks", "elements"])
def test_programs_do_not_stop(tmp_path: Path, engine: str) -> None:
    """Places that data decide are used as addresses."""
    nodes = [
        onnx_node("ArgMax", "x", "place", axis=1, keepdims=0),
        onnx_node("Gather", "table place", "chosen"),
        onnx_node("TopK", "x k", "values order"),
    ]
    table = np.arange(6, dtype=np.float32)
    names = ("chosen", "values", "order")
    onnx.save(model_of(nodes, {"x": ROWS}, {"table": table, "k": integers(3)}, names), tmp_path / "model.onnx")
    compiler.compile(tmp_path / "model.onnx", output=tmp_path / "model.cat")
    found = compiler.run(tmp_path / "model.cat", {"x": ROWS}, engine=engine).outputs
    np.testing.assert_array_equal(found["chosen"], first_of("ArgMax", ROWS))
    np.testing.assert_array_equal(found["values"], np.take_along_axis(ROWS, found["order"], axis=1))
    np.testing.assert_array_equal(np.diff(np.sort(found["order"], axis=1)) > 0, True)
