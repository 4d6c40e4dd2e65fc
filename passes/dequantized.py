"""Dequantized tensors of a chain: which links make them, of which integers, and how other links see those."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.ir import SSAValue

from dialects.element_types import numpy_dtype_of
from dialects.gconv import PASS, LinkOp, Step, View, element_type_of_value, shape_of
from dialects.gconv.interpreter import take_view
from dialects.gconv.scalar import Array
from passes.chain_views import Source, compacted, constant_words, source_of
from passes.elementwise import elementwise


@dataclass(frozen=True)
class Dequantized:
    """An integer tensor as the link that dequantizes it reads it; scale and zero point broadcast to its shape."""

    source: Source
    scale: Array
    zero: Array
    link: LinkOp

    @property
    def is_uniform(self) -> bool:
        """Whether one zero point and one positive scale stand for all words."""
        return self.scale.size == self.zero.size == 1 and bool((self.scale > 0).all())


def dequantized(link: LinkOp) -> Dequantized | None:
    """What a link dequantizes, None if it does anything else."""
    spec = link.spec
    source = numpy_dtype_of(element_type_of_value(link.input))
    result = numpy_dtype_of(element_type_of_value(link.result))
    if spec.main != PASS or spec.pre or spec.mid or source.kind not in "iu" or result != np.float32:
        return None
    if spec.flow(source.name) != "float32":
        return None
    form = elementwise(link)
    found = (
        None if form is None else _scale_and_zero(link, [step for step in spec.post if step.function != "to_float32"])
    )
    if form is None or found is None:
        return None
    return Dequantized(form.input, *found, link)


def _scale_and_zero(link: LinkOp, steps: Sequence[Step]) -> tuple[Array, Array] | None:
    """Scale and zero point of the steps `- zero, * scale`, or of the second alone."""
    zero: Array = np.zeros(1, np.int64)
    if len(steps) == 2:
        shift = _constant_term(link, steps[0], "sub")
        if shift is None or not (shift == np.rint(shift)).all():
            return None
        zero = shift.astype(np.int64)
        steps = steps[1:]
    scale = _constant_term(link, steps[0], "mul") if len(steps) == 1 else None
    return None if scale is None else (scale, zero)


def _constant_term(link: LinkOp, step: Step, function: str) -> Array | None:
    """What a step subtracts or multiplies by, if it does just that with a constant."""
    if step.function == "affine":
        scale, offset = step.parameters
        if function == "sub" and scale == 1:
            return np.array([-offset])
        if function == "mul" and offset == 0:
            return np.array([scale])
        return None
    if step.function != function or step.operand is None:
        return None
    words = constant_words(link.extras[step.operand])
    return None if words is None else words.astype(np.float64)


@dataclass(frozen=True)
class DequantizedOperand:
    """A dequantized tensor as another link reads it: a view of the integers.

    `view` is how it reads the result of the link that dequantizes.
    """

    integers: Source
    made_by: Dequantized
    view: View

    @property
    def dtype(self) -> np.dtype[np.generic]:
        return numpy_dtype_of(element_type_of_value(self.integers.base))

    @property
    def zero(self) -> Array:
        """The zero points; broadcasts to the shape of the operand."""
        return self._over(self.made_by.zero, self.view.shape)

    @property
    def scale(self) -> Array:
        """The scales; broadcasts to the shape of the operand."""
        return self.scale_over(self.view.shape)

    def scale_over(self, shape: Sequence[int]) -> Array:
        """The scales of the operand's elements in another shape of these; broadcasts to it."""
        return self._over(self.made_by.scale, shape)

    def _over(self, terms: Array, shape: Sequence[int]) -> Array:
        """One word if all are the same; axes along which words repeat have extent 1, where a view can say so."""
        first = terms.reshape(-1)[0]
        if terms.size == 1 or (terms == first).all():
            return np.array(first)
        dequantized_shape = shape_of(self.made_by.link.result)
        view = self.view.reshape(shape)
        seen = None if view is None else view.of(View.dense(terms.shape).expand(dequantized_shape))
        if seen is not None:
            return take_view(compacted(seen), terms)
        return take_view(self.view, np.broadcast_to(terms, dequantized_shape)).reshape(shape)


def dequantized_operand(value: SSAValue) -> DequantizedOperand | None:
    """The integers behind a value that a dequantizing link makes; None if there are none, or no view shows them."""
    seen = source_of(value)
    owner = seen.base.owner
    made_by = dequantized(owner) if isinstance(owner, LinkOp) else None
    integers = None if made_by is None else made_by.source.through(seen.view)
    if made_by is None or integers is None:
        return None
    return DequantizedOperand(integers, made_by, seen.view)
