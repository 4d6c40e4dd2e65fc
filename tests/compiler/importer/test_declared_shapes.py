"""Extents that only the model declares, and what follows from them for tensors before."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from compiler.importer import import_model
from dialects.diagnostics import CatenaError
from tests.onnx_models import onnx_ops
from tests.passes.lower_onnx.models import check


def parsed(graph: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 20]> agraph {graph}')


WAVE = """
(float n, float[1] f) => (float[EXTENT] y) {
    zero = Constant <value = float {0.0}> ()
    one = Constant <value = float {1.0}> ()
    t = Range (zero, n, one)
    turn = Mul (t, f)
    c = Cos (turn)
    s = Sin (turn)
    y = Add (c, s)
}
"""


def test_declared_extents_reach_tensors_before() -> None:
    for frequency in (0.5, 0.7):
        check(parsed(WAVE.replace("EXTENT", "5")), {"n": np.float32(5), "f": np.float32([frequency])})


@pytest.mark.parametrize("extent", ["n", "0"])
def test_open_extents_reach_nothing(extent: str) -> None:
    with pytest.raises(CatenaError, match=r"the shape of output 't' of Range is not known"):
        import_model(parsed(WAVE.replace("EXTENT", extent)))


def test_extents_between_count_too() -> None:
    model = parsed(WAVE.replace("EXTENT", "n"))
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [6]))
    (t,) = (op for op in onnx_ops(import_model(model)) if op.op_type == "Range")
    assert t.results[0].type.get_shape() == (6,)


def test_declared_extents_reach_loops_through_operators_on_elements() -> None:
    graph = """
    (int64 n, float[1] x) => (double[4, 1] y) {
        [loop] last, all = Loop (n, , x) <body = trip (int64 i, bool c, a) => (on, b, s) {
            on = Identity (c)
            b = Add (a, a)
            s = Identity (b)
        }>
        small = Neg (all)
        y = Cast <to = 11> (small)
    }
    """
    assert len([op for op in onnx_ops(import_model(parsed(graph))) if op.op_type == "Add"]) == 4


def test_extents_that_disagree_count_as_unknown() -> None:
    model = parsed(WAVE.replace("EXTENT", "5"))
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [6]))
    with pytest.raises(CatenaError, match=r"the shape of output 't' of Range is not known"):
        import_model(model)
