"""What counts cost on a machine of matrix products: energy by level, cycles."""

from __future__ import annotations

import math

from dialects.events import Counts
from dialects.gemm_machine import GemmMachine
from passes.gemm.cost import LINK
from passes.mapping.cost import Price
from passes.mapping.host_cost import WORDS, host_energy, host_seconds

ACCESSES: dict[str, tuple[str, ...]] = {
    "dram": (*LINK, *WORDS),
    "sram": (
        *("glb.input.fill", "glb.input.read", "glb.kernel.fill", "glb.kernel.read", "glb.extra.fill", "glb.extra.read"),
        *("bitmap.kernel.fill", "bitmap.kernel.read"),
        *("glb.output.first", "glb.output.read", "glb.output.write", "glb.output.last", "glb.output.drain"),
        *("glb.output.hold", "glb.output.send"),
    ),
    "array": ("array.input.deliver", "array.kernel.deliver", "patch.neighbour"),
    "result": ("patch.reserve",),
}
"""The events that are accesses of each level, from the outside in."""


def price_of_products(counts: Counts, machine: GemmMachine) -> Price:
    """Energy and latency of one link's counts. Operations that are left out, or gated, cost nothing."""
    costs, host = machine.energy, machine.host
    found = {level: counts.charged(events) for level, events in ACCESSES.items()}
    operations = carried_out(counts)
    found["result"] += 2 * operations  # a result is read and written in every operation
    energy = {level: words * getattr(costs, level) * costs.picojoules for level, words in found.items()}
    energy["operation"] = operations * costs.operation * costs.picojoules
    energy["host"] = 0.0 if host is None else host_energy(counts, host)
    waiting = 0 if host is None else math.ceil(host_seconds(counts, host, machine.word_bits) * machine.clock_mhz * 1e6)
    link = machine.dram.cycles(counts.charged(LINK))
    return Price(energy, link, (counts.cycles or 0) + waiting, waiting)


def carried_out(counts: Counts) -> int:
    """Main operations that are neither left out nor gated."""
    return counts.operations - counts.events["operation.skipped"] - counts.events["operation.gated"]
