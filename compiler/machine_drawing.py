"""A machine drawn as a tree of text, from the outside in: what lies within what, how large it is, what moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import singledispatch

from dialects.accelerator import Accelerator
from dialects.array_machine import Machine
from dialects.gemm_machine import GemmMachine
from dialects.hierarchy import Axis, Memory
from dialects.multicore_machine import MulticoreMachine
from dialects.nest_machine import NestMachine

_NAMES = {"I": "inputs", "K": "kernels", "O": "sums"}
Line = tuple[int, str, str]
"""How deep, what, and what there is to say about it."""


def drawing(machine: Accelerator) -> str:
    """The tree, one line for each memory, axis and unit; words are those of the machine."""
    lines = [*_lines(machine)]
    shown = [("   " * (depth - 1) + "└─ " if depth else "") + what for depth, what, _ in lines]
    width = max(map(len, shown))
    return "\n".join(f"{what:{width}}  {said}".rstrip() for what, (_, _, said) in zip(shown, lines, strict=True))


@singledispatch
def _lines(machine: Accelerator) -> Iterator[Line]:
    raise TypeError(f"nothing draws a {type(machine).__name__}")


@_lines.register
def _(machine: NestMachine) -> Iterator[Line]:
    for depth, level in enumerate(machine.levels):
        said = _of_memory(level) if isinstance(level, Memory) else _of_axis(level)
        count = f" x {level.size}" if isinstance(level, Axis) else ""
        yield depth, level.name + count, ", ".join(said)
    yield len(machine.levels), "element", "one operation a cycle"


def _of_memory(memory: Memory) -> Iterator[str]:
    if memory.words is not None:
        yield _words(memory.words) + (f", in banks of {memory.bank}" if memory.bank else "")
    if memory.buffers > 1:
        yield "tiles twice"
    if len(memory.operands) < len(_NAMES):
        yield _operands(memory.operands)
    if memory.bypass:
        yield f"{_operands(memory.bypass)} may pass by"
    rates = [f"{rate:g} out" for rate in [memory.read] if rate] + [f"{rate:g} in" for rate in [memory.write] if rate]
    if rates:
        yield " and ".join(rates) + " a cycle"


def _of_axis(axis: Axis) -> Iterator[str]:
    if axis.multicast:
        yield f"{_operands(axis.multicast)} go to several"
    if axis.reduces:
        yield "sums are added on the way out"


@_lines.register
def _(machine: Machine) -> Iterator[Line]:
    links, pe = machine.links, machine.pe
    yield 0, "dram", f"{_words(machine.dram.words)}, {links.dram:g} a cycle"
    yield 1, "glb", f"{_words(machine.glb.words)}, in {machine.glb.banks} banks of {machine.glb.bank_words}"
    rates = f"{links.input_bus:g} inputs, {links.kernel_bus:g} kernels, {links.output_bus:g} sums a cycle"
    yield 2, f"array {machine.array.rows} x {machine.array.cols}", rates
    yield 3, "element", f"{pe.input_words} words of inputs, {pe.kernel_words} of kernels, {pe.output_words} of sums"


@_lines.register
def _(machine: GemmMachine) -> Iterator[Line]:
    sram, units, array = machine.sram, machine.im2col, machine.array
    yield 0, "dram", f"{_words(machine.dram.words)}, {machine.dram.words_per_cycle:g} a cycle"
    yield 1, "input memory", _words(sram.input_words)
    made = f"{units.rows_per_cycle} indices a cycle, {units.neighbour_words} words from neighbours"
    yield 2, "im2col units", f"{made}, {units.reserve_words:,} kept"
    yield 1, "kernel memory", _words(sram.kernel_words)
    yield 1, f"array {array.rows} x {array.cols}", f"in {_list(array.splits)} parts"
    yield 2, "element", f"{array.accumulators} results of {machine.accumulator_bits} bits"
    yield 1, "output memory", _words(sram.output_words)


@_lines.register
def _(machine: MulticoreMachine) -> Iterator[Line]:
    cores, crossbar = machine.cores, machine.crossbar
    yield 0, "shared memory", f"{_words(machine.shared.words)}, and {machine.shared.sum_words:,} sums"
    bus, mesh = machine.bus, machine.bus.mesh
    if mesh is None:
        yield 1, "bus", f"{bus.width_bytes} bytes a cycle, {bus.latency} cycles a transfer"
    else:
        links = f"links of {bus.width_bytes} bytes a cycle, {bus.latency} cycles each"
        yield 1, f"mesh {mesh.rows} x {mesh.columns}", f"{links}; {len(mesh.ports)} ports of the memory"
    yield 2, f"core x {cores.count}", f"buffer of {cores.buffer_bytes:,} bytes, {cores.registers:,} registers"
    yield 3, "vector unit", f"{cores.lanes} lanes"
    yield (
        3,
        f"crossbar x {cores.crossbars}",
        f"{crossbar.rows} x {crossbar.columns} cells, {crossbar.mvm_cycles} cycles a product",
    )


def _words(count: int) -> str:
    return f"{count:,} words"


def _operands(operands: Sequence[str]) -> str:
    return " and ".join(_NAMES[str(each)] for each in operands)


def _list(numbers: Sequence[int]) -> str:
    *first, last = map(str, numbers)
    return f"{', '.join(first)} or {last}" if first else last
