"""What a page shows of two compilations side by side, as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from compiler.report_page.page import Page
from compiler.reports.difference_tables import total_table
from compiler.reports.differences import Differences
from compiler.reports.layers import LayerReport, Report


def difference_page(found: Differences, sources: tuple[str, str]) -> Page:
    """The data of the page; `sources` are what was compared.

    Totals, and of every pair of layers what both sides cost and count: cycles, pJ, words.
    """
    totals = total_table(found)
    pairs = [
        {
            **pair,
            "sides": [
                {"kinds": list(dict.fromkeys(each.layer.kind for each in side)), "energy_by_level": _energy(side)}
                for side in (layers.first, layers.second)
            ],
        }
        for pair, layers in zip(found.json["pairs"], found.pairs, strict=True)
    ]
    names = [_name(*each) for each in zip(("A", "B"), sources, (found.first, found.second), strict=True)]
    return Page(
        f"{names[0]} and {names[1]}",
        {
            "names": names,
            "reports": found.json["reports"],
            "totals": [list(row) for row in totals.rows],
            "notes": [each.cycles_note for each in (found.first, found.second)],
            "pairs": pairs,
        },
    )


def _name(side: str, source: str, report: Report) -> str:
    return f"{side}: {Path(source).name}, {report.model} on {report.machine.name}"


def _energy(layers: Iterable[LayerReport]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for each in layers:
        for level, energy in each.price.energy.items():
            if energy:
                sums[level] = sums.get(level, 0.0) + energy
    return sums
