"""What cores of a machine did over time, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Activity:
    """A core is at work on a layer from one cycle to another; `kind` says with what.

    What a core holds the shared bus for is work too; what it waits for it is not. One that stands for several has as
    `busy` the cycles of these alone.
    """

    core: int
    layer: str
    kind: str
    begin: int
    end: int
    busy: int | None = None

    @property
    def cycles(self) -> int:
        """Cycles that it was at work."""
        return self.end - self.begin if self.busy is None else self.busy


@dataclass(frozen=True)
class Occupancy:
    """How busy `cores` cores and their bus were for `cycles` cycles; all but counts are in core or bus cycles.

    Of a mesh, `links` has the cycles that each was taken, by from where to where it leads, and `bus` the most of these.

    `used` cores did anything; cores `worked`, or `waited` for sequence registers. `register_bytes` are those of the
    registers that were written, `buffer_bytes` the most that the buffer of any core held at a time, `memory_words` the
    words of the shared memory in which anything but constants ever lay.
    """

    cycles: int
    cores: int
    used: int
    worked: int
    waited: int
    bus: int
    register_bytes: int
    buffer_bytes: int
    memory_words: int
    links: Mapping[str, int] = field(default_factory=dict[str, int])
