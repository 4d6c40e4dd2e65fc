"""What the soundness of an op depends on, so that an op is checked again only when that has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from xdsl.dialects.builtin import LocationAttr, ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue


class Facts(NamedTuple):
    """All that the checks read of an op. It keeps the op, so that its identity is not used again.

    `definition` is what the op's own soundness depends on: where it stands, types, what it says and holds. If the facts
    of all ops of a module are the same as before, in the same order, so is the module.
    """

    op: Operation
    definition: tuple[object, ...]
    location: LocationAttr
    operands: tuple[SSAValue, ...]


def facts_of(op: Operation) -> Facts:
    """The facts of an op as it is now."""
    operands = tuple(op.operands)
    definition: tuple[object, ...] = (
        op.parent,
        tuple([value.type for value in operands]),
        tuple([value.type for value in op.results]),
        tuple(op.properties.items()),
        tuple(op.attributes.items()),
    )
    if op.regions or op.successors:
        blocks = [(region, block, block.arg_types) for region in op.regions for block in region.blocks]
        definition = (*definition, tuple(op.regions), tuple(blocks), tuple(op.successors))
    surroundings = _SURROUNDINGS.get(op.name)
    if surroundings is not None:
        definition = (*definition, surroundings(op))
    return Facts(op, definition, op.location, operands)


def facts_suffice(op: Operation) -> bool:
    """Whether an op stays as sound as it is while its definition does: it depends on no others in unknown ways.

    Uses of values that an op must not see are not meant; `dominance_problems` finds them.
    """
    if op.name in _SURROUNDINGS:
        return True
    block = op.parent
    return not (op.regions or op.successors or block is None or block.last_op is op)


def _of_module(op: Operation) -> tuple[object, ...]:
    """The symbols in a module."""
    blocks = [block for region in op.regions for block in region.blocks]
    return tuple(inner.get_attr_or_prop("sym_name") for block in blocks for inner in block.ops)


def _of_function(op: Operation) -> tuple[object, ...]:
    """Whether the blocks of a function are empty."""
    return tuple(block.last_op is None for region in op.regions for block in region.blocks)


def _of_return(op: Operation) -> tuple[object, ...]:
    """The function around a return and its type, and whether the return is the last op there."""
    function = op.parent_op()
    is_last = op.parent is not None and op.parent.last_op is op
    kind = function.properties.get("function_type") if isinstance(function, FuncOp) else None
    return (function, kind, is_last)


_SURROUNDINGS: Mapping[str, Callable[[Operation], tuple[object, ...]]] = MappingProxyType(
    {ModuleOp.name: _of_module, FuncOp.name: _of_function, ReturnOp.name: _of_return}
)
"""What else the soundness of an op depends on, for ops that hold or end others."""
