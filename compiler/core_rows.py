"""What cores did over time as rows of a picture: stretches of columns in which they were at work on a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backends.activity import Activity
from dialects.multicore_machine import MulticoreMachine

Shares = npt.NDArray[np.float64]
LEVELS = 5
"""Shades that are told apart, by the share of the time that cores are at work."""
MOST_ROWS = 72
"""Rows of cores; if there are more cores, neighbours share a row."""
BUS, LINKS = "bus", "all links"
SHADES = f"a colour has {LEVELS} strengths: cores are at work for up to {100 // LEVELS} % of the time, ... up to 100 %"
CARRIERS = {
    BUS: "the share of the time that it is taken",
    LINKS: "the time of transfers over any of them, added up; strongest from one at a time on",
}
"""What the row of transfers shows, by its name."""


@dataclass(frozen=True)
class Stretch:
    """Columns `start` up to but without `stop`, in which the shade is 1 to `LEVELS`."""

    start: int
    stop: int
    shade: int


@dataclass(frozen=True)
class CoreRows:
    """The time from cycle 0 to `end` in so many columns: rows of cores, and their stretches by row and layer.

    Layers are numbers of those that were worked on, in `layers`; `bus` are the stretches in which it was taken.
    """

    end: int
    columns: int
    layers: tuple[str, ...]
    rows: tuple[tuple[int, ...], ...]
    stretches: Mapping[tuple[int, int], tuple[Stretch, ...]]
    bus: tuple[Stretch, ...]


def carrier(machine: MulticoreMachine) -> str:
    """What the row of transfers is called: on a mesh it is of all links."""
    return BUS if machine.bus.mesh is None else LINKS


def core_rows(activities: Sequence[Activity], names: Sequence[str], columns: int) -> CoreRows:
    """The rows of some activities; `names` are those of layers, in their order. Cores that began first are first."""
    first: dict[int, int] = {}
    for each in activities:
        first[each.core] = min(first.get(each.core, each.begin), each.begin)
    cores = sorted(first, key=lambda core: (first[core], core))
    together = max(1, -(-len(cores) // MOST_ROWS))
    rows = tuple(tuple(cores[at : at + together]) for at in range(0, len(cores), together))
    end = max((each.end for each in activities), default=0)
    worked = {each.layer for each in activities}
    layers = tuple(name for name in names if name in worked)
    row_of = {core: number for number, several in enumerate(rows) for core in several}
    number_of = {name: number for number, name in enumerate(layers)}
    found: dict[tuple[int, int], list[Activity]] = {}
    for each in activities:
        found.setdefault((row_of[each.core], number_of[each.layer]), []).append(each)
    stretches = {
        key: tuple(_stretches(_binned(several, end, columns) / len(rows[key[0]])))
        for key, several in sorted(found.items())
    }
    bus = _binned([each for each in activities if each.kind == BUS], end, columns)
    return CoreRows(end, columns, layers, rows, stretches, tuple(_stretches(bus)))


def _binned(activities: Sequence[Activity], end: int, columns: int) -> Shares:
    """The time of activities that falls into each column, as a multiple of it; evenly over those that have breaks."""
    edges = np.linspace(0, end, columns + 1)
    begins = np.array([each.begin for each in activities], np.float64)
    ends = np.array([each.end for each in activities], np.float64)
    weights = np.array([each.cycles / max(1, each.end - each.begin) for each in activities], np.float64)

    # Work up to a time is what had begun until then, less what had not ended.
    def up_to(times: Shares, edge: Shares) -> Shares:
        order = np.argsort(times, kind="stable")
        count = np.searchsorted(times[order], edge)
        rates = np.concatenate(([0.0], np.cumsum(weights[order])))[count]
        return rates * edge - np.concatenate(([0.0], np.cumsum((weights * times)[order])))[count]

    done = up_to(begins, edges) - up_to(ends, edges)
    return np.diff(done) / (max(1, end) / columns)


def _stretches(share: Shares) -> Iterator[Stretch]:
    """Neighbouring columns of the same shade as one; none where nothing is done."""
    shade = np.ceil(np.minimum(share, 1.0) * LEVELS - 1e-6).astype(int)
    starts = np.flatnonzero(np.concatenate(([True], shade[1:] != shade[:-1])))
    for start, stop in zip(starts, [*starts[1:], len(share)], strict=True):
        if shade[start] > 0:
            yield Stretch(int(start), int(stop), int(shade[start]))
