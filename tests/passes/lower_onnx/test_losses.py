"""Losses of classification against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest

from tests.passes.lower_onnx.models import check, normal, one_node

pytest.importorskip("onnxruntime")

CLASSES = 5


def operands(positions: tuple[int, ...], kind: type, ignored: int | None) -> dict[str, np.ndarray]:
    """Scores and targets, some of which are ignored."""
    random = np.random.default_rng(1)
    targets = random.integers(0, CLASSES, (3, *positions)).astype(kind)
    if ignored is not None:
        targets.reshape(-1)[:2] = ignored
    return {"x": normal(3, CLASSES, *positions), "t": targets}


@pytest.mark.parametrize("op_type", ["NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"])
@pytest.mark.parametrize("positions", [(), (2,), (2, 3), (2, 1, 2, 3)])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("weighted", [None, "constant", "computed"])
@pytest.mark.parametrize("ignored", [None, 2, -1, 9])
def test_losses(op_type, positions, reduction, weighted, ignored):
    feeds = operands(positions, np.int64, ignored)
    weights = {"w": np.abs(normal(CLASSES, seed=3))} if weighted else {}
    constants = weights if weighted == "constant" else {}
    feeds |= weights if weighted == "computed" else {}
    attributes = {} if ignored is None else {"ignore_index": ignored}
    model = one_node(op_type, feeds, constants, opset=13, reduction=reduction, **attributes)
    links = 2 + (reduction == "mean" and ignored is not None)
    if weighted:
        links = {"none": 3, "sum": 4, "mean": 5}[reduction]
    check(model, feeds, links=links + 3 * (op_type == "SoftmaxCrossEntropyLoss"))


@pytest.mark.parametrize("opset", [12, 13])
def test_logarithms_of_probabilities(opset):
    feeds = operands((2, 3), np.int32, None)
    check(one_node("SoftmaxCrossEntropyLoss", feeds, opset=opset, outputs=2), feeds, links=5)


def test_impossible_classes_do_not_count_unless_chosen():
    feeds = {"x": np.array([[-1, -np.inf], [-np.inf, -2]], np.float32), "t": np.array([0, 1])}
    check(one_node("NegativeLogLikelihoodLoss", feeds, {"w": normal(2)}, opset=13), feeds)
