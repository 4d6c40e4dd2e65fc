"""Conductances that cells have after programming, for the levels that they should have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from backends.rram.crossbar.converters import Reals
from backends.rram.crossbar.physics import Deviation, DeviationModel, Drift, Physics

_SECOND = (0.348, 16.03, -43.853, 45.393, -16.815)
_DAY = (0.701, 22.086, -50.773, 47.095, -16.458)
"""Coefficients of powers of g / g_max, from 0 on: standard deviations in uS of measured RRAM, at 1 s and at 1 day."""
_MEASURED = 40.0
"""Their highest conductance in uS."""
_SECONDS_OF_DAY = 86_400.0


def steps(widths: Sequence[int], physics: Physics) -> Reals:
    """The conductance between neighbouring levels, for cells of each width."""
    levels = np.array([(1 << width) - 1 for width in widths], np.float64)
    return (physics.g_max - physics.g_min) / levels


def target(levels: npt.NDArray[np.int64], widths: Sequence[int], physics: Physics) -> Reals:
    """The conductances of levels (sides, slices, rows, columns)."""
    return physics.g_min + levels * steps(widths, physics)[:, None, None]


def deviations(conductances: Reals, deviation: Deviation, physics: Physics) -> Reals:
    """Standard deviations of conductances in uS."""
    match deviation.model:
        case DeviationModel.PROPORTIONAL:
            return deviation.magnitude * conductances
        case DeviationModel.INDEPENDENT:
            return np.full_like(conductances, deviation.magnitude * physics.g_max)
        case DeviationModel.RRAM_WAN_2022:
            share = np.clip(conductances / physics.g_max, 0, 1)
            second, day = (np.polynomial.polynomial.polyval(share, each) for each in (_SECOND, _DAY))
            later = np.log(physics.time) / np.log(_SECONDS_OF_DAY)
            measured = np.maximum(second + later * (day - second), 0)
            return deviation.magnitude * measured * physics.g_max / _MEASURED


def programmed(wanted: Reals, physics: Physics, seed: int) -> Reals:
    """The conductances of cells at the time of the products: deviations, drift, then cells that never changed.

    Each effect draws from a stream of its own, so that turning one on leaves the others as they were.
    """
    deviating, drifting, sticking = (np.random.default_rng((seed, stream)) for stream in range(3))
    found = wanted
    if physics.programming is not None:
        spread = deviations(found, physics.programming, physics)
        found = np.maximum(found + spread * deviating.standard_normal(found.shape), 0)
    if physics.drift is not None:
        found = _drifted(found, physics.drift, physics.time, drifting)
    stuck = physics.stuck
    if stuck.lowest or stuck.highest:
        drawn = sticking.random(found.shape)
        found = np.where(drawn < stuck.lowest, physics.g_min, found)
        found = np.where(drawn >= 1 - stuck.highest, physics.g_max, found)
    return found


def _drifted(conductances: Reals, drift: Drift, time: float, random: np.random.Generator) -> Reals:
    exponents = np.maximum(drift.exponent + drift.spread * random.standard_normal(conductances.shape), 0)
    return conductances * (max(time, drift.start) / drift.start) ** -exponents
