"""Operators that read or write at computed places: one link each, against ONNX Runtime."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialects.diagnostics import CatenaError
from dialects.gconv import IndexedOp, Reduce, ScatterOp
from dialects.gconv.interpreter import Interpreter
from passes.lower_onnx.sorting import rounds
from tests.examples import examples
from tests.passes.lower_onnx.models import check, check_values, integers, links_in, lower, normal, one_node
from tests.passes.lower_onnx.moving import MAKERS, Moving, moving_nodes

pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("op_type", MAKERS)
def test_random_nodes(op_type: str) -> None:
    @settings(max_examples=examples(60), derandomize=True, deadline=None)
    @given(moving_nodes(op_type))
    def same_as_onnx_runtime(case: Moving) -> None:
        check(case.model, case.inputs)

    same_as_onnx_runtime()


def test_irregular_gathers_of_constant_places_look_them_up() -> None:
    inputs = {"x": normal(2, 64)}
    places = np.random.default_rng(0).permutation(64)
    module = check(one_node("Gather", inputs, {"i": places}, axis=1), inputs, links=1)
    assert any(isinstance(op, IndexedOp) for op in module.walk())


def test_a_gather_is_one_link() -> None:
    inputs = {"x": normal(5, 4, 3), "i": np.array([[0, -1, 2], [3, 1, -4]], np.int64)}
    check(one_node("Gather", inputs, axis=1), inputs, links=1)


def test_constant_places_that_do_not_exist_are_refused() -> None:
    with pytest.raises(CatenaError, match="index 5 along 5 places"):
        lower(one_node("Gather", {"x": normal(5, 2)}, {"i": integers(1, 5)}))


@pytest.mark.parametrize("index", [5, -6])
def test_places_that_do_not_exist_end_the_run(index: int) -> None:
    module = lower(one_node("Gather", {"x": normal(5), "i": integers(1)}))
    with pytest.raises(CatenaError, match="an index is out of range"):
        Interpreter(module).run({"x": normal(5), "i": integers(index)})


@pytest.mark.parametrize("opset", [9, 10])
def test_the_old_name_of_scatter_elements(opset: int) -> None:
    inputs = {"x": normal(3, 3), "i": np.array([[1, 0, 2], [0, 2, 1]]), "u": normal(2, 3, seed=1)}
    check(one_node("Scatter", inputs, opset=opset, axis=0), inputs)


def test_repeated_places_take_the_last_update() -> None:
    inputs = {"x": normal(4), "i": np.array([2, 0, 2, -2]), "u": normal(4, seed=1)}
    expected = inputs["x"].copy()
    expected[0], expected[2] = inputs["u"][1], inputs["u"][3]
    check_values(one_node("ScatterElements", inputs, opset=18), inputs, {"y0": expected}, rtol=0, atol=0)


def test_repeated_places_are_added_to_in_order() -> None:
    updates = np.array([1e8, 1, 1, 1, -1e8, 3], np.float32)
    inputs = {"x": np.zeros(1, np.float32), "i": np.zeros(6, np.int64), "u": updates}
    total = np.float32(0)
    for update in updates:
        total = np.float32(total + update)
    expected = {"y0": np.array([total])}
    model = one_node("ScatterElements", inputs, opset=18, reduction="add")
    check_values(model, inputs, expected, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "reduce"), [(reduce.value, reduce) for reduce in Reduce])
def test_a_scatter_says_how_updates_are_combined(name: str, reduce: Reduce) -> None:
    inputs = {"x": normal(3, 2), "i": np.array([[2], [0]]), "u": normal(2, 2, seed=1)}
    module = check(one_node("ScatterND", inputs, opset=18, reduction=name), inputs)
    (scatter,) = (op for op in module.walk() if isinstance(op, ScatterOp))
    assert scatter.reduce.data is reduce


def test_sums_of_booleans_are_refused() -> None:
    inputs = {"x": np.ones(3, bool), "i": integers(0), "u": np.ones(1, bool)}
    with pytest.raises(CatenaError, match="add of booleans"):
        lower(one_node("ScatterElements", inputs, opset=18, reduction="add"))


@pytest.mark.parametrize("mode", ["linear", "circular"])
@pytest.mark.parametrize("axis", [1, -2])
def test_tensor_scatter(mode: str, axis: int) -> None:
    from onnx.reference import ReferenceEvaluator

    start = np.array([1, 3] if mode == "linear" else [4, 3])
    inputs = {"x": normal(2, 5, 3, seed=1), "u": normal(2, 2, 3, seed=2), "s": start}
    model = one_node("TensorScatter", inputs, opset=24, mode=mode, axis=axis)
    check_values(model, inputs, {"y0": ReferenceEvaluator(model).run(None, inputs)[0]})


def test_tensor_scatter_begins_at_0() -> None:
    inputs = {"x": normal(2, 5, 3, seed=1), "u": normal(2, 2, 3, seed=2)}
    expected = inputs["x"].copy()
    expected[:, :2] = inputs["u"]
    check_values(one_node("TensorScatter", inputs, opset=24), inputs, {"y0": expected})


def test_a_condition_computed_at_run_time_is_refused() -> None:
    with pytest.raises(CatenaError):
        lower(one_node("Compress", {"x": normal(3), "c": np.ones(3, bool)}, axis=0))


TYPES = ("float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("dtype", TYPES)
def test_ranks_in_every_type(dtype: str, largest: int) -> None:
    """Extreme values, neighbours of them and many equals, on an axis longer than a byte counts."""
    kind = np.dtype(dtype)
    limits = np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
    few = np.array([limits.min, limits.max, 0, 1, *([np.inf, -np.inf, -0.5] if kind.kind == "f" else [])], kind)
    steps = np.array([0, 1, 0, 1], kind)
    few[:2] += np.array([1, 0], kind) * steps[1] if kind.kind in "iu" else 0
    x = np.random.default_rng(0).choice([*few, few[0] - steps[1] if kind.kind in "iu" else few[0]], (2, 300))
    x = x.astype(kind)
    order = np.argsort(-x.astype(object) if largest else x.astype(object), axis=1, kind="stable")[:, :7]
    expected = {"y0": np.take_along_axis(x, order, axis=1), "y1": order}
    model = one_node("TopK", {"x": x}, {"k": integers(7)}, opset=11, outputs=2, largest=largest)
    module = lower(model)
    results = Interpreter(module).run({"x": x})
    for name, want in expected.items():
        np.testing.assert_array_equal(results[name], want)


@pytest.mark.parametrize(("opset", "constants", "attributes"), [(9, {}, {"k": 2}), (10, {"k": integers(2)}, {})])
def test_top_k_of_older_opsets(opset: int, constants: dict, attributes: dict) -> None:
    inputs = {"x": normal(3, 6)}
    check(one_node("TopK", inputs, constants, opset=opset, outputs=2, **attributes), inputs)


def test_top_k_of_one_place_needs_no_ranks() -> None:
    inputs = {"x": normal(3, 1)}
    check(one_node("TopK", inputs, {"k": integers(1)}, opset=11, outputs=2), inputs, links=2)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize(("shape", "k"), [((2, 701), 3), ((1, 1000), 100), ((3, 250, 2), 1)])
def test_few_of_many_are_found_in_rounds(shape: tuple[int, ...], k: int, largest: int) -> None:
    """Many equals, and rows of the worst value alone, which is what fills up the last part."""
    x = np.random.default_rng(k).integers(-20, 20, shape).astype(np.float32)
    x[0, 50:400] = -np.inf if largest else np.inf
    x[-1] = -np.inf if largest else np.inf
    model = one_node("TopK", {"x": x}, {"k": integers(k)}, opset=11, outputs=2, largest=largest, axis=1)
    assert len(links_in(check(model, {"x": x}))) > 7


@settings(derandomize=True, deadline=None)
@given(st.integers(1, 40), st.integers(2, 5000), st.data())
def test_rounds_keep_parts_whole(size: int, n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    parts = rounds(size, n, k)
    assert parts[-1] == 1
    assert all(before % after == 0 and before > after for before, after in pairwise(parts))
    candidates = [n, *(number * k for number in parts[:-1])]
    assert candidates == sorted(candidates, reverse=True)
    assert all(-(-elements // number) >= k for elements, number in zip(candidates, parts, strict=True))


def test_rounds_pay() -> None:
    assert rounds(1, 8400, 8400) == (1,)
    assert rounds(1, 40, 5) == (1,)
    assert len(rounds(1, 8400, 100)) > 1


def test_a_k_computed_at_run_time_is_refused() -> None:
    with pytest.raises(CatenaError):
        lower(one_node("TopK", {"x": normal(3), "k": integers(1)}, opset=11, outputs=2))
