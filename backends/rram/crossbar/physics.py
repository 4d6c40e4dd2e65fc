"""What cells and wires do beside what they should, as data. Conductances are in uS, resistances in ohm, times in s."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Share = Annotated[float, Field(ge=0, le=1)]


class DeviationModel(StrEnum):
    """Standard deviations of conductances from what they should be."""

    PROPORTIONAL = "proportional"
    """`magnitude` times the conductance (CrossSim: NormalProportional)."""
    INDEPENDENT = "independent"
    """`magnitude` times the highest conductance (CrossSim: NormalIndependent)."""
    RRAM_WAN_2022 = "rram-wan-2022"
    """Measured RRAM, relaxed for 1 s to 1 day (Wan et al., Nature 2022; AIHWKit: ReRamWan2022NoiseModel)."""


class _Model(BaseModel, frozen=True):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Deviation(_Model, frozen=True):
    """Normally distributed deviations of conductances."""

    model: Annotated[DeviationModel, Field(description="standard deviation")] = DeviationModel.PROPORTIONAL
    magnitude: Annotated[
        float, Field(ge=0, le=10, description="share of a conductance; with rram-wan-2022, times what was measured")
    ] = 1.0


class Drift(_Model, frozen=True):
    """Conductances fall as G(t) = G(t0) (t / t0)^-nu: the law of phase-change cells (Le Gallo et al., 2018)."""

    exponent: Annotated[float, Field(ge=0, le=1, description="mean of nu")]
    spread: Annotated[float, Field(ge=0, le=1, description="standard deviation of nu between cells")] = 0.0
    start: Annotated[float, Field(gt=0, description="t0: seconds from programming to G(t0)")] = 1.0


class StuckCells(_Model, frozen=True):
    """Cells that cannot be programmed, at random places."""

    lowest: Annotated[Share, Field(description="share of cells stuck at the lowest conductance")] = 0.0
    highest: Annotated[Share, Field(description="share of cells stuck at the highest conductance")] = 0.0

    @model_validator(mode="after")
    def _check(self) -> StuckCells:
        if self.lowest + self.highest > 1:
            raise PydanticCustomError("shares", "there are more stuck cells than cells")
        return self


class Physics(_Model, frozen=True):
    """The cells of a crossbar and its wires; ideal ones unless stated."""

    g_min: Annotated[float, Field(ge=0, description="conductance of level 0 (HRS) in uS")] = 0.0
    g_max: Annotated[float, Field(gt=0, description="conductance of the highest level (LRS) in uS")] = 1.0
    time: Annotated[float, Field(ge=1, le=1e10, description="seconds from programming to the product")] = 1.0
    programming: Annotated[Deviation | None, Field(description="deviation of each cell, once")] = None
    drift: Annotated[Drift | None, Field(description="how conductances fall with time")] = None
    stuck: Annotated[StuckCells, Field(description="cells that cannot be programmed")] = StuckCells()
    read_noise: Annotated[Deviation | None, Field(description="deviation of each cell, at every read anew")] = None
    wire: Annotated[
        float, Field(ge=0, le=1e6, description="resistance of a wire between neighbouring cells in ohm")
    ] = 0.0

    @model_validator(mode="after")
    def _check(self) -> Physics:
        if self.g_min >= self.g_max:
            raise PydanticCustomError("levels", "g_min must be less than g_max")
        return self

    @property
    def is_ideal(self) -> bool:
        """Whether columns carry exactly the sums of their levels, apart from what level 0 adds."""
        has_noise = any((self.programming, self.drift, self.read_noise, self.wire))
        return not has_noise and self.stuck == StuckCells()
