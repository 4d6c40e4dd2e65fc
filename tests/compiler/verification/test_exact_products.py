"""The reference multiplies uint8 by int8 exactly, whatever the processor."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compiler.verification.exact_products import multiply_exactly
from compiler.verification.reference import reference_tensors

pytest.importorskip("onnxruntime")


def matmul(a: np.ndarray, b: np.ndarray, zeros: tuple[int, int]) -> onnx.ModelProto:
    constants = {"b": b, "az": np.array(zeros[0], np.uint8), "bz": np.array(zeros[1], np.int8)}
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b", "az", "bz"], ["y"])],
        "g",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, a.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [len(a), b.shape[1]])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)


@pytest.mark.parametrize("zeros", [(0, 0), (130, -3)])
def test_sums_of_large_products_do_not_saturate(zeros: tuple[int, int]) -> None:
    """Two of these are more than 16 bits hold."""
    a, b = np.full((2, 64), 255, np.uint8), np.full((64, 3), 127, np.int8)
    b[:, 1] = -128
    model = matmul(a, b, zeros)
    whole = model.SerializeToString()
    want = (a.astype(np.int64) - zeros[0]) @ (b.astype(np.int64) - zeros[1])
    np.testing.assert_array_equal(reference_tensors(model, {"a": a})["y"], want)
    assert model.SerializeToString() == whole


def test_only_constant_kernels_of_int8_are_shifted_each_once() -> None:
    a, b = np.zeros((1, 4), np.uint8), np.arange(8, dtype=np.int8).reshape(4, 2)
    model = matmul(a, b, (0, 5))
    model.graph.node.append(helper.make_node("MatMulInteger", ["a", "b", "az", "bz"], ["z"]))
    model.graph.node.append(helper.make_node("MatMulInteger", ["a", "c", "az", "bz"], ["given"]))
    model.graph.node.append(helper.make_node("MatMulInteger", ["a", "b"], ["without"]))
    multiply_exactly(model)
    assert [list(node.input) for node in model.graph.node] == [
        ["a", "b.uint8", "az", "bz.uint8"],
        ["a", "b.uint8", "az", "bz.uint8"],
        ["a", "c", "az", "bz"],
        ["a", "b"],
    ]
    made = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    np.testing.assert_array_equal(made["b.uint8"], b.astype(np.int16) + 128)
    assert (made["bz.uint8"], made["bz.uint8"].dtype) == (133, np.uint8)
    assert len(made) == 5
