"""How an operator's lowering is declared: what it covers, what it demands of a node, how it emits the chain."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from passes.lower_onnx.chain import Chain
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

NEWEST_OPSET = 28
"""The newest opset whose operator versions have been looked at; a lowering refuses versions beyond it."""

ALL_RESULTS = 1 << 31
"""More results than any node has."""


@dataclass(frozen=True)
class Constraint:
    """Something a node must satisfy. `doc` says it: in the documentation and as what an error expected.

    `violation` returns what was found instead, or None if the node is fine.
    """

    doc: str
    violation: Callable[[Node], str | None]
    hint: str = ""


def constraint(hint: str = "") -> Callable[[Callable[[Node], str | None]], Constraint]:
    """Make a constraint of a function; its docstring becomes `doc`."""

    def declare(violation: Callable[[Node], str | None]) -> Constraint:
        return Constraint(_text_of(violation), violation, hint)

    return declare


Emitter = Callable[[Node, Chain], "Tensor | Sequence[Tensor | None]"]
"""Emits the links of a node and returns its results in order.

A result may have any shape with the right elements in row-major order; trailing results may be left out.
"""


@dataclass(frozen=True)
class Lowering:
    """The lowering of one operator, for every version from opset 7 to `NEWEST_OPSET`.

    `doc` is one line about the links it becomes; `results` how many of the operator's results it can give. With
    `declared_extents` the extents of results need not follow from shapes and constants: what the model declares will
    do, and the links check that a run keeps to it.
    """

    op_type: str
    doc: str
    emit: Emitter
    constraints: tuple[Constraint, ...] = ()
    results: int = 1
    declared_extents: bool = False


def lowering(
    *op_types: str, constraints: Sequence[Constraint] = (), results: int = 1, declared_extents: bool = False
) -> Callable[[Emitter], tuple[Lowering, ...]]:
    """Declare a function as the lowering of one or several operators; its docstring becomes `doc`."""

    def declare(emit: Emitter) -> tuple[Lowering, ...]:
        doc = _text_of(emit)
        rules = tuple(constraints)
        return tuple(Lowering(op_type, doc, emit, rules, results, declared_extents) for op_type in op_types)

    return declare


def _text_of(function: Callable[..., object]) -> str:
    text = inspect.getdoc(function)
    assert text, f"{function.__name__} needs a docstring"
    return " ".join(text.split())
