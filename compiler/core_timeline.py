"""What cores did over time: a Gantt picture as SVG, and events for viewers of traces (Chrome, Perfetto)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from backends.activity import Activity, Occupancy
from compiler.core_rows import BUS, CARRIERS, LEVELS, SHADES, CoreRows, Stretch, core_rows
from compiler.displaying import picture_bundle
from compiler.layer_names import told
from compiler.line_chart import COLORS
from compiler.tables import shortened

COLUMNS = 960
"""Stretches of time that the picture tells apart, a pixel each."""
LEFT, LEGEND, TOP, BOTTOM = 92, 330, 58, 40
LEGEND_ROW = 15
FINEST = 4_000
"""Events of a trace are as long as a run divided by this at least; shorter ones of a kind become one."""


@dataclass(frozen=True)
class CoreTimeline:
    """What cores did from cycle 0 to `end`; `nodes` are the ONNX nodes of layers."""

    title: str
    clock_mhz: float
    layers: Sequence[str]
    nodes: Mapping[str, Sequence[str]]
    activities: Sequence[Activity]
    carrier: str = BUS
    """What the row of transfers is called."""

    @property
    def end(self) -> int:
        """The cycle in which the last core is done."""
        return max((each.end for each in self.activities), default=0)

    @property
    def cores(self) -> list[int]:
        """The cores that did anything, those first that began first."""
        first: dict[int, int] = {}
        for each in self.activities:
            first[each.core] = min(first.get(each.core, each.begin), each.begin)
        return sorted(first, key=lambda core: (first[core], core))

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return picture_bundle(self)

    def trace_json(self) -> str:
        """Events in the format of Chrome's tracing, which Perfetto reads: a process a kind of work, a thread a core.

        Times are in microseconds; cycles stand in the arguments, the ONNX nodes of layers under `otherData`. An event
        may be several with short breaks: `busy_cycles` are those without the breaks.
        """
        kinds = sorted({each.kind for each in self.activities})
        number = {kind: index for index, kind in enumerate(kinds, 1)}
        events: list[dict[str, Any]] = [
            {"ph": "M", "pid": number[kind], "name": "process_name", "args": {"name": kind}} for kind in kinds
        ]
        events += [
            {"ph": "M", "pid": pid, "tid": core, "name": "thread_name", "args": {"name": f"core {core}"}}
            for pid in number.values()
            for core in self.cores
        ]
        for each in _gathered(self.activities, self.end // FINEST):
            arguments = {
                "begin_cycle": each.begin,
                "end_cycle": each.end,
                "busy_cycles": each.cycles,
                "onnx": " + ".join(self.nodes.get(each.layer, ())),
            }
            times = {"ts": each.begin / self.clock_mhz, "dur": (each.end - each.begin) / self.clock_mhz}
            events.append(
                {
                    "ph": "X",
                    "pid": number[each.kind],
                    "tid": each.core,
                    "name": each.layer,
                    "cat": each.kind,
                    **times,
                    "args": arguments,
                }
            )
        nodes = {name: list(several) for name, several in self.nodes.items()}
        return json.dumps({"displayTimeUnit": "ns", "otherData": {"nodes": nodes}, "traceEvents": events}) + "\n"

    def svg(self) -> str:
        """The picture: a row for each core, or a few neighbours, time across, a colour for each layer.

        The stronger a colour, the larger the share of the time in which the cores are at work or have the bus.
        """
        drawn = core_rows(self.activities, self.layers, COLUMNS)
        rows, layers = drawn.rows, drawn.layers
        high = max(4, min(16, 640 // max(1, len(rows))))
        height = TOP + max((len(rows) + 2) * high + 12, LEGEND_ROW * len(layers)) + BOTTOM
        width = LEFT + COLUMNS + LEGEND
        body = "\n".join(self._elements(drawn, high, height))
        frame = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        style = 'font-family="sans-serif" font-size="11"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {frame} {style}>\n{body}\n</svg>\n'

    def _elements(self, drawn: CoreRows, high: int, height: int) -> Iterator[str]:
        rows, end = drawn.rows, max(1, drawn.end)
        milliseconds = end / (self.clock_mhz * 1e3)
        yield f'<rect width="{LEFT + COLUMNS + LEGEND}" height="{height}" fill="white"/>'
        yield _text(
            LEFT, 18, f"{self.title}: {end:,} cycles = {milliseconds:.3g} ms at {self.clock_mhz:g} MHz", bold=True
        )
        at_work = f"a row is {len(rows[0])} cores; " if rows and len(rows[0]) > 1 else ""
        yield _text(LEFT, 34, f"{at_work}{SHADES}; {self.carrier}: {CARRIERS[self.carrier]} (emulated)")
        bottom = TOP + (len(rows) + 2) * high
        for value in _marks(end):
            x = LEFT + COLUMNS * value / end
            yield f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#dddddd"/>'
            yield _text(x, bottom + 14, _short(value), anchor="middle")
        yield _text(LEFT + COLUMNS / 2, bottom + 30, "cycles", anchor="middle")
        step = max(1, math.ceil(11 / high))
        for number, several in enumerate(rows):
            if number % step == 0:
                ends = several[0], several[-1]
                name = f"core {ends[0]}" if len(several) == 1 else f"{ends[0]} ... {ends[1]}"
                yield _text(LEFT - 6, TOP + number * high + high / 2 + 4, name, anchor="end")
        for (number, layer), stretches in drawn.stretches.items():
            yield from _cells(stretches, TOP + number * high, high, _color(layer))
        y = TOP + (len(rows) + 1) * high
        yield _text(LEFT - 6, y + high / 2 + 4, self.carrier, anchor="end")
        yield from _cells(drawn.bus, y, high, "#000000")
        for index, name in enumerate(drawn.layers):
            x, y = LEFT + COLUMNS + 14, TOP + LEGEND_ROW * index
            yield f'<rect x="{x}" y="{y}" width="11" height="11" fill="{_color(index)}"/>'
            yield _text(x + 17, y + 10, f"{index + 1} {shortened(told(name, self.nodes.get(name, ())), 48)}")


def occupancy_line(found: Occupancy) -> str:
    """How busy cores and the bus were, in a line."""
    time, bus = max(1, found.cores * found.cycles), found.bus / max(1, found.cycles)
    moved = f"bus {100 * bus:.1f} %"
    if found.links:
        name, mean = max(found.links, key=lambda each: found.links[each]), sum(found.links.values()) / len(found.links)
        moved = f"busiest link {100 * bus:.1f} % ({name}), mean of {len(found.links)} links that were used "
        moved += f"{100 * mean / max(1, found.cycles):.1f} %"
    return (
        f"{found.used} of {found.cores} cores had work; all together worked {100 * found.worked / time:.1f} % of the "
        f"time and waited for others {100 * found.waited / time:.1f} %; {moved}; "
        f"sequence registers of {found.register_bytes:,} bytes, buffers of up to {found.buffer_bytes:,} bytes; "
        f"tensors in {found.memory_words:,} words of the memory"
    )


def _cells(stretches: Sequence[Stretch], y: float, high: int, color: str) -> Iterator[str]:
    """Rectangles of a row."""
    for each in stretches:
        place = f'x="{LEFT + each.start}" y="{y}" width="{each.stop - each.start}" height="{high - (high > 5)}"'
        yield f'<rect {place} fill="{color}" fill-opacity="{0.15 + 0.85 * each.shade / LEVELS:.2f}"/>'


def _gathered(activities: Sequence[Activity], gap: int) -> Iterator[Activity]:
    """Activities of a core, layer and kind with no more than `gap` cycles between them as one."""
    last: Activity | None = None
    for each in activities:
        same = last is not None and (last.core, last.layer, last.kind) == (each.core, each.layer, each.kind)
        if last is not None and same and each.begin - last.end <= gap:
            last = Activity(last.core, last.layer, last.kind, last.begin, each.end, last.cycles + each.cycles)
            continue
        if last is not None:
            yield last
        last = each
    if last is not None:
        yield last


def _marks(end: int) -> list[int]:
    step = 10 ** math.floor(math.log10(end))
    step = next(each for each in (step // 5, step // 2, step, 2 * step) if each and end / each <= 10)
    return list(range(0, end + 1, step))


def _color(layer: int) -> str:
    return COLORS[layer % (len(COLORS) - 1)]


def _short(value: int) -> str:
    for unit, size in (("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return str(value)


def _text(x: float, y: float, text: str, anchor: str = "start", *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'
