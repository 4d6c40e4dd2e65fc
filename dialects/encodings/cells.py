"""Integer matrices as cells of crossbars, and integer vectors as pulses on their rows.

A cell holds one of 2^w levels, so a weight is cut into *slices* of w bits, one column each, and a pulse has one of 2^v
heights, so an input is cut into pulses, one after the other. Either is a sum

    value = sum over its parts of factor * part + constant

that digital logic adds up behind the converters: shifts are the factors, and what an encoding adds to make all levels
positive is the constant. So a product is a sum of products of parts, each exact:

    y[c] = sum over pulses p, slices s of f_p * f_s * sum over rows r of pulse[p, r] * level[s, r, c] + corrections

Encodings of weights:

- `unsigned`: levels are the bits of the weight, which must not be negative.
- `offset`: of the weight and half of the range. What that adds to a column is the same for all of them, the sum of the
  inputs times the offset, and subtracted (in ISAAC by a unit column).
- `twos-complement`: of the weight in two's complement. The sign bit has a slice of its own, whose factor is negative.
- `differential-1xb`: of the magnitude, in one of a pair of columns of one crossbar: the one for positive weights, or
  the one for negative ones, whose current is subtracted.
- `differential-2xb`: the same with the columns of a pair in two crossbars, in the same place.

Encodings of inputs: `unsigned`, `offset` and `twos-complement` likewise (a digital sum of each column's weights takes
the offset off again); `differential` sends the positive inputs first, then the magnitudes of the negative ones;
`sign-magnitude` sends pulses of either sign.

`MAPPINGS` has pairs of both under the names that the simulator analog-cim-sim gave them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from itertools import accumulate
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from dialects.diagnostics import CatenaError, Diagnostic

Integers = npt.NDArray[Any]
"""An array of any integer type."""
Whole = npt.NDArray[np.int64]
MOST_BITS = 20
"""Bits of a weight or an input, at most: float64 holds the sum of 8192 products exactly."""
Width = Annotated[int, Field(ge=1, le=16)]


class WeightEncoding(StrEnum):
    """How signed weights become levels that are not negative."""

    UNSIGNED = "unsigned"
    OFFSET = "offset"
    TWOS_COMPLEMENT = "twos-complement"
    DIFFERENTIAL_1XB = "differential-1xb"
    DIFFERENTIAL_2XB = "differential-2xb"

    @property
    def is_differential(self) -> bool:
        """Whether every weight has a pair of columns whose currents are subtracted."""
        return self in (WeightEncoding.DIFFERENTIAL_1XB, WeightEncoding.DIFFERENTIAL_2XB)


class InputEncoding(StrEnum):
    """How signed inputs become pulses."""

    UNSIGNED = "unsigned"
    OFFSET = "offset"
    TWOS_COMPLEMENT = "twos-complement"
    DIFFERENTIAL = "differential"
    SIGN_MAGNITUDE = "sign-magnitude"


MAPPINGS = {
    "I_DIFF_W_DIFF_1XB": (InputEncoding.DIFFERENTIAL, WeightEncoding.DIFFERENTIAL_1XB),
    "I_DIFF_W_DIFF_2XB": (InputEncoding.DIFFERENTIAL, WeightEncoding.DIFFERENTIAL_2XB),
    "I_OFFS_W_DIFF": (InputEncoding.OFFSET, WeightEncoding.DIFFERENTIAL_2XB),
    "I_TC_W_DIFF": (InputEncoding.TWOS_COMPLEMENT, WeightEncoding.DIFFERENTIAL_2XB),
    "I_UINT_W_DIFF": (InputEncoding.UNSIGNED, WeightEncoding.DIFFERENTIAL_2XB),
    "I_UINT_W_OFFS": (InputEncoding.UNSIGNED, WeightEncoding.OFFSET),
}
"""Pairs of encodings by the names of Pelke et al., analog-cim-sim (CIM-Explorer, 2025)."""


def too_narrow(key: str, what: str, least: int) -> PydanticCustomError:
    """The error of a description whose `key` has too few columns or crossbars for a weight."""
    context = {"key": key, "least": least, "what": what, "expected": f"at least {least}"}
    return PydanticCustomError("wide_weight", "a weight takes {least} {what}", context)


class _Model(BaseModel, frozen=True):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class WeightFormat(_Model, frozen=True):
    """How integer weights are held in cells: widths of slices, most significant first, and their encoding."""

    slices: Annotated[
        tuple[Width, ...], Field(min_length=1, description="bits of each cell of a weight, most significant first")
    ]
    encoding: Annotated[WeightEncoding, Field(description="how signed weights become levels")] = WeightEncoding.OFFSET

    @model_validator(mode="after")
    def _check(self) -> WeightFormat:
        if self.bits > MOST_BITS:
            raise PydanticCustomError("wide", "slices have {bits} bits, at most 20", {"bits": self.bits})
        if self.encoding is WeightEncoding.TWOS_COMPLEMENT and self.slices[0] != 1:
            raise PydanticCustomError("sign", "two's complement needs a first slice of 1 bit, for the sign")
        return self

    @property
    def bits(self) -> int:
        """Bits of all slices: of a weight, or, if it is differential, of its magnitude."""
        return sum(self.slices)

    @property
    def shifts(self) -> tuple[int, ...]:
        """The place of each slice: bits to the right of it."""
        return tuple(self.bits - done for done in accumulate(self.slices))

    @property
    def factors(self) -> tuple[int, ...]:
        """What a level of each slice is worth."""
        signs = [
            -1 if self.encoding is WeightEncoding.TWOS_COMPLEMENT and s == 0 else 1 for s in range(len(self.slices))
        ]
        return tuple(sign << shift for sign, shift in zip(signs, self.shifts, strict=True))

    @property
    def constant(self) -> int:
        """What is added to a weight of the sum of its slices' worth."""
        return -(1 << (self.bits - 1)) if self.encoding is WeightEncoding.OFFSET else 0

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest weight."""
        return _range(self.bits, self.encoding.is_differential, self.encoding is not WeightEncoding.UNSIGNED)

    @property
    def columns(self) -> int:
        """Columns that a weight takes in each crossbar that it is in."""
        pairs = 2 if self.encoding is WeightEncoding.DIFFERENTIAL_1XB else 1
        return pairs * len(self.slices)

    @property
    def crossbars(self) -> int:
        """Crossbars that hold parts of each weight."""
        return 2 if self.encoding is WeightEncoding.DIFFERENTIAL_2XB else 1

    def cells(self, rows: int, columns: int) -> int:
        """Cells that a matrix of weights takes, in all crossbars."""
        return rows * columns * self.columns * self.crossbars

    def check(self, weights: Integers) -> None:
        """Raises `CatenaError` (CAT-U006) for weights out of range."""
        _check(weights, "weights", self.range, f"{self.bits} bits of cells, {self.encoding}")

    def encode(self, weights: Integers) -> Whole:
        """Levels of weights (rows, columns): (2, slices, rows, columns), what is added and what is subtracted.

        Nothing is subtracted but in differential encodings, without which it is (1, slices, rows, columns). Raises
        `CatenaError` (CAT-U006) for weights out of range.
        """
        self.check(weights)
        whole = weights.astype(np.int64)
        sides = (
            [np.maximum(whole, 0), np.maximum(-whole, 0)] if self.encoding.is_differential else [whole - self.constant]
        )
        return np.stack([_parts(side, self.slices, self.shifts) for side in sides])

    def decode(self, levels: Integers) -> Whole:
        """The weights of levels, as `encode` makes them."""
        factors = np.array(self.factors, np.int64)
        sides = np.tensordot(levels.astype(np.int64), factors, axes=([1], [0]))
        return sides[0] - sides[1] if self.encoding.is_differential else sides[0] + self.constant


class InputFormat(_Model, frozen=True):
    """How integer inputs drive the rows: their bits, bits of a pulse, and their encoding."""

    bits: Annotated[int, Field(ge=1, le=MOST_BITS, description="bits of an input, with its sign")] = 8
    dac_bits: Annotated[Width, Field(description="bits of a pulse")] = 1
    encoding: Annotated[InputEncoding, Field(description="how signed inputs become pulses")] = (
        InputEncoding.TWOS_COMPLEMENT
    )

    @model_validator(mode="after")
    def _check(self) -> InputFormat:
        if self.bits == 1 and self.encoding in (InputEncoding.SIGN_MAGNITUDE, InputEncoding.DIFFERENTIAL):
            raise PydanticCustomError("sign", "inputs with a sign beside their magnitude have 2 bits or more")
        return self

    @property
    def _has_magnitude(self) -> bool:
        return self.encoding in (InputEncoding.DIFFERENTIAL, InputEncoding.SIGN_MAGNITUDE)

    @property
    def sends_both_signs(self) -> bool:
        """Whether there are pulses of either sign."""
        return self.encoding is InputEncoding.SIGN_MAGNITUDE

    @property
    def range(self) -> tuple[int, int]:
        """The smallest and the largest input."""
        magnitude = self.bits - 1 if self._has_magnitude else self.bits
        return _range(magnitude, self._has_magnitude, self.encoding is not InputEncoding.UNSIGNED)

    @property
    def constant(self) -> int:
        """What is added to an input of the sum of its pulses' worth."""
        return -(1 << (self.bits - 1)) if self.encoding is InputEncoding.OFFSET else 0

    @property
    def widths(self) -> tuple[int, ...]:
        """Bits of the pulses of a magnitude, or of a whole input, most significant first."""
        magnitude = self.bits - 1 if self._has_magnitude else self.bits
        if self.encoding is InputEncoding.TWOS_COMPLEMENT:
            return (1, *_cut(self.bits - 1, self.dac_bits))
        return _cut(magnitude, self.dac_bits)

    @property
    def factors(self) -> tuple[int, ...]:
        """What a pulse of height 1 is worth, in the order in which they are sent."""
        shifts = _shifts(self.widths)
        worth = [1 << shift for shift in shifts]
        if self.encoding is InputEncoding.TWOS_COMPLEMENT:
            worth[0] = -worth[0]
        if self.encoding is InputEncoding.DIFFERENTIAL:
            worth += [-each for each in worth]
        return tuple(worth)

    @property
    def pulses(self) -> int:
        """Pulses of an input: times that a crossbar is read for a product."""
        return len(self.factors)

    def encode(self, inputs: Integers) -> Whole:
        """Pulses of inputs of any shape: (pulses, *shape). Raises `CatenaError` (CAT-U006) for inputs out of range."""
        _check(inputs, "inputs", self.range, f"{self.bits} bits, {self.encoding}")
        whole = inputs.astype(np.int64)
        shifts = _shifts(self.widths)
        if self.encoding is InputEncoding.SIGN_MAGNITUDE:
            return _parts(np.abs(whole), self.widths, shifts) * np.sign(whole)
        if self.encoding is InputEncoding.DIFFERENTIAL:
            sides = (np.maximum(whole, 0), np.maximum(-whole, 0))
            return np.concatenate([_parts(side, self.widths, shifts) for side in sides])
        return _parts(whole - self.constant, self.widths, shifts)

    def decode(self, pulses: Integers) -> Whole:
        """The inputs of pulses, as `encode` makes them."""
        return np.tensordot(np.array(self.factors, np.int64), pulses.astype(np.int64), axes=1) + self.constant


def equal_slices(bits: int, cell_bits: int) -> tuple[int, ...]:
    """Widths of slices of `cell_bits`, most significant first; the first one is narrower if they do not divide."""
    return _cut(bits, cell_bits)


def _cut(bits: int, width: int) -> tuple[int, ...]:
    rest = bits % width
    return ((rest,) if rest else ()) + (width,) * (bits // width)


def _shifts(widths: Sequence[int]) -> tuple[int, ...]:
    total = sum(widths)
    return tuple(total - done for done in accumulate(widths))


def _range(bits: int, is_symmetric: bool, is_signed: bool) -> tuple[int, int]:
    """Of whole numbers with so many bits; symmetric ones have their sign beside them."""
    if is_symmetric:
        return 1 - (1 << bits), (1 << bits) - 1
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)


def _parts(values: Whole, widths: Sequence[int], shifts: Sequence[int]) -> Whole:
    """Bits of values, part by part: (parts, *shape). Negative values are in two's complement."""
    masks = [(1 << width) - 1 for width in widths]
    return np.stack([(values >> shift) & mask for shift, mask in zip(shifts, masks, strict=True)])


def _check(values: Integers, what: str, limits: tuple[int, int], kind: str) -> None:
    if values.dtype.kind not in "iu":
        raise CatenaError(Diagnostic("CAT-U006", f"{what} of crossbars are integers", found=str(values.dtype)))
    if not math.prod(values.shape):
        return
    least, most = int(values.min()), int(values.max())
    if least < limits[0] or most > limits[1]:
        raise CatenaError(
            Diagnostic(
                "CAT-U006",
                f"{what} are outside the range of their encoding ({kind})",
                expected=f"{limits[0]} to {limits[1]}",
                found=f"{least} to {most}",
                hint="give them more bits, or an encoding with signs",
            )
        )
