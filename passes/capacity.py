"""How many words the memories of a machine hold on chip, whatever its kind: what its buffers cost in area."""

from __future__ import annotations

from functools import singledispatch

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.gemm_machine import GemmMachine
from dialects.hierarchy import Axis, Memory
from dialects.multicore_machine import MulticoreMachine
from dialects.nest_machine import NestMachine


@singledispatch
def on_chip_words(machine: Accelerator) -> int:
    """Words of all memories but the off-chip one, of every element and core; what has no limit counts nothing.

    Of cores, words of the type of their inputs that buffers hold; their crossbars are no memory here.
    """
    raise TypeError(f"nothing counts the memories of a {type(machine).__name__}")


@on_chip_words.register
def _(machine: NestMachine) -> int:
    total, instances = 0, 1
    for level in machine.levels:
        if isinstance(level, Axis):
            instances *= level.size
        elif level.name != machine.memories[0].name:
            total += min(instances, machine.elements or instances) * _words(level)
    return total


def _words(memory: Memory) -> int:
    return sum(memory.rooms.values()) if memory.words is None else memory.words


@on_chip_words.register
def _(machine: Machine) -> int:
    of_element = machine.pe.input_words + machine.pe.kernel_words + machine.pe.output_words
    return machine.glb.words + machine.array.rows * machine.array.cols * of_element


@on_chip_words.register
def _(machine: GemmMachine) -> int:
    memories, array, units = machine.sram, machine.array, machine.im2col
    of_memories = memories.input_words + memories.kernel_words + memories.output_words + (memories.bitmap_words or 0)
    return of_memories + units.reserve_words + array.rows * array.cols * array.accumulators


@on_chip_words.register
def _(machine: MulticoreMachine) -> int:
    return machine.cores.count * (machine.cores.buffer_bytes * 8 // machine.word_bits)
