"""The fast engine: words are counted loop by loop, and values computed in large blocks."""

from __future__ import annotations

import math

from backends.effects import Effects
from backends.generic.checks import tile_words
from backends.generic.core import At
from backends.generic.counters import NestCounters
from backends.generic.counting import NestCounter
from backends.generic.nest import FillNode, NestLayer, OpenNode, ParNode
from backends.generic.offchip import OffChip
from backends.generic.ranges import LoopRanges
from backends.generic.shown import ShownOffChip
from backends.generic.values import compute_layer
from backends.spatial.codes import Fold, Kind, Tensor
from backends.spatial.memory import Fault, MemoryBank
from dialects.nest_machine import NestMachine


def run_blocks(
    layer: NestLayer,
    machine: NestMachine,
    ranges: LoopRanges,
    dram: MemoryBank,
    counters: NestCounters,
    at: At,
    effects: Effects | None = None,
) -> None:
    """Run a layer's nest."""
    shape = layer.shape
    if shape not in layer.counted:
        _count(layer, machine, ranges, counters)
        layer.counted[shape] = counters.noted()
    counters.take(layer.counted[shape])
    assert layer.compute is not None
    at(layer.compute.pc)
    _require_place_for_sums(layer, machine, counters)
    compute_layer(layer, OffChip(layer, dram) if effects is None else ShownOffChip(layer, dram, effects))


def _count(layer: NestLayer, machine: NestMachine, ranges: LoopRanges, counters: NestCounters) -> None:
    counter = NestCounter(layer, machine, ranges)
    counter.count(counters.add)
    counters.steps, counters.turns, counters.elements = counter.steps, counter.turns, counter.elements
    _note_use(layer, ranges, counters)
    _count_results(layer, machine, counter, counters)


def _note_use(layer: NestLayer, ranges: LoopRanges, counters: NestCounters) -> None:
    used = [1] * len(counters.used)
    for index, node in enumerate(layer.nodes):
        match node:
            case ParNode():
                used[node.axis] *= -(-ranges.largest(node.dim, node.kind, index) // node.tile)
                counters.use(node.axis, used[node.axis])
            case FillNode():
                counters.hold(node.memory, node.tensor, tile_words(layer, ranges, node.tensor, index))
            case OpenNode() if not layer.is_kept(node):
                counters.hold(node.memory, Tensor.OUTPUT, tile_words(layer, ranges, Tensor.OUTPUT, index))
            case _:
                pass


def _count_results(layer: NestLayer, machine: NestMachine, counter: NestCounter, counters: NestCounters) -> None:
    """Count operations, and what goes with finished sums and computed addresses."""
    outer = machine.memories[0].name
    outputs = math.prod(layer.drained(layer.sizes))
    sums = math.prod(size[kind] for size in layer.sizes for kind in (Kind.G, Kind.OP, Kind.OPC))
    counters.add("operation.mac" if layer.is_multiply_accumulate else "operation.other", counter.operations)
    if not layer.finishes_sums:
        return
    counters.add("operation.post", outputs * len(layer.steps_after))
    count_finished(layer, machine, outputs, sums, counters)
    for step in layer.steps_after:
        if step.operand is not None:
            place = machine.memories[layer.memory_of(step.operand)].name
            counters.add(f"{place}.extra.read", counter.extra_words(layer.strides(step.operand)))
    read = len(layer.terms[Tensor.INPUT]) * counters.events[f"{outer}.input.read"]
    counters.add(f"{outer}.index.read", read + len(layer.terms[Tensor.OUTPUT]) * outputs)
    if layer.update is not Fold.NONE:
        counters.add(f"{outer}.output.read", outputs)


def count_finished(layer: NestLayer, machine: NestMachine, outputs: int, sums: int, counters: NestCounters) -> None:
    """Count results, made of so many finished sums, where they go."""
    place = machine.memories[layer.memory_of(Tensor.OUTPUT)].name
    if Tensor.OUTPUT in layer.keeps:
        counters.add(f"{place}.output.hold", outputs)
    else:
        counters.add(f"{place}.output.repeat", outputs - sums)


def _require_place_for_sums(layer: NestLayer, machine: NestMachine, counters: NestCounters) -> None:
    """Sums that come back to the outermost memory before they are finished wait there."""
    if counters.events[f"{machine.memories[0].name}.output.add"] and (0, Tensor.OUTPUT) not in layer.memory_places:
        raise Fault("CAT-E003", "sums leave the chip unfinished and have no place to wait")
