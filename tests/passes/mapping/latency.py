"""The latency that the search minimises, from the counts of a mapping: all its passes taken together."""

from __future__ import annotations

from dialects.array_machine import Machine
from dialects.events import Counts


def latency_of(counts: Counts, compute_cycles: float, machine: Machine, end_cycles: int = 0) -> float:
    """Cycles if all computing, all feeding and all moving of sums overlap, as kernels and the array do.

    `end_cycles` come after each pass, and overlap with nothing.
    """
    events, links = counts.events, machine.links
    feeding = events["glb.input.read"] / links.input_bus
    moving = events["array.output.out"] / links.output_bus
    kernels = events["dram.kernel.read"]
    array = max(compute_cycles, feeding, moving) + end_cycles + kernels / links.kernel_bus
    others = events["dram.input.read"] + events["dram.output.write"]
    if machine.counting.padding_in_dram:
        others += events["dram.input.padding"]
    return max(array, kernels / links.dram) + others / links.dram
