"""Differences between two reports as tables."""

from __future__ import annotations

from compiler.reports.differences import Differences
from compiler.reports.layers import LayerReport, Report
from compiler.tables import Table, number, shortened, table
from compiler.units import fitting_unit, shown_energy, shown_milliseconds
from passes.pricing import charged, levels

NAME_WIDTH = 32


def total_table(found: Differences) -> Table:
    """One row a figure of the whole programs; words charged at a level are compared where both machines have it."""
    first, second = found.first, found.second
    rows = [
        (
            "time",
            *(shown_milliseconds(each.milliseconds) for each in (first, second)),
            _change(first.milliseconds, second.milliseconds),
        ),
        ("cycles", *(f"{each.cycles:,}" for each in (first, second)), _change(first.cycles, second.cycles)),
        ("energy", *(shown_energy(each.energy) for each in (first, second)), _change(first.energy, second.energy)),
        ("array use", *(f"{100 * each.utilisation:.1f} %" for each in (first, second)), ""),
        ("layers", *(str(len(each.layers)) for each in (first, second)), ""),
    ]
    words = [charged(each.counts, each.machine) for each in (first, second)]
    for level in dict.fromkeys((*levels(first.machine), *levels(second.machine))):
        both = [each.get(level) for each in words]
        shown = ["-" if each is None else f"{each:,.0f}" for each in both]
        change = "" if both[0] is None or both[1] is None else _change(both[0], both[1])
        rows.append((f"{level} accesses", *shown, change))
    heads = [number(_head(report)) for report in (first, second)]
    return table(("", *heads, number("change")), rows, "Totals")


def pair_table(found: Differences, every: bool = False) -> Table:
    """One row for layers that do the same work; those that count and cost the same only if `every` is asked for."""
    shown = [pair for pair in found.pairs if every or not pair.is_same]
    unit = fitting_unit([found.first.energy, found.second.energy])
    rows = [
        (
            shortened(", ".join(pair.nodes), NAME_WIDTH),
            _layers(pair.first),
            _layers(pair.second),
            *(f"{each.cycles:,}" for each in pair.costs),
            _change(*(each.cycles for each in pair.costs)),
            *(unit.shown(each.energy) for each in pair.costs),
            _change(*(each.energy for each in pair.costs)),
        )
        for pair in shown
    ]
    columns = (
        *("ONNX nodes", "first", "second"),
        *(number(title) for title in ("cycles", "cycles then", "change")),
        *(number(title) for title in (f"{unit.name}", f"{unit.name} then", "change")),
    )
    same = len(found.pairs) - len(shown)
    note = f"; {same} that are the same are left out" if same else ""
    return table(columns, rows, f"Layers that came from the same nodes{note}")


def _head(report: Report) -> str:
    return f"{report.model} on {report.machine.name}, {report.provenance.value}"


def _layers(side: tuple[LayerReport, ...]) -> str:
    if not side:
        return "-"
    kinds = ", ".join(dict.fromkeys(each.layer.kind for each in side))
    return kinds if len(side) == 1 else f"{len(side)} layers: {kinds}"


def _change(first: float, second: float) -> str:
    """By how much the second is more or less than the first."""
    if first == second:
        return "="
    return "new" if not first else f"{100 * (second - first) / first:+.1f} %"
