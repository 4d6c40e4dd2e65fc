"""Energies and times for people: a unit that fits the largest of some energies, digits enough for what is small."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class EnergyUnit:
    """A unit, and how many pJ it is."""

    name: str
    picojoules: float

    def shown(self, picojoules: float) -> str:
        """An energy as a number of this unit: three decimals, or three digits of what is below one."""
        value = picojoules / self.picojoules
        return f"{value:,.3f}" if abs(value) >= 1 else f"{value:.3g}"


_UNITS = tuple(
    EnergyUnit(name, picojoules) for name, picojoules in (("mJ", 1e9), ("uJ", 1e6), ("nJ", 1e3), ("pJ", 1.0))
)


def fitting_unit(picojoules: Iterable[float]) -> EnergyUnit:
    """The unit of which the largest of some energies is at least one."""
    largest = max(picojoules, default=0.0)
    return next((unit for unit in _UNITS if largest >= unit.picojoules), _UNITS[-1])


def shown_energy(picojoules: float) -> str:
    """One energy with its unit."""
    unit = fitting_unit([picojoules])
    return f"{unit.shown(picojoules)} {unit.name}"


def shown_milliseconds(milliseconds: float) -> str:
    """A time: two decimals, or three digits of what is below one."""
    return f"{milliseconds:,.2f} ms" if milliseconds >= 1 else f"{milliseconds:.3g} ms"
