"""Which events are words that go from or to the off-chip memory, operand by operand, on machines of every kind."""

from __future__ import annotations

from collections.abc import Mapping

from dialects.accelerator import Accelerator
from dialects.events import Counts
from dialects.gemm_machine import GemmMachine
from dialects.multicore_machine import MulticoreMachine
from dialects.nest_machine import NestMachine

ON_ARRAYS = {
    "input": ("dram.input.read",),
    "kernel": ("dram.kernel.read",),
    "extra": ("dram.extra.read",),
    "index": ("dram.index.read",),
    "output": ("dram.output.write", "dram.output.read"),
}
ON_PRODUCTS = {**ON_ARRAYS, "kernel": ("dram.kernel.read", "dram.kernel.bitmap")}
_ON_LEVELS = {
    "input": ("input.read",),
    "kernel": ("kernel.read",),
    "extra": ("extra.read",),
    "index": ("index.read",),
    "output": ("output.update", "output.repeat", "output.add", "output.read"),
}
_ON_CORES = {
    "input": ("memory.input.read",),
    "kernel": ("memory.kernel.read",),
    "extra": ("memory.extra.read",),
    "index": ("memory.index.read",),
    "output": ("memory.output.write", "memory.output.read"),
    "sums": ("memory.sums.read", "memory.sums.write"),
}
"""Cores have no off-chip memory: of these, words of the one that they share."""


def off_chip_events(machine: Accelerator) -> Mapping[str, tuple[str, ...]]:
    """The events by operand."""
    if isinstance(machine, NestMachine):
        outer = machine.memories[0].name
        return {operand: tuple(f"{outer}.{event}" for event in events) for operand, events in _ON_LEVELS.items()}
    if isinstance(machine, MulticoreMachine):
        return _ON_CORES
    return ON_PRODUCTS if isinstance(machine, GemmMachine) else ON_ARRAYS


OFF_CHIP, SHARED_MEMORY = "off-chip", "shared-memory"


def outer_name(kind: type[Accelerator]) -> str:
    """What words from and to the outermost memory of a kind of machine are called."""
    return SHARED_MEMORY if issubclass(kind, MulticoreMachine) else OFF_CHIP


def off_chip_words(counts: Counts, machine: Accelerator) -> int:
    """Words over the off-chip link; of cores, from and to the memory that they share."""
    found = off_chip_events(machine).values()
    return sum(counts.events.get(event, 0) for events in found for event in events)
