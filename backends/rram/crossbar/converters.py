"""Analog-to-digital converters of column currents."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Reals = npt.NDArray[np.float64]
_GRID = 1 << 20
"""Parts of a step that currents are told apart by."""


class AdcRange(StrEnum):
    """Which currents a converter tells apart; others are clipped."""

    MAX = "max"
    """All that there can be: every row driven at full height, every cell at its highest conductance, or, where pairs of
    columns are subtracted, one at its highest and the other at its lowest."""
    COLUMN = "column"
    """All that one column can carry, for differences of two columns as well: the rule MAX of CrossSim."""
    CALIBRATED = "calibrated"
    """Those that were seen for calibration inputs, for each slice of weights by itself."""


class Subtraction(StrEnum):
    """Where the columns of a differential pair are subtracted."""

    ANALOG = "analog"
    """Currents, in front of one converter of both signs."""
    DIGITAL = "digital"
    """Numbers, behind a converter for each column."""


class Adc(BaseModel, frozen=True):
    """The converters of a crossbar."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    bits: Annotated[
        int, Field(ge=0, le=32, description="bits of a converted current; 0: ideal, neither rounded nor clipped")
    ] = 0
    range: Annotated[AdcRange, Field(description="which currents it tells apart")] = AdcRange.MAX
    coverage: Annotated[
        float, Field(gt=0, le=1, description="share of the currents of calibration that the calibrated range covers")
    ] = 1.0
    subtraction: Annotated[Subtraction, Field(description="where differential pairs are subtracted")] = (
        Subtraction.ANALOG
    )

    @property
    def is_ideal(self) -> bool:
        """Whether it neither rounds nor clips."""
        return self.bits == 0


@dataclass(frozen=True)
class Conversion:
    """Codes for currents from `low` to `high`; codes of both signs are symmetric, with one code for zero."""

    bits: int
    low: float
    high: float
    is_signed: bool

    @property
    def step(self) -> float:
        """The current between neighbouring codes."""
        steps = (1 << self.bits) - (2 if self.is_signed else 1)
        return (self.high - self.low) / max(steps, 1)

    def __call__(self, currents: Reals) -> Reals:
        """The currents that the codes stand for."""
        if self.step == 0:
            return np.full_like(currents, self.low)
        found = np.clip(currents, self.low, self.high)
        found -= self.low
        # Currents in the middle of two codes are common, and BLAS adds few vectors up in another order than many: which
        # code they get must not depend on last places.
        found *= _GRID / self.step
        np.rint(found, out=found)
        found /= _GRID
        np.rint(found, out=found)
        found *= self.step
        found += self.low
        return found


def lossless_bits(rows: int, cell_bits: int, dac_bits: int, *, is_signed: bool = False) -> int:
    """Bits of a converter that tells all sums of a column apart, where the lowest conductance is 0.

    ceil(log2(1 + R (2^w - 1) (2^v - 1))), and with both signs ceil(log2(2 + 2 R (2^w - 1) (2^v - 1))): a code for
    every sum, and one to spare that keeps the codes symmetric.
    """
    most = rows * ((1 << cell_bits) - 1) * ((1 << dac_bits) - 1)
    return math.ceil(math.log2(2 + 2 * most if is_signed else 1 + most))
