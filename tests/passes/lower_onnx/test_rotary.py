"""RotaryEmbedding against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from dialects.diagnostics import CatenaError
from tests.passes.lower_onnx.models import check, links_in, lower, normal, one_node

pytest.importorskip("onnxruntime")

BATCH, HEADS, POSITIONS, SIZE = 2, 3, 4, 8


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("turned", [0, 4])
@pytest.mark.parametrize("positions", ["none", "constant", "looked up", "computed"])
def test_rotary_embedding(packed, interleaved, turned, positions):
    half = (turned or SIZE) // 2
    shape = (BATCH, POSITIONS, HEADS * SIZE) if packed else (BATCH, HEADS, POSITIONS, SIZE)
    cache = (BATCH, POSITIONS, half) if positions == "none" else (10, half)
    feeds = {"x": normal(*shape)}
    tables = {"cos": normal(*cache, seed=1), "sin": normal(*cache, seed=2)}
    ids = np.array([[3, 1, 4, 1], [5, 9, 2, 6]], np.int64)
    order = ["x", "cos", "sin"]
    constants = {}
    if positions != "none":
        order.append("ids")
        (feeds if positions == "computed" else constants)["ids"] = ids
    (constants if positions == "constant" else feeds).update(tables)
    model = one_node(
        "RotaryEmbedding",
        feeds,
        constants,
        opset=23,
        order=order,
        interleaved=interleaved,
        rotary_embedding_dim=turned,
        **({"num_heads": HEADS} if packed else {}),
    )
    check(model, feeds, links=2 + 2 * (positions in ("looked up", "computed")))


def test_heads_that_do_not_divide_are_refused():
    tables = {"cos": normal(1, 4, 3), "sin": normal(1, 4, 3)}
    model = one_node("RotaryEmbedding", {"x": normal(1, 4, 12)}, tables, opset=23, num_heads=2)
    model.graph.node[0].attribute[0].i = 5
    with pytest.raises(CatenaError):
        lower(model)
    assert links_in(lower(one_node("RotaryEmbedding", {"x": normal(1, 4, 12)}, tables, opset=23, num_heads=2)))
