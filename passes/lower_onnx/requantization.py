"""Steps of quantization: what rounds, moves and saturates words on their way out of a link."""

from __future__ import annotations

from typing import Any

import numpy as np
from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute

from dialects.dtypes import NARROW_DTYPES
from dialects.element_types import numpy_dtype_of
from dialects.gconv import Dim, GConv, Step
from dialects.gconv.interpreter import evaluate
from passes.lower_onnx.casting import limits_of
from passes.lower_onnx.chain import Chain, dimension_names
from passes.lower_onnx.tensor import Tensor


class StepList:
    """Steps after a link, and the tensors they read; a constant of one word becomes a parameter where there is one."""

    def __init__(self, chain: Chain):
        self._chain = chain
        self.steps: list[Step] = []
        self.extras: list[Tensor] = []

    def plain(self, function: str, *parameters: float) -> StepList:
        """A step without an operand."""
        self.steps.append(Step(function, parameters))
        return self

    def read(self, function: str, operand: Tensor) -> StepList:
        """A step that reads a tensor."""
        word = self._chain.constant_of(operand) if operand.size == 1 else None
        parameters = None if word is None else _as_parameters(function, float(word.reshape(-1)[0]))
        if parameters is not None:
            return self.plain(*parameters)
        self.steps.append(Step(function, operand=len(self.extras)))
        self.extras.append(operand)
        return self


def _as_parameters(function: str, value: float) -> tuple[Any, ...] | None:
    """A binary step with a constant as a unary one, None if none rounds the same."""
    match function:
        case "add":
            return ("affine", 1.0, value)
        case "sub":
            return ("affine", 1.0, -value)
        case "mul":
            return ("affine", value, 0.0)
        case "div":
            return ("over", value)
        case _:
            return None


def elementwise_link(chain: Chain, x: Tensor, steps: StepList, element_type: Attribute, acc: str | None) -> Tensor:
    """A link that does steps with every word of x."""
    x = x.with_rank(max(1, x.rank))
    extras = [extra.with_rank(x.rank).compact(range(x.rank)) for extra in steps.extras]
    return chain.link(_elementwise(x, steps, acc), x, extras=extras, element_type=element_type)


def elementwise_constant(
    chain: Chain, x: Tensor, steps: StepList, element_type: Attribute, acc: str | None
) -> Tensor | None:
    """What such a link makes of a constant, None if something of it is not known."""
    x = x.with_rank(max(1, x.rank))
    words = chain.constant_of(x)
    extras = [chain.constant_of(extra.with_rank(x.rank)) for extra in steps.extras]
    known = [extra for extra in extras if extra is not None]
    if words is None or len(known) < len(extras):
        return None
    return chain.constant(evaluate(_elementwise(x, steps, acc), words, None, known, numpy_dtype_of(element_type)))


def _elementwise(x: Tensor, steps: StepList, acc: str | None) -> GConv:
    dims = tuple(Dim(name, opc=n) for name, n in zip(dimension_names(x.rank), x.shape, strict=True))
    own = numpy_dtype_of(x.element_type).name
    return GConv(dims, post=tuple(steps.steps), acc=None if acc == own else acc)


def saturated(steps: StepList, chain: Chain, zero: Tensor | None, target: Attribute, saturates: bool = True) -> None:
    """From a quotient to words of the target type: rounded, moved by the zero point, within the type's limits.

    NaN becomes the smallest integer, as in ONNX Runtime, and stays NaN among floats.
    """
    if _is_float(target):
        if saturates:
            steps.plain("clip", *limits_of(target))
        return
    steps.plain("round")
    if zero is not None:
        steps.read("add", zero if not is_narrow(zero) else widened(chain, zero))
    steps.plain("saturate", *limits_of(target))


def _is_float(element_type: Attribute) -> bool:
    return "float" in numpy_dtype_of(element_type).name


def is_zero(chain: Chain, zero: Tensor) -> bool:
    words = chain.constant_of(zero)
    return words is not None and not words.astype(np.float64).any()


def is_narrow(x: Tensor) -> bool:
    return numpy_dtype_of(x.element_type).name in NARROW_DTYPES


def widened(chain: Chain, x: Tensor) -> Tensor:
    """Words of a narrow type in one that steps can read."""
    words = chain.constant_of(x)
    if words is not None:
        return chain.constant(words.astype(np.float32))
    return elementwise_link(chain, x, StepList(chain), f32, "float32")
