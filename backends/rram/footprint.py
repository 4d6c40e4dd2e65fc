"""How much of the shared memory the tensors of a program take, by what the program says of them."""

from __future__ import annotations

from backends.program import Program, Role
from backends.spatial.dram import MEMORY


def memory_words(program: Program) -> int:
    """Words of tensors that are no constants, those of holds among them; words that several share count once."""
    spans = [
        (tensor.address, tensor.address + tensor.words)
        for tensor in program.tensors
        if tensor.memory == MEMORY and tensor.role is not Role.CONSTANT
    ]
    total = end = 0
    for start, stop in sorted(spans):
        total += max(stop - max(start, end), 0)
        end = max(end, stop)
    return total + sum(sum(group.held.values()) for group in program.groups)
