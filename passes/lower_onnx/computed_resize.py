"""Resize whose scales or region of interest only a run has: positions and weights are computed, too.

Positions follow from the scales by the formulas of `interpolation`. Nearest words are looked up; weights of others are
a function of their distance from the position, so that each resized dimension is a product with a computed matrix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dialects.gconv import Reduce
from passes.lower_onnx.arithmetic import Value
from passes.lower_onnx.chain import Chain
from passes.lower_onnx.declared_results import is_outside, unless
from passes.lower_onnx.gathering import looked_up
from passes.lower_onnx.interpolation import Resampling, positions
from passes.lower_onnx.reduction import contracted, reduced
from passes.lower_onnx.sampling import cubic_of
from passes.lower_onnx.tensor import Tensor


@dataclass(frozen=True)
class Computed:
    """What a run says of one dimension: vectors of one f32 number each."""

    scale: Value
    start: Value
    end: Value


def resized(
    chain: Chain, x: Tensor, changes: Mapping[int, Resampling], computed: Mapping[int, Computed], extrapolation: float
) -> Tensor:
    """`x` with the extents of `changes`, at the scales and for the region in `computed`; both by dimension.

    `changes` say all that is known of each dimension. Words outside the region become `extrapolation`.
    """
    inside: list[Value] = []
    # Shrinking first leaves fewer words for the others.
    for axis in sorted(changes, key=lambda a: changes[a].output / changes[a].input):
        change, values = changes[axis], computed[axis]
        if change.input == 1:
            # There is one word, and every position is its own.
            x = x.expand([change.output if a == axis else n for a, n in enumerate(x.shape)])
            continue
        at = Value(chain, np.arange(change.output, dtype=np.float32))
        where = positions(at, values.scale, values.start, values.end, change)
        if change.transformation == "tf_crop_and_resize":
            is_inside = (where >= 0.0) & (where <= float(change.input - 1))
            inside.append(is_inside.reshape(*(change.output if a == axis else 1 for a in range(x.rank))))
        if change.mode == "nearest":
            x = looked_up(chain, x, axis, _nearest(where, values.scale, change).tensor)
        else:
            x = _mixed(chain, x, axis, where, values.scale, change)
    return _extrapolated(Value(chain, x), inside, extrapolation).tensor


def checked(chain: Chain, x: Tensor, scales: Value, inputs: Sequence[int], outputs: Sequence[int]) -> Tensor:
    """`x`, in a run whose scales make these extents of the dimensions that they are for."""
    counts, wanted = scales * np.array(inputs, np.float32), np.array(outputs, np.float32)
    # Extents are products rounded down.
    return unless(chain, is_outside(counts, wanted, np.nextafter(wanted + 1, np.float32(0))), x)


def _nearest(where: Value, scale: Value, change: Resampling) -> Value:
    match change.nearest_mode:
        case "round_prefer_floor":
            places = (where - 0.5).apply("ceil")
        case "round_prefer_ceil":
            places = (where + 0.5).apply("floor")
        case "floor":
            places = where.apply("floor")
        case "ceil":
            places = where.apply("ceil")
        case _:
            # The versions that leave the mode open: see `resize`.
            places = where.apply("floor").but((scale < 1.0), where.apply("ceil"))
    return places.at_least(0.0).at_most(float(change.input - 1)).as_type(np.int32)


def _mixed(chain: Chain, x: Tensor, axis: int, where: Value, scale: Value, change: Resampling) -> Tensor:
    """The product of computed weights with `x` along `axis`."""
    beyond = 0 if change.exclude_outside else _words_beyond(change)
    if change.mode == "linear" and not change.antialias:
        # Beyond the border stands the border's word: that is as if positions ended there.
        where, beyond = where.at_least(0.0).at_most(float(change.input - 1)), 0
    else:
        where = where.at_least(-1.0).at_most(float(change.input))
    places = np.arange(-beyond, change.input + beyond, dtype=np.float32)
    distance = (where.reshape(change.output, 1) - places).apply("abs")
    if change.antialias:
        distance = distance * scale.at_most(1.0)
    if change.mode == "linear":
        weights = (1.0 - distance).apply("relu")
    else:
        weights = Value(chain, cubic_of(chain, distance.tensor, change.cubic_coefficient))
    if change.antialias or change.exclude_outside:
        weights = weights / Value(chain, reduced(chain, weights.tensor, (1,), Reduce.ADD))
    if beyond:
        first, last = (
            x.slice(axis, place, 1).expand([beyond if a == axis else n for a, n in enumerate(x.shape)])
            for place in (0, change.input - 1)
        )
        x = chain.concat([first, x, last], axis)
    return contracted(chain, x, axis, weights.as_type(np.float32).tensor, change.output)


def _words_beyond(change: Resampling) -> int:
    """How many words beyond the border a kernel reaches at most, if the scale makes the declared extent."""
    support = 2 if change.mode == "cubic" else 1
    stretch = max(1.0, change.input / change.output) if change.antialias else 1.0
    return math.ceil(support * stretch) + 1


def _extrapolated(x: Value, inside: Sequence[Value], value: float) -> Value:
    """`value` in place of words that are not inside along some dimension."""
    for each in inside:
        x = x.but(each.equals(0.0), value)
    return x
