"""Charts of step lines and dots over logarithmic axes, as SVG text: what a front looks like."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from compiler.displaying import picture_bundle

Point = tuple[float, float]
WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 76, 190, 34, 48
"""Margins of the plot; the legend stands in the right one."""
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""The palette of Okabe and Ito, which the colour-blind can tell apart."""
DASHES = ("", "7 3", "2 2")
STEPS = (1, 2, 5)
MANY = 10
"""Marks of an axis, at most."""


@dataclass(frozen=True)
class Line:
    """Points by rising x; y holds from its point on, until the next."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Dots:
    """Points of one kind, each with the text that a pointer over it shows."""

    name: str
    points: Sequence[tuple[Point, str]]


@dataclass(frozen=True)
class Chart:
    """Lines, and dots, over two axes; an axis is logarithmic unless there is something on it that is not positive."""

    title: str
    across: str
    up: str
    lines: Sequence[Line]
    dots: Sequence[Dots] = ()

    def svg(self) -> str:
        """The chart as a whole SVG file."""
        style = 'font-family="sans-serif" font-size="12"'
        frame = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        body = "\n".join(self._elements())
        return f'<svg xmlns="http://www.w3.org/2000/svg" {frame} {style}>\n{body}\n</svg>\n'

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        return picture_bundle(self)

    def _elements(self) -> Iterator[str]:
        points = [point for line in self.lines for point in line.points]
        points += [point for dots in self.dots for point, _ in dots.points]
        across = _axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
        up = _axis([y for _, y in points], HEIGHT - BOTTOM, TOP)
        yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        yield _text(LEFT, TOP - 14, self.title, weight="bold")
        for value in across.marks:
            x = across.place(value)
            yield f'<path d="M{x} {TOP}V{HEIGHT - BOTTOM}" stroke="#dddddd"/>'
            yield _text(x, HEIGHT - BOTTOM + 16, _short(value), anchor="middle")
        for value in up.marks:
            y = up.place(value)
            yield f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#dddddd"/>'
            yield _text(LEFT - 6, y + 4, _short(value), anchor="end")
        yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, self.across, anchor="middle")
        middle = (TOP + HEIGHT - BOTTOM) / 2
        yield f'<g transform="rotate(-90 16 {middle})">{_text(16, middle, self.up, anchor="middle")}</g>'
        for index, line in enumerate(self.lines):
            stroke = f'stroke="{COLORS[index % len(COLORS)]}" stroke-width="2"'
            stroke += f' stroke-dasharray="{dash}"' if (dash := DASHES[index % len(DASHES)]) else ""
            yield f'<path d="{_steps(line.points, across, up)}" fill="none" {stroke}/>'
            x, y = WIDTH - RIGHT + 12, TOP + 10 + 20 * index
            yield f'<path d="M{x} {y}H{x + 24}" {stroke}/>'
            yield _text(x + 30, y + 4, line.name)
        for index, dots in enumerate(self.dots, len(self.lines)):
            fill = f'r="4" fill="{COLORS[index % len(COLORS)]}" fill-opacity="0.7"'
            for (x, y), text in dots.points:
                yield f'<circle cx="{across.place(x)}" cy="{up.place(y)}" {fill}><title>{escape(text)}</title></circle>'
            x, y = WIDTH - RIGHT + 24, TOP + 10 + 20 * index
            yield f'<circle cx="{x}" cy="{y}" {fill}/>'
            yield _text(x + 18, y + 4, dots.name)


def _axis(values: Sequence[float], start: float, end: float) -> _Axis:
    low, high = min(values), max(values)
    if low > 0:
        return _Axis(low / 1.1, high * 1.1, start, end)
    margin = (high - low) / 20 or 1.0
    return _LinearAxis(low - margin, high + margin, start, end)


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis from `low` to `high`, drawn from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        part = math.log(value / self.low) / math.log(self.high / self.low)
        return round(self.start + part * (self.end - self.start), 1)

    @property
    def marks(self) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in (STEPS, STEPS[:1]):
            every = [step * 10.0**power for power in powers for step in steps]
            seen = [value for value in every if self.low <= value <= self.high]
            if len(seen) <= MANY:
                break
        return seen


@dataclass(frozen=True)
class _LinearAxis(_Axis):
    """The same without a logarithm."""

    def place(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    @property
    def marks(self) -> list[float]:
        power = 10.0 ** math.floor(math.log10(self.high - self.low))
        step = next(each * power for each in (0.1, 0.2, 0.5, 1) if (self.high - self.low) / (each * power) <= MANY)
        numbers = range(math.ceil(self.low / step), math.floor(self.high / step) + 1)
        return [float(f"{number * step:.12g}") for number in numbers]


def _steps(points: Sequence[Point], across: _Axis, up: _Axis) -> str:
    (x, y), *others = points
    path = [f"M{across.place(x)} {up.place(y)}"]
    path += [f"H{across.place(x)}V{up.place(y)}" for x, y in others]
    return "".join([*path, f"H{across.end}"])


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'


def _short(value: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
