"""Quick access to the operands of ops that have several optional or variadic ones.

How many operands each definition of such an op has is an attribute, its segment sizes. xDSL decodes it again whenever
an operand is asked for, a dozen times for each op of a chain.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, NoReturn, TypeVar, cast

from xdsl.dialects.builtin import DenseArrayBase
from xdsl.irdl import AttrSizedOperandSegments, IRDLOperation, OptOperandDef, VarOperandDef

OpT = TypeVar("OpT", bound=IRDLOperation)


def with_quick_operands(op_type: type[OpT]) -> type[OpT]:
    """Replace xDSL's accessors of the operands of an op whose segment sizes are a property by ones that decode once."""
    for index, (name, definition) in enumerate(op_type.get_irdl_definition().operands):
        is_optional = isinstance(definition, OptOperandDef)
        setattr(op_type, name, _Operands(index, is_optional, isinstance(definition, VarOperandDef) and not is_optional))
    return op_type


class _Operands:
    """What one definition stands for in an op: a value, a value or None, or several values."""

    def __init__(self, index: int, is_optional: bool, is_variadic: bool):
        self._index, self._is_optional, self._is_variadic = index, is_optional, is_variadic

    def __get__(self, op: IRDLOperation, owner: type[IRDLOperation] | None = None) -> Any:
        sizes = cast("DenseArrayBase", op.properties[AttrSizedOperandSegments.attribute_name])
        start, stop = _bounds(sizes.data.data)[self._index]
        if self._is_variadic:
            return op.operands[start:stop]
        return None if self._is_optional and start == stop else op.operands[start]

    def __set__(self, op: IRDLOperation, value: object) -> NoReturn:
        # as xDSL's own accessors do
        raise NotImplementedError("named operands cannot be replaced: set them by their number")


@lru_cache(1 << 10)
def _bounds(sizes: bytes) -> tuple[tuple[int, int], ...]:
    """First operand of each definition and the one after its last, from the bytes of the segment sizes (i32)."""
    return tuple(pairwise(accumulate(struct.unpack(f"<{len(sizes) // 4}i", sizes), initial=0)))
