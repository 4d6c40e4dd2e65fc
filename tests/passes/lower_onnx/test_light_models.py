"""The topologies bundled with the onnx package, with random weights, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.passes.lower_onnx.models import check

pytest.importorskip("onnxruntime")

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not FOLDER.exists(), reason="onnx without its test data")]


def with_random_weights(path: Path) -> onnx.ModelProto:
    """The model with an initializer in place of every ConstantOfShape, scaled so that activations keep their size."""
    model = onnx.load(path)
    values = np.random.default_rng(11)
    shapes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            nodes.append(node)
            continue
        shape = tuple(int(extent) for extent in shapes[node.input[0]])
        # Vectors scale and shift channels and may be variances: they are positive and near 1.
        array = (
            values.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
            if len(shape) > 1
            else values.uniform(0.5, 1.5, shape)
        )
        model.graph.initializer.append(numpy_helper.from_array(array.astype(np.float32), node.output[0]))
    if nodes[-1].op_type == "Softmax":
        # Probabilities of random networks are all alike or 0 and 1: compare what they are made of.
        model.graph.output[0].name = nodes.pop().input[0]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


@pytest.mark.parametrize(
    "name",
    [
        *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("densenet121", "inception_v2")),
        "shufflenet",
        "squeezenet",
    ],
)
def test_bundled_topologies(name: str) -> None:
    model = with_random_weights(FOLDER / f"light_{name}.onnx")
    initializers = {tensor.name for tensor in model.graph.initializer}
    (data,) = (value for value in model.graph.input if value.name not in initializers)
    shape = [extent.dim_value for extent in data.type.tensor_type.shape.dim]
    feeds = {data.name: np.random.default_rng(12).standard_normal(shape).astype(np.float32)}
    check(model, feeds, rtol=1e-3, atol=1e-3)
