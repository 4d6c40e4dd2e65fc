"""Reports as tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from compiler.layer_names import told
from compiler.reports.layers import KnownZeros, LayerReport, Provenance, Report
from compiler.tables import Column, Table, number, shortened, table
from compiler.units import EnergyUnit, fitting_unit, shown_energy, shown_milliseconds
from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.events import EVENTS, Counts
from dialects.gemm_machine import GemmMachine
from dialects.nest_machine import NestMachine
from passes.off_chip import off_chip_events
from passes.pricing import charged, levels

NAME_WIDTH = 36


def layer_table(report: Report) -> Table:
    """One row a layer: operations, time, array, charged accesses by level, energy; then the totals.

    A column says how good mappings are that were searched for; two more what of time and energy is the host core's, if
    it does anything.
    """
    machine = report.machine
    unit = fitting_unit([report.energy])
    has_host = report.host_cycles > 0
    is_searched = any(each.layer.search for each in report.layers)
    columns = (
        "layer",
        "kind",
        number("MACs"),
        number("other ops"),
        number("cycles"),
        number("PEs"),
        number("util %"),
        *(number(title) for title in _word_columns(machine)),
        number(f"energy {unit.name}"),
        *((number("host cycles"), number(f"host {unit.name}")) if has_host else ()),
        *(("mapping",) if is_searched else ()),
    )
    rows = [
        (
            *_row(each, machine, unit),
            *(_host_cells(each, unit) if has_host else ()),
            *((_mark(each),) if is_searched else ()),
        )
        for each in report.layers
    ]
    total = report.counts
    footer = (
        "total",
        "",
        f"{total.events['operation.mac']:,}",
        f"{total.events['operation.other']:,}",
        f"{report.cycles:,}",
        str(total.peak_pes),
        f"{100 * report.utilisation:.1f}",
        *_charged(total, machine),
        unit.shown(report.energy),
        *((f"{report.host_cycles:,}", unit.shown(report.host_energy)) if has_host else ()),
        *(("",) if is_searched else ()),
    )
    title = (
        f"{report.model} on {machine.name}, {report.provenance.value}: {report.cycles:,} cycles = "
        f"{shown_milliseconds(report.milliseconds)} at {machine.clock_mhz:g} MHz, {shown_energy(report.energy)} "
        f"(words of {machine.word_bits} bits){_cycles_note(report)}{_unpriced_note(report)}{_search_note(report)}"
        f"{zeros_note(report)}{_segment_note(report)}{overflow_note(report)}"
    )
    return replace(table(columns, rows, title), footer=footer)


def _cycles_note(report: Report) -> str:
    return f"; {report.cycles_note}" if report.cycles_note else ""


def _unpriced_note(report: Report) -> str:
    """What goes from or to the outermost memory of a machine of levels, and is not in its column: nobody prices it."""
    machine = report.machine
    if not isinstance(machine, NestMachine):
        return ""
    priced = {event for access in machine.accesses for event in access.events}
    operands = {
        operand: words
        for operand, events in off_chip_events(machine).items()
        if (words := sum(report.counts.events.get(event, 0) for event in events if event not in priced))
    }
    named = ", ".join(f"{words:,} of {_OPERANDS.get(operand, operand)}" for operand, words in operands.items())
    outer = machine.memories[0].name.upper()
    return f"; {outer} words are those that the target prices, without {named}" if named else ""


_OPERANDS = {"extra": "biases and residuals", "index": "indices", "output": "results"}


_SPACES = {
    "row_stationary": "row-stationary mappings",
    "even_row_stationary": "row-stationary mappings of even shares",
    "dataflow": "mappings of the machine's dataflow",
    "all": "all mappings",
}
"""Among what a search looked (`dialects.schedule.Space`)."""


def _search_note(report: Report) -> str:
    """What mappings were searched for, and how good the worst is."""
    found = [each.layer.search for each in report.layers if each.layer.search is not None]
    if not found:
        return ""
    spaces: dict[str, dict[str, None]] = {}
    for each in found:
        spaces.setdefault(each.objective, {})[_SPACES.get(each.space, each.space)] = None
    asked = ", ".join(f"least {objective} among {' or '.join(among)}" for objective, among in spaces.items())
    worst = max(each.gap for each in found)
    return f"; mapped for {asked}: {f'gaps up to {100 * worst:.2f} %' if worst else 'optimal'}"


def _mark(each: LayerReport) -> str:
    """How good the mapping of a layer is, nothing if it was given."""
    search = each.layer.search
    if search is None:
        return ""
    return f"gap {100 * search.gap:.2f} %" if search.gap else "optimal"


def zeros_note(report: Report) -> str:
    """What predictions rest on where they depend on zeros in the data."""
    machine = report.machine
    if report.provenance is not Provenance.PREDICTED:
        return ""
    if isinstance(machine, GemmMachine) and machine.im2col.skips:
        return _skips_note(report)
    if not isinstance(machine, Machine) or machine.dram.compression is None:
        return ""
    return "; compressed with the shares of zeros that are known, without zeros where nothing is"


def _skips_note(report: Report) -> str:
    """How many layers of products are predicted with what is known of the zeros of their inputs."""
    layers = Counter(each.layer.zeros for each in report.layers if each.counts.events.get("operation.mac"))
    how = {
        KnownZeros.MEASURED: "measured, the mean of all samples' zeros",
        KnownZeros.ESTIMATED: "estimated from their share as if each were by chance",
        KnownZeros.NONE: "taken as none, which is the most that it may cost",
    }
    known = [f"in {count} of {layers.total()} layers {how[zeros]}" for zeros, count in layers.items()]
    return f"; zeros of inputs {' and '.join(known)}" if known else ""


def _segment_note(report: Report) -> str:
    """What of the network is not in the figures."""
    segments = report.host_segments
    if not segments:
        return ""
    nodes = sum(len(each.layer.nodes) for each in segments)
    words = report.counts.charged(("segment.read", "segment.write"))
    return f"; without {len(segments)} host segments ({nodes} nodes, {words:,} words over the link)"


def overflow_note(report: Report) -> str:
    """How many sums were lost in accumulators that were too narrow."""
    lost = report.counts.events.get("operation.overflow", 0)
    return f"; {lost:,} sums left the range of their accumulators and wrapped around" if lost else ""


def access_table(report: Report) -> Table:
    """One row a layer: every event that is counted, charged or not."""
    counted = report.counts.events
    names = [name for name in dict.fromkeys((*EVENTS, *counted)) if counted.get(name)]
    columns: list[str | Column] = ["layer", *(number(name) for name in names)]
    rows = [(_name(each), *(f"{each.counts.events.get(name, 0):,}" for name in names)) for each in report.layers]
    total = report.counts
    footer = ("total", *(f"{total.events[name]:,}" for name in names))
    return replace(table(columns, rows, f"Events in words, {report.provenance.value}"), footer=footer)


def _row(each: LayerReport, machine: Accelerator, unit: EnergyUnit) -> tuple[str, ...]:
    events = each.counts.events
    return (
        _name(each),
        each.layer.kind,
        f"{events['operation.mac']:,}",
        f"{events['operation.other']:,}",
        f"{each.price.cycles:,}",
        str(each.counts.peak_pes),
        f"{100 * each.utilisation(machine):.1f}",
        *_charged(each.counts, machine),
        unit.shown(each.price.total_energy),
    )


def _name(each: LayerReport) -> str:
    return shortened(told(each.layer.name, each.layer.nodes), NAME_WIDTH)


def _host_cells(each: LayerReport, unit: EnergyUnit) -> tuple[str, str]:
    return f"{each.price.host_cycles:,}", unit.shown(each.price.energy["host"])


def _word_columns(machine: Accelerator) -> list[str]:
    """Titles of the words charged at every level; those off chip may be compressed ones, or whole bursts."""
    kind = ""
    if isinstance(machine, Machine):
        kind = "compressed " if machine.dram.compression else "burst " if machine.dram.charge_bursts else ""
    return [f"{level.upper()} {kind if level == 'dram' else ''}words" for level in levels(machine)]


def _charged(counts: Counts, machine: Accelerator) -> list[str]:
    return [f"{accesses:,.0f}" for accesses in charged(counts, machine).values()]
