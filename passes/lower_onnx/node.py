"""Read access to one ONNX op, the same for all its versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from xdsl.dialects.builtin import NoneType
from xdsl.ir import Attribute, OpResult, SSAValue

from dialects.element_types import numpy_dtype_of
from dialects.gconv import element_type_of_value, shape_of
from dialects.gconv.scalar import Array
from dialects.locations import describe
from dialects.onnx import OnnxOp
from dialects.weights import constant_value


@dataclass(frozen=True)
class Node:
    """One ONNX op. An attribute that its version does not have reads as the default."""

    op: OnnxOp

    @property
    def op_type(self) -> str:
        return self.op.op_type

    @property
    def version(self) -> int:
        """The opset that introduced this version of the operator."""
        return self.op.since_version

    @property
    def name(self) -> str:
        """The ONNX node's name."""
        return describe(self.op)

    def input(self, index: int) -> SSAValue | None:
        """An input by its position, None if it is left out."""
        if index >= len(self.op.operands):
            return None
        value = self.op.operands[index]
        return None if isinstance(value.type, NoneType) else value

    def required(self, index: int) -> SSAValue:
        """An input that the schema requires."""
        value = self.input(index)
        assert value is not None, f"{self.op_type} without input {index}"
        return value

    def constant(self, index: int) -> Array | None:
        """The words of an input that is a constant, None if it is computed or left out."""
        value = self.input(index)
        return None if value is None else constant_value(value)

    def constant_integers(self, index: int) -> tuple[int, ...] | None:
        """A constant input of integers as a flat tuple, None if it is computed or left out."""
        array = self.constant(index)
        return None if array is None else tuple(int(item) for item in array.reshape(-1))

    def shape(self, index: int) -> tuple[int, ...]:
        """The shape of an input."""
        return shape_of(self.required(index))

    def dtype(self, index: int) -> np.dtype[Any]:
        """The NumPy dtype of an input."""
        return numpy_dtype_of(element_type_of_value(self.required(index)))

    @property
    def results(self) -> list[OpResult]:
        """The results that the node gives a name."""
        return [result for result in self.op.results if not isinstance(result.type, NoneType)]

    def result_shape(self, index: int = 0) -> tuple[int, ...]:
        """The shape of a result."""
        return shape_of(self.op.results[index])

    def result_type(self, index: int = 0) -> Attribute:
        """The element type of a result."""
        return element_type_of_value(self.op.results[index])

    def has(self, name: str) -> bool:
        """Whether the node itself gives an attribute."""
        return self.op.has_attribute(name)

    def _knows(self, name: str) -> bool:
        return name in self.op.schema().attributes

    def integer(self, name: str, default: int = 0) -> int:
        """An INT attribute."""
        return self.op.int_attribute(name, default) if self._knows(name) else default

    def number(self, name: str, default: float = 0.0) -> float:
        """A FLOAT attribute."""
        return self.op.float_attribute(name, default) if self._knows(name) else default

    def text(self, name: str, default: str = "") -> str:
        """A STRING attribute."""
        return self.op.string_attribute(name, default) if self._knows(name) else default

    def integers(self, name: str, default: Sequence[int] = ()) -> tuple[int, ...]:
        """An INTS attribute."""
        return self.op.ints_attribute(name, default) if self._knows(name) else tuple(default)

    def numbers(self, name: str, default: Sequence[float] = ()) -> tuple[float, ...]:
        """A FLOATS attribute."""
        return self.op.floats_attribute(name, default) if self._knows(name) else tuple(default)

    def texts(self, name: str) -> tuple[str, ...]:
        """A STRINGS attribute, empty if the node does not give it."""
        value = self.op.attribute(name) if self.has(name) else ()
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, tuple) else ()

    def wants(self, index: int) -> bool:
        """Whether something reads the result at `index`."""
        return index < len(self.op.results) and bool(self.op.results[index].uses.get_length())

    def integers_from(self, name: str, index: int, default: Sequence[int] | None = None) -> tuple[int, ...] | None:
        """Integers that old versions give as the attribute `name` and newer ones as a constant input.

        `default` if the node gives neither, or if the input is computed.
        """
        given = self.integers(name) if self.has(name) else self.constant_integers(index)
        if given is not None:
            return given
        return None if default is None else tuple(default)
