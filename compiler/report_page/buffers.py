"""How full the buffers of cores are over time: what the layers need that cores are on, as their streams are timed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from compiler.explanation.explaining import Explanation
from dialects.accelerator import Accelerator
from dialects.multicore_machine import MulticoreMachine

FULLEST, ALL = "fullest buffer", "all buffers"
PROVENANCE = (
    "predicted: what the turns of a layer need of the buffer of a core, from when the core begins with the layer to "
    "when it ends, at most in the fullest buffer of all, on average over a layer's cores in all buffers together"
)


@dataclass(frozen=True)
class _Need:
    """Bytes of the buffer of a core from one cycle to another: at most of any core of the layer, and on average."""

    begin: int
    end: int
    most: int
    mean: int


def buffers_json(found: Iterable[Explanation], machine: Accelerator) -> dict[str, Any] | None:
    """Rows of [cycle, bytes] from which on so many are taken; nothing for layers that are on no cores of their own."""
    needs = [
        _Need(stream.begin, stream.end, each.cores.buffer_bytes, each.cores.part_bytes)
        for each in found
        if each.cores is not None
        for stream in each.layer.entry.streams
        if stream.end > stream.begin
    ]
    if not needs or not isinstance(machine, MulticoreMachine):
        return None
    size = machine.cores.buffer_bytes
    rows = [
        {"memory": FULLEST, "capacity": size, "steps": list(_changes(_most(needs)))},
        {"memory": ALL, "capacity": size * machine.cores.count, "steps": list(_changes(_sum(needs)))},
    ]
    return {"provenance": PROVENANCE, "end": max(each.end for each in needs), "rows": rows}


Steps = Iterator[tuple[int, int]]
"""Cycles in their order, and the bytes from then on."""


def _most(needs: Sequence[_Need]) -> Steps:
    """The most that any core needs."""
    counts: dict[int, int] = {}
    for cycle, changes in _by_cycle(needs).items():
        for need, change in changes:
            counts[need.most] = counts.get(need.most, 0) + change
        yield cycle, max((size for size, count in counts.items() if count), default=0)


def _sum(needs: Sequence[_Need]) -> Steps:
    total = 0
    for cycle, changes in _by_cycle(needs).items():
        total += sum(change * need.mean for need, change in changes)
        yield cycle, total


def _by_cycle(needs: Sequence[_Need]) -> dict[int, list[tuple[_Need, int]]]:
    """Who begins (1) and who ends (-1), by cycle in their order."""
    found: dict[int, list[tuple[_Need, int]]] = {}
    for need in needs:
        found.setdefault(need.begin, []).append((need, 1))
        found.setdefault(need.end, []).append((need, -1))
    return dict(sorted(found.items()))


def _changes(steps: Steps) -> Steps:
    """Without those that change nothing."""
    last = 0
    for cycle, size in steps:
        if size != last:
            yield cycle, size
        last = size
