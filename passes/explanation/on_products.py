"""What a mapping to matrix products holds, moves and keeps busy on a machine of im2col units and a systolic array."""

from __future__ import annotations

from dialects.events import Counts
from dialects.gemm_machine import GemmMachine
from dialects.gemm_mapping import GemmMapping
from dialects.schedule import Storage
from passes.explanation.facts import OPERANDS, Busy, Facts, Held, Moved, Spent, peak_cycles
from passes.gemm.cost import LINK, predict, steps_of
from passes.gemm.legality import operands_of, room_of
from passes.gemm.pricing import ACCESSES, carried_out, price_of_products
from passes.gemm.ring import Ring
from passes.gemm.tiles import GemmTiles
from passes.mapping.cost import Price
from passes.off_chip import ON_PRODUCTS
from passes.work import Work


def facts_on_products(work: Work, mapping: GemmMapping, machine: GemmMachine, counts: Counts | None = None) -> Facts:
    """The facts of a mapped layer; its counts are predicted, without zeros, unless given."""
    tiles = GemmTiles(work.spec, mapping, work.input_shape)
    counts = counts or predict(work.spec, mapping, machine, work.input_shape, work.extra_shapes, work.lookups)
    cost = price_of_products(counts, machine)
    return Facts(
        mapping.tiles,
        counts,
        cost,
        {
            place: {operand: tiles.held_words(operand) for operand in node.operands}
            for place, node in enumerate(mapping.tiles.nodes)
            if isinstance(node, Storage)
        },
        _held(work, tiles, machine),
        _busy(tiles, machine, counts),
        _time(machine, counts, cost),
        _spent(counts, cost, machine),
        _moved(work, mapping, machine, counts),
        peak_cycles(counts, machine),
        mapping.form,
    )


def _held(work: Work, tiles: GemmTiles, machine: GemmMachine) -> tuple[Held, ...]:
    """Tiles in their memories, once in each half, and what patch units keep."""
    found: list[Held] = []
    for operand in operands_of(work.spec):
        words, name = tiles.held_words(operand), OPERANDS[operand]
        found.append(Held(f"sram.{name}", {name: words}, 2 * words, 2 * room_of(operand, machine), 2))
    reserved = tiles.mapping.reserved
    if reserved is not None:
        ring = Ring(tiles)
        channels = ring.reserved_channels(tiles.mapping)
        kept = channels * ring.reserve_words_per_channel
        neighbour, units = ring.neighbour_words, machine.im2col
        found.append(Held("im2col.neighbour", {"input": neighbour}, neighbour, units.neighbour_words))
        found.append(Held("im2col.reserve", {"input": kept}, kept, units.reserve_words))
    return tuple(found)


def _busy(tiles: GemmTiles, machine: GemmMachine, counts: Counts) -> tuple[Busy, ...]:
    array = machine.array
    rows = steps_of(tiles, machine).patch_rows * machine.im2col.rows_per_cycle
    found = (
        Busy("array", carried_out(counts), array.rows * array.cols, "operations"),
        Busy("im2col", rows, machine.im2col.rows_per_cycle, "rows of patches"),
        Busy("dram.words_per_cycle", counts.charged(LINK), machine.dram.words_per_cycle, "words"),
    )
    return tuple(each for each in found if each.amount)


def _spent(counts: Counts, cost: Price, machine: GemmMachine) -> tuple[Spent, ...]:
    """The energy by level and operand; what patch units hand on and keep are inputs, what elements keep outputs."""
    found: list[Spent] = []
    for level, events in ACCESSES.items():
        accesses: dict[str, int] = {}
        for event in events:
            owner, operand, *_ = event.split(".")
            operand = "input" if owner == "patch" else operand
            accesses[operand] = accesses.get(operand, 0) + counts.events.get(event, 0)
        if level == "result":
            accesses["output"] = 2 * carried_out(counts)
        each = getattr(machine.energy, level) * machine.energy.picojoules
        found += [Spent(level, operand, number, number * each) for operand, number in accesses.items() if number]
    rest = [("operation", carried_out(counts)), ("host", 0)]
    return (*found, *(Spent(name, "", number, cost.energy[name]) for name, number in rest if cost.energy[name]))


def _time(machine: GemmMachine, counts: Counts, cost: Price) -> tuple[tuple[str, float], ...]:
    """The array at work, or the link if that takes longer; what the array waits for before and after; the host."""
    link = machine.dram.cycles(counts.charged(LINK))
    at_work = counts.array_cycles >= link
    longer = max(counts.array_cycles, link)
    parts: list[tuple[str, float]] = [
        ("passes: array and im2col units" if at_work else "words on the off-chip link", longer),
        ("first tiles and last results on the link", cost.cycles - cost.host_cycles - longer),
        ("host", cost.host_cycles),
    ]
    return tuple((name, cycles) for name, cycles in parts if cycles)


def _moved(work: Work, mapping: GemmMapping, machine: GemmMachine, counts: Counts) -> tuple[Moved, ...]:
    """What goes off chip, beside what does if every tensor is brought once."""
    whole = tuple(node for node in mapping.tiles.nodes if isinstance(node, Storage))
    once = GemmMapping(mapping.split, None, type(mapping.tiles)(whole))
    least = predict(work.spec, once, machine, work.input_shape, work.extra_shapes, work.lookups)
    return tuple(
        Moved(operand, words, least.charged(events))
        for operand, events in ON_PRODUCTS.items()
        if (words := counts.charged(events))
    )
