"""What an exploration found: the points that were tried, those on the front, as tables, charts, CSV, HTML and JSON."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from compiler.descriptions.files import described_target
from compiler.design_space.figures import FIGURES, Values
from compiler.design_space.front import front_of
from compiler.design_space.page import Section, page
from compiler.design_space.points import Point
from compiler.design_space.results import Outcome
from compiler.design_space.space import Space
from compiler.displaying import Displayed, Part
from compiler.line_chart import Chart, Dots, Line
from compiler.tables import Column, Table
from dialects.diagnostics import Diagnostic
from dialects.machine_kinds import kind_of
from passes.off_chip import outer_name


@dataclass(frozen=True)
class Tried:
    """A point, its number from 1 in the order of the space, and its figures or why it has none."""

    number: int
    point: Point
    outcome: Outcome

    @property
    def figures(self) -> Values:
        """The figures; none if it failed."""
        return self.outcome if isinstance(self.outcome, dict) else {}

    @property
    def problems(self) -> tuple[Diagnostic, ...]:
        """Why it has no figures, if so."""
        return () if isinstance(self.outcome, dict) else self.outcome


@dataclass(frozen=True)
class Explored(Displayed):
    """The points that were tried, of `total`; `cached` of them were known before."""

    model: str
    space: Space
    tried: tuple[Tried, ...]
    total: int
    cached: int
    is_interrupted: bool

    @property
    def is_partial(self) -> bool:
        """Whether points are left."""
        return len(self.tried) < self.total

    @property
    def provenance(self) -> str:
        """Where the figures come from."""
        return "emulated" if self.space.emulate else "predicted from mappings"

    @cached_property
    def good(self) -> tuple[Tried, ...]:
        """The points that have figures."""
        return tuple(each for each in self.tried if each.figures)

    @cached_property
    def failed(self) -> tuple[Tried, ...]:
        """The points that have none."""
        return tuple(each for each in self.tried if not each.figures)

    @cached_property
    def front(self) -> tuple[Tried, ...]:
        """The points that no other is better than, by the figures of the space; the first of these rises."""
        known = [each for each in self.good if None not in self._costs(each)]
        kept = front_of([self._costs(each) for each in known])
        return tuple(sorted((known[place] for place in kept), key=self._costs))

    def _costs(self, each: Tried) -> tuple[Any, ...]:
        return tuple(each.figures[name] for name in self.space.front)

    @property
    def summary(self) -> str:
        """How far it came, in a line."""
        parts = [f"{len(self.tried)} of {self.total} points"]
        parts += [f"{len(self.failed)} without figures"] if self.failed else []
        return f"{', '.join(parts)}; {len(self.front)} on the front of {', '.join(self.space.front)}"

    def table(self) -> Table:
        """The front."""
        return self._table(
            self.front, f"{Path(self.model).name}: the front of {', '.join(self.space.front)} ({self.provenance})"
        )

    def all_points(self) -> Table:
        """Every point that has figures."""
        return self._table(self.good, f"{Path(self.model).name}: all points ({self.provenance})")

    def _table(self, rows: Sequence[Tried], title: str) -> Table:
        shown = [name for name in FIGURES if any(each.figures[name] for each in rows) or name in self.space.front]
        columns = (Column("point", True), Column("what"), *(Column(self._title(name), True) for name in shown))
        cells = (
            (str(each.number), each.point.label, *(FIGURES[name].shown(each.figures[name]) for name in shown))
            for each in rows
        )
        return Table(columns, tuple(cells), title)

    def _title(self, figure: str) -> str:
        return FIGURES[figure].titled(self._outer)

    @cached_property
    def _outer(self) -> str:
        """What words from and to the outermost memories of the targets are called."""
        kinds = (kind_of(described_target(name).description).model for name in self.space.settings)
        return " or ".join(dict.fromkeys(map(outer_name, kinds)))

    def failures(self) -> Table:
        """Why points have no figures, each reason once with how many points have it."""
        counted = Counter((each.problems[0].code, each.problems[0].message) for each in self.failed)
        rows = tuple((str(count), code, message) for (code, message), count in counted.most_common())
        return Table((Column("points", True), Column("code"), Column("why there are no figures")), rows)

    def charts(self) -> list[Chart]:
        """The first figure of the front against each other one, or against the energy if it is the only one."""
        first, *others = self.space.front
        others = others or [name for name in ("energy", "latency") if name != first][:1]
        return [self._chart(first, other) for other in others if self._known(first, other)]

    def _known(self, *names: str) -> list[Tried]:
        return [each for each in self.good if all(each.figures[name] is not None for name in names)]

    def _chart(self, across: str, up: str) -> Chart:
        known = self._known(across, up)
        places = [(float(each.figures[across] or 0), float(each.figures[up] or 0)) for each in known]
        line = sorted({places[place] for place in front_of(places)})
        series: dict[str, list[tuple[tuple[float, float], str]]] = {}
        for each, place in zip(known, places, strict=True):
            series.setdefault(each.point.machine, []).append((place, f"{each.number}: {each.point.label}"))
        title = f"{Path(self.model).name}: {len(known)} points ({self.provenance})"
        return Chart(
            title,
            self._title(across),
            self._title(up),
            [Line("front", line)],
            [Dots(*each) for each in series.items()],
        )

    def svg(self) -> str:
        """The first chart, as a file; the others are on the page."""
        return self.charts()[0].svg()

    def csv(self) -> str:
        """Every point in a line: what it is, its figures, whether it is on the front, or why it has none."""
        keys = list(dict.fromkeys(key for each in self.tried for key, _ in each.point.settings))
        on_front = {each.number for each in self.front}
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        head = [
            "point",
            "target",
            *keys,
            "fuse",
            "sparsity",
            "scheme",
            "mapped_for",
            *FIGURES,
            "provenance",
            "front",
            "problem",
        ]
        writer.writerow(head)
        for each in self.tried:
            point, settings = each.point, dict(each.point.settings)
            problem = _told(each.problems)
            writer.writerow(
                [
                    each.number,
                    point.target,
                    *(settings.get(key, "") for key in keys),
                    str(point.fuse).lower(),
                    point.variant.sparsity,
                    point.variant.scheme,
                    point.mapped_for or "",
                    *("" if (value := each.figures.get(name)) is None else value for name in FIGURES),
                    "" if problem else self.provenance,
                    str(each.number in on_front).lower(),
                    problem,
                ]
            )
        return stream.getvalue()

    def html(self) -> str:
        """One file that shows it all, and fetches nothing."""
        failures = [Section("Without figures", table=self.failures())] if self.failed else []
        charts = [Section("", svg=chart.svg()) for chart in self.charts()]
        name = Path(self.model).name
        parts = [
            *charts,
            Section("The front", table=self.table()),
            Section("All points", table=self.all_points()),
            *failures,
        ]
        return page(f"{name}: design space", self.summary, parts)

    @property
    def json(self) -> dict[str, Any]:
        """As plain data."""
        on_front = {each.number for each in self.front}
        return {
            "model": self.model,
            "provenance": self.provenance,
            "objectives": list(self.space.front),
            "units": {name: self._title(name) for name in FIGURES},
            "total": self.total,
            "cached": self.cached,
            "is_interrupted": self.is_interrupted,
            "points": [
                {
                    "point": each.number,
                    "target": each.point.target,
                    "settings": dict(each.point.settings),
                    "fuse": each.point.fuse,
                    "sparsity": each.point.variant.sparsity,
                    "scheme": each.point.variant.scheme,
                    "mapped_for": each.point.mapped_for,
                    "figures": dict(each.figures),
                    "problems": [one.to_json() for one in each.problems],
                    "is_on_front": each.number in on_front,
                }
                for each in self.tried
            ],
        }

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        return [*self.charts(), self.table(), self.summary]


def _told(problems: Iterable[Diagnostic]) -> str:
    """Problems in one line, each once with the nodes that have it."""
    nodes: dict[tuple[str, str], list[str]] = {}
    for each in problems:
        nodes.setdefault((each.code, each.message), []).extend([each.node] if each.node else [])
    return "; ".join(
        f"{code} {message}" + (f" ({', '.join(dict.fromkeys(names))})" if names else "")
        for (code, message), names in nodes.items()
    )
