"""What the soundness of an op depends on, so that an op is checked again only when that has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation

Facts: TypeAlias = tuple[object, ...]


def facts_of(op: Operation) -> Facts | None:
    """All that the soundness of an op depends on, or None if it depends on other ops in ways that are not known here.

    The op itself comes first, so that whoever keeps the facts keeps the op and its identity.
    Uses of values that an op must not see are none of these; `dominance_problems` finds them every time.
    """
    surroundings = _SURROUNDINGS.get(op.name)
    if surroundings is not None:
        return (op, op.parent, *op.properties.items(), *surroundings(op))
    block = op.parent
    if op.regions or op.successors or block is None or block.last_op is op:
        return None
    types = [value.type for value in op.operands]
    return (op, block, *op.properties.items(), *types, None, *(result.type for result in op.results))


def _of_module(op: Operation) -> Facts:
    """The blocks of a module and the symbols in it."""
    blocks = [block for region in op.regions for block in region.blocks]
    return (len(blocks), *(inner.get_attr_or_prop("sym_name") for block in blocks for inner in block.ops))


def _of_function(op: Operation) -> Facts:
    """Whether the blocks of a function are empty, and the types of the first one's arguments."""
    blocks = [block for region in op.regions for block in region.blocks]
    return (*(block.last_op is None for block in blocks), *(blocks[0].arg_types if blocks else ()))


def _of_return(op: Operation) -> Facts:
    """The function around a return and its type, whether it is the last op there, and the types of its operands."""
    function = op.parent_op()
    is_last = op.parent is not None and op.parent.last_op is op
    kind = function.properties.get("function_type") if isinstance(function, FuncOp) else None
    return (function, kind, is_last, *(value.type for value in op.operands))


_SURROUNDINGS: Mapping[str, Callable[[Operation], Facts]] = MappingProxyType(
    {ModuleOp.name: _of_module, FuncOp.name: _of_function, ReturnOp.name: _of_return}
)
"""What else the soundness of an op depends on, for ops that hold or end others."""
