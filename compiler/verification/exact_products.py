"""Products of uint8 and int8 that ONNX Runtime adds exactly on every processor.

On x86 without VNNI it adds two of them in 16 bits, and saturates (ONNX Runtime, "Quantize ONNX models", U8S8). It is
exact for uint8 times uint8, so that constant int8 kernels become uint8, with zero points that are as much larger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

_KERNELS = {
    "QLinearConv": (2, 3, 5),
    "QLinearMatMul": (2, 3, 5),
    "QGemm": (2, 3, 5),
    "ConvInteger": (2, 1, 3),
    "MatMulInteger": (2, 1, 3),
}
"""Where an operator has the zero point of the other operand, its kernel, and the kernel's zero point."""


def multiply_exactly(model: onnx.ModelProto) -> None:
    """Have nodes of a model multiply uint8 by uint8 where their kernels are constants of int8; changes the model."""
    from onnx import TensorProto, numpy_helper

    constants = {each.name: each for each in model.graph.initializer}

    def shifted(name: str) -> str:
        """The name of a constant that is larger by 128."""
        other = f"{name}.uint8"
        if other not in constants:
            words = numpy_helper.to_array(constants[name]).astype(np.int16) + 128
            constants[other] = numpy_helper.from_array(words.astype(np.uint8), other)
            model.graph.initializer.append(constants[other])
        return other

    for node in model.graph.node:
        places = _KERNELS.get(node.op_type)
        if places is None or len(node.input) <= max(places):
            continue
        other, kernel, zero = (constants.get(node.input[place]) for place in places)
        types = [None if each is None else each.data_type for each in (other, kernel, zero)]
        if types == [TensorProto.UINT8, TensorProto.INT8, TensorProto.INT8]:
            for place in places[1:]:
                node.input[place] = shifted(node.input[place])
