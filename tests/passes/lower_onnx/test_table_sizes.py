"""Matrices and maps that follow from extents alone are limited: a node of a few bytes must not become gigabytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from compiler.importer import import_model
from dialects.diagnostics import CatenaError
from passes.lower_onnx import unsupported
from tests.filechecking import run_passes
from tests.onnx_models import onnx_model, onnx_node

GRAMS: dict[str, Any] = {
    "mode": "TF", "min_gram_length": 1, "max_gram_length": 1, "max_skip_count": 0, "ngram_counts": [0],
    "ngram_indexes": [1 << 27], "pool_int64s": [3],
}  # fmt: skip
LSTM = {"w": np.ones((1, 8, 1), np.float32), "r": np.ones((1, 8, 2), np.float32)}
TABLES: list[tuple[str, str, Sequence[int], Mapping[str, Any], Mapping[str, Any], int]] = [
    ("AffineGrid", "x s", [1, 2, 3], {"s": np.array([1, 1, 1 << 14, 1 << 14])}, {}, 20),
    ("AveragePool", "x", [1, 1, 1 << 14, 1 << 14], {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, 17),
    ("DFT", "x", [1, 1 << 13, 1], {}, {"axis": 1}, 17),
    ("LSTM", "x w r", [1 << 14, 1, 1], LSTM, {"hidden_size": 2}, 17),
    ("Resize", "x - s", [1, 1 << 14], {"s": np.array([1, 1.7], np.float32)}, {"mode": "linear"}, 17),
    ("Resize", "x - s", [1, 1 << 14], {"s": np.array([1, 1.7], np.float32)}, {"mode": "nearest"}, 17),
    ("STFT", "x n - l", [1, 1 << 13, 1], {"n": np.int64(1), "l": np.int64(1 << 13)}, {}, 17),
    ("TfIdfVectorizer", "x", [5], {}, GRAMS, 17),
    ("Trilu", "x", [1 << 14, 1 << 14], {}, {}, 17),
]


@pytest.mark.parametrize(
    ("op_type", "inputs", "shape", "constants", "attributes", "opset"), TABLES, ids=[each[0] for each in TABLES]
)
def test_a_table_out_of_proportion_is_refused(
    op_type: str,
    inputs: str,
    shape: Sequence[int],
    constants: Mapping[str, Any],
    attributes: Mapping[str, Any],
    opset: int,
) -> None:
    node = onnx_node(op_type, inputs, "y", "large", **attributes)
    kind = TensorProto.INT64 if op_type == "TfIdfVectorizer" else TensorProto.FLOAT
    module = import_model(onnx_model([node], {"x": shape}, "y", constants, opset=opset, element_type=kind))
    (problem,) = unsupported(module)
    assert (problem.code, problem.node) == ("CAT-U002", "large")
    assert "has at most" in problem.expected


def test_dimensions_that_stay_and_even_copies_need_no_matrix() -> None:
    scales = np.array([1, 2, 0.5, 3], np.float32)
    for mode, long in (("nearest", 2), ("nearest", 3), ("linear", 0)):
        shape = [1, 4, 8, 2]
        shape[long] = 1 << 16
        places = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        node = onnx_node("Resize", "x - s", "y", mode=mode, **places)
        assert not unsupported(import_model(onnx_model([node], {"x": shape}, "y", {"s": scales}, opset=17)))


def test_the_matrices_of_many_nodes_share_a_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("passes.constant_evaluation.budget.ROOM", 40_000)
    nodes = [onnx_node("Resize", "x - s", f"y{i}", f"resize{i}", mode="linear") for i in range(3)]
    module = import_model(
        onnx_model(nodes, {"x": [1, 40]}, "y0 y1 y2", {"s": np.array([1, 1.5], np.float32)}, opset=17)
    )
    with pytest.raises(CatenaError) as caught:
        run_passes(module, "lower-onnx")
    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.node, problem.found) == ("CAT-U002", "resize2", "9600 bytes more")


def test_blocks_that_are_not_those_of_the_image() -> None:
    node = onnx_node("Col2Im", "x i b", "y", "blocks")
    constants = {"i": np.array([3, 3]), "b": np.array([1, 1])}
    (problem,) = unsupported(import_model(onnx_model([node], {"x": [1, 1, 4]}, "y", constants, opset=18)))
    assert (problem.node, problem.found) == ("blocks", "4 columns for 9 blocks")
