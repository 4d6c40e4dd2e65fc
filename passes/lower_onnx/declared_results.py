"""Results whose extents the model declares, though only the values of a run give them: the check that they hold.

A lowering computes, beside the result, whether the values ask for other extents. If they do, something is looked up at
an index that stands for that (`WRONG_SHAPE`), which ends the run with an error that says so.
"""

from __future__ import annotations

import math

import numpy as np

from dialects.gconv.indexed import WRONG_SHAPE
from dialects.gconv.scalar import Array
from passes.lower_onnx.arithmetic import Value
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.tensor import Tensor


def place_unless(broken: Value, place: Value) -> Value:
    """An index: `place`, or where `broken` is not 0 the one that ends the run."""
    return place.but(broken, WRONG_SHAPE)


def unless(chain: Chain, broken: Value, x: Tensor) -> Tensor:
    """A copy of `x` whose link ends the run if one of the integers `broken` is not 0; `x` if all are known to be 0."""
    if broken.known is not None and not broken.known.any():
        return x
    count = math.prod(broken.shape)
    index = (broken.apply("nonzero").as_type(np.int32) * WRONG_SHAPE).reshape(*(1,) * x.rank, count)
    return chain.gather(x.insert(*range(x.rank, x.rank + count)), index.tensor)


def is_not_count(count: int | Array, span: Value, step: Value) -> Value:
    """1 where it takes another number of steps than `count`, at least 1, to come to the end of `span` or beyond.

    All are integers. There is no count for a step of 0 or in the wrong direction.
    """
    direction = step.apply("sign")
    beyond = step * direction * count - span * direction
    return (beyond < 0) | (beyond >= step * direction)


def is_outside(number: Value, low: float | Array, high: float | Array) -> Value:
    """1, as an integer, where a float is not from `low` to `high`."""
    return (1.0 - ((number >= low) & (number <= high))).as_type(np.int32)
