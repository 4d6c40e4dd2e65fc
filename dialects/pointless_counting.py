"""What a row-stationary machine charges that never happens."""

from __future__ import annotations

from collections.abc import Iterator

from dialects.array_machine import Machine
from dialects.contradictions import Contradiction
from dialects.diagnostics import Diagnostic
from dialects.events import BURSTS, COMPRESSED, EVENTS, LEVELS


def pointless_counting(machine: Machine) -> Iterator[Diagnostic]:
    """What a row-stationary machine charges that never happens (CAT-C003), as `dialects.pointless`."""
    if machine.dram.charge_bursts and not machine.dram.burst_words:
        message, hint = "there are no bursts to charge", "give dram.burst_words, or leave it out to charge words"
        yield Contradiction("dram.charge_bursts", message, "false", "true", hint).diagnostic()
    never = {} if machine.dram.burst_words else dict.fromkeys(BURSTS.values(), "dram.burst_words is 0")
    if machine.dram.compression is None:
        never |= dict.fromkeys(COMPRESSED.values(), "there is no table dram.compression")
    if machine.energy.gating is None:
        never["operation.gated"] = "there is no energy.gating"
    for level in LEVELS:
        for event in getattr(machine.counting, level):
            if reason := never.get(event):
                counted = ", ".join(name for name in EVENTS if name.startswith(f"{level}.") and name not in never)
                message, hint = f"{event!r} never happens: {reason}", f"leave it out; of {level} may happen {counted}"
                yield Contradiction(f"counting.{level}", message, "an event that may happen", event, hint).diagnostic()
