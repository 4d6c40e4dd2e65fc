"""What takes the time of a layer that takes turns in a fused group, by what all of its turns count together."""

from __future__ import annotations

from collections.abc import Iterator

from dialects.accelerator import Accelerator
from dialects.events import Counts
from dialects.gemm_machine import GemmMachine
from dialects.nest_machine import NestMachine
from passes.explanation.link import port_cycles
from passes.mapping.cost import Price


def time_in_turns(counts: Counts, price: Price, machine: Accelerator) -> tuple[tuple[str, float], ...]:
    """Parts of the cycles: first what is busy longest, then the rest; nothing of no cycles.

    Words of tensors that stay on the chip between turns are on no link. Turns differ, so that what is busy longest in
    all of them together need not be in each.
    """
    own = price.cycles - price.host_cycles
    links = dict(_links(counts, price, machine))
    moving = max(links, key=lambda name: links[name], default="")
    moved = min(own, links.get(moving, 0.0))
    computed = min(own, counts.array_cycles)
    first, second = (_computing(machine), computed), (moving, moved)
    if moved > computed:
        first, second = second, first
    rest = f"the rest, {second[0]} among it" if second[1] else "waits"
    parts = (first, (rest, own - first[1]), ("host", price.host_cycles))
    return tuple((name, cycles) for name, cycles in parts if cycles)


def _computing(machine: Accelerator) -> str:
    if isinstance(machine, GemmMachine):
        return "passes: array and im2col units"
    return "elements computing" if isinstance(machine, NestMachine) else "passes of the array"


def _links(counts: Counts, price: Price, machine: Accelerator) -> Iterator[tuple[str, float]]:
    """How long words take on what moves them, where that is there once for all elements."""
    if not isinstance(machine, NestMachine):
        name = "words on the off-chip link" if isinstance(machine, GemmMachine) else "words on links.dram"
        yield name, price.link_cycles
        return
    for memory in machine.memories:
        if not machine.axes_outside(memory.name):
            sent, taken = port_cycles(counts, memory, machine)
            yield f"words on {memory.name}.read", sent
            yield f"words on {memory.name}.write", taken
