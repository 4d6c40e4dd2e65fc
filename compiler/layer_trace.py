"""Layers over time as a trace for Chrome and Perfetto, with tiles and ONNX nodes by name.

Layers stand one after another, as long as they take. Below a layer are the tiles of its outermost loops, as if each
took an even share of its time, which is said of them; resources stand beside it for as long as they are busy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Any

from compiler.explanation.drawing import NestLine, nest_lines
from compiler.explanation.explaining import Explanation, Explanations

MOST_TILES = 256
"""Tiles of a layer that are drawn: loops further in than that are left out."""
LAYERS, RESOURCES = 1, 2
"""Processes of the trace."""


def layer_trace(found: Explanations) -> str:
    """The trace as JSON; times are in microseconds at the target's clock, counts in arguments."""
    clock, events = found.machine.clock_mhz, list(_names(found))
    begin = 0
    for each in found.layers:
        cycles = each.report.price.cycles
        for process, thread, name, start, length, arguments in _slices(each, begin):
            events.append(
                {
                    "ph": "X",
                    "pid": process,
                    "tid": thread,
                    "name": name,
                    "ts": start / clock,
                    "dur": length / clock,
                    "args": arguments,
                }
            )
        if each.facts is not None and cycles:
            rate = {"words a cycle": each.facts.words / cycles}
            events.append({"ph": "C", "pid": LAYERS, "name": "off-chip traffic", "ts": begin / clock, "args": rate})
            for held in each.facts.held:
                taken = {"words": held.taken}
                events.append(
                    {"ph": "C", "pid": LAYERS, "name": f"in {held.memory}", "ts": begin / clock, "args": taken}
                )
        begin += cycles
    other = {"model": found.model, "target": found.machine.name, "counts": found.provenance.value}
    return json.dumps({"displayTimeUnit": "ns", "otherData": other, "traceEvents": events}) + "\n"


def _names(found: Explanations) -> Iterator[dict[str, Any]]:
    titles = {LAYERS: f"layers, {found.provenance.value}", RESOURCES: f"busy resources, {found.provenance.value}"}
    for process, title in titles.items():
        yield {"ph": "M", "pid": process, "name": "process_name", "args": {"name": title}}
    for number, name in enumerate(_resources(found)):
        yield {"ph": "M", "pid": RESOURCES, "tid": number, "name": "thread_name", "args": {"name": name}}


def _resources(found: Explanations) -> list[str]:
    return list(dict.fromkeys(busy.resource for each in found.layers if each.facts for busy in each.facts.busy))


Slice = tuple[int, int, str, float, float, dict[str, Any]]
"""Process, thread, name, first cycle, cycles, arguments."""


def _slices(each: Explanation, begin: int) -> Iterator[Slice]:
    entry, price = each.layer.entry, each.report.price
    arguments: dict[str, Any] = {
        "onnx": list(entry.nodes),
        "kind": entry.kind,
        "cycles": price.cycles,
        "energy_pj": price.total_energy,
        "operations": each.report.counts.operations,
        "mapping": entry.mapping,
    }
    if entry.group:
        arguments["group"] = f"{entry.group}: all turns of the layer together, they alternate with those of others"
    if each.facts is not None:
        arguments |= {"off_chip_words": each.facts.words, "takes_longest": each.facts.longest[0]}
    yield LAYERS, 0, entry.name, begin, price.cycles, arguments
    if each.facts is None or each.layer.work is None:
        return
    for number, busy in enumerate(each.facts.busy):
        of = {"onnx": list(entry.nodes), "amount": busy.amount, "unit": busy.unit, "rate": busy.rate}
        yield RESOURCES, number, f"{busy.resource}: {entry.name}", begin, busy.cycles, of
    yield from _tiles(outer_loops(nest_lines(each.layer.work.spec, each.facts)), entry.nodes, begin, price.cycles)


def outer_loops(lines: Sequence[NestLine]) -> list[NestLine]:
    """The loops over time of a nest, outermost first, as long as there are few tiles together."""
    loops: list[NestLine] = []
    for line in lines:
        if line.tiles < 2 or line.is_spatial:
            continue
        if prod(each.tiles for each in loops) * line.tiles > MOST_TILES:
            break
        loops.append(line)
    return loops


def _tiles(loops: Sequence[NestLine], nodes: Sequence[str], begin: int, cycles: int) -> Iterator[Slice]:
    """A slice for every turn of every loop, within that of the loop around it."""
    for depth, line in enumerate(loops):
        around = [range(each.tiles) for each in loops[: depth + 1]]
        share = cycles / prod(map(len, around))
        for number, turns in enumerate(product(*around)):
            first = turns[-1] * line.tile
            size = line.last if turns[-1] == line.tiles - 1 else line.tile
            name = f"{line.node}: tile {turns[-1] + 1} of {line.tiles}"
            arguments = {
                "onnx": list(nodes),
                "indices": f"{first} to {first + size - 1} of those around it",
                "time": "an even share of the layer's",
            }
            yield LAYERS, 0, name, begin + number * share, share, arguments
