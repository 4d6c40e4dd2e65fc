"""What a mapping holds, moves and keeps busy on the row-stationary machine."""

from __future__ import annotations

import math

from dialects.array_machine import Machine
from dialects.events import Counts
from dialects.gconv import PASS
from dialects.schedule import Mapping, Operand, Storage
from passes.explanation.facts import OPERANDS, Busy, Facts, Held, Moved, peak_cycles, spent
from passes.mapping.cost import Price, predict, price
from passes.mapping.fit import buffer_tiles
from passes.mapping.prediction import predict_on_array
from passes.mapping.tiling import Tiling, padded_words
from passes.off_chip import ON_ARRAYS
from passes.work import Work

_IN_PASSES = {
    "array": "passes, as long as elements compute",
    "links.input_bus": "passes, as long as inputs come over links.input_bus",
    "links.output_bus": "passes, as long as sums go over links.output_bus",
}
"""What can make passes long: what a pass needs most of takes as long as the pass."""
_UNLIMITED = math.inf


def facts_on_array(work: Work, mapping: Mapping, machine: Machine, counts: Counts | None = None) -> Facts:
    """The facts of a mapped layer; its counts are predicted unless given."""
    counts = counts or predict_on_array(work, mapping, machine)
    cost = price(counts, machine)
    busy = _busy(work, mapping, machine, counts, cost)
    return Facts(
        mapping,
        counts,
        cost,
        _tiles(work, mapping),
        _held(work, mapping, machine),
        busy,
        _time(_passes(work, mapping, machine), busy, machine, counts, cost),
        spent(counts, cost, machine),
        _moved(work, machine, counts),
        peak_cycles(counts, machine),
    )


def _tiles(work: Work, mapping: Mapping) -> dict[int, dict[Operand, int]]:
    words = buffer_tiles(work.spec, mapping)
    words[Operand.KERNEL] = Tiling(work.spec, mapping).scratchpad_words()["kernel"]
    return {
        place: {operand: words[operand] for operand in node.operands}
        for place, node in enumerate(mapping.nodes)
        if isinstance(node, Storage)
    }


def _held(work: Work, mapping: Mapping, machine: Machine) -> tuple[Held, ...]:
    tiles = {OPERANDS[operand]: words for operand, words in buffer_tiles(work.spec, mapping).items()}
    bank = machine.glb.bank_words
    taken = sum(-(-words // bank) * bank for words in tiles.values())
    return Held("glb", tiles, taken, machine.glb.words), *held_in_elements(work, mapping, machine)


def held_in_elements(work: Work, mapping: Mapping, machine: Machine) -> tuple[Held, ...]:
    """What the scratchpads of an element hold."""
    found: list[Held] = []
    element = Tiling(work.spec, mapping).scratchpad_words()
    for operand, words in element.items():
        if operand != "kernel" or mapping.position(Operand.KERNEL) is not None:
            capacity = getattr(machine.pe, f"{operand}_words")
            found.append(Held(f"pe.{operand}", {operand: words}, words, capacity))
    return tuple(found)


def _busy(work: Work, mapping: Mapping, machine: Machine, counts: Counts, cost: Price) -> tuple[Busy, ...]:
    links, events = machine.links, counts.events
    inputs = padded_words(work.spec.dims, Tiling(work.spec, mapping).in_pass)
    sums = max(events["array.output.in"], events["array.output.out"])
    link = cost.link_cycles * links.dram
    found = [
        Busy("array", _computing(work, mapping, machine), 1, "cycles of the slowest element"),
        Busy("links.input_bus", inputs, links.input_bus, "words"),
        Busy("links.kernel_bus", events["dram.kernel.read"], links.kernel_bus, "words"),
        Busy("links.output_bus", sums, links.output_bus, "words"),
        Busy("links.dram", link, links.dram, "words"),
    ]
    return tuple(each for each in found if each.amount)


def _computing(work: Work, mapping: Mapping, machine: Machine) -> int:
    """Cycles of all passes if words came and went in no time."""
    return _array_cycles(work, mapping, machine, "input_bus", "kernel_bus", "output_bus")


def _passes(work: Work, mapping: Mapping, machine: Machine) -> int:
    """Cycles of all passes, without those in which kernels come to the elements."""
    return _array_cycles(work, mapping, machine, "kernel_bus")


def _array_cycles(work: Work, mapping: Mapping, machine: Machine, *unlimited: str) -> int:
    """Cycles of the array if some links took no time."""
    links = machine.links.model_copy(update=dict.fromkeys(unlimited, _UNLIMITED))
    pipeline = None if "input_bus" in unlimited else machine.pipeline
    return predict_on_array(
        work, mapping, machine.model_copy(update={"links": links, "pipeline": pipeline})
    ).array_cycles


def _time(
    passes: int, busy: tuple[Busy, ...], machine: Machine, counts: Counts, cost: Price
) -> tuple[tuple[str, float], ...]:
    """The array at work, or kernels on the link while it is; then what the array waits for."""
    kernels = math.ceil(counts.charged(machine.on_link(("dram.kernel.read",))) / machine.links.dram)
    parts: list[tuple[str, float]]
    if kernels > counts.array_cycles:
        parts = [("kernels on links.dram", kernels)]
    else:
        slowest = max((each for each in busy if each.resource in _IN_PASSES), key=lambda each: each.cycles).resource
        parts = [(_IN_PASSES[slowest], passes), ("kernels on links.kernel_bus", counts.array_cycles - passes)]
    parts += [("inputs and results on links.dram", cost.link_cycles - kernels), ("host", cost.host_cycles)]
    return tuple((name, cycles) for name, cycles in parts if cycles)


def _moved(work: Work, machine: Machine, counts: Counts) -> tuple[Moved, ...]:
    """What goes off chip, beside what does if everything is stored outside of all loops."""
    kernel = [] if work.spec.main == PASS else [Storage("spad", (Operand.KERNEL,))]
    whole = Mapping((Storage("glb", (Operand.OUTPUT, Operand.INPUT)), *kernel))
    least = predict(work.spec, work.input_shape, whole, machine, work.extra_shapes, work.lookups)
    return tuple(
        Moved(operand, words, least.charged(events))
        for operand, events in ON_ARRAYS.items()
        if (words := counts.charged(events))
    )
