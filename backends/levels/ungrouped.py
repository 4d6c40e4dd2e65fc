"""Sequencers with hardware loops for machines that run no fused groups: an instruction of a group is a fault."""

from __future__ import annotations

from backends.spatial.groups import Member, Memory, Transfer
from backends.spatial.loops import LoopedLayer, LoopSequencer
from backends.spatial.memory import Fault
from dialects.events import Counts


class UngroupedSequencer(LoopSequencer[LoopedLayer]):
    """Hardware loops, and no groups; every method here raises `Fault` CAT-E003."""

    def hold_memory(self, number: int) -> Memory:
        """Holds lie nowhere."""
        raise _no_groups()

    def begin_member(self, layer: LoopedLayer) -> Counts:
        """No layer takes part in a group."""
        raise _no_groups()

    def run_link(self, layer: LoopedLayer, box: list[tuple[range, ...]], member: Member) -> None:
        """No layer runs in turns."""
        raise _no_groups()

    def count_fetch(self, transfer: Transfer) -> None:
        """Nothing is fetched for a group."""
        raise _no_groups()

    def count_send(self, transfer: Transfer) -> None:
        """Nothing is sent for a group."""
        raise _no_groups()


def _no_groups() -> Fault:
    return Fault("CAT-E003", "the machine runs no fused groups")
