"""What the cores of a program did over time: as a run noted it, or as the cost model times their streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backends.activity import Activity
from backends.program import Program
from compiler.core_rows import BUS, CARRIERS, LEVELS, SHADES, CoreRows, carrier, core_rows
from compiler.timeline_files import read_activities
from dialects.accelerator import Accelerator
from dialects.multicore_machine import MulticoreMachine

COLUMNS = 480
RUN = "emulated, as catena run --timeline noted them"
PREDICTED = (
    "predicted: every core from where it begins with a layer to where it ends, as the cycles of layers are; its work "
    "is spread evenly. To see at which times it works, and the bus: catena run PROGRAM --timeline FILE.json, then "
    "catena report PROGRAM --timeline FILE.json -o PAGE"
)


def cores_json(program: Program, machine: Accelerator, timeline: str | None) -> dict[str, Any] | None:
    """Rows of cores with their stretches of work; nothing for a program whose layers are on no cores of their own.

    A stretch is [layer, first column, column behind the last, shade], layers are numbers of those of the program.
    Raises `CatenaError` (CAT-C003) for a timeline of another program.
    """
    names = [layer.name for layer in program.layers]
    named = carrier(machine) if isinstance(machine, MulticoreMachine) else BUS
    if timeline is not None:
        return _rows(core_rows(read_activities(timeline, program), names, COLUMNS), names, named, RUN)
    predicted = [
        Activity(each.core, layer.name, "work", each.begin, each.end, each.busy)
        for layer in program.layers
        for each in layer.streams
    ]
    return _rows(core_rows(predicted, names, COLUMNS), names, named, PREDICTED) if predicted else None


def _rows(drawn: CoreRows, names: Sequence[str], named: str, provenance: str) -> dict[str, Any]:
    number = [names.index(layer) for layer in drawn.layers]
    rows: list[dict[str, Any]] = [{"cores": list(cores), "work": []} for cores in drawn.rows]
    for (row, layer), stretches in drawn.stretches.items():
        rows[row]["work"] += [[number[layer], each.start, each.stop, each.shade] for each in stretches]
    bus = [[each.start, each.stop, each.shade] for each in drawn.bus]
    return {
        "provenance": provenance,
        "end": drawn.end,
        "columns": drawn.columns,
        "shades": LEVELS,
        "meaning": SHADES,
        "carrier": {"name": named, "meaning": CARRIERS[named]},
        "layers": number,
        "rows": rows,
        "bus": bus,
    }
