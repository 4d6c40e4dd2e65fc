"""Comparison of a tensor with its reference, in the unit that suits what it holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from compiler.arrays import Array


class Unit(StrEnum):
    """What an error is measured in.

    `RELATIVE`: the largest absolute value of the reference, for floats. `LSB`: the last place of quantized integers,
    also for floats that were dequantized. `EXACT`: 1, for integers and booleans that count, index or select.
    """

    RELATIVE = "relative"
    LSB = "LSB"
    EXACT = "exact"

    def text(self, error: float, bound: str = "") -> str:
        """An error in this unit, for messages; `bound` comes before the number."""
        amount = f"{bound} {error:g}".strip()
        match self:
            case Unit.RELATIVE:
                return f"a relative error of {amount}"
            case Unit.LSB:
                return f"a difference of {amount} LSB"
            case Unit.EXACT:
                return f"a difference of {amount}"


@dataclass(frozen=True)
class Measure:
    """How to compare a tensor: a difference of `step`, to be broadcast with it, is one `unit`; `tolerance` is so many.

    A `step` of None stands for the largest absolute value of the reference, or `floor` if that is larger. On a grid,
    numbers are multiples of `step` but for the rounding of float arithmetic, and the multiples are compared.
    """

    unit: Unit
    tolerance: float
    step: Array | None = None
    floor: float = 0.0
    is_grid: bool = False

    def of_part(self, chosen: Array, shape: tuple[int, ...]) -> Measure:
        """The measure of the chosen elements of a tensor of that shape; `chosen` may have another one."""
        if self.step is None or self.step.size == 1:
            return self
        return replace(self, step=np.broadcast_to(self.step, shape).reshape(chosen.shape)[chosen])


@dataclass(frozen=True)
class Comparison:
    """One tensor beside its reference.

    `error` is the largest difference in `unit`; None if the model has no such tensor. `worst` says where it is and what
    was found there. If the emulator `stopped` the error is infinite, and `worst` says why.
    """

    subject: str
    tensor: str
    nodes: tuple[str, ...]
    error: float | None
    worst: str
    tolerance: float
    unit: Unit = Unit.RELATIVE
    stopped: bool = False

    @property
    def is_equal(self) -> bool:
        """Whether the tensor is within the tolerance, or has no reference."""
        return self.error is None or self.error <= self.tolerance


_NOISE = 1e-3
"""What float arithmetic may add to a difference in LSB of numbers that were computed of dequantized ones."""
_OFF_GRID = 1 / 32
"""How far, in LSB, float32 leaves a dequantized number from a multiple: a few roundings of zero points of 16 bits."""


def largest_error(array: Array, reference: Array, measure: Measure, whole: Array | None = None) -> tuple[float, str]:
    """The largest difference of two arrays of one size, in the unit of a measure, and where it is.

    `whole` is the tensor that `reference` is a part of; its finite values set the scale of relative errors. Infinities
    and NaN count as equal where both arrays have the same one, and as an infinite error elsewhere.
    """
    if array.size != reference.size:
        return float("inf"), f"({array.size} elements for {reference.size})"
    if not array.size:
        return 0.0, ""
    difference = errors(array, reference, measure, whole)
    found, expected = array.reshape(-1), reference.reshape(-1)
    index = int(np.argmax(difference))
    place = ", ".join(str(int(each)) for each in np.unravel_index(index, array.shape))
    return float(difference[index]), f"at [{place}]: {float(found[index]):.6g} for {float(expected[index]):.6g}"


def errors(array: Array, reference: Array, measure: Measure, whole: Array | None = None) -> Array:
    """The difference of every element, flat, in the unit of a measure; as `largest_error`, for arrays of one size."""
    found, expected = array.reshape(-1), reference.reshape(-1)
    step = _step(reference if whole is None else whole, reference.shape, measure)
    if measure.is_grid:
        return _differences(_multiples(found, step), _multiples(expected, step))
    difference = _differences(found, expected) / step
    if measure.unit is Unit.LSB:
        difference = _near_integers(difference, _NOISE * np.maximum(np.rint(difference), 1))
    return difference


def _multiples(array: Array, step: Array | float) -> Array:
    """Numbers in units of `step`, those within the rounding of float arithmetic from a multiple as that multiple."""
    return _near_integers(array.astype(np.float64) / step, _OFF_GRID)


def _near_integers(array: Array, noise: Array | float) -> Array:
    """Numbers, those that lie within `noise` from an integer as that integer."""
    integers = np.rint(array)
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(array - integers) <= noise, integers, array)


def _differences(found: Array, expected: Array) -> Array:
    same = found == expected
    left, right = found.astype(np.float64), expected.astype(np.float64)
    same |= np.isnan(left) & np.isnan(right)
    finite = np.isfinite(left) & np.isfinite(right)
    difference = np.full(left.shape, np.inf)
    difference[finite] = np.abs(left[finite] - right[finite])
    # Integers beyond 2**53 may differ although their floats do not.
    difference[~same & (difference == 0)] = 1.0
    difference[same] = 0.0
    return difference


def _step(whole: Array, shape: tuple[int, ...], measure: Measure) -> Array | float:
    if measure.step is None:
        values = np.abs(whole[np.isfinite(whole)].astype(np.float64))
        return float(np.max(values, initial=measure.floor)) or 1.0
    if measure.step.size == 1:
        return float(measure.step.item())
    return np.broadcast_to(measure.step, shape).reshape(-1)


def layer_subject(name: str) -> str:
    """What comparisons call a layer."""
    return f"layer {name!r}"
