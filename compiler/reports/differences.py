"""Two reports side by side: which layers of one do the work of which layers of the other, and what both cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from compiler.displaying import Displayed, Part
from compiler.reports.layers import LayerReport, Report


@dataclass(frozen=True)
class Cost:
    """Cycles, energy in pJ and operations of some layers."""

    cycles: int
    energy: float
    operations: int


@dataclass(frozen=True)
class Pair:
    """Layers that came from the same ONNX nodes: of the first report, and of the second. One side may be empty."""

    first: tuple[LayerReport, ...]
    second: tuple[LayerReport, ...]

    @property
    def nodes(self) -> tuple[str, ...]:
        """The ONNX nodes that they came from, in the order of the layers; names of layers that came from none."""
        return tuple(dict.fromkeys(name for each in (*self.first, *self.second) for name in _names(each)))

    @property
    def costs(self) -> tuple[Cost, Cost]:
        """What each side costs."""
        return cost(self.first), cost(self.second)

    @property
    def is_same(self) -> bool:
        """Whether both sides have as many layers, which count the same events and cost the same."""
        pairs = zip(self.first, self.second, strict=False)
        return len(self.first) == len(self.second) and all(
            one.counts.flat() == other.counts.flat() and one.price == other.price for one, other in pairs
        )


@dataclass(frozen=True)
class Differences(Displayed):
    """Two reports, and their layers in pairs, in the order of the first one."""

    first: Report
    second: Report
    pairs: tuple[Pair, ...]

    def displayed(self) -> Iterable[Part]:
        """What notebooks show."""
        from compiler.reports.difference_tables import pair_table, total_table

        return [total_table(self), pair_table(self)]

    @property
    def json(self) -> dict[str, Any]:
        """Plain data: cycles and pJ."""
        return {
            "reports": [_totals(self.first), _totals(self.second)],
            "pairs": [
                {
                    "nodes": list(pair.nodes),
                    "same": pair.is_same,
                    "layers": [[each.layer.name for each in side] for side in (pair.first, pair.second)],
                    "cycles": [each.cycles for each in pair.costs],
                    "energy_pj": [each.energy for each in pair.costs],
                    "events": _events(pair),
                }
                for pair in self.pairs
            ],
        }


def differences(first: Report, second: Report) -> Differences:
    """Pair the layers of two reports: those that share ONNX nodes, even through others, belong together.

    A fused layer of one compilation so stands beside all the layers that do its work in the other.
    """
    numbers = count()
    owner: dict[str, int] = {}
    groups: dict[int, tuple[list[LayerReport], list[LayerReport]]] = {}
    for side, report in enumerate((first, second)):
        for each in report.layers:
            met = sorted({owner[name] for name in _names(each) if name in owner})
            number = met[0] if met else next(numbers)
            group = groups.setdefault(number, ([], []))
            for other in met[1:]:
                for mine, theirs in zip(group, groups.pop(other), strict=True):
                    mine += theirs
                owner |= {name: number for name, place in owner.items() if place == other}
            group[side].append(each)
            owner |= dict.fromkeys(_names(each), number)
    place = {id(each): number for number, each in enumerate((*first.layers, *second.layers))}
    pairs = [
        Pair(*(tuple(sorted(side, key=lambda each: place[id(each)])) for side in group)) for group in groups.values()
    ]
    return Differences(first, second, tuple(sorted(pairs, key=lambda pair: place[id((*pair.first, *pair.second)[0])])))


def cost(layers: Iterable[LayerReport]) -> Cost:
    """What some layers cost together; they run one after the other."""
    found = tuple(layers)
    return Cost(
        sum(each.price.cycles for each in found),
        sum(each.price.total_energy for each in found),
        sum(each.counts.operations for each in found),
    )


def _names(each: LayerReport) -> Sequence[str]:
    return each.layer.nodes or (each.layer.name,)


def _events(pair: Pair) -> dict[str, list[int]]:
    """The events that both sides count differently often."""
    sums: list[dict[str, int]] = [{}, {}]
    for side, layers in enumerate((pair.first, pair.second)):
        for each in layers:
            for name, times in each.counts.events.items():
                sums[side][name] = sums[side].get(name, 0) + times
    names = dict.fromkeys((*sums[0], *sums[1]))
    counted = {name: [each.get(name, 0) for each in sums] for name in names}
    return {name: both for name, both in counted.items() if both[0] != both[1]}


def _totals(report: Report) -> dict[str, Any]:
    return {
        "model": report.model,
        "target": report.machine.name,
        "provenance": report.provenance.value,
        "layers": len(report.layers),
        "cycles": report.cycles,
        "milliseconds": report.milliseconds,
        "energy_pj": report.energy,
        "utilisation": report.utilisation,
    }
