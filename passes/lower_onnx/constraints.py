"""Constraints that several lowerings share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects.builtin import TensorType
from xdsl.ir import Attribute, SSAValue

from dialects.element_types import numpy_dtype_of
from dialects.gconv import element_type_of_value, shape_of
from dialects.weights import constant_value
from passes.lower_onnx.lowering import Constraint, constraint
from passes.lower_onnx.node import Node


def _may_be_empty(node: Node, value: SSAValue) -> bool:
    """Whether a tensor of the node needs no element: a constant, unused, cut off or put beside others."""
    parts: Sequence[SSAValue] = {"Concat": node.op.operands, "Split": node.op.results}.get(node.op_type, ())
    return value in parts or constant_value(value) is not None or not value.uses.get_length()


@constraint(hint="Catena computes on tensors of floats, integers and booleans")
def known_types(node: Node) -> str | None:
    """its tensors hold at least one element, unless they are constants, and elements are floats, integers or bool"""
    for value in (*node.op.operands, *node.results):
        kind: Attribute = value.type
        if not isinstance(kind, TensorType):
            continue
        try:
            numpy_dtype_of(element_type_of_value(value))
        except TypeError:
            return f"{value.type}"
        if any(extent < 1 for extent in shape_of(value)) and not _may_be_empty(node, value):
            return f"{value.type}"
    return None


def constant_input(index: int, name: str) -> Constraint:
    """The input at `index`, called `name`, is left out or known at compile time."""

    def violation(node: Node) -> str | None:
        given = node.input(index) is not None
        return f"{name} is computed at run time" if given and node.constant(index) is None else None

    return Constraint(
        f"`{name}` is a constant", violation, "give it as an initializer, or fix the input shapes so that it folds"
    )


def attribute_is(name: str, *allowed: str) -> Constraint:
    """The string attribute `name` has one of the allowed values."""

    def violation(node: Node) -> str | None:
        value = node.text(name, allowed[0])
        return None if value in allowed else f"{name} = {value!r}"

    return Constraint(f"`{name}` is {' or '.join(allowed)}", violation)


def floating(index: int = 0) -> Constraint:
    """The input at `index` is of a floating-point type."""

    def violation(node: Node) -> str | None:
        return None if node.dtype(index).kind == "f" else str(node.dtype(index))

    return Constraint("the input is of a floating-point type", violation, "cast it to float first")


MOST_TABLE_WORDS = 1 << 26
"""Words of a matrix or map that a lowering makes of a node's extents alone."""


def table_within_limit(what: str, words: Callable[[Node], int]) -> Constraint:
    """A constant that follows from extents, `what`, is not out of proportion to the model; `words` is its size."""

    def violation(node: Node) -> str | None:
        found = words(node)
        return None if found <= MOST_TABLE_WORDS else f"{found} words"

    return Constraint(f"{what} has at most {MOST_TABLE_WORDS} words", violation)
