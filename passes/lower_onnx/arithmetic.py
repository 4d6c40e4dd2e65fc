"""Element-wise arithmetic on numbers that may be known at compile time: NumPy where they are, links where not.

A lowering that computes coordinates, addresses or coefficients writes the formula once; what is constant in it folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

import numpy as np

from dialects.element_types import element_type_of, numpy_dtype_of
from dialects.gconv import Step
from dialects.gconv.scalar import Array, apply
from passes.lower_onnx.broadcasting import chosen, pointwise, unary
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.node import Node
from passes.lower_onnx.tensor import Tensor

Operand: TypeAlias = "Value | Array | float"


@dataclass(frozen=True, eq=False)
class Value:
    """Numbers of one type, as an array or as a tensor of the chain.

    Operators work as in NumPy, on the type of the left operand that is a `Value`: numbers and arrays are converted to
    it. Comparisons give 1 and 0 in that type.
    """

    chain: Chain
    words: Array | Tensor
    __array_ufunc__: ClassVar[None] = None
    """NumPy leaves arrays and numbers on the left to the operators here."""

    @classmethod
    def input(cls, chain: Chain, node: Node, index: int) -> Value:
        """An input of a node, of rank 0 or 1, as a vector."""
        known = node.constant(index)
        if known is not None:
            return cls(chain, known.reshape(-1))
        tensor = chain.input(node, index)
        return cls(chain, chain.reshape(tensor, (tensor.size,)))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.words.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        words = self.words
        return numpy_dtype_of(words.element_type) if isinstance(words, Tensor) else words.dtype

    @property
    def known(self) -> Array | None:
        """The numbers, if they are known."""
        return None if isinstance(self.words, Tensor) else self.words

    @property
    def tensor(self) -> Tensor:
        """The numbers as a tensor."""
        return self.words if isinstance(self.words, Tensor) else self.chain.constant(self.words)

    def __add__(self, other: Operand) -> Value:
        return self._with("add", other)

    __radd__ = __add__

    def __sub__(self, other: Operand) -> Value:
        return self._with("sub", other)

    def __rsub__(self, other: Operand) -> Value:
        return self._with("rsub", other)

    def __mul__(self, other: Operand) -> Value:
        return self._with("mul", other)

    __rmul__ = __mul__

    def __truediv__(self, other: Operand) -> Value:
        """The quotient; of integers rounded towards zero."""
        return self._with("div", other)

    def __rtruediv__(self, other: Operand) -> Value:
        return self._with("rdiv", other)

    def __mod__(self, other: Operand) -> Value:
        """The remainder with the sign of the divisor."""
        return self._with("mod", other)

    def __lt__(self, other: Operand) -> Value:
        return self._with("lt", other)

    def __le__(self, other: Operand) -> Value:
        return self._with("le", other)

    def __gt__(self, other: Operand) -> Value:
        return self._with("gt", other)

    def __ge__(self, other: Operand) -> Value:
        return self._with("ge", other)

    def __and__(self, other: Operand) -> Value:
        """1 where both are not 0."""
        return self._with("and", other)

    def __or__(self, other: Operand) -> Value:
        """1 where one of the two is not 0."""
        return self._with("or", other)

    def equals(self, other: Operand) -> Value:
        """1 where both are the same number."""
        return self._with("eq", other)

    def at_least(self, low: Operand) -> Value:
        """The larger of both."""
        return self._with("max", low)

    def at_most(self, high: Operand) -> Value:
        """The smaller of both."""
        return self._with("min", high)

    def apply(self, function: str, *parameters: float) -> Value:
        """A unary scalar function of every number."""
        if not isinstance(self.words, Tensor):
            return Value(self.chain, apply(function, self.words, parameters=parameters))
        return Value(self.chain, unary(self.chain, self.words, (Step(function, parameters),)))

    def as_type(self, dtype: np.dtype[Any] | type[np.generic]) -> Value:
        """The numbers in another type; floats lose their fractions."""
        wanted = np.dtype(dtype)
        if wanted == self.dtype:
            return self
        if not isinstance(self.words, Tensor):
            return Value(self.chain, self.words.astype(wanted))
        return Value(self.chain, unary(self.chain, self.words, (), element_type_of(wanted)))

    def but(self, condition: Value, other: Operand) -> Value:
        """Other numbers where the condition is not 0, the own ones elsewhere."""
        other = self._operand(other)
        if condition.known is not None:
            if not condition.known.any():
                return self
            if self.known is not None and other.known is not None:
                return Value(self.chain, np.where(condition.known, other.known, self.known))
        shape = np.broadcast_shapes(self.shape, condition.shape, other.shape)
        return Value(self.chain, chosen(self.chain, condition.tensor, other.tensor, self.tensor, shape))

    def reshape(self, *shape: int) -> Value:
        """The same numbers in another shape."""
        if isinstance(self.words, Tensor):
            return Value(self.chain, self.chain.reshape(self.words, shape))
        return Value(self.chain, self.words.reshape(shape))

    def __getitem__(self, places: slice) -> Value:
        """Consecutive numbers of a vector."""
        if isinstance(self.words, Tensor):
            first, last, _ = places.indices(self.shape[0])
            return Value(self.chain, self.words.slice(0, first, last - first))
        return Value(self.chain, self.words[places])

    def _operand(self, other: Operand) -> Value:
        if isinstance(other, Value):
            return other.as_type(self.dtype)
        return Value(self.chain, np.asarray(other).astype(self.dtype))

    def _with(self, function: str, other: Operand) -> Value:
        mine, theirs = self, self._operand(other)
        if mine.known is not None and theirs.known is not None:
            return Value(self.chain, apply(function, *np.broadcast_arrays(mine.known, theirs.known)))
        if theirs.known is not None and _changes_nothing(function, mine, theirs.known):
            return mine
        return Value(self.chain, pointwise(self.chain, function, mine.tensor, theirs.tensor))


def _changes_nothing(function: str, value: Value, operand: Array) -> bool:
    neutral = {"add": 0, "sub": 0, "mul": 1, "div": 1}.get(function)
    same_shape = np.broadcast_shapes(value.shape, operand.shape) == value.shape
    return neutral is not None and same_shape and bool((operand == neutral).all())


def side_by_side(chain: Chain, values: Sequence[Value], axis: int) -> Value:
    """Values of one type and rank one after another along an axis."""
    known = [value.known for value in values if value.known is not None]
    if len(known) == len(values):
        return Value(chain, np.concatenate(known, axis))
    return Value(chain, chain.concat([value.tensor for value in values], axis))
