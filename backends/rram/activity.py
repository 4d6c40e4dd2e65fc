"""Noting what cores do when, while their time is simulated."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from backends.activity import Activity
from backends.rram.streams import Do, Task

BUS, CROSSBARS, PROGRAMMING, VECTOR_UNIT = "bus", "crossbars", "programming", "vector unit"
_KINDS = {Do.MULTIPLY: CROSSBARS, Do.PROGRAM: PROGRAMMING}


@dataclass
class ActivityLog:
    """Stretches of work by core, layer and kind; what follows without a gap is one."""

    _stretches: dict[tuple[int, int, str], list[list[int]]] = field(
        default_factory=dict[tuple[int, int, str], list[list[int]]]
    )

    def work(self, task: Task, do: Do, begin: int, end: int) -> None:
        """A core works by itself."""
        self._add(task, _KINDS.get(do, VECTOR_UNIT), begin, end)

    def transfer(self, task: Task, begin: int, end: int) -> None:
        """A core has the bus."""
        self._add(task, BUS, begin, end)

    def _add(self, task: Task, kind: str, begin: int, end: int) -> None:
        if begin == end:
            return
        stretches = self._stretches.setdefault((task.core, task.layer.index, kind), [])
        if stretches and stretches[-1][1] == begin:
            stretches[-1][1] = end
        else:
            stretches.append([begin, end])

    def activities(self, layers: Sequence[str]) -> Iterator[Activity]:
        """All of them, by core and layer, each kind in the order of time."""
        for (core, layer, kind), stretches in sorted(self._stretches.items()):
            for begin, end in stretches:
                yield Activity(core, layers[layer], kind, begin, end)
