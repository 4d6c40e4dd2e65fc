"""The memories of a machine in which tensors of a group may lie."""

from __future__ import annotations

from dialects.accelerator import Accelerator
from dialects.target import NestMachine


def on_chip_memories(machine: Accelerator) -> tuple[str, ...]:
    """Names of the memories on the chip, outermost first."""
    if isinstance(machine, NestMachine):
        return tuple(memory.name for memory in machine.memories[1:])
    return ("glb", "spad")
