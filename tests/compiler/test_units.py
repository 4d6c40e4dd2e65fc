"""Energies and times for people: never all zeros, never more digits than they need."""

from __future__ import annotations

import pytest

from compiler.units import fitting_unit, shown_energy, shown_milliseconds


@pytest.mark.parametrize(
    ("picojoules", "shown"),
    [
        (0.0, "0 pJ"),
        (0.25, "0.25 pJ"),
        (486.0, "486.000 pJ"),
        (13586.0, "13.586 nJ"),
        (4.2e6, "4.200 uJ"),
        (1.5e12, "1,500.000 mJ"),
    ],
)
def test_the_unit_fits_the_energy(picojoules: float, shown: str) -> None:
    assert shown_energy(picojoules) == shown


def test_small_energies_beside_a_large_one_keep_their_digits() -> None:
    unit = fitting_unit([5e6, 1234.0, 0.0])
    assert [unit.shown(each) for each in (5e6, 1234.0, 0.0)] == ["5.000", "0.00123", "0"]


@pytest.mark.parametrize(("milliseconds", "shown"), [(0.0, "0 ms"), (0.000243, "0.000243 ms"), (1234.5, "1,234.50 ms")])
def test_short_times_are_not_zero(milliseconds: float, shown: str) -> None:
    assert shown_milliseconds(milliseconds) == shown
