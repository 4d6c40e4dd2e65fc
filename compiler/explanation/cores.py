"""Explanations of what several cores do, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from compiler.explanation.explaining import Explanation, Explanations
from compiler.tables import Table, number, shortened, table
from compiler.wide_weights import describe_wide_weights
from dialects.multicore_machine import MulticoreMachine
from passes.explanation.on_cores import CoreFacts

_NAME_WIDTH = 36


def cores_table(found: Explanations) -> Table:
    """One row a layer: cores and crossbars, how far cores are from their bound, and what limits them."""
    columns = (
        *(number("#"), "layer", number("cores"), number("P_V"), number("copies"), number("crossbars")),
        *(number("cycles alone"), number("x sequential"), number("% of P_V"), number("signals %")),
        *(number("bus %"), number("buffer B"), number("cells written"), "limited by"),
    )
    explained = [(each, each.cores) for each in found.layers if each.cores is not None]
    rows = [_row(each, facts) for each, facts in explained]
    several = [facts for _, facts in explained]
    signals, moved = sum(each.signal_bytes for each in several), sum(each.bus_bytes for each in several)
    footer = (
        *("", "all", str(len({core for each in several for core in each.cores})), "", ""),
        *(f"{sum(each.crossbars for each in several):,}", "", "", ""),
        f"{100 * signals / max(1, moved - signals):.2f}",
        *("", f"{max((each.buffer_bytes for each in several), default=0):,}"),
        *(f"{sum(each.rewritten for each in several):,}", ""),
    )
    title = (
        f"{found.model} on {found.machine.name}: each layer alone, predicted; x sequential: over cores of a ring one "
        "after another (closed form); signals: bytes over those of all other traffic; bus: at least; "
        "buffer: the most that a core needs"
    )
    if isinstance(found.machine, MulticoreMachine) and (wide := sum(each.is_wide for each in several)):
        title += f"; {describe_wide_weights(wide, found.machine)}"
    return replace(table(columns, rows, title), footer=footer)


def _row(each: Explanation, facts: CoreFacts) -> tuple[str, ...]:
    has_ring = facts.ring > 1
    copies = f"{facts.copies} by {facts.abreast}" if facts.abreast > 1 else str(facts.copies)
    return (
        *(str(each.layer.number), shortened(each.layer.told, _NAME_WIDTH), str(len(facts.cores))),
        *(str(facts.ring), copies, f"{facts.crossbars:,}", f"{facts.alone:,}"),
        f"{facts.speed_up:.2f}" if has_ring else "",
        f"{100 * facts.speed_up / facts.ring:.1f}" if has_ring else "",
        *(f"{100 * facts.signal_share:.2f}", f"{100 * facts.bus_share:.1f}", f"{facts.buffer_bytes:,}"),
        *(f"{facts.rewritten:,}", facts.binds),
    )


def core_tables(facts: CoreFacts) -> Iterator[Table]:
    """Of one layer, how it is laid over cores, and what a turn takes."""
    copies = f"{facts.copies}, each {facts.abreast} times in its cores" if facts.abreast > 1 else str(facts.copies)
    rows = [
        ("mapping", facts.form),
        ("cores", _ranges(facts.cores)),
        ("in a ring x beside x copies", f"{facts.ring} x {facts.beside} x {copies}"),
        ("crossbars", f"{facts.crossbars:,}, {facts.cells:,} cells, {facts.rewritten:,} of them written as it runs"),
        ("vectors", f"{facts.vectors:,} in {facts.turns:,} turns of a core at most"),
        ("buffer of a core", f"{facts.buffer_bytes:,} bytes at most; {facts.part_bytes:,} for a part on average"),
        (
            "bus",
            f"{facts.bus_bytes:,} bytes, {facts.signal_bytes:,} of them signals; "
            f"taken for {facts.bus_cycles:,} cycles at least",
        ),
        ("alone", f"{facts.alone:,} cycles (predicted)"),
        *([("why no crossbars", "their cells do not hold the weights")] if facts.is_wide else []),
        ("limited by", facts.binds),
    ]
    if facts.ring > 1:
        bound = f"{facts.speed_up:.2f} times as fast as one core after another, of at most P_V = {facts.ring}"
        rows.insert(-1, ("speed-up", bound))
    yield table(("what", "here"), [row for row in rows if facts.steps or row[0] not in _OF_CROSSBARS], "Cores")
    if facts.steps:
        total = sum(step.cycles for step in facts.steps)
        cells = [(s.name, s.resource, f"{s.cycles:,}", f"{100 * s.cycles / total:.1f}") for s in facts.steps]
        title = "A turn of the core that takes longest: closed form, windows without padding"
        made = table(("step", "on", number("cycles"), number("%")), cells, title)
        yield replace(made, footer=("all", "", f"{total:,}", ""))


_OF_CROSSBARS = ("crossbars", "vectors", "in a ring x beside x copies")
"""What layers of vector units have not."""


def _ranges(cores: Sequence[int]) -> str:
    """Numbers as ranges: 0-3, 7."""
    found: list[list[int]] = []
    for core in sorted(set(cores)):
        if found and found[-1][1] == core - 1:
            found[-1][1] = core
        else:
            found.append([core, core])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in found)
