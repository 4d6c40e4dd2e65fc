"""The memories of a machine in which tensors of a group may lie, and the levels around them."""

from __future__ import annotations

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.gemm_machine import GemmMachine
from dialects.hierarchy import Hierarchy
from dialects.nest_machine import NestMachine


def memory_names(machine: Accelerator) -> tuple[str, ...]:
    """Names of the memories, outermost first: the first one is off-chip."""
    if isinstance(machine, NestMachine):
        return tuple(memory.name for memory in machine.memories)
    if isinstance(machine, GemmMachine):
        return ("dram", INPUTS, KERNELS)
    return ("dram", "glb", "spad")


INPUTS, KERNELS, BITMAPS = "input", "kernel", "bitmap"
"""The memories of inputs, of kernels, and of their bitmaps, of a machine of matrix products."""


def levels_of(machine: Machine | GemmMachine) -> Hierarchy:
    """A machine of rows and columns, or of matrix products, as groups see it.

    The buffer of the former exists once, and a bank has words of one tensor; holds lie in two memories of the latter.
    """
    if isinstance(machine, GemmMachine):
        words = {INPUTS: machine.sram.input_words, KERNELS: machine.sram.kernel_words}
        memories = {name: {"kind": "memory", "words": room} for name, room in words.items()}
        return Hierarchy.model_validate(
            {"name": machine.name, "summary": machine.summary, "levels": {"dram": {"kind": "memory"}, **memories}}
        )
    levels = {
        "dram": {"kind": "memory"},
        "glb": {"kind": "memory", "words": machine.glb.words, "bank": machine.glb.bank_words},
        "row": {"kind": "axis", "size": machine.array.rows},
        "col": {"kind": "axis", "size": machine.array.cols},
        "spad": {"kind": "memory"},
    }
    return Hierarchy.model_validate({"name": machine.name, "summary": machine.summary, "levels": levels})
