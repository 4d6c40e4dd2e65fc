"""Operands by name are those that xDSL's own accessors find, however many there are of each."""

from __future__ import annotations

from itertools import product

import pytest
from xdsl.dialects import test
from xdsl.dialects.builtin import DenseArrayBase, i32
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    var_operand_def,
)
from xdsl.utils.exceptions import VerifyException

from dialects.operand_segments import with_quick_operands


@irdl_op_definition
class Plain(IRDLOperation):
    name = "test.plain"

    first = operand_def(i32)
    maybe = opt_operand_def(i32)
    others = var_operand_def(i32)
    last = operand_def(i32)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)


@with_quick_operands
@irdl_op_definition
class Quick(IRDLOperation):
    name = "test.quick"

    first = operand_def(i32)
    maybe = opt_operand_def(i32)
    others = var_operand_def(i32)
    last = operand_def(i32)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)


@pytest.mark.parametrize(("some", "several"), [*product((0, 1), (0, 1, 3))])
def test_operands_are_found_as_xdsl_finds_them(some: int, several: int) -> None:
    values = test.TestOp(result_types=[i32] * 6).results
    operands = [values[0], values[1 : 1 + some], values[2 : 2 + several], values[5]]
    plain, quick = Plain(operands=operands), Quick(operands=operands)
    quick.verify()
    assert (quick.first, quick.maybe, quick.last) == (plain.first, plain.maybe, plain.last)
    assert quick.others == plain.others
    assert quick.others.types == (i32,) * several
    quick.operands[0] = values[5]
    assert quick.first is values[5]


def test_named_operands_are_not_replaced_and_wrong_sizes_are_found() -> None:
    values = test.TestOp(result_types=[i32] * 2).results
    op = Quick(operands=[values[0], [], [], values[1]])
    with pytest.raises(NotImplementedError):
        op.first = values[1]
    for sizes in ((1, 0, 0), (1, 0, 1, 1), (1, 2, -2, 1)):
        op.properties[AttrSizedOperandSegments.attribute_name] = DenseArrayBase.from_list(i32, sizes)
        with pytest.raises(VerifyException):
            op.verify()
