"""What counts cost on a machine of any kind: energy by level, cycles, elements."""

from __future__ import annotations

import math

from dialects.accelerator import Accelerator
from dialects.events import LEVELS, Counts
from dialects.gemm_machine import GemmMachine
from dialects.machine_kinds import spatial_machine
from dialects.multicore_machine import MulticoreMachine
from dialects.nest_machine import NestMachine
from passes.gemm.pricing import ACCESSES, price_of_products
from passes.mapping.cost import Price
from passes.mapping.cost import price as price_on_array
from passes.mapping.host_cost import host_energy, host_seconds


def price(counts: Counts, machine: Accelerator) -> Price:
    """Energy and latency of one link's counts."""
    if isinstance(machine, NestMachine):
        return _price_of_nest(counts, machine)
    if isinstance(machine, GemmMachine):
        return price_of_products(counts, machine)
    if isinstance(machine, MulticoreMachine):
        return _price_of_cores(counts, machine)
    return price_on_array(counts, spatial_machine(machine, "report"))


def levels(machine: Accelerator) -> tuple[str, ...]:
    """The kinds of accesses that cost energy, from the outside in."""
    if isinstance(machine, GemmMachine):
        return tuple(ACCESSES)
    if isinstance(machine, MulticoreMachine):
        return tuple(_OF_CORES)
    return tuple(access.name for access in machine.accesses) if isinstance(machine, NestMachine) else LEVELS


def charges(machine: Accelerator) -> dict[str, dict[str, float]]:
    """The events that are accesses of each of these kinds, and how many each."""
    if isinstance(machine, NestMachine):
        return {access.name: access.events for access in machine.accesses}
    if isinstance(machine, GemmMachine):
        return {level: dict.fromkeys(events, 1) for level, events in ACCESSES.items()}
    if isinstance(machine, MulticoreMachine):
        return {kind: {event: 1} for kind, (event, _) in _OF_CORES.items()}
    array = spatial_machine(machine, "report")
    return {level: dict.fromkeys(array.charged(level), 1) for level in LEVELS}


def charged(counts: Counts, machine: Accelerator) -> dict[str, float]:
    """Accesses of each of these kinds."""
    return {
        level: sum(times * counts.events.get(event, 0) for event, times in events.items())
        for level, events in charges(machine).items()
    }


def elements(machine: Accelerator) -> int:
    """Processing elements of the array; of crossbars, the products that all of them make in a cycle."""
    if isinstance(machine, NestMachine):
        everywhere = math.prod(axis.size for axis in machine.axes)
        return min(everywhere, machine.elements or everywhere)
    if isinstance(machine, GemmMachine):
        return machine.array.rows * machine.array.cols
    if isinstance(machine, MulticoreMachine):
        return max(1, machine.cores.count * machine.core_weights // max(1, machine.crossbar.mvm_cycles))
    array = spatial_machine(machine, "report").array
    return array.rows * array.cols


def slots(counts: Counts, machine: Accelerator) -> float:
    """Main operations that one link could do at most while the array works: 0 if it never does.

    Of several cores, those that have a part of the link count, with their crossbars if these do it, or else with their
    vector units.
    """
    if not isinstance(machine, MulticoreMachine):
        return counts.array_cycles * elements(machine)
    cycles = counts.array_cycles * counts.peak_pes
    if not counts.events["crossbar.mvm"]:
        return cycles * machine.cores.lanes
    return cycles * machine.core_weights / max(1, machine.crossbar.mvm_cycles)


_OF_CORES = {
    "crossbar": ("crossbar.mvm", "mvm"),
    "bus": ("bus.bytes", "bus_byte"),
    "mesh": ("mesh.byte_hops", "hop_byte"),
    "vector": ("operation.vector", "operation"),
    "write": ("crossbar.rewrite", "cell_write"),
}
"""What costs energy on cores with crossbars: the event, and the key of the table `energies`."""


def _price_of_cores(counts: Counts, machine: MulticoreMachine) -> Price:
    """Energy of what was done, and of the time that it took; cycles as counted."""
    energies, cycles = machine.energies, counts.cycles or 0
    energy = {kind: counts.events[event] * getattr(energies, key) for kind, (event, key) in _OF_CORES.items()}
    # 1 mW in a cycle of 1 us is 1 nJ.
    energy["static"] = energies.static_mw * cycles / machine.clock_mhz * 1e3
    energy |= {"operation": 0.0, "host": 0.0}
    if machine.bus.mesh is None:
        del energy["mesh"]
    return Price(energy, math.ceil(counts.events["bus.bytes"] / machine.memory_bytes), cycles)


def _price_of_nest(counts: Counts, machine: NestMachine) -> Price:
    """The accesses that the description prices; cycles as counted, and those of the host core on top."""
    accesses = charged(counts, machine)
    energy = {each.name: accesses[each.name] * each.energy * machine.picojoules for each in machine.accesses}
    energy["operation"] = counts.operations * machine.operation * machine.picojoules
    host = machine.host
    energy["host"] = 0.0 if host is None else host_energy(counts, host)
    waiting = 0 if host is None else math.ceil(host_seconds(counts, host, machine.word_bits) * machine.clock_mhz * 1e6)
    outer = machine.memories[0]
    moved = ("input.read", "kernel.read", "extra.read", "output.update")
    words = sum(counts.events[f"{outer.name}.{event}"] for event in moved)
    cycles = (counts.cycles or 0) + waiting
    return Price(energy, math.ceil(words / machine.link_words), cycles, waiting)
