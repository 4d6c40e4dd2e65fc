"""The memories of a machine in which tensors of a group may lie, and the levels around them."""

from __future__ import annotations

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.hierarchy import Hierarchy
from dialects.nest_machine import NestMachine


def memory_names(machine: Accelerator) -> tuple[str, ...]:
    """Names of the memories, outermost first: the first one is off-chip."""
    if isinstance(machine, NestMachine):
        return tuple(memory.name for memory in machine.memories)
    return ("dram", "glb", "spad")


def levels_of(machine: Machine) -> Hierarchy:
    """A machine of rows and columns as groups see it: its buffer exists once, and a bank has words of one tensor."""
    levels = {
        "dram": {"kind": "memory"},
        "glb": {"kind": "memory", "words": machine.glb.words, "bank": machine.glb.bank_words},
        "row": {"kind": "axis", "size": machine.array.rows},
        "col": {"kind": "axis", "size": machine.array.cols},
        "spad": {"kind": "memory"},
    }
    return Hierarchy.model_validate({"name": machine.name, "summary": machine.summary, "levels": levels})
