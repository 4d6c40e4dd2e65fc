"""Results that are equally right: the same sums in other orders, and how far apart they may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compiler.verification.comparison import Measure, Unit
from compiler.verification.measures import Measures, Tolerances
from compiler.verification.quantized_tensors import QuantizedTensors
from compiler.verification.reference import plain_session, reference_tensors
from compiler.verification.summation_orders import INPUTS, ORDERS, Pair, differing_results, reordered

pytest.importorskip("onnxruntime")

RANDOM = np.random.default_rng(5)
X = RANDOM.standard_normal((1, 6, 8, 8)).astype(np.float32)


def model_of(*nodes: onnx.NodeProto, **constants: tuple[int, ...]) -> onnx.ModelProto:
    """A float model of x [1, 6, 8, 8] with random constants of these shapes."""
    tensors = [
        numpy_helper.from_array(RANDOM.standard_normal(shape).astype(np.float32), name)
        for name, shape in constants.items()
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, X.shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "sums", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def shapes_of(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in reference_tensors(model, {"x": X}).items()}


REORDERED = {
    "Conv": model_of(helper.make_node("Conv", ["x", "w", "b"], ["y"]), w=(4, 6, 3, 3), b=(4,)),
    "Gemm": model_of(
        helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["y"]), w=(384, 5), b=(5,)
    ),
    "Gemm, both turned": model_of(
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("Transpose", ["f"], ["t"]),
        helper.make_node("Gemm", ["t", "w"], ["y"], transA=1, transB=1),
        w=(5, 384),
    ),
    "MatMul": model_of(helper.make_node("MatMul", ["x", "w"], ["y"]), w=(6, 8, 3)),
    "MatMul with a vector": model_of(helper.make_node("MatMul", ["x", "w"], ["y"]), w=(8,)),
}


@pytest.mark.parametrize("name", REORDERED)
def test_the_sums_are_the_same_up_to_rounding(name: str) -> None:
    model = REORDERED[name]
    expected = plain_session(model).run({"x": X})["y"]
    found = [plain_session(reordered(model, shapes_of(model), seed)).run({"x": X})["y"] for seed in range(3)]
    for array in found:
        np.testing.assert_allclose(array, expected, rtol=1e-4, atol=1e-4)
    assert any((array != expected).any() for array in found)


def test_what_cannot_be_reordered_stays() -> None:
    grouped = model_of(helper.make_node("Conv", ["x", "w"], ["y"], group=2), w=(4, 3, 3, 3))
    assert list(reordered(grouped, shapes_of(grouped), 0).graph.node) == list(grouped.graph.node)
    unknown = REORDERED["Conv"]
    assert list(reordered(unknown, {}, 0).graph.node) == list(unknown.graph.node)


def test_pairs_are_of_one_input_each_and_the_given_one_comes_first() -> None:
    model = REORDERED["Conv"]
    pairs = list(differing_results(model, {"x": X}, shapes_of(model)))
    assert len(pairs) == INPUTS * ORDERS * (ORDERS + 1) // 2
    np.testing.assert_array_equal(pairs[0][0]["y"], plain_session(model).run({"x": X})["y"])
    for one, other in pairs:
        np.testing.assert_allclose(one["y"], other["y"], rtol=1e-4, atol=1e-4)
    assert np.abs(pairs[0][0]["y"] - pairs[-1][0]["y"]).max() > 0.1


def measures(dtype: type, tolerances: Tolerances | None = None) -> Measures:
    """For a model that rounds x to integers q."""
    tensors = [numpy_helper.from_array(np.array(1, np.float32), "s"), numpy_helper.from_array(np.array(0, dtype), "z")]
    graph = helper.make_graph([helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])], "g", [], [], tensors)
    reference = {"x": np.zeros(2, np.float32), "q": np.zeros(2, dtype)}
    return Measures(reference, QuantizedTensors(helper.make_model(graph), reference), {}, tolerances or Tolerances())


def pairs_off_by(*differences: int) -> Iterator[Pair]:
    """Pairs of results whose q differ by so many last places; no more may be taken than these."""
    zero = np.zeros(2, np.int16)
    for difference in differences:
        one: Mapping[str, np.ndarray] = {"q": zero}
        yield one, {"q": zero + np.int16(difference)}
    pytest.fail("one pair too many was taken")


def test_an_output_may_be_as_far_off_as_the_reference_is_from_itself() -> None:
    wide = measures(np.int16)
    measure = wide.of_output("q")
    assert (measure.unit, measure.tolerance) == (Unit.LSB, 2.0)
    assert wide.widened(measure, "q", 2.0, pairs_off_by()).tolerance == 2.0
    assert wide.widened(measure, "q", 3.0, pairs_off_by(1, 2, 3)).tolerance == 3.0
    taken = [({"q": np.zeros(2)}, {"q": np.ones(2) * distance}) for distance in (1, 3, 2)]
    assert wide.widened(measure, "q", 5.0, taken).tolerance == 3.0


def test_models_of_bytes_and_tolerances_of_the_user_are_not_widened() -> None:
    for made in (measures(np.int8), measures(np.int16, Tolerances(lsb=1.0))):
        measure: Measure = made.of_output("q")
        assert made.widened(measure, "q", 9.0, pairs_off_by()) == measure
