"""Reductions, positions of extremes and running sums against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from dialects.diagnostics import CatenaError
from tests.passes.lower_onnx.models import check, integers, links_in, lower, normal, one_node

pytest.importorskip("onnxruntime")

OPERATORS = {
    "ReduceSum": 1,
    "ReduceMean": 1,
    "ReduceMax": 1,
    "ReduceMin": 1,
    "ReduceProd": 1,
    "ReduceL1": 1,
    "ReduceL2": 1,
    "ReduceSumSquare": 1,
    "ReduceLogSum": 1,
    "ReduceLogSumExp": 2,
}
AXES = (None, (0,), (1,), (-1,), (0, 2), (1, -1), (0, 1, 2))


AXES_OF_OPSETS = [
    (opset, axes)
    for opset in (7, 11, 13, 18)
    for axes in AXES
    if opset >= 11 or not axes or min(axes) >= 0  # negative axes came with opset 11
]


@pytest.mark.parametrize("op_type", OPERATORS)
@pytest.mark.parametrize(("opset", "axes"), AXES_OF_OPSETS)
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(op_type, opset, axes, keep):
    inputs = {"x": np.abs(normal(2, 3, 4)) + np.float32(0.1)}
    as_input = opset >= (13 if op_type == "ReduceSum" else 18)
    constants = {"axes": integers(*axes)} if axes and as_input else {}
    attributes = {"axes": list(axes)} if axes and not as_input else {}
    model = one_node(op_type, inputs, constants, opset=opset, keepdims=keep, **attributes)
    check(model, inputs, links=OPERATORS[op_type])


@pytest.mark.parametrize(("op_type", "links"), [("ReduceSum", 1), ("ReduceSumSquare", 1), ("ReduceMean", 1)])
def test_no_axes_can_mean_no_reduction(op_type, links):
    inputs = {"x": normal(2, 3)}
    constants = {"axes": integers()}
    check(one_node(op_type, inputs, constants, opset=18, noop_with_empty_axes=1), inputs, links=links)


def test_log_sum_exp_of_infinities_and_large_values():
    inputs = {"x": np.array([[-np.inf, -np.inf], [1000, 1000], [-np.inf, 3]], np.float32)}
    check(one_node("ReduceLogSumExp", inputs, axes=[1]), inputs, links=2)


def test_integer_reductions():
    inputs = {"x": np.array([[3, -5, 7], [1, 2, -9]], np.int32)}
    for op_type in ("ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"):
        check(one_node(op_type, inputs, opset=12, axes=[1]), inputs, links=1)


def test_axes_computed_at_run_time_are_refused():
    inputs = {"x": normal(2, 3), "axes": integers(1)}
    with pytest.raises(CatenaError) as caught:
        lower(one_node("ReduceSum", inputs, keepdims=1))
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} <= {"CAT-U002", "CAT-M002"}


@pytest.mark.parametrize("op_type", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("last", [0, 1])
def test_positions_of_extremes(op_type, axis, keep, last):
    values = np.random.default_rng(7).integers(0, 4, (3, 5, 4)).astype(np.float32)
    inputs = {"x": values}
    model = one_node(op_type, inputs, opset=13, axis=axis, keepdims=keep, select_last_index=last)
    check(model, inputs, links=3)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_running_sums(axis, exclusive, reverse):
    inputs = {"x": normal(3, 4, 2)}
    constants = {"axis": np.array(axis, np.int64)}
    model = one_node("CumSum", inputs, constants, exclusive=exclusive, reverse=reverse)
    (link,) = links_in(check(model, inputs, links=1))
    assert link.spec.reduce.value == "add"
