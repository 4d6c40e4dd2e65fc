"""What an evaluator sees of an ONNX node: operator, attributes, and what is known of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dialects.onnx import AttributeValue, KnownValue, ValueType, operator_schema
from dialects.onnx.values import Array

FOLD_LIMIT = 2**27
"""The most elements a folded tensor may have: 512 MiB of 32-bit words."""


class CannotEvaluateError(Exception):
    """The node has no constant value that this evaluator can compute; it stays as it is."""


@dataclass(frozen=True)
class Node:
    """One ONNX node. An input is None if left out; a result type is None if it is not known."""

    op_type: str
    since_version: int
    attributes: Mapping[str, AttributeValue]
    inputs: tuple[KnownValue | None, ...]
    results: tuple[ValueType | None, ...]

    @property
    def is_constant(self) -> bool:
        """Whether every input is a constant."""
        return all(value is None or value.array is not None for value in self.inputs)

    def attribute(self, name: str) -> AttributeValue | None:
        """The attribute's value, else the schema's default, else None."""
        if name in self.attributes:
            return self.attributes[name]
        known = operator_schema(self.op_type, self.since_version).attributes
        return known[name].default if name in known else None

    def integer(self, name: str, default: int = 0) -> int:
        """An INT attribute."""
        value = self.attribute(name)
        if value is None:
            return default
        if not isinstance(value, int):
            raise CannotEvaluateError(f"attribute {name} is not an integer")
        return value

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An INTS attribute, None if it is not given."""
        value = self.attribute(name)
        if value is None:
            return None
        if not isinstance(value, tuple):
            raise CannotEvaluateError(f"attribute {name} is not a list")
        return tuple(int(item) for item in value)

    def array(self, index: int) -> Array:
        """The words of a constant input. Raises `CannotEvaluateError` if there are none."""
        value = self.optional_array(index)
        if value is None:
            raise CannotEvaluateError(f"{self.op_type} has no input {index}")
        return value

    def optional_array(self, index: int) -> Array | None:
        """The words of a constant input, None if the node leaves it out."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if value is None:
            return None
        if value.array is None:
            raise CannotEvaluateError(f"input {index} of {self.op_type} is not a constant")
        return value.array

    @property
    def known_arrays(self) -> tuple[Array, ...]:
        """The words of those inputs that are constants."""
        return tuple(value.array for value in self.inputs if value is not None and value.array is not None)

    def arrays(self) -> tuple[Array, ...]:
        """The words of all inputs that are given."""
        return tuple(self.array(index) for index, value in enumerate(self.inputs) if value is not None)

    def input_integers(self, index: int) -> tuple[int, ...] | None:
        """A constant integer input as Python integers, None if the node leaves it out."""
        value = self.optional_array(index)
        return None if value is None else tuple(int(item) for item in value.reshape(-1))


Evaluator: TypeAlias = Callable[[Node], Sequence[Array]]
"""Computes all outputs of a node whose inputs are constants."""
