"""What a mapping holds, moves and keeps busy on a machine of levels."""

from __future__ import annotations

import math

import numpy as np

from dialects.events import Counts as EventCounts
from dialects.hierarchy import Memory
from dialects.nest_machine import NestMachine
from dialects.schedule import Mapping, Operand, Storage
from passes.explanation.facts import OPERANDS, Busy, Facts, Held, Moved, peak_cycles, spent
from passes.mapper.counts import Counts
from passes.mapper.footprint import tile_words
from passes.mapper.nest import nest_of
from passes.mapper.prediction import predict
from passes.mapper.pricing import Prices
from passes.mapper.problem import Problem, read_after
from passes.mapping.cost import Price
from passes.off_chip import off_chip_events
from passes.pricing import price
from passes.work import Work


def facts_on_levels(work: Work, mapping: Mapping, machine: NestMachine, counts: EventCounts | None = None) -> Facts:
    """The facts of a mapped layer; its counts are predicted unless given."""
    machine = machine.executed
    counts = counts or predict(work.spec, mapping, machine, work.extra_shapes, work.lookups)
    problem = Problem.of(work.spec, read_after(work.spec, work.extra_shapes))
    counted = Counts(problem, machine, *nest_of(problem, mapping))
    cost = price(counts, machine)
    return Facts(
        mapping,
        counts,
        cost,
        _tiles(mapping, counted),
        held_on_levels(machine, counted),
        _busy(machine, counted),
        _time(machine, counted, cost),
        spent(counts, cost, machine),
        _moved(work, problem, machine, counts),
        peak_cycles(counts, machine),
    )


def _tiles(mapping: Mapping, counted: Counts) -> dict[int, dict[Operand, int]]:
    held = counted.occupancy
    return {
        place: {
            operand: math.ceil(held[node.memory][operand][0])
            for operand in node.operands
            if operand in held[node.memory]
        }
        for place, node in enumerate(mapping.nodes)
        if isinstance(node, Storage)
    }


def held_on_levels(machine: NestMachine, counted: Counts) -> tuple[Held, ...]:
    """What every memory but the outermost holds at a time."""
    found: list[Held] = []
    for memory in machine.memories[1:]:
        tiles = {operand: math.ceil(words[0]) for operand, words in counted.occupancy.get(memory.name, {}).items()}
        if not tiles:
            continue
        named = {OPERANDS[operand]: words for operand, words in tiles.items()}
        taken = sum(memory.whole_banks(memory.buffers * words) for words in tiles.values())
        unit = machine.word_unit(memory.name)
        found.append(Held(memory.name, named, taken, memory.words, memory.buffers, unit))
        for operand, room in memory.rooms.items():
            if operand in tiles:
                words = memory.buffers * tiles[operand]
                name = OPERANDS[operand]
                found.append(
                    Held(f"{memory.name}.rooms.{operand}", {name: tiles[operand]}, words, room, memory.buffers, unit)
                )
    return tuple(found)


def _busy(machine: NestMachine, counted: Counts) -> tuple[Busy, ...]:
    found = [Busy("array", int(counted.steps[0]), 1, "steps of the slowest element")]
    for memory in machine.memories:
        sent, taken = (float(cycles[0]) for cycles in Prices(machine).port_cycles(memory, counted))
        for port, cycles, rate in (("read", sent, memory.read), ("write", taken, memory.write)):
            if rate is not None and cycles:
                found.append(Busy(f"{memory.name}.{port}", cycles * rate, rate, "words"))
    return tuple(found)


def _time(machine: NestMachine, counted: Counts, cost: Price) -> tuple[tuple[str, float], ...]:
    """The slowest of the array and of memories that move words meanwhile; then what the array waits for."""
    prices = Prices(machine)
    slowest = ("elements computing", float(counted.steps[0]))
    waiting: list[tuple[str, float]] = []
    ramp = 0.0
    for memory in machine.memories:
        if memory.read is None and memory.write is None:
            continue
        port, cycles = _busier_port(memory, prices, counted)
        if memory.buffers > 1 or memory is machine.memories[0]:
            slowest = max(slowest, (port, cycles), key=lambda each: each[1])
            ramp += float(prices.ramp_cycles(memory, counted)[0])
        else:
            waiting.append((f"{port}, held once", cycles))
    parts = [slowest, *waiting, ("first tiles in, last results out", ramp), ("host", cost.host_cycles)]
    return tuple((name, cycles) for name, cycles in parts if cycles)


def _busier_port(memory: Memory, prices: Prices, counted: Counts) -> tuple[str, float]:
    sent, taken = (float(cycles[0]) for cycles in prices.port_cycles(memory, counted))
    port = "read" if sent >= taken else "write"
    return f"words on {memory.name}.{port}", max(sent, taken)


def _moved(work: Work, problem: Problem, machine: NestMachine, counts: EventCounts) -> tuple[Moved, ...]:
    """What goes off chip, beside the words of the tensors; padding counts as words on this machine."""
    extents = [np.array([extent]) for extent in problem.extents]
    least = {operand: int(tile_words(problem, operand, extents)[0]) for operand in problem.operands}
    outputs = math.prod(work.spec.output_shape)
    fewest = {
        "input": least[Operand.INPUT],
        "kernel": least.get(Operand.KERNEL, 0),
        "extra": sum(map(math.prod, read_after(work.spec, work.extra_shapes))),
        "index": _index_words(work, least[Operand.INPUT], outputs),
        "output": outputs * (2 if work.lookups.combines else 1),
    }
    return tuple(
        Moved(operand, words, fewest[operand])
        for operand, events in off_chip_events(machine).items()
        if (words := counts.charged(events))
    )


def _index_words(work: Work, inputs: int, outputs: int) -> int:
    read, written = work.lookups.read, work.lookups.written
    return (0 if read is None else read[-1] * inputs) + (0 if written is None else written[-1] * outputs)
