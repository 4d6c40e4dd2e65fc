"""Where the layers of a program stand in a drawing: rows by the longest way from the inputs, columns by neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backends.program import Program

SWEEPS = 4
"""Passes over the rows that pull layers below those they read from."""


@dataclass(frozen=True)
class Drawing:
    """A place (column, row) for every layer, in their order, and arrows as pairs of their numbers from 0."""

    places: tuple[tuple[float, int], ...]
    arrows: tuple[tuple[int, int], ...]


def drawing(program: Program) -> Drawing:
    """The network of a program: an arrow for every tensor that one layer makes and another reads."""
    maker = {name: number for number, layer in enumerate(program.layers) for name in layer.outputs}
    arrows = dict.fromkeys(
        (maker[name], number)
        for number, layer in enumerate(program.layers)
        for name in layer.inputs
        if maker.get(name, number) < number
    )
    sources: dict[int, list[int]] = {number: [] for number in range(len(program.layers))}
    for start, end in arrows:
        sources[end].append(start)
    rows = _rows(sources)
    return Drawing(tuple(zip(_columns(sources, rows), rows, strict=True)), tuple(arrows))


def _rows(sources: Mapping[int, Sequence[int]]) -> list[int]:
    """One row further down than the lowest layer that it reads from. Layers read from earlier ones only."""
    rows: list[int] = []
    for number in range(len(sources)):
        rows.append(1 + max((rows[each] for each in sources[number]), default=-1))
    return rows


def _columns(sources: Mapping[int, Sequence[int]], rows: Sequence[int]) -> list[float]:
    """Columns centred on 0, one layer a place, in the order of the mean column of what they read from."""
    members: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        members.setdefault(row, []).append(number)
    columns = [0.0] * len(rows)
    for _ in range(SWEEPS):
        for row in sorted(members):
            wanted = {each: _mean([columns[source] for source in sources[each]]) for each in members[row]}
            members[row].sort(key=wanted.__getitem__)
            middle = (len(members[row]) - 1) / 2
            for place, each in enumerate(members[row]):
                columns[each] = place - middle
    return columns


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
