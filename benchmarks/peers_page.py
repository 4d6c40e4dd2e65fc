"""The page of `peers`: who took how long, how far results are apart, how good mappings are, and where ours lose.

A module of `benchmarks/peers.py`, no command of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from compiler.tables import Column, Table, number, table

if TYPE_CHECKING:
    from peers import Bench, MappingRow, Peer, Row

NOTICE = "<!-- Made by `python benchmarks/peers.py --output docs/benchmarks.md`; do not edit. -->\n"

INTRODUCTION = """\
# Beside other tools

One run of `python3 tasks.py bench` on {cores} cores: the same networks, with seeded weights and a seeded image, given
to every tool that installs with pip. CPU seconds are user and system time of whole processes, the least of {repeat}
runs, with all that they import; `again` is a second run in the same process. Ratios are by Catena: above 1 the other
takes longer. They are of unlike things, which no ratio shows: IREE, TVM and ONNX Runtime make code for this CPU and run
it on the CPU; Catena maps every layer on an accelerator and writes the accelerator's binary, and its emulator executes
that binary and counts every access. Only results mean the same everywhere. Other work on the machine makes CPU seconds
longer, for all alike: compare within a run.
"""

_MAPPINGS = """\
Both searched the same layers on the same machine, ZigZag's `eyeriss_like`, in this run; prices are those of a walk that
neither shares ([how](zigzag.md)). Ratios are ours by ZigZag's: below 1 ours are better.
"""


def page(bench: Bench, peers: Sequence[Peer], cores: int) -> str:
    """The whole page."""
    parts = [NOTICE, INTRODUCTION.format(cores=cores, repeat=bench.repeat)]
    parts += ["## The tools\n", _tools(bench, peers).markdown() + "\n"]
    parts += ["## Compiling\n", _times(bench.rows, "compile").markdown() + "\n"]
    parts += ["## Running\n", _times(bench.rows, "run").markdown() + "\n"]
    parts += ["## Mappings\n", _MAPPINGS, _mappings(bench.mappings).markdown() + "\n"] if bench.mappings else []
    parts += ["## Where Catena loses\n", *(f"- {line}" for line in _losses(bench)), ""]
    return "\n".join(parts)


def _tools(bench: Bench, peers: Sequence[Peer]) -> Table:
    rows = [(peer.name, bench.versions.get(peer.name, ""), bench.missing.get(peer.name, peer.what)) for peer in peers]
    return table(("tool", "version", "what it does here"), rows)


def _times(rows: Sequence[Row], task: str) -> Table:
    columns: list[str | Column] = ["network", "tool", number("CPU s"), number("by Catena"), number("MiB")]
    if task == "run":
        columns += [number("again, CPU s"), number("by Catena"), number("largest difference to ONNX Runtime")]
    cells = [_cells(row, _own(rows, row), len(columns)) for row in rows if row.task == task]
    return table((*columns, "not measured, because"), cells)


def _cells(row: Row, own: Row | None, count: int) -> list[str]:
    """A row of the table; `own` is Catena's beside it."""
    cells = [row.network, row.who]
    if row.cpu is not None:
        cells += [f"{row.cpu:.2f}", _ratio(row.cpu, own and own.cpu), f"{row.memory:,.0f}"]
    if row.again is not None:
        cells += [f"{row.again:.3f}", _ratio(row.again, own and own.again), f"{row.error:.1e}"]
    return [*cells, *[""] * (count - len(cells)), row.reason]


def _own(rows: Sequence[Row], row: Row) -> Row | None:
    """Catena's row beside another."""
    found = (each for each in rows if (each.network, each.task) == (row.network, row.task))
    return next((each for each in found if each.who.startswith("Catena")), None)


def _ratio(theirs: float | None, ours: float | None) -> str:
    return "" if not theirs or not ours else f"{theirs / ours:.3g}"


def _mappings(rows: Sequence[MappingRow]) -> Table:
    columns = (
        number("whole network"),
        number("worst layer"),
        number("CPU s"),
        number("ZigZag's"),
        number("times faster"),
    )
    cells = (
        (
            *(each.network, each.objective, f"{each.ratio:.3f}", f"{each.worst:.3f}"),
            *(f"{each.ours:.2f}", f"{each.theirs:.1f}", f"{each.theirs / each.ours:.1f}"),
        )
        for each in rows
    )
    return table(("network", "least", *columns), cells)


def _losses(bench: Bench) -> Iterator[str]:
    """Every row in which another takes less time, or maps better."""
    for row in bench.rows:
        own = _own(bench.rows, row)
        if own is None or own is row:
            continue
        for mine, theirs, what in ((own.cpu, row.cpu, "the whole process"), (own.again, row.again, "a second run")):
            if mine and theirs and theirs < mine:
                yield f"{row.network}, {row.task}, {what}: {row.who} takes {theirs:.3g} CPU s, Catena {mine:.3g}."
    for each in bench.mappings:
        if each.ratio > 1:
            yield f"{each.network}: mappings for least {each.objective} cost {each.ratio:.3f} of ZigZag's."
    for row in bench.rows:
        own = _own(bench.rows, row)
        if own is not None and row.error and own.error and row.error < own.error:
            yield f"{row.network}: {row.who} is {row.error:.1e} from ONNX Runtime, Catena {own.error:.1e}."


if __name__ == "__main__":
    raise SystemExit("this is a module of benchmarks/peers.py: run that one")
