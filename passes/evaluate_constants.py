"""evaluate-constants: links of constants become constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass

from dialects.diagnostics import memory_for
from dialects.element_types import numpy_dtype_of
from dialects.gconv import ConcatOp, LinkOp, element_type_of_value, shape_of
from dialects.gconv.interpreter import evaluate
from dialects.gconv.scalar import Array
from dialects.locations import describe
from dialects.weights import ConstantOp
from passes.chain_views import constant_words, is_constant
from passes.constant_evaluation import ConstantBudget
from passes.rewriting import chain_blocks, replace, require_bound_weights

SHARE = 0.5
"""Of the room for made constants: others were made before."""


@dataclass(frozen=True)
class EvaluateConstantsPass(ModulePass):
    """Compute links and concatenations whose operands are all constants, with the interpreter of the dialect.

    Links of more than `max-trips` loop trips are left to the target, as is what makes or spans more words than that: a
    repeated word takes no trips, nor does padding, but room. So is what made constants have no room for together.
    """

    name = "evaluate-constants"

    max_trips: int = 1 << 26

    def __post_init__(self) -> None:
        if self.max_trips < 0:
            raise ValueError("max-trips must not be negative")

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Rewrite every function.

        Raises `CatenaError` for functions of several blocks (CAT-R003) and words that are not at hand (CAT-R004).
        """
        budget = ConstantBudget(share=SHARE)
        for block in chain_blocks(op, self.name):
            constant = [each for each in block.ops if self._is_computable(each)]
            if constant:
                require_bound_weights(block, self.name)
            self._evaluate_block(block, budget)

    def _evaluate_block(self, block: Block, budget: ConstantBudget) -> None:
        for op in list(block.ops):
            if op.parent is None or not self._is_computable(op) or not budget.has(_bytes_of(op.results[0])):
                continue
            with memory_for(describe(op)):
                made = _value_of(op)
            budget.take((made,))
            result = ConstantOp.of(made)
            replace(op, [result], result.result, [_producer(operand) for operand in op.operands])

    def _is_computable(self, op: Operation) -> bool:
        match op:
            case LinkOp():
                work = max(op.spec.trips, op.spec.words)
            case ConcatOp():
                work = math.prod(shape_of(op.result))
            case _:
                return False
        return work <= self.max_trips and all(is_constant(operand) for operand in op.operands)


def _bytes_of(value: SSAValue) -> int:
    return math.prod(shape_of(value)) * numpy_dtype_of(element_type_of_value(value)).itemsize


def _producer(value: SSAValue) -> Operation:
    owner = value.owner
    assert isinstance(owner, Operation)
    return owner


def _value_of(op: Operation) -> Array:
    operands = _words(op.operands)
    if isinstance(op, ConcatOp):
        return np.concatenate(operands, axis=op.axis.value.data)
    assert isinstance(op, LinkOp)
    kernel = operands[1] if op.kernel is not None else None
    extras = operands[len(operands) - len(op.extras) :]
    return evaluate(op.spec, operands[0], kernel, extras, numpy_dtype_of(element_type_of_value(op.result)))


def _words(values: Sequence[SSAValue]) -> list[Array]:
    found = [constant_words(value) for value in values]
    return [words for words in found if words is not None]
