"""Models of one node that declare shapes which only the values of a run give."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper

from tests.passes.lower_onnx.models import Arrays, one_node


def declaring(
    op_type: str,
    inputs: Arrays,
    shape: Sequence[int | str],
    constants: Arrays | None = None,
    *,
    element_type: int = TensorProto.FLOAT,
    opset: int = 20,
    order: Sequence[str] | None = None,
    **attributes: object,
) -> onnx.ModelProto:
    """As `one_node`, with the declared shape of its result."""
    model = one_node(op_type, inputs, constants, opset=opset, order=order, **attributes)
    model.graph.output[0].type.CopyFrom(helper.make_tensor_type_proto(element_type, shape))
    return model
