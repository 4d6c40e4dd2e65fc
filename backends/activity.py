"""What cores of a machine did over time, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Activity:
    """A core is at work on a layer from one cycle to another; `kind` says with what.

    What a core holds the shared bus for is work too; what it waits for it is not.
    """

    core: int
    layer: str
    kind: str
    begin: int
    end: int
