"""How much constants that are made at compile time may take together: a small model must not make large ones."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from dialects.element_types import numpy_dtype_of
from dialects.gconv import element_type_of_value, shape_of
from dialects.onnx import OnnxOp
from dialects.onnx.translation import onnx_attributes
from dialects.onnx.values import Array
from dialects.weights import ConstantOp

ROOM = 1 << 30
"""Bytes of made constants that any model may have."""

BUDGET = f"made constants of at most {ROOM >> 30} GiB, and as much again as the model holds, together"
"""What is expected of a model, for messages."""


class ConstantBudget:
    """Room for constants that are made: a `share` of `ROOM`, and as much again as the constants take that are given."""

    def __init__(self, given: int = 0, share: float = 1.0):
        self._left = int(ROOM * share) + given

    def give(self, size: int) -> None:
        """Count bytes of a constant that is not made."""
        self._left += size

    def has(self, size: int) -> bool:
        """Whether so many bytes more may be made."""
        return size <= self._left

    def take(self, made: Iterable[Array], sources: Iterable[Array] = ()) -> None:
        """Count arrays that were made; one that shows words of a source takes none, but if it repeats them."""
        known = tuple(sources)
        self._left -= sum(array.nbytes for array in made if _is_own(array, known))


def _is_own(array: Array, sources: tuple[Array, ...]) -> bool:
    is_repeated = any(stride == 0 and extent > 1 for stride, extent in zip(array.strides, array.shape, strict=True))
    return is_repeated or not any(np.may_share_memory(array, source) for source in sources)


def bytes_given(module: ModuleOp) -> int:
    """The bytes of all constants that a module names or holds."""
    ops = [op.result for op in module.walk() if isinstance(op, ConstantOp)]
    weights = sum(math.prod(shape_of(each)) * numpy_dtype_of(element_type_of_value(each)).itemsize for each in ops)
    constants = (op for op in module.walk() if isinstance(op, OnnxOp) and op.op_type == "Constant")
    values = (value for op in constants for value in onnx_attributes(op).values())
    return weights + sum(value.nbytes for value in values if isinstance(value, np.ndarray))
